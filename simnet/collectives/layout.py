"""Blocks and chunks of a collective, and what each rank holds before and after it.

The data of a collective is a row of *blocks* (one for all_reduce; one a rank for all_gather; one
a pair for all_to_all). An algorithm cuts each block into *cells*, and each cell into *parts*:
lanes (channels) times segments. A *chunk* is one part of one cell: ``cell * parts + part``. All
cuts are at byte floor(i * size / n), so nothing needs to divide.

The idea of pre- and postconditions on chunks is that of msccl-tools (Cowan et al., MSCCLang,
ASPLOS 2023, https://doi.org/10.1145/3575693.3575724).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simnet.arrays import frozen
from simnet.collectives.collective import Collective, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """How the data of a collective is cut.

    Attributes
    ----------
    block_sizes
        Bytes of the blocks of one period, read-only.
    repeats
        How often the period repeats (an even all_to_all repeats its row once a sender).
    cells_per_block
        Cells that the algorithm cuts a block into.
    lanes, segments
        Parts of a cell are ``lanes * segments``; part p is on lane ``p // segments``.
    cell_sizes
        Bytes of the cells of one period, read-only.
    """

    block_sizes: IntArray
    repeats: int = 1
    cells_per_block: int = 1
    lanes: int = 1
    segments: int = 1
    cell_sizes: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Cut the blocks into cells."""
        cells = cut(self.block_sizes, self.cells_per_block)
        object.__setattr__(self, "cell_sizes", frozen(cells.ravel()))

    @property
    def num_blocks(self) -> int:
        """Blocks of the collective."""
        return len(self.block_sizes) * self.repeats

    @property
    def num_cells(self) -> int:
        """Cells in all."""
        return self.num_blocks * self.cells_per_block

    @property
    def parts(self) -> int:
        """Parts of a cell."""
        return self.lanes * self.segments

    @property
    def num_chunks(self) -> int:
        """Chunks in all."""
        return self.num_cells * self.parts

    @property
    def is_even(self) -> bool:
        """Whether all cells are of one size."""
        return bool((self.cell_sizes == self.cell_sizes[:1]).all())

    def part_sizes(self, part: int) -> IntArray:
        """Return the bytes of one part of each cell of a period."""
        whole, rest = np.divmod(self.cell_sizes, self.parts)
        extra: IntArray = (part + 1) * rest // self.parts - part * rest // self.parts
        return whole + extra

    def chunk_sizes(self) -> IntArray:
        """Return the bytes of every chunk, shape (num_chunks,)."""
        return np.tile(cut(self.cell_sizes, self.parts).ravel(), self.repeats)

    def chunk_blocks(self) -> IntArray:
        """Return the block that each chunk is of, shape (num_chunks,)."""
        return np.arange(self.num_chunks) // (self.cells_per_block * self.parts)


def cut(sizes: IntArray, count: int) -> IntArray:
    """Cut each size at floor(i * size / count); shape (len(sizes), count)."""
    whole, rest = np.divmod(np.asarray(sizes, dtype=np.int64)[:, None], count)
    edges = np.arange(count + 1) * rest // count
    pieces: IntArray = whole + np.diff(edges, axis=1)
    return pieces


def block_sizes(collective: Collective, num_ranks: int) -> tuple[IntArray, int]:
    """Return the bytes of the blocks of one period, and how often it repeats."""
    size = np.array([collective.size], dtype=np.int64)
    match collective.kind:
        case "all_gather" | "reduce_scatter" | "gather" | "scatter":
            return frozen(cut(size, num_ranks)[0]), 1
        case "all_to_all" if collective.splits is not None:
            return frozen(np.array(collective.splits, dtype=np.int64).ravel()), 1
        case "all_to_all":
            return frozen(cut(size, num_ranks)[0]), num_ranks
        case "permutation":
            return frozen(size), num_ranks
        case _:
            return frozen(size), 1


def held_before(collective: Collective, num_ranks: int, rank: int, block: int) -> int:
    """Return the contributions to a block that a rank holds at first, as a bit mask of ranks."""
    match collective.kind:
        case "all_reduce" | "reduce_scatter" | "reduce" | "barrier":
            owner = rank
        case "all_gather" | "gather" | "permutation":
            owner = block
        case "all_to_all":
            owner = block // num_ranks
        case "send":
            owner = collective.pairs[0][0]
        case _:
            owner = collective.root
    return 1 << rank if rank == owner else 0


def held_after(collective: Collective, num_ranks: int, rank: int, block: int) -> int | None:
    """Return the contributions that a rank must end with; None where it does not matter."""
    everyone = (1 << num_ranks) - 1
    match collective.kind:
        case "all_reduce" | "barrier":
            return everyone
        case "reduce":
            return everyone if rank == collective.root else None
        case "reduce_scatter":
            return everyone if rank == block else None
        case "all_gather":
            return 1 << block
        case "gather":
            return 1 << block if rank == collective.root else None
        case "scatter":
            return 1 << collective.root if rank == block else None
        case "broadcast":
            return 1 << collective.root
        case "all_to_all":
            return 1 << block // num_ranks if rank == block % num_ranks else None
        case "send":
            sender, receiver = collective.pairs[0]
            return 1 << sender if rank == receiver else None
        case _:
            return 1 << block if rank == (collective.perm or ())[block] else None
