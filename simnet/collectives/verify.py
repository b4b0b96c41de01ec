"""A symbolic proof that a schedule implements its collective.

Data are bit masks of contributions: bit r of a chunk stands for what rank r put into it. A
transfer carries what its sender held at first, merged with what was delivered to the sender by
those transfers alone that must have ended before it: its ancestors in the dependency relation.
So a schedule that is right only because the network happens to be quick does not pass.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from simnet.collectives.layout import block_sizes, held_after, held_before
from simnet.collectives.schedule import Schedule, Transfers


class ScheduleError(ValueError):
    """A schedule does not implement its collective; the message says which transfer is wrong."""


def verify(schedule: Schedule) -> None:
    """Raise ScheduleError unless a schedule provably implements its collective.

    Parameters
    ----------
    schedule
        Its transfers, their sizes and dependencies are checked, then what they deliver:
        reductions must merge disjoint contributions, copies must lose none, nobody may send
        what it does not hold, and the final state must be the postcondition.

    """
    transfers = schedule.transfers()
    _check_count(schedule, transfers)
    _check_layout(schedule)
    _check_columns(schedule, transfers)
    _Proof(schedule, transfers).run()


def _check_count(schedule: Schedule, transfers: Transfers) -> None:
    if len(transfers) != schedule.num_transfers:
        raise ScheduleError(
            f"{schedule.algorithm}: num_transfers is {schedule.num_transfers}, "
            f"but {len(transfers)} were expanded"
        )


def _check_layout(schedule: Schedule) -> None:
    period, repeats = block_sizes(schedule.collective, schedule.num_ranks)
    wanted = np.tile(period, repeats)
    sizes = np.zeros_like(wanted)
    blocks = schedule.layout.chunk_blocks()
    if len(blocks) and int(blocks.max()) >= len(wanted):
        raise ScheduleError(
            f"{schedule.algorithm}: chunks are of {int(blocks.max()) + 1} blocks, "
            f"{schedule.collective.kind} has {len(wanted)}"
        )
    np.add.at(sizes, blocks, schedule.layout.chunk_sizes())
    wrong = np.flatnonzero(sizes != wanted)
    if len(wrong):
        raise ScheduleError(
            f"{schedule.algorithm}: chunks of block {wrong[0]} have {sizes[wrong[0]]} bytes, "
            f"the block has {wanted[wrong[0]]}"
        )


def _check_columns(schedule: Schedule, transfers: Transfers) -> None:
    """Check ranks, dependency ids, chunk ids and sizes of all transfers."""
    chunk_sizes = schedule.layout.chunk_sizes()
    for i in range(len(transfers)):
        for name in ("src", "dst"):
            rank = int(getattr(transfers, name)[i])
            if not 0 <= rank < schedule.num_ranks:
                raise ScheduleError(f"transfer {i}: {name} {rank} is not a rank of the group")
        for dep in transfers.deps_of(i).tolist():
            if not 0 <= dep < i:
                raise ScheduleError(
                    f"transfer {i} depends on transfer {dep}; only earlier ones are allowed"
                )
        chunks = transfers.chunks_of(i)
        for chunk in chunks.tolist():
            if not 0 <= chunk < len(chunk_sizes):
                raise ScheduleError(f"transfer {i}: there is no chunk {chunk}")
        size = int(chunk_sizes[chunks].sum())
        if size != transfers.size[i]:
            raise ScheduleError(
                f"transfer {i} has {transfers.size[i]} bytes, its chunks have {size}"
            )


class _Proof:
    """Follows the contributions through the transfers of one schedule."""

    def __init__(self, schedule: Schedule, transfers: Transfers) -> None:
        self.schedule = schedule
        self.transfers = transfers
        self.blocks = schedule.layout.chunk_blocks().tolist()
        self.merges = schedule.collective.kind == "barrier"
        self.ancestors: list[int] = []
        # (rank, chunk) -> (transfer id, contributions carried, whether reduced), in id order
        self.delivered: dict[tuple[int, int], list[tuple[int, int, bool]]] = defaultdict(list)

    def run(self) -> None:
        """Carry every transfer out, then compare what each rank holds with what it must."""
        for i in range(len(self.transfers)):
            self._carry(i)
        for rank in range(self.schedule.num_ranks):
            for chunk in range(len(self.blocks)):
                self._check_end(rank, chunk)

    def _carry(self, i: int) -> None:
        before = 0
        for dep in self.transfers.deps_of(i).tolist():
            before |= self.ancestors[dep] | 1 << dep
        self.ancestors.append(before)
        src, dst = int(self.transfers.src[i]), int(self.transfers.dst[i])
        chunks = self.transfers.chunks_of(i).tolist()
        if src == dst:
            if chunks:
                raise ScheduleError(f"transfer {i} is a join at rank {src}, but carries chunks")
            return
        for chunk in chunks:
            carried = self._held(src, chunk, before)
            if not carried:
                raise ScheduleError(
                    f"transfer {i}: rank {src} sends chunk {chunk}, which it does not hold then"
                )
            reduces = bool(self.transfers.reduces[i])
            self.delivered[dst, chunk].append((i, carried, reduces))

    def _held(self, rank: int, chunk: int, before: int) -> int:
        """Return what a rank holds of a chunk after those of its deliveries in `before`."""
        collective, num_ranks = self.schedule.collective, self.schedule.num_ranks
        held = held_before(collective, num_ranks, rank, self.blocks[chunk])
        for i, carried, reduces in self.delivered.get((rank, chunk), ()):
            if before >> i & 1:
                held = self._merge(held, carried, reduces, i, rank, chunk)
        return held

    def _merge(self, held: int, carried: int, reduces: bool, i: int, rank: int, chunk: int) -> int:
        if self.merges:
            return held | carried
        if reduces:
            if held & carried:
                raise ScheduleError(
                    f"transfer {i} reduces chunk {chunk} into rank {rank}, which already has "
                    f"the contribution of rank {_lowest(held & carried)}"
                )
            return held | carried
        if held & ~carried:
            raise ScheduleError(
                f"transfer {i} overwrites chunk {chunk} at rank {rank} and loses "
                f"the contribution of rank {_lowest(held & ~carried)}"
            )
        return carried

    def _check_end(self, rank: int, chunk: int) -> None:
        collective, num_ranks = self.schedule.collective, self.schedule.num_ranks
        held = self._held(rank, chunk, (1 << len(self.transfers)) - 1)
        wanted = held_after(collective, num_ranks, rank, self.blocks[chunk])
        if wanted is None or held == wanted:
            return
        if wanted & ~held:
            rest = f"without the contribution of rank {_lowest(wanted & ~held)}"
        else:
            rest = f"with a contribution of rank {_lowest(held & ~wanted)} that is not part of it"
        raise ScheduleError(
            f"{self.schedule.algorithm}: rank {rank} ends with chunk {chunk} {rest}"
        )


def _lowest(mask: int) -> int:
    """Return the lowest rank in a bit mask."""
    return (mask & -mask).bit_length() - 1
