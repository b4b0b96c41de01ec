"""What algorithms write, steps of one part, and its expansion to every lane and segment."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import IntArray
from simnet.collectives.layout import Layout
from simnet.collectives.schedule import BoolArray, Repeated, Transfers

MOST_AT_ONCE = 1 << 16
"""Transfers that are expanded at a time, where that is more than one step."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Consecutive transfers of one part, n of them: one step, or several of `length` each.

    Transfer i carries the cells ``base[i] + (first[i] + j) % modulus`` for j < count[i]. `deps`
    holds ids local to the part: positions counted from the part's first transfer.
    """

    length: int

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

    def split(self) -> Iterator[Step]:
        """Yield one step after the other."""
        if self.length == len(self):
            yield self
            return
        for begin in range(0, len(self), self.length):
            some = slice(begin, begin + self.length)
            offsets = self.dep_offsets[begin : begin + self.length + 1]
            yield Step(
                length=self.length,
                src=self.src[some],
                dst=self.dst[some],
                base=self.base[some],
                first=self.first[some],
                count=self.count[some],
                modulus=self.modulus,
                reduces=self.reduces[some],
                dep_offsets=offsets - offsets[0],
                deps=self.deps[offsets[0] : offsets[-1]],
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat:
    """A step that comes several times: only the cells that it carries move on.

    Every copy waits, in the same way, for the step before it, which is of the same length.

    Attributes
    ----------
    first
        The first copy.
    times
        How many copies there are.
    base
        Function of the numbers of copies, shape (k, 1), that returns their `Step.base`, (k, n).
    """

    first: Step
    times: int
    base: Callable[[IntArray], IntArray]

    def copies(self) -> Iterator[Step]:
        """Yield one copy after the other."""
        for time in range(self.times):
            (base,) = self.base(np.array([[time]]))
            yield replace(self.first, base=base, deps=self.first.deps + time * len(self.first))


Steps = Iterator[Step | Repeat]


class Expansion:
    """Expands steps of one part to blocks of all parts."""

    def __init__(self, layout: Layout, channel: int, chunks: bool) -> None:
        self._layout, self._channels = layout, channel + np.arange(layout.lanes)
        self._chunks = chunks
        self._bounds = array("q", [0])
        self._sizes = _Sizes(layout)

    def of(self, steps: Steps) -> Iterator[Transfers | Repeated]:
        """Yield each step, for all parts one after the other."""
        for one in steps:
            if isinstance(one, Repeat):
                yield from self._repeat(one)
            elif self._layout.parts == 1:
                yield self._block(one)
            else:
                yield from map(self._block, one.split())

    def _repeat(self, one: Repeat) -> Iterator[Transfers | Repeated]:
        """Yield a step that comes again: at once where all cells are of one size."""
        n, parts = len(one.first), self._layout.parts
        if self._chunks:
            yield from map(self._block, one.copies())
            return
        even = self._layout.is_even
        some = one.times if even else max(1, MOST_AT_ONCE // (n * parts))
        for begin in range(0, one.times, some):
            times = min(some, one.times - begin)
            first = replace(one.first, deps=one.first.deps + begin * n)
            sizes = None
            if not even:
                base = one.base(np.arange(begin, begin + times)[:, None])
                sizes = self._sizes.of(replace(first, base=base)).reshape(times, -1)
                first = replace(first, base=base[0])
            block = self._block(first)
            for _ in range(times - 1):
                self._bounds.append(self._bounds[-1] + n)
            yield Repeated(block=block, times=times, sizes=sizes)

    def _block(self, one: Step) -> Transfers:
        parts, count = self._layout.parts, len(one) * self._layout.parts
        first_id = self._bounds[-1] * parts
        self._bounds.append(self._bounds[-1] + len(one))
        chunk_offsets, carried = _chunks(one, parts) if self._chunks else _no_chunks(count)
        return Transfers(
            first_id=first_id,
            src=_tile(one.src, parts),
            dst=_tile(one.dst, parts),
            size=self._sizes.of(one),
            reduces=_tile(one.reduces, parts),
            channel=np.repeat(self._channels, count // len(self._channels)),
            chunk_offsets=chunk_offsets,
            chunks=carried,
            dep_offsets=_tile_offsets(one.dep_offsets, parts),
            deps=_deps(one.deps, self._bounds, parts),
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
            return self._of(one, 0).reshape(-1)
        return np.stack([self._of(one, part) for part in range(parts)], axis=-2).reshape(-1)

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
