"""Which algorithm carries out each collective of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simnet.collectives import algorithms as known_algorithms

Algorithm = str | Callable[[str, int, tuple[int, ...]], str]
"""A name, or a function of (kind, bytes, ranks of the group) that returns one."""

CHOOSABLE = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
    "barrier",
)


def chosen_algorithms(
    algorithm: Algorithm | Mapping[str, Algorithm],
) -> dict[str, Algorithm]:
    """The algorithm of each kind that is named; see `run`."""
    if isinstance(algorithm, str):
        algorithm = {"all_reduce": algorithm}
    if callable(algorithm):
        return dict.fromkeys(CHOOSABLE, algorithm)
    if not isinstance(algorithm, Mapping):
        raise TypeError(
            f"algorithm={algorithm!r}: a name, a function, or a mapping of kinds to such"
        )
    for kind, name in algorithm.items():
        if kind not in CHOOSABLE:
            raise ValueError(f"algorithm of {kind!r}: kinds are {', '.join(CHOOSABLE)}")
        known = ("auto", *known_algorithms(kind))
        if not callable(name) and name not in known:
            raise ValueError(f"algorithm of {kind}: {name!r}; there are {', '.join(known)}")
    return dict(algorithm)
