"""How algorithms write schedules: steps of one part.

An algorithm describes what happens to *one* part of the data, step by step, in arrays of ranks,
cells and dependencies local to the part. `make_schedule` repeats it for all parts, which run
independently of each other but for the order on a connection: that is pipelining.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.expansion import Expansion, Step, Steps
from simnet.collectives.layout import Layout, block_sizes
from simnet.collectives.representative import Turn, represent
from simnet.collectives.schedule import Representative, Schedule
from simnet.collectives.symmetry import RankMap, Translations


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
        Ranks; shape (n,), or (m, n) for m steps of which nothing waits for another.
    base, first, count, modulus
        The cells carried, see `Step`.
    reduces
        Whether the receiver reduces.
    deps
        Shape (n, m): ids of the part, -1 where there is none; repeated ones are dropped.

    """
    src, dst = np.asarray(src, dtype=np.int64), np.asarray(dst, dtype=np.int64)
    shape = dst.shape if dst.size > src.size else src.shape
    n = max(src.size, dst.size)
    offsets, flat = _compress(np.asarray(deps, dtype=np.int64).reshape(n, -1))
    return Step(
        length=shape[-1] if shape else 1,
        src=_spread(src, shape),
        dst=_spread(dst, shape),
        base=_spread(base, shape),
        first=_spread(first, shape),
        count=_spread(count, shape),
        modulus=modulus,
        reduces=_spread(reduces, shape, np.bool_),
        dep_offsets=offsets,
        deps=flat,
    )


def _spread(values: ArrayLike, shape: tuple[int, ...], dtype: type = np.int64) -> NDArray[Any]:
    """The values of all transfers, in a row; fewer are repeated."""
    array: NDArray[Any] = np.asarray(values, dtype=dtype)
    return (array if array.shape == shape else np.full(shape, array)).reshape(-1)


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

    def took(self, src: IntArray, dst: IntArray, times: int = 1) -> None:
        """Record that one transfer from each `src` to each `dst` was made, in order, so often."""
        self.next_id += times * len(src)
        ids = np.arange(self.next_id - len(src), self.next_id)
        self.sent[src] = ids
        self.received[dst] = ids


def powers_below(limit: int) -> list[int]:
    """Return the powers of two below a number, smallest first."""
    return [1 << bit for bit in range((limit - 1).bit_length())]


def make_schedule(
    collective: Collective,
    num_ranks: int,
    *,
    algorithm: str,
    steps: Callable[[], Steps],
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
        expand=lambda chunks: Expansion(layout, collective.channel, chunks).of(steps()),
        symmetry=tuple(symmetry) if layout.is_even else (),
        representative=representative if turn is not None and layout.is_even else None,
    )


def _no_steps() -> Steps:
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
