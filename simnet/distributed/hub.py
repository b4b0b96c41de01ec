"""Where ranks meet: calls become operations on the network, and their data move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import simpy

from simnet.distributed.call import Call
from simnet.distributed.errors import MismatchError
from simnet.distributed.rank import Rank
from simnet.engine import Fabric, Operation


class Meeting:
    """One operation of a group: who has called, and whose data are complete.

    Parameters
    ----------
    call : Call
        What the first rank called.
    first : int
        That rank.
    number : int
        How many operations the group had before.
    operation : Operation
        The same on the network.
    exchange : Exchange
        What moves the data.
    """

    def __init__(
        self, call: Call, first: int, number: int, operation: Operation, exchange: Any
    ) -> None:
        self.call, self.first, self.number = call, first, number
        self.operation = operation
        self._exchange = exchange
        self._missing = set(call.ranks)
        env = operation.done.env
        self.complete: Mapping[int, simpy.Event] = {rank: env.event() for rank in call.ranks}

    @property
    def full(self) -> bool:
        """Whether every rank has called."""
        return not self._missing

    def join(self, rank: int, call: Call, tensor: Any) -> None:
        """Let a rank in, if it called the same."""
        if not call.agrees(self.call):
            raise MismatchError(
                f"rank {rank} called {call.describe()}, but rank {self.first} called "
                f"{self.call.describe()} as call {self.number} of {_group_name(call)}"
            )
        self._missing.discard(rank)
        for position in self._exchange.join(call.ranks.index(rank), tensor):
            self.complete[call.ranks[position]].succeed()
        self.operation.arrive(rank)

    def describe(self) -> str:
        """What a rank that is inside waits for, in words."""
        missing = ", ".join(map(str, sorted(self._missing)))
        others = f"rank {missing} has" if len(self._missing) == 1 else f"ranks {missing} have"
        lack = f"which {others} not called" if self._missing else "which every rank has called"
        return (
            f"waits in {self.call.describe()}, call {self.number} of {_group_name(self.call)}, "
            f"{lack}"
        )


class Ticket:
    """A rank's part of an operation: what it waits for."""

    def __init__(self, meeting: Meeting, rank: Rank) -> None:
        self._meeting, self._rank = meeting, rank
        self._left = meeting.operation.left[rank.number]
        self._complete = meeting.complete[rank.number]

    @property
    def over(self) -> bool:
        """Whether the rank need not wait any more, at its present virtual time."""
        return self._left.processed and self._complete.triggered

    def wait(self) -> None:
        """Let the rank's clock go on to when its own part is over; at once if it is already."""
        for event in (self._left, self._complete):
            self._rank.wait(event, self._meeting.describe)


class Hub:
    """Matches the calls of the ranks of each group, one by one in the order each makes them.

    Parameters
    ----------
    fabric : Fabric
        The network on the run's clock.
    algorithms : mapping of str to str
        The algorithm of each kind of collective; "auto" for those not named.
    exchange_for : callable
        ``exchange_for(call)`` makes what moves an operation's data.
    """

    def __init__(
        self, fabric: Fabric, algorithms: Mapping[str, str], exchange_for: Callable[[Call], Any]
    ) -> None:
        self._fabric = fabric
        self._algorithms = algorithms
        self._exchange_for = exchange_for
        self._calls: Counter[tuple[int, str]] = Counter()
        self._open: dict[tuple[str, int], Meeting] = {}

    def issue(self, rank: Rank, call: Call, tensor: Any = None) -> Ticket:
        """Make a rank's call, at its present virtual time; returns what it can wait for.

        Raises
        ------
        MismatchError
            If another rank of the group made a different call where this one stands.
        """
        number = self._calls[rank.number, call.group]
        key = (call.group, number)
        if key not in self._open:
            self._open[key] = self._meet(rank, call, number)
        meeting = self._open[key]
        meeting.join(rank.number, call, tensor)
        self._calls[rank.number, call.group] += 1
        if meeting.full:
            del self._open[key]
        return Ticket(meeting, rank)

    def _meet(self, rank: Rank, call: Call, number: int) -> Meeting:
        algorithm = self._algorithms.get(call.kind, "auto")
        work = call.collective(self._fabric.net.num_ranks, algorithm)
        operation = self._fabric.post(work, sequence=number)
        return Meeting(call, rank.number, number, operation, self._exchange_for(call))


def _group_name(call: Call) -> str:
    return "the default group" if call.group == "" else f"group {call.group}"
