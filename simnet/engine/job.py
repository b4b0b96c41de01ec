"""One piece of work in flight: the transfers of a schedule and how far each has come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.collectives.collective import Flows
from simnet.collectives.schedule import Schedule, Transfers

NOT_YET = float("nan")

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """What is to be sent, one entry a transfer: as arrays, and as lists once they are asked for.

    Attributes
    ----------
    ranks : tuple of int
        The global rank of each place in the group.
    senders, receivers : (n,) array of int
        Places in `ranks`; equal for a join, which carries nothing.
    sizes, channels : (n,) array of int
        Bytes; number of the connection between the two.
    reducing : (n,) array of bool
        Whether the receiver reduces what arrives.
    dep_offsets, deps : array of int
        Transfer i waits for ``deps[dep_offsets[i]:dep_offsets[i + 1]]``.
    in_flight : int
        How many transfers of one connection may be started at once; 0 for any number.
    releases : (n,) array of float, or None
        Seconds after posting at which each transfer may start at the earliest; None: at once.
    """

    ranks: tuple[int, ...]
    senders: IntArray
    receivers: IntArray
    sizes: IntArray
    channels: IntArray
    reducing: NDArray[np.bool_]
    dep_offsets: IntArray
    deps: IntArray
    in_flight: int
    releases: FloatArray | None = None

    def __len__(self) -> int:
        """The number of transfers."""
        return len(self.sizes)

    @cached_property
    def places(self) -> dict[int, int]:
        """The place of each global rank."""
        return {rank: place for place, rank in enumerate(self.ranks)}

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


def _check(transfers: Transfers, num_ranks: int) -> None:
    """Refuse what could not be carried out; a schedule may be the user's own."""
    waiting = np.repeat(np.arange(len(transfers)), np.diff(transfers.dep_offsets))
    wrong = {
        "is between ranks that the group does not have": (
            (np.minimum(transfers.src, transfers.dst) < 0)
            | (np.maximum(transfers.src, transfers.dst) >= num_ranks)
        ),
        "has a negative size": transfers.size < 0,
        "has a negative channel": transfers.channel < 0,
    }
    for what, where in wrong.items():
        if where.any():
            raise ValueError(f"schedule: transfer {int(np.argmax(where))} {what}")
    late = (transfers.deps >= waiting) | (transfers.deps < 0)
    if late.any():
        transfer = int(waiting[np.argmax(late)])
        raise ValueError(f"schedule: transfer {transfer} depends on one that is not before it")


def compile_schedule(schedule: Schedule, ranks: tuple[int, ...]) -> Program:
    """Expand a schedule for the given global ranks (one a group rank)."""
    transfers = schedule.transfers(chunks=False)
    _check(transfers, len(ranks))
    return Program(
        ranks=ranks,
        senders=transfers.src,
        receivers=transfers.dst,
        sizes=transfers.size,
        channels=transfers.channel,
        reducing=transfers.reduces,
        dep_offsets=transfers.dep_offsets,
        deps=transfers.deps,
        in_flight=schedule.in_flight,
    )


def compile_flows(flows: Flows, num_ranks: int) -> Program:
    """Independent flows: no dependencies, nothing queues.

    Raises
    ------
    ValueError
        For an end that is no rank of the network.
    """
    for name, ends in (("src", flows.src), ("dst", flows.dst)):
        wrong = np.flatnonzero((ends < 0) | (ends >= num_ranks))
        if len(wrong):
            raise ValueError(
                f"flow {wrong[0]}: {name}={ends[wrong[0]]}, but ranks are 0 … {num_ranks - 1}"
            )
    ranks = np.unique(np.concatenate([flows.src, flows.dst]))
    total = len(flows)
    return Program(
        ranks=tuple(ranks.tolist()),
        senders=np.searchsorted(ranks, flows.src),
        receivers=np.searchsorted(ranks, flows.dst),
        sizes=flows.size,
        channels=flows.channel,
        reducing=np.zeros(total, dtype=np.bool_),
        dep_offsets=np.zeros(total + 1, dtype=np.int64),
        deps=np.empty(0, dtype=np.int64),
        in_flight=0,
        releases=flows.start,
    )


class Job(ABC):
    """A program being carried out.

    Parameters
    ----------
    program : Program
        What is to be sent.
    number : int
        Its place in the order of posting.
    order : tuple
        What decides between two jobs whose transfers come to one connection at the same instant,
        before `number` does.

    Attributes
    ----------
    left : dict of int to float
        When each global rank left, seconds; only those that have.
    """

    def __init__(self, program: Program, number: int, order: tuple[object, ...] = ()) -> None:
        self.program = program
        self.number = number
        self.order = order
        self.left: dict[int, float] = {}

    @property
    @abstractmethod
    def start(self) -> list[float]:
        """When each transfer was started, seconds; NaN until then."""

    @property
    @abstractmethod
    def end(self) -> list[float]:
        """When each transfer ended, seconds; NaN until then."""

    @property
    @abstractmethod
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again."""

    @property
    @abstractmethod
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""

    @property
    def starts(self) -> FloatArray:
        """`start` as a read-only array."""
        return frozen(np.array(self.start, dtype=np.float64))

    @property
    def ends(self) -> FloatArray:
        """`end` as a read-only array."""
        return frozen(np.array(self.end, dtype=np.float64))

    @property
    def retransmitted_bytes(self) -> int:
        """Sum of `retransmitted`."""
        return sum(self.retransmitted)

    @property
    def done(self) -> bool:
        """Whether every rank has left."""
        return len(self.left) == len(self.program.ranks)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is what is known of it, without its engine."""
        known = self.start, self.end, self.retransmitted, self.arrived
        return KeptJob, (self.program, self.number, self.order, self.left, known)


class KeptJob(Job):
    """What is known of a job that another process has carried out."""

    def __init__(
        self,
        program: Program,
        number: int,
        order: tuple[object, ...],
        left: dict[int, float],
        known: tuple[list[float], list[float], list[int], set[int]],
    ) -> None:
        super().__init__(program, number, order)
        self.left = left
        self._start, self._end, self._retransmitted, self._arrived = known

    @property
    def start(self) -> list[float]:
        """When each transfer was started, seconds; NaN until then."""
        return self._start

    @property
    def end(self) -> list[float]:
        """When each transfer ended, seconds; NaN until then."""
        return self._end

    @property
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again."""
        return self._retransmitted

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""
        return self._arrived


class ListedJob(Job):
    """A job that keeps its own books, as lists: the reference model's."""

    def __init__(self, program: Program, number: int, order: tuple[object, ...] = ()) -> None:
        super().__init__(program, number, order)
        total = len(program)
        self._start = [NOT_YET] * total
        self._end = [NOT_YET] * total
        self._retransmitted = [0] * total
        self._arrived: set[int] = set()
        held = 1 if program.release else 0
        self._pending = [
            held + deps + 1 + (sender != receiver)
            for deps, sender, receiver in zip(
                program.num_deps, program.src, program.dst, strict=True
            )
        ]
        self._open = {rank: len(transfers) for rank, transfers in program.touching.items()}

    @property
    def start(self) -> list[float]:
        """When each transfer was started, seconds; NaN until then."""
        return self._start

    @property
    def end(self) -> list[float]:
        """When each transfer ended, seconds; NaN until then."""
        return self._end

    @property
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again."""
        return self._retransmitted

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""
        return self._arrived

    def arrive(self, rank: int) -> list[int]:
        """Let a rank in; returns the transfers that nothing holds back any more."""
        self.arrived.add(rank)
        return self._release(self.program.touching[rank])

    def release(self, transfer: int) -> list[int]:
        """Note that a transfer's own start has come; returns it if nothing else holds it back."""
        return self._release([transfer])

    def finish(self, transfer: int, time: float) -> list[int]:
        """Note a transfer's end; returns the transfers that nothing holds back any more."""
        self.end[transfer] = time
        src, dst = self.program.src[transfer], self.program.dst[transfer]
        self._open[src] -= 1
        if dst != src:
            self._open[dst] -= 1
        return self._release(self.program.dependents[transfer])

    def leave(self, rank: int, time: float) -> bool:
        """Let a rank out if its own part is over and it has not left; returns whether it did."""
        if rank in self.left or rank not in self.arrived or self._open[rank]:
            return False
        self.left[rank] = time
        return True

    def _release(self, transfers: list[int]) -> list[int]:
        """Take one hold off each; returns those that had no other."""
        ready = []
        for transfer in transfers:
            self._pending[transfer] -= 1
            if not self._pending[transfer]:
                ready.append(transfer)
        return ready
