"""One collective of a group: who has called, and whose part is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import simpy

from simnet.engine import Operation
from simnet.ranks.call import Call
from simnet.ranks.data import Exchange
from simnet.ranks.errors import MismatchError
from simnet.ranks.ticket import Ticket


class Meeting:
    """One operation of a group.

    Parameters
    ----------
    call : Call
        What the first rank called.
    first : int
        That rank's position in the group.
    number : int
        How many operations the group had before.
    env : simpy.Environment
        The run's clock.
    exchange : Exchange
        What moves the data.

    Attributes
    ----------
    last_came : float
        When the last rank that has called did, virtual seconds; NaN before the first.
    """

    def __init__(
        self, call: Call, first: int, number: int, env: simpy.Environment, exchange: Exchange
    ) -> None:
        self.call, self.number = call, number
        self.operations: list[Operation] = []
        self._first = first
        self._env = env
        self._exchange = exchange
        self._calls: dict[int, Call] = {}
        self._tickets: dict[int, Ticket] = {}
        self.last_came = float("nan")

    @property
    def full(self) -> bool:
        """Whether every rank has called."""
        return len(self._calls) == len(self.call.ranks)

    @property
    def present(self) -> Sequence[int]:
        """The positions that have called, in the order in which they did."""
        return list(self._calls)

    def check(self, position: int, call: Call) -> None:
        """Refuse a rank that did not call the same.

        Raises
        ------
        MismatchError
            Names both sides.
        """
        if not call.agrees(self.call):
            raise self._mismatch(position, call, self._first, self.call)
        if call.uneven:
            for other, theirs in self._calls.items():
                if (call.sends[other], call.receives[other]) != (
                    theirs.receives[position],
                    theirs.sends[position],
                ):
                    raise self._mismatch(position, call, other, theirs)

    def _mismatch(self, position: int, call: Call, other: int, theirs: Call) -> MismatchError:
        ranks = call.ranks
        return MismatchError(
            f"rank {ranks[position]} called {_with_sizes(call, other)}{call.at()}, but rank "
            f"{ranks[other]} called {_with_sizes(theirs, position)}{theirs.at()} as call "
            f"{self.number} of {call.describe_group()}"
        )

    def join(self, position: int, call: Call, ticket: Ticket, tensors: Sequence[Any]) -> None:
        """Let a rank in: take its data, and let its ticket wait for them."""
        self._calls[position] = call
        self._tickets[position] = ticket
        self.last_came = float(self._env.now)
        ticket.meeting = self
        ticket.inside = self.describe
        ticket.give(lambda: self._exchange.outputs(position))
        for complete in self._exchange.join(position, tensors):
            self._tickets[complete].part_over()

    def describe(self) -> str:
        """What a rank that is inside waits for, in words."""
        ranks = self.call.ranks
        missing = [rank for position, rank in enumerate(ranks) if position not in self._calls]
        others = f"rank {missing[0]} has" if len(missing) == 1 else f"ranks {_names(missing)} have"
        lack = f"which {others} not called" if missing else "which every rank has called"
        call = self.call
        return f"{call.describe()}, call {self.number} of {call.describe_group()}, {lack}"


def _names(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))


def _with_sizes(call: Call, other: int) -> str:
    if not call.uneven:
        return call.describe()
    whom = call.ranks[other]
    return (
        f"{call.describe()} with {call.sends[other]} B to rank {whom} "
        f"and {call.receives[other]} B from it"
    )
