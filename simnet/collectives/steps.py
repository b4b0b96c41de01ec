"""How algorithms write schedules: steps of one part, expanded to every lane and segment.

An algorithm describes what happens to *one* part of the data, step by step, in arrays of ranks,
cells and dependencies local to the part. `make_schedule` repeats it for all parts, which run
independently of each other but for the order on a connection: that is pipelining.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.layout import Layout, block_sizes
from simnet.collectives.representative import Turn, represent
from simnet.collectives.schedule import BoolArray, Representative, Schedule, Transfers
from simnet.collectives.symmetry import RankMap, Translations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Consecutive transfers of one part, n of them.

    Transfer i carries the cells ``base[i] + (first[i] + j) % modulus`` for j < count[i]. `deps`
    holds ids local to the part: positions counted from the part's first transfer.
    """

    src: IntArray
    dst: IntArray
    base: IntArray
    first: IntArray
    count: IntArray
    modulus: int
    reduces: BoolArray
    dep_offsets: IntArray
    deps: IntArray

    def __len__(self) -> int:
        """Return the number of transfers."""
        return len(self.src)


def step(
    src: ArrayLike,
    dst: ArrayLike,
    *,
    base: ArrayLike = 0,
    first: ArrayLike = 0,
    count: ArrayLike = 1,
    modulus: int = 1,
    reduces: ArrayLike = False,
    deps: ArrayLike = (),
) -> Step:
    """Build a step; single values stand for all transfers.

    Parameters
    ----------
    src, dst
        Ranks.
    base, first, count, modulus
        The cells carried, see `Step`.
    reduces
        Whether the receiver reduces.
    deps
        Shape (n, m): ids of the part, -1 where there is none; repeated ones are dropped.

    """
    src, dst = np.asarray(src, dtype=np.int64), np.asarray(dst, dtype=np.int64)
    n = max(src.size, dst.size)
    offsets, flat = _compress(np.asarray(deps, dtype=np.int64).reshape(n, -1))
    return Step(
        src=_spread(src, n),
        dst=_spread(dst, n),
        base=_spread(base, n),
        first=_spread(first, n),
        count=_spread(count, n),
        modulus=modulus,
        reduces=_spread(reduces, n, np.bool_),
        dep_offsets=offsets,
        deps=flat,
    )


def _spread(values: ArrayLike, n: int, dtype: type = np.int64) -> NDArray[Any]:
    """The values as an array of n; a single one is repeated."""
    array: NDArray[Any] = np.asarray(values, dtype=dtype)
    return array if array.shape == (n,) else np.full(n, array)


def join(ranks: ArrayLike, deps: ArrayLike) -> Step:
    """Build joins: each at its rank, waiting for its row of `deps`."""
    return step(ranks, ranks, count=0, deps=deps)


class Sequencer:
    """Numbers the transfers of one part and knows what each slot last sent and received.

    A slot is usually a rank; an algorithm that does several things at once on every rank (two
    directions of a ring) gives each thing its own slot.
    """

    def __init__(self, slots: int) -> None:
        """Start with nothing sent and nothing received."""
        self.sent = np.full(slots, -1, dtype=np.int64)
        self.received = np.full(slots, -1, dtype=np.int64)
        self.next_id = 0

    def sendrecv(self, src: IntArray) -> IntArray:
        """Return the dependencies of MPI sendrecv: the sender's last send and last receive."""
        return np.stack([self.sent[src], self.received[src]], axis=1)

    def took(self, src: IntArray, dst: IntArray) -> None:
        """Record that one transfer from each `src` to each `dst` was made, in order."""
        ids = np.arange(self.next_id, self.next_id + len(src))
        self.sent[src] = ids
        self.received[dst] = ids
        self.next_id += len(src)


def powers_below(limit: int) -> list[int]:
    """Return the powers of two below a number, smallest first."""
    return [1 << bit for bit in range((limit - 1).bit_length())]


Steps = Callable[[], Iterator[Step]]


def make_schedule(
    collective: Collective,
    num_ranks: int,
    *,
    algorithm: str,
    steps: Steps,
    count: int,
    cells_per_block: int = 1,
    widest: int = 1,
    symmetry: Sequence[RankMap] = (),
    translations: Translations | None = None,
    turn: Callable[[], Turn] | None = None,
) -> Schedule:
    """Make the schedule of an algorithm given by the steps of one part.

    Parameters
    ----------
    collective, num_ranks
        What it does, over how many ranks.
    algorithm
        Its name.
    steps
        Yields the steps of one part, anew each time.
    count
        Transfers of one part.
    cells_per_block
        Cells that a block is cut into.
    widest
        Most cells that one transfer carries.
    symmetry
        Rank permutations that hold where all cells are of one size; dropped where not.
    translations, turn
        Those of them that move any rank to any other in exactly one way, and what rank 0 sends.

    """
    if num_ranks == 1:
        steps, count, widest, symmetry, turn = _no_steps, 0, 1, (), None
    layout = _layout(collective, num_ranks, algorithm, cells_per_block, widest)

    def representative() -> Representative:
        assert turn is not None
        assert translations is not None
        return represent(turn(), translations, layout, collective.channel)

    return Schedule(
        collective=collective,
        num_ranks=num_ranks,
        algorithm=algorithm,
        num_transfers=count * layout.parts,
        layout=layout,
        expand=lambda chunks: _expand(steps, layout, collective.channel, chunks),
        symmetry=tuple(symmetry) if layout.is_even else (),
        representative=representative if turn is not None and layout.is_even else None,
    )


def _no_steps() -> Iterator[Step]:
    return iter(())


def _layout(
    collective: Collective, num_ranks: int, algorithm: str, cells_per_block: int, widest: int
) -> Layout:
    """Cut the data into as few segments as keep every transfer within `segment` bytes."""
    collective.check_num_ranks(num_ranks)
    sizes, repeats = block_sizes(collective, num_ranks)
    lanes = collective.channels
    whole = Layout(block_sizes=sizes, repeats=repeats, cells_per_block=cells_per_block, lanes=lanes)
    largest = int(whole.cell_sizes.max(initial=0))
    if collective.segment is None or largest == 0:
        return whole
    if collective.segment < widest:
        raise ValueError(
            f"{collective.kind}: segment of {collective.segment} bytes is too small for "
            f"{algorithm} over {num_ranks} ranks; at least {widest}"
        )
    segments = -(-largest // (lanes * (collective.segment // widest)))
    return Layout(
        block_sizes=sizes,
        repeats=repeats,
        cells_per_block=cells_per_block,
        lanes=lanes,
        segments=segments,
    )


def _compress(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Turn rows of ids into offsets and ids, without -1 and without repetitions."""
    count, width = rows.shape
    if width == 2 and count:
        pairs = np.empty_like(rows)
        low = np.minimum(rows[:, 0], rows[:, 1], out=pairs[:, 0])
        high = np.maximum(rows[:, 0], rows[:, 1], out=pairs[:, 1])
        if low.min() >= 0 and (low < high).all():
            return np.arange(0, 2 * count + 1, 2), pairs.ravel()
    rows = np.sort(rows, axis=1)
    keep = rows >= 0
    keep[:, 1:] &= rows[:, 1:] != rows[:, :-1]
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(keep.sum(axis=1), out=offsets[1:])
    return offsets, rows[keep]


def _expand(steps: Steps, layout: Layout, channel: int, chunks: bool) -> Iterator[Transfers]:
    """Yield each step, for all parts one after the other."""
    bounds = array("q", [0])
    sizes = _Sizes(layout)
    for one in steps():
        bounds.append(bounds[-1] + len(one))
        parts, count = layout.parts, len(one) * layout.parts
        chunk_offsets, carried = _chunks(one, parts) if chunks else _no_chunks(count)
        yield Transfers(
            first_id=bounds[-2] * parts,
            src=_tile(one.src, parts),
            dst=_tile(one.dst, parts),
            size=sizes.of(one),
            reduces=_tile(one.reduces, parts),
            channel=np.repeat(channel + np.arange(layout.lanes), count // layout.lanes),
            chunk_offsets=chunk_offsets,
            chunks=carried,
            dep_offsets=_tile_offsets(one.dep_offsets, parts),
            deps=_deps(one.deps, bounds, parts),
        )


def _tile(column: NDArray[Any], parts: int) -> NDArray[Any]:
    return column if parts == 1 else np.tile(column, parts)


class _Sizes:
    """Bytes of runs of cells; remembers sums over cells, part by part."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._alike = bool((layout.cell_sizes % layout.parts == 0).all())
        self._edges: dict[int, IntArray] = {}

    def of(self, one: Step) -> IntArray:
        """Bytes of each transfer of a step, for all parts one after the other."""
        parts = self._layout.parts
        if parts == 1:
            return self._of(one, 0)
        return np.concatenate([self._of(one, part) for part in range(parts)])

    def _of(self, one: Step, part: int) -> IntArray:
        edges = self._edges_of(part)
        begin = one.base + one.first
        past = one.first + one.count - one.modulus
        if past.max(initial=0) <= 0:
            return self._before(edges, begin + one.count) - self._before(edges, begin)
        past = np.maximum(past, 0)
        return (
            self._before(edges, begin + one.count - past)
            - self._before(edges, begin)
            + self._before(edges, one.base + past)
            - self._before(edges, one.base)
        )

    def _edges_of(self, part: int) -> IntArray:
        key = 0 if self._alike else part
        if key not in self._edges:
            self._edges[key] = np.concatenate([[0], self._layout.part_sizes(key).cumsum()])
        return self._edges[key]

    def _before(self, edges: IntArray, cells: IntArray) -> IntArray:
        if self._layout.repeats == 1:
            return edges[cells]
        periods, rest = np.divmod(cells, len(edges) - 1)
        before: IntArray = periods * edges[-1] + edges[rest]
        return before


def _no_chunks(count: int) -> tuple[IntArray, IntArray]:
    return np.zeros(count + 1, dtype=np.int64), np.empty(0, dtype=np.int64)


def _chunks(one: Step, parts: int) -> tuple[IntArray, IntArray]:
    offsets = np.concatenate([[0], one.count.cumsum()])
    order = np.arange(offsets[-1]) - np.repeat(offsets[:-1], one.count)
    within = (np.repeat(one.first, one.count) + order) % one.modulus
    cells = np.repeat(one.base, one.count) + within
    carried = np.concatenate([cells * parts + part for part in range(parts)])
    return _tile_offsets(offsets, parts), carried


def _tile_offsets(offsets: IntArray, parts: int) -> IntArray:
    if parts == 1:
        return offsets
    starts = np.arange(parts)[:, None] * offsets[-1] + offsets[:-1]
    return np.append(starts.ravel(), parts * offsets[-1])


def _deps(local: IntArray, bounds: array[int], parts: int) -> IntArray:
    """Turn ids of one part into ids of the schedule, for all parts."""
    if parts == 1:
        return local
    begins = np.array(bounds) if len(bounds) < 64 else np.frombuffer(bounds, dtype=np.int64)
    place = np.searchsorted(begins, local, side="right") - 1
    begin, length = begins[place], begins[place + 1] - begins[place]
    every: IntArray = begin * parts + (local - begin) + np.arange(parts)[:, None] * length
    return every.ravel()
