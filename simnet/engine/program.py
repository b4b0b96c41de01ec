"""What a piece of work sends: the transfers of a schedule or of flows, expanded when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import Flows
from simnet.collectives.schedule import Repeated, Schedule, Transfers, from_blocks

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MOST_BYTES = 1 << 62
"""So many may be sent in all: sums of bytes are int64 everywhere."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """What is to be sent, one entry a transfer: as arrays, and as lists once they are asked for.

    Nothing of a schedule is expanded before one of the arrays is asked for.

    Attributes
    ----------
    ranks : tuple of int
        The global rank of each place in the group.
    work : Schedule or Transfers
        Where the transfers come from; their ends are places in `ranks`.
    in_flight : int
        How many transfers of one connection may be started at once; 0 for any number.
    releases : (n,) array of float, or None
        Seconds after posting at which each transfer may start at the earliest; None: at once.
    """

    ranks: tuple[int, ...]
    work: Schedule | Transfers
    in_flight: int
    releases: FloatArray | None = None

    def __len__(self) -> int:
        """The number of transfers, joins included."""
        return self.work.num_transfers if isinstance(self.work, Schedule) else len(self.work)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule behind it; None for flows."""
        return self.work if isinstance(self.work, Schedule) else None

    def repeats(self) -> Iterator[Repeated]:
        """The transfers in order, those that come again once; not checked, and nothing is kept.

        Raises
        ------
        ValueError
            If they are not as many as the schedule says, or bring over 2^62 bytes.
        """
        if isinstance(self.work, Transfers):
            yield Repeated(block=self.work)
            return
        count = total = 0
        for repeated in self.work.repeats():
            count += len(repeated)
            if repeated.sizes is None:
                total = count_bytes(repeated.block.size, repeated.times, before=total)
            else:
                total = count_bytes(repeated.sizes.ravel(), before=total)
            yield repeated
        self._check_count(count)

    def blocks(self) -> Iterator[Transfers]:
        """The transfers in order, some (usually a step) at a time, checked; nothing is kept.

        Raises
        ------
        ValueError
            For what could not be carried out: a schedule may be the user's own.
        """
        if isinstance(self.work, Transfers):
            yield self.work
            return
        first = total = 0
        for block in self.work.blocks(chunks=False):
            _check(block, first, len(self.ranks))
            total = count_bytes(block.size, before=total)
            first += len(block)
            yield block
        self._check_count(first)

    def _check_count(self, count: int) -> None:
        if count != len(self):
            raise ValueError(f"schedule: {count} transfers, but num_transfers is {len(self)}")

    @cached_property
    def transfers(self) -> Transfers:
        """All transfers, expanded once and kept."""
        return from_blocks(list(self.blocks()))

    @property
    def senders(self) -> IntArray:
        """Places that send; equal to `receivers` for a join, which carries nothing."""
        return self.transfers.src

    @property
    def receivers(self) -> IntArray:
        """Places that receive."""
        return self.transfers.dst

    @property
    def sizes(self) -> IntArray:
        """Bytes, as an array."""
        return self.transfers.size

    @property
    def channels(self) -> IntArray:
        """Number of the connection between the two, as an array."""
        return self.transfers.channel

    @property
    def reducing(self) -> NDArray[np.bool_]:
        """Whether the receiver reduces what arrives, as an array."""
        return self.transfers.reduces

    @property
    def dep_offsets(self) -> IntArray:
        """Transfer i waits for ``deps[dep_offsets[i]:dep_offsets[i + 1]]``."""
        return self.transfers.dep_offsets

    @property
    def deps(self) -> IntArray:
        """See `dep_offsets`."""
        return self.transfers.deps

    @cached_property
    def places(self) -> dict[int, int]:
        """The place of each global rank."""
        return {rank: place for place, rank in enumerate(self.ranks)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is its transfers: a schedule is a function."""
        return _unpickled, (self.ranks, self.transfers, self.in_flight, self.releases)

    @cached_property
    def _to_global(self) -> IntArray:
        return np.asarray(self.ranks, dtype=np.int64)

    @property
    def sources(self) -> IntArray:
        """Global ranks that send, as an array."""
        return self._to_global[self.senders]

    @property
    def destinations(self) -> IntArray:
        """Global ranks that receive, as an array."""
        return self._to_global[self.receivers]

    @cached_property
    def src(self) -> list[int]:
        """Global ranks that send."""
        ranks: list[int] = self.sources.tolist()
        return ranks

    @cached_property
    def dst(self) -> list[int]:
        """Global ranks that receive."""
        ranks: list[int] = self.destinations.tolist()
        return ranks

    @cached_property
    def size(self) -> list[int]:
        """Bytes."""
        sizes: list[int] = self.sizes.tolist()
        return sizes

    @cached_property
    def channel(self) -> list[int]:
        """Channel numbers."""
        channels: list[int] = self.channels.tolist()
        return channels

    @cached_property
    def reduces(self) -> list[bool]:
        """Whether the receiver reduces what arrives."""
        reduces: list[bool] = self.reducing.tolist()
        return reduces

    @cached_property
    def num_deps(self) -> list[int]:
        """How many transfers must have ended before each."""
        counts: list[int] = np.diff(self.dep_offsets).tolist()
        return counts

    @cached_property
    def dependents(self) -> list[list[int]]:
        """The transfers that wait for each."""
        dependents: list[list[int]] = [[] for _ in range(len(self))]
        waiting = np.repeat(np.arange(len(self)), np.diff(self.dep_offsets)).tolist()
        for transfer, dep in zip(waiting, self.deps.tolist(), strict=True):
            dependents[dep].append(transfer)
        return dependents

    @cached_property
    def touching(self) -> dict[int, list[int]]:
        """The transfers that each global rank sends or receives, ascending."""
        touching: dict[int, list[int]] = {rank: [] for rank in self.ranks}
        for transfer, (sender, receiver) in enumerate(zip(self.src, self.dst, strict=True)):
            touching[sender].append(transfer)
            if receiver != sender:
                touching[receiver].append(transfer)
        return touching

    @cached_property
    def release(self) -> list[float]:
        """Seconds after posting at which each may start at the earliest; empty if at once."""
        releases: list[float] = [] if self.releases is None else self.releases.tolist()
        return releases

    @cached_property
    def first_release(self) -> float:
        """The least of `release`, seconds; infinity if nothing is held until a time of its own."""
        if self.releases is None or not len(self.releases):
            return float("inf")
        return float(self.releases.min())

    @cached_property
    def content(self) -> tuple[object, ...]:
        """What it sends, as something that can be ordered."""
        columns = (self.size, self.src, self.dst, self.channel, self.num_deps)
        return (len(self), self.in_flight, *columns, self.release)


def columns(repeated: Repeated) -> tuple[NDArray[Any], ...]:
    """Source, destination, size, channel, reduces, dep_offsets, deps, as the kernel takes them.

    Sizes are those of every copy where they differ, else of one.
    """
    block = repeated.block
    sizes = block.size if repeated.sizes is None else repeated.sizes.ravel()
    return (
        *(_column(each) for each in (block.src, block.dst, sizes, block.channel)),
        _column(block.reduces, np.bool_),
        _column(block.dep_offsets),
        _column(block.deps),
    )


def _column(array: NDArray[Any], dtype: Any = np.int64) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=dtype)


def _unpickled(
    ranks: tuple[int, ...], transfers: Transfers, in_flight: int, releases: FloatArray | None
) -> Program:
    return Program(ranks=ranks, work=transfers, in_flight=in_flight, releases=releases)


def _check(block: Transfers, first: int, num_ranks: int) -> None:
    """Refuse what could not be carried out in the transfers from `first` on."""
    wrong = {
        "is between ranks that the group does not have": (
            (np.minimum(block.src, block.dst) < 0) | (np.maximum(block.src, block.dst) >= num_ranks)
        ),
        "has a negative size": block.size < 0,
        "has a negative channel": block.channel < 0,
    }
    for what, where in wrong.items():
        if where.any():
            raise ValueError(f"schedule: transfer {first + int(np.argmax(where))} {what}")
    waiting = first + np.repeat(np.arange(len(block)), np.diff(block.dep_offsets))
    late = (block.deps >= waiting) | (block.deps < 0)
    if late.any():
        transfer = int(waiting[np.argmax(late)])
        raise ValueError(f"schedule: transfer {transfer} depends on one that is not before it")


def count_bytes(
    sizes: IntArray, times: IntArray | int = 1, *, before: int = 0, what: str = "schedule"
) -> int:
    """Bytes of transfers that come `times` each, and of those before them.

    Raises
    ------
    ValueError
        For more than `MOST_BYTES`.
    """
    if float((sizes * np.asarray(times, dtype=np.float64)).sum()) < MOST_BYTES / 2:
        total = before + int((sizes * times).sum())
    else:
        total = before + int((sizes.astype(object) * times).sum())
    if total > MOST_BYTES:
        raise ValueError(f"{what}: {total} bytes or more in all; at most 2^62 = {MOST_BYTES}")
    return total


def compile_schedule(schedule: Schedule, ranks: tuple[int, ...]) -> Program:
    """A schedule for the given global ranks (one a group rank); nothing is expanded yet."""
    return Program(ranks=ranks, work=schedule, in_flight=schedule.in_flight)


def compile_flows(flows: Flows, num_ranks: int) -> Program:
    """Independent flows: no dependencies, nothing queues.

    Raises
    ------
    ValueError
        For an end that is no rank of the network, or over 2^62 bytes in all.
    """
    for name, ends in (("src", flows.src), ("dst", flows.dst)):
        wrong = np.flatnonzero((ends < 0) | (ends >= num_ranks))
        if len(wrong):
            raise ValueError(
                f"flow {wrong[0]}: {name}={ends[wrong[0]]}, but ranks are 0 … {num_ranks - 1}"
            )
    count_bytes(flows.size, what="flows")
    takes_part = np.zeros(num_ranks, dtype=np.bool_)
    takes_part[flows.src] = takes_part[flows.dst] = True
    place = np.cumsum(takes_part) - 1
    total = len(flows)
    none = np.empty(0, dtype=np.int64)
    transfers = Transfers(
        src=place[flows.src],
        dst=place[flows.dst],
        size=flows.size,
        reduces=np.zeros(total, dtype=np.bool_),
        channel=flows.channel,
        chunk_offsets=np.zeros(total + 1, dtype=np.int64),
        chunks=none,
        dep_offsets=np.zeros(total + 1, dtype=np.int64),
        deps=none,
    )
    ranks = np.flatnonzero(takes_part)
    return Program(ranks=tuple(ranks.tolist()), work=transfers, in_flight=0, releases=flows.start)
