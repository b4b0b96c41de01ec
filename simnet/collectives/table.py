"""Which algorithms each kind of collective has, and the one function that builds a schedule."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from simnet.collectives import direct, nested, recursive, rings
from simnet.collectives.binomial import binomial
from simnet.collectives.chain import chain
from simnet.collectives.collective import KINDS, Collective
from simnet.collectives.pairwise import pairwise
from simnet.collectives.schedule import Schedule
from simnet.collectives.trees import double_binary_tree

Algorithm = Callable[..., Schedule]
"""A function ``(collective, num_ranks, **options) -> Schedule``."""

AUTO = "auto"

ALGORITHMS: Mapping[str, Mapping[str, Algorithm]] = MappingProxyType(
    {
        "all_reduce": {
            "ring": rings.ring,
            "bidirectional_ring": rings.bidirectional_ring,
            "recursive_halving_doubling": recursive.recursive_halving_doubling,
            "recursive_doubling": recursive.recursive_doubling,
            "binomial": binomial,
            "double_binary_tree": double_binary_tree,
            "direct": direct.direct,
            "parameter_server": direct.parameter_server,
            "hierarchical": nested.hierarchical,
            "torus": nested.torus,
        },
        "reduce_scatter": {
            "ring": rings.ring,
            "bidirectional_ring": rings.bidirectional_ring,
            "recursive_halving": recursive.recursive_halving,
            "direct": direct.direct,
        },
        "all_gather": {
            "ring": rings.ring,
            "bidirectional_ring": rings.bidirectional_ring,
            "recursive_doubling": recursive.recursive_doubling_all_gather,
            "direct": direct.direct,
        },
        "all_to_all": {
            "direct": direct.direct,
            "pairwise": pairwise,
            "ring": rings.ring_all_to_all,
        },
        "broadcast": {
            "binomial": binomial,
            "chain": chain,
            "flat": direct.flat,
            "scatter_allgather": nested.scatter_allgather,
        },
        "reduce": {"binomial": binomial, "chain": chain, "flat": direct.flat},
        "gather": {"binomial": binomial, "flat": direct.flat},
        "scatter": {"binomial": binomial, "flat": direct.flat},
        "send": {"direct": direct.direct_pairs},
        "permutation": {"direct": direct.direct_pairs},
        "barrier": {"dissemination": recursive.dissemination},
    }
)


def algorithms(kind: str) -> tuple[str, ...]:
    """Return the names of the algorithms for a kind of collective.

    Raises
    ------
    ValueError
        If there is no such kind.

    """
    if kind not in ALGORITHMS:
        raise ValueError(f"unknown collective {kind!r}{_nearest(kind, KINDS)}")
    return tuple(ALGORITHMS[kind])


def find(kind: str, name: str) -> Algorithm:
    """Return the function of an algorithm by its name.

    Raises
    ------
    ValueError
        If the kind of collective has no such algorithm; names the nearest and all choices.

    """
    names = algorithms(kind)
    if name not in names:
        raise ValueError(f"{kind} has no algorithm {name!r}{_nearest(name, (*names, AUTO))}")
    return ALGORITHMS[kind][name]


def build(
    collective: Collective,
    num_ranks: int,
    algorithm: str | Algorithm | None = None,
    **options: object,
) -> Schedule:
    """Build the schedule of a collective over a number of ranks.

    Parameters
    ----------
    collective
        What to do.
    num_ranks
        Size of the group.
    algorithm
        A name or a function; None: the collective's own.
    options
        Options of the algorithm, over those of the collective. Where `algorithm` is given, those
        options of the collective that it does not know are left out.

    Raises
    ------
    ValueError, TypeError
        If the collective cannot run over so many ranks, the algorithm is unknown or "auto"
        (which needs a network: see `plan`), or an option is unknown or missing.

    """
    collective.check_num_ranks(num_ranks)
    chosen = collective.algorithm if algorithm is None else algorithm
    if chosen == AUTO:
        raise ValueError(f"{collective.kind}: algorithm 'auto' needs a network to choose for")
    function = find(collective.kind, chosen) if isinstance(chosen, str) else chosen
    own = collective.options
    if algorithm is not None:
        own = {name: own[name] for name in _keywords(function) if name in own}
    given = {**own, **options}
    if isinstance(chosen, str):
        check_options(collective.kind, chosen, given)
        _check_required(collective.kind, chosen, given)
        return function(collective, num_ranks, **given)
    schedule = function(collective, num_ranks, **given)
    _check_custom(schedule, num_ranks)
    return schedule


def option_names(kind: str, algorithm: str) -> tuple[str, ...]:
    """Return the names of the options of an algorithm; of "auto": of any of the kind."""
    if algorithm == AUTO:
        every = [option_names(kind, name) for name in algorithms(kind)]
        return tuple(dict.fromkeys(name for names in every for name in names))
    return _keywords(find(kind, algorithm))


def check_options(
    kind: str, algorithm: str, options: Mapping[str, object], others: Iterable[str] = ()
) -> None:
    """Raise ValueError if an algorithm does not know an option.

    Parameters
    ----------
    kind, algorithm
        Names.
    options
        Options by name.
    others
        Names that are no options, but may have been meant.

    """
    known = option_names(kind, algorithm)
    for name in options:
        if name not in known:
            choices = (*known, *others)
            rest = _nearest(name, choices) if choices else "; it takes none"
            raise ValueError(f"{kind} by {algorithm} has no option {name!r}{rest}")


def _keywords(function: Algorithm) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY)


def _check_required(kind: str, algorithm: str, options: Mapping[str, object]) -> None:
    for name, parameter in inspect.signature(find(kind, algorithm)).parameters.items():
        required = parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        if required and name not in options:
            raise ValueError(f"{kind} by {algorithm} needs the option {name}=")


def _check_custom(schedule: object, num_ranks: int) -> None:
    if not isinstance(schedule, Schedule):
        raise TypeError(f"the algorithm returned {schedule!r:.60} instead of a Schedule")
    if schedule.num_ranks != num_ranks:
        raise ValueError(
            f"the algorithm returned a schedule for {schedule.num_ranks} ranks instead of "
            f"{num_ranks}"
        )


def _nearest(name: str, choices: Iterable[str]) -> str:
    """Say which name was meant, and which there are."""
    names = list(choices)
    close = difflib.get_close_matches(str(name), names, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{meant}; known are {', '.join(names)}"
