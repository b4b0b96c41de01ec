"""Algorithms made of others: along the dimensions of a torus, within and between islands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simnet.collectives.binomial import inward, outward
from simnet.collectives.collective import Collective, IntArray, check_count, check_list
from simnet.collectives.expansion import Steps
from simnet.collectives.representative import Turn, sendrecv
from simnet.collectives.rings import Rings, one_way
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import Sequencer, make_schedule, powers_below
from simnet.collectives.symmetry import GridRotation, Relabelled, Translations


def torus(collective: Collective, num_ranks: int, *, dims: Sequence[int]) -> Schedule:
    """All-reduce by rings along one dimension after the other.

    Reduce-scatters along each dimension in turn, each on the piece that the last one left, then
    all-gathers back. Rank order is row-major: the last dimension varies fastest.

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.
    dims
        Sizes of the dimensions; their product is N.

    """
    sizes = _checked_dims(dims, num_ranks)
    turns = tuple(GridRotation(sizes, dim) for dim in range(len(sizes)) if sizes[dim] > 1)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="torus",
        steps=lambda: _along_dims(sizes, np.arange(num_ranks)),
        count=2 * num_ranks * sum(size - 1 for size in sizes),
        cells_per_block=num_ranks,
        widest=_widest(sizes),
        symmetry=turns,
        translations=Translations(sizes),
        turn=lambda: _turn(sizes),
    )


def hierarchical(
    collective: Collective, num_ranks: int, *, islands: Sequence[Sequence[int]]
) -> Schedule:
    """All-reduce within islands, then between them, then within them again.

    Islands of one size: a ring reduce-scatter in each, a ring all-reduce between the ranks of
    equal position in their islands, a ring all-gather in each. Islands of different sizes: a
    binomial reduce to the first rank of each, a ring all-reduce between these, a binomial
    broadcast in each.

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.
    islands
        The group ranks of each island; each rank is in exactly one.

    """
    groups = _checked_islands(islands, num_ranks)
    if len({len(group) for group in groups}) > 1:
        return _by_leaders(collective, num_ranks, groups)
    sizes = (len(groups[0]), len(groups))
    ranks = np.stack(groups).T.ravel()
    turns = tuple(Relabelled(ranks, GridRotation(sizes, dim)) for dim in range(2) if sizes[dim] > 1)
    return make_schedule(
        collective,
        num_ranks,
        algorithm="hierarchical",
        steps=lambda: _along_dims(sizes, ranks),
        count=2 * num_ranks * sum(size - 1 for size in sizes),
        cells_per_block=num_ranks,
        widest=_widest(sizes),
        symmetry=turns,
        translations=Translations(sizes, ranks),
        turn=lambda: _turn(sizes),
    )


def scatter_allgather(collective: Collective, num_ranks: int) -> Schedule:
    """Broadcast by a binomial scatter from the root and a ring all-gather of the pieces.

    Barnett et al., Interprocessor collective communication library (InterCom), SHPCC 1994,
    https://doi.org/10.1109/SHPCC.1994.296665 (van de Geijn's algorithm).

    Parameters
    ----------
    collective
        A broadcast.
    num_ranks
        Number of ranks N.

    """

    def cells(roots: IntArray, mask: int) -> tuple[IntArray, IntArray]:
        return roots, np.minimum(mask, num_ranks - roots)

    def steps() -> Steps:
        ranks = (np.arange(num_ranks) + collective.root) % num_ranks
        order = Sequencer(num_ranks)
        yield from outward(order, ranks, cells, num_ranks)
        yield from one_way(ranks, num_ranks).all_gather(order)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="scatter_allgather",
        steps=steps,
        count=(num_ranks - 1) * (num_ranks + 1),
        cells_per_block=num_ranks,
        widest=max(powers_below(num_ranks), default=1),
    )


def _along_dims(dims: tuple[int, ...], ranks: IntArray) -> Steps:
    """Yield the rings along every dimension and back; place i of the grid is rank ``ranks[i]``."""
    order = Sequencer(len(ranks))
    rings, place = [], np.arange(len(ranks))
    base, width = np.zeros_like(place), len(ranks)
    for dim, length in enumerate(dims):
        width //= length
        position = place // math.prod(dims[dim + 1 :]) % length
        rings.append(
            Rings(
                slot=ranks,
                num_ranks=len(ranks),
                position=position,
                to=GridRotation(dims, dim)(place),
                way=np.ones_like(place),
                base=base,
                length=length,
                width=width,
                stride=width,
            )
        )
        base = base + position * width
    for ring in rings:
        yield from ring.reduce_scatter(order)
    for ring in reversed(rings):
        yield from ring.all_gather(order)


def _turn(dims: tuple[int, ...]) -> Turn:
    """Return what the rank at place 0 sends along every dimension and back."""
    width, to, count = math.prod(dims), [], []
    for dim, length in enumerate(dims):
        width //= length
        to.append(np.full(length - 1, math.prod(dims[dim + 1 :])))
        count.append(np.full(length - 1, width))
    there = sum(length - 1 for length in dims)
    return sendrecv(
        np.concatenate([*to, *reversed(to)]),
        np.concatenate([*count, *reversed(count)]),
        np.arange(2 * there) < there,
    )


def _by_leaders(collective: Collective, num_ranks: int, groups: list[IntArray]) -> Schedule:
    cells = len(groups)
    ring = one_way(np.array([group[0] for group in groups]), num_ranks)

    def whole(roots: IntArray, mask: int) -> tuple[IntArray, IntArray]:
        return np.zeros_like(roots), np.full_like(roots, cells)

    def steps() -> Steps:
        order = Sequencer(num_ranks)
        for group in groups:
            yield from inward(order, group, whole, cells, reduces=True)
        yield from ring.reduce_scatter(order)
        yield from ring.all_gather(order)
        for group in groups:
            yield from outward(order, group, whole, cells)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="hierarchical",
        steps=steps,
        count=2 * (num_ranks - cells) + 2 * cells * (cells - 1),
        cells_per_block=cells,
        widest=cells,
    )


def _checked_dims(dims: Sequence[int], num_ranks: int) -> tuple[int, ...]:
    listed = check_list("torus", "dims", dims)
    for size in listed:
        check_count("torus", "dimension", size, least=1)
    sizes = tuple(int(size) for size in listed)
    if math.prod(sizes) != num_ranks:
        raise ValueError(
            f"torus: dims {sizes} hold {math.prod(sizes)} ranks, the group has {num_ranks}"
        )
    return sizes


def _checked_islands(islands: Sequence[Sequence[int]], num_ranks: int) -> list[IntArray]:
    groups = []
    for number, island in enumerate(check_list("hierarchical", "islands", islands)):
        group = check_list("hierarchical", f"island {number}", island)
        if not group:
            raise ValueError(f"hierarchical: island {number} is empty")
        for rank in group:
            check_count("hierarchical", f"a rank of island {number}", rank, least=0)
        groups.append(np.array(group, dtype=np.int64))
    members = np.sort(np.concatenate(groups)) if groups else np.empty(0, dtype=np.int64)
    if not np.array_equal(members, np.arange(num_ranks)):
        raise ValueError(
            f"hierarchical: islands must hold each rank 0 to {num_ranks - 1} exactly once, "
            f"not {members.tolist()!r:.60}"
        )
    return groups


def _widest(dims: tuple[int, ...]) -> int:
    """Return the cells of the largest piece that goes over a wire."""
    longer = [length for length in dims if length > 1]
    return math.prod(longer[1:])
