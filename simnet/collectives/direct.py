"""Direct algorithms: everything is posted at once, and the network sorts it out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simnet.collectives.collective import Collective, IntArray, check_count
from simnet.collectives.expansion import MOST_AT_ONCE, Step
from simnet.collectives.representative import Turn
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import join, make_schedule, step
from simnet.collectives.symmetry import Rotation, Swap, Translations

_JOIN_DEPS = 1 << 20
"""Dependencies of joins that are expanded at a time."""


def direct(collective: Collective, num_ranks: int) -> Schedule:
    """Let every rank send to every other at once.

    An all_reduce is a direct reduce-scatter, then a direct all-gather: a rank begins the second
    half when it has received all of the first (a join).

    Parameters
    ----------
    collective
        An all_reduce, reduce_scatter, all_gather or all_to_all.
    num_ranks
        Number of ranks N.

    """
    kind, all_pairs = collective.kind, num_ranks * (num_ranks - 1)
    row = num_ranks if kind == "all_to_all" else 0

    def steps() -> Iterator[Step]:
        ranks = np.arange(num_ranks)
        for other in _others(num_ranks) if kind != "all_gather" else ():
            yield step(ranks, other, base=ranks * row + other, reduces=not row)
        if kind == "all_reduce":
            yield from _joins(num_ranks)
        for other in _others(num_ranks) if kind in ("all_reduce", "all_gather") else ():
            joined = np.tile(all_pairs + ranks, len(other)) if kind == "all_reduce" else ()
            yield step(ranks, other, base=ranks, deps=joined)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="direct",
        steps=steps,
        count=2 * all_pairs + num_ranks if kind == "all_reduce" else all_pairs,
        cells_per_block=num_ranks if kind == "all_reduce" else 1,
        symmetry=(Rotation(num_ranks), Swap(0, 1)),
        translations=Translations((num_ranks,)),
        turn=lambda: _turn(kind, num_ranks),
    )


def _others(num_ranks: int) -> Iterator[IntArray]:
    """Yield, some steps k at a time, to whom each rank sends in them: the k-th after it."""
    ranks, some = np.arange(num_ranks), max(1, MOST_AT_ONCE // num_ranks)
    for begin in range(1, num_ranks, some):
        k = np.arange(begin, min(begin + some, num_ranks))
        yield (ranks + k[:, None]) % num_ranks


def _turn(kind: str, num_ranks: int) -> Turn:
    """Return what rank 0 sends: all at once, in an all_reduce twice, with a join in between."""
    others, once = np.arange(1, num_ranks), num_ranks - 1
    if kind != "all_reduce":
        reduces = np.full(once, kind == "reduce_scatter")
        offsets, none = np.zeros(num_ranks, dtype=np.int64), others[:0]
        return Turn(
            to=others, count=np.ones_like(others), reduces=reduces, dep_offsets=offsets, deps=none
        )
    to = np.concatenate([others, [0], others])
    awaited = np.concatenate([np.zeros(once, dtype=np.int64), [once], np.ones(once, np.int64)])
    return Turn(
        to=to,
        count=np.minimum(to, 1),
        reduces=np.arange(len(to)) < once,
        dep_offsets=np.concatenate([[0], np.cumsum(awaited)]),
        deps=np.concatenate([np.arange(once), np.full(once, once)]),
        pieces={once: np.array([len(ranks) for ranks in _joined(num_ranks)])},
    )


def _joins(num_ranks: int) -> Iterator[Step]:
    """Yield a join a rank that waits for what the others sent it: id (k - 1) N + r - k."""
    k = np.arange(1, num_ranks)
    for some in _joined(num_ranks):
        ranks = np.array(some)
        yield join(ranks, (k - 1) * num_ranks + (ranks[:, None] - k) % num_ranks)


def _joined(num_ranks: int) -> list[range]:
    """Return the ranks whose joins are expanded at a time."""
    some = max(1, _JOIN_DEPS // num_ranks)
    every = range(num_ranks)
    return [every[begin : begin + some] for begin in range(0, num_ranks, some)]


def flat(collective: Collective, num_ranks: int) -> Schedule:
    """Let the root send to all others, or all others send to the root, at once.

    Parameters
    ----------
    collective
        A broadcast, reduce, gather or scatter.
    num_ranks
        Number of ranks N.

    """
    cut = collective.kind in ("gather", "scatter")

    def steps() -> Iterator[Step]:
        others = (collective.root + np.arange(1, num_ranks)) % num_ranks
        away = collective.kind in ("broadcast", "scatter")
        root = np.full_like(others, collective.root)
        yield step(
            root if away else others,
            others if away else root,
            base=others if cut else 0,
            reduces=collective.kind == "reduce",
        )

    return make_schedule(collective, num_ranks, algorithm="flat", steps=steps, count=num_ranks - 1)


def parameter_server(collective: Collective, num_ranks: int, *, root: int = 0) -> Schedule:
    """All-reduce by a server: all send it their whole buffer, it sends all the sum.

    Li et al., Scaling distributed machine learning with the parameter server, OSDI 2014.

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.
    root
        Group rank of the server.

    """
    check_count("parameter_server", "root", root, least=0)
    if root >= num_ranks:
        raise ValueError(
            f"parameter_server: root {root} is not a rank of a group of {num_ranks} "
            f"(0 to {num_ranks - 1})"
        )

    def steps() -> Iterator[Step]:
        others = (root + np.arange(1, num_ranks)) % num_ranks
        server = np.full_like(others, root)
        yield step(others, server, reduces=True)
        yield join([root], np.arange(num_ranks - 1)[None, :])
        yield step(server, others, deps=np.full_like(others, num_ranks - 1))

    return make_schedule(
        collective,
        num_ranks,
        algorithm="parameter_server",
        steps=steps,
        count=2 * (num_ranks - 1) + 1,
    )


def direct_pairs(collective: Collective, num_ranks: int) -> Schedule:
    """Send every message of a send or a permutation at once.

    Parameters
    ----------
    collective
        A send or a permutation.
    num_ranks
        Number of ranks N.

    """

    def steps() -> Iterator[Step]:
        pairs = np.array(collective.pairs, dtype=np.int64).reshape(-1, 2)
        cells = pairs[:, 0] if collective.kind == "permutation" else 0
        yield step(pairs[:, 0], pairs[:, 1], base=cells)

    return make_schedule(
        collective, num_ranks, algorithm="direct", steps=steps, count=len(collective.pairs)
    )
