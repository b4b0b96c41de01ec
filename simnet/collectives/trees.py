"""The double binary tree: two trees, each with half the data, no rank inside both.

References
----------
Sanders, Speck and Träff, Two-tree algorithms for full bandwidth broadcast, reduction and scan,
Parallel Comput. 35(12), 2009, https://doi.org/10.1016/j.parco.2009.09.001

"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.expansion import Step
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import make_schedule, step


def double_binary_tree(collective: Collective, num_ranks: int) -> Schedule:
    """All-reduce half the data up and down one binary tree, half over its twin, at once.

    Every rank but at most one is a leaf in one of the trees, so both halves together use the
    full bandwidth of the ranks, pipelined if the collective has a segment size. A rank serves
    both children at once.

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.

    """

    def steps() -> Iterator[Step]:
        parent = in_order_tree(num_ranks)
        upward = np.argsort(-_depth(parent), kind="stable")[:-1]
        place = np.full(num_ranks, -1, dtype=np.int64)
        place[upward] = np.arange(num_ranks - 1)
        ranks = np.arange(num_ranks)
        twin = num_ranks - 1 - ranks if num_ranks % 2 == 0 else (ranks + 1) % num_ranks
        trees = np.stack([ranks, twin])
        from_children = np.sort(_children_places(parent, place), axis=1)
        yield _over(trees, upward, parent[upward], from_children[upward], reduces=True)
        downward = upward[::-1]
        came = np.full((num_ranks, 2), -1, dtype=np.int64)
        came[upward, 0] = 3 * (num_ranks - 1) - 1 - place[upward]
        came[0] = from_children[0]
        yield _over(trees, parent[downward], downward, came[parent[downward]], reduces=False)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="double_binary_tree",
        steps=steps,
        count=4 * (num_ranks - 1),
        cells_per_block=2,
    )


def in_order_tree(num_ranks: int) -> IntArray:
    """Return the parent of each rank in a binary tree whose leaves are the odd ranks.

    Rank 0 is the root, with parent -1 and one child. Rank r > 0 with lowest set bit b has
    height log2 b; its children are near r - b/2 and r + b/2.
    """
    ranks = np.arange(num_ranks)
    low = ranks & -ranks
    parent = (ranks ^ low) | (low << 1)
    parent = np.where(parent >= num_ranks, ranks ^ low, parent)
    parent[0] = -1
    return parent


def _depth(parent: IntArray) -> IntArray:
    """Return how many edges each rank is from the root."""
    depth = np.zeros_like(parent)
    above = parent
    while (above >= 0).any():
        depth += above >= 0
        above = np.where(above >= 0, parent[above], -1)
    return depth


def _children_places(parent: IntArray, place: IntArray) -> IntArray:
    """Return where the transfers of each rank's children are, at most two, or -1."""
    places = np.full((len(parent), 2), -1, dtype=np.int64)
    for rank in range(1, len(parent)):
        row = places[parent[rank]]
        row[int(row[0] >= 0)] = place[rank]
    return places


def _over(trees: IntArray, src: IntArray, dst: IntArray, deps: IntArray, *, reduces: bool) -> Step:
    """Do the same over both trees; the second is numbered after the first, in each step."""
    second = np.where(deps >= 0, deps + len(src), -1)
    return step(
        trees[:, src].ravel(),
        trees[:, dst].ravel(),
        base=np.repeat([0, 1], len(src)),
        reduces=reduces,
        deps=np.concatenate([deps, second]),
    )
