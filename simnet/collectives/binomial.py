"""Binomial trees: ceil(log2 N) rounds, each of which doubles (or halves) those who hold data.

Ranks are counted from the root on, wrapping round. A rank sends to its largest subtree first
and the next send waits for the last, so that a broadcast takes ceil(log2 N) (latency + S/B) on
every network whose links are not shared; what goes towards the root is the same tree run
backwards, and a parent takes its children one after the other. ``concurrent=True`` drops this
order: a parent then serves all its children at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.expansion import Step
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import Sequencer, join, make_schedule, powers_below, step

Cells = Callable[[IntArray, int], tuple[IntArray, IntArray]]
"""First cell and number of cells that the subtrees of some roots, `mask` wide, stand for."""


def binomial(collective: Collective, num_ranks: int, *, concurrent: bool = False) -> Schedule:
    """Broadcast, reduce, gather or scatter over a binomial tree; all_reduce over one twice.

    An all_reduce is a reduce to rank 0 and a broadcast from it.

    Parameters
    ----------
    collective
        A broadcast, reduce, gather, scatter or all_reduce.
    num_ranks
        Number of ranks N.
    concurrent
        Whether a parent serves its children at once instead of one after the other.

    """
    if not isinstance(concurrent, bool):
        raise TypeError(f"binomial: concurrent must be True or False, not {concurrent!r}")
    kind = collective.kind
    cut = kind in ("gather", "scatter")
    ranks = (np.arange(num_ranks) + collective.root) % num_ranks

    def cells(roots: IntArray, mask: int) -> tuple[IntArray, IntArray]:
        if not cut:
            return np.zeros_like(roots), np.ones_like(roots)
        return ranks[roots], np.minimum(mask, num_ranks - roots)

    def steps() -> Iterator[Step]:
        order = Sequencer(num_ranks)
        modulus = num_ranks if cut else 1
        if kind in ("reduce", "gather", "all_reduce"):
            reduces = kind != "gather"
            yield from inward(order, ranks, cells, modulus, reduces=reduces, concurrent=concurrent)
        if kind == "all_reduce" and concurrent:
            yield _root_join(order, ranks)
        if kind in ("broadcast", "scatter", "all_reduce"):
            yield from outward(order, ranks, cells, modulus, concurrent=concurrent)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="binomial",
        steps=steps,
        count=2 * (num_ranks - 1) + concurrent if kind == "all_reduce" else num_ranks - 1,
        widest=max(powers_below(num_ranks), default=1) if cut else 1,
    )


def outward(
    order: Sequencer, ranks: IntArray, cells: Cells, modulus: int, *, concurrent: bool = False
) -> Iterator[Step]:
    """Yield the rounds from ``ranks[0]`` to all `ranks`, largest subtree first."""
    for mask in powers_below(len(ranks))[::-1]:
        parents, children = _pairs(len(ranks), mask)
        src, dst = ranks[parents], ranks[children]
        first, count = cells(children, mask)
        before = order.received[src] if concurrent else order.sendrecv(src)
        yield step(src, dst, first=first, count=count, modulus=modulus, deps=before)
        order.took(src, dst)


def inward(
    order: Sequencer,
    ranks: IntArray,
    cells: Cells,
    modulus: int,
    *,
    reduces: bool,
    concurrent: bool = False,
) -> Iterator[Step]:
    """Yield the rounds from all `ranks` to ``ranks[0]``, smallest subtree first."""
    heard: list[IntArray] = []
    for mask in powers_below(len(ranks)):
        parents, children = _pairs(len(ranks), mask)
        src, dst = ranks[children], ranks[parents]
        first, count = cells(children, mask)
        before = [received[src] for received in heard] if concurrent else [order.received[src]]
        if not concurrent:
            before.append(order.received[dst])
        yield step(
            src,
            dst,
            first=first,
            count=count,
            modulus=modulus,
            reduces=reduces,
            deps=np.stack(before, axis=1) if before else (),
        )
        order.took(src, dst)
        if concurrent:
            heard.append(order.received.copy())


def _root_join(order: Sequencer, ranks: IntArray) -> Step:
    """Let the root wait for all its children, whose transfers are unordered."""
    from_children = order.sent[ranks[powers_below(len(ranks))]]
    one = join(ranks[:1], from_children[None, :])
    order.took(ranks[:1], ranks[:1])
    return one


def _pairs(num_ranks: int, mask: int) -> tuple[IntArray, IntArray]:
    """Return the parents of a round and their children, as positions from the root on."""
    parents = np.arange(0, num_ranks - mask, 2 * mask)
    return parents, parents + mask
