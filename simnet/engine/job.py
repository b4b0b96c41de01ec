"""One piece of work in flight: how far each of a program's transfers has come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from simnet.arrays import frozen
from simnet.engine.program import FloatArray, Program

NOT_YET = float("nan")


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
    def tier(self) -> str:
        """Which tier found the times: "symmetry", "max-plus", "events" or "reference"."""
        return "events"

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
        known = self.tier, self.start, self.end, self.retransmitted, self.arrived
        return KeptJob, (self.program, self.number, self.order, self.left, known)


class ArrayJob(Job):
    """A job whose times are arrays first, and lists for who asks."""

    @property
    def start(self) -> list[float]:
        """`starts` as a list."""
        times: list[float] = self.starts.tolist()
        return times

    @property
    def end(self) -> list[float]:
        """`ends` as a list."""
        times: list[float] = self.ends.tolist()
        return times


class LosslessJob(ArrayJob):
    """A job of which nothing is lost, so that nothing is sent again."""

    @property
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again: none."""
        return [0] * len(self.program)

    @property
    def retransmitted_bytes(self) -> int:
        """Sum of `retransmitted`."""
        return 0


class KeptJob(Job):
    """What is known of a job that another process has carried out."""

    def __init__(
        self,
        program: Program,
        number: int,
        order: tuple[object, ...],
        left: dict[int, float],
        known: tuple[str, list[float], list[float], list[int], set[int]],
    ) -> None:
        super().__init__(program, number, order)
        self.left = left
        self._tier, self._start, self._end, self._retransmitted, self._arrived = known

    @property
    def tier(self) -> str:
        """Which tier found the times."""
        return self._tier

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
    def tier(self) -> str:
        """The reference model, which has no tiers."""
        return "reference"

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
