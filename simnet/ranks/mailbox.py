"""Messages from one rank to another: which send meets which recv.

A recv from a given rank takes the oldest send of that rank with its tag that nothing has taken;
the transfer begins when both ends have come. A recv from any rank lets the oldest such send of
every rank begin, and takes whichever is in first; the others are in, or on their way, when a
later recv takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import simpy

from simnet.engine import Operation
from simnet.ranks.call import ANY_SOURCE, Call
from simnet.ranks.errors import MismatchError
from simnet.ranks.ticket import Ticket


class Message:
    """A send: its sender has come, and its transfer waits for the receiver."""

    def __init__(
        self,
        call: Call,
        source: int,
        operation: Operation,
        ticket: Ticket,
        tensors: Sequence[Any],
        dst: int,
    ) -> None:
        self.call, self.source, self.ticket = call, source, ticket
        self.tensors = tensors
        self.started = False
        self.recv: Ticket | None = None
        self._operation, self._dst = operation, dst
        ticket.describe = self.describe
        ticket.needs(operation.done)

    @property
    def in_at(self) -> float:
        """When it was in, virtual seconds; infinite until then."""
        done = self._operation.done
        return float(done.value) if done.processed else float("inf")  # type: ignore[arg-type]

    def start(self, on_in: Callable[[simpy.Event], None]) -> None:
        """Let the receiver come."""
        if not self.started:
            self.started = True
            assert self._operation.done.callbacks is not None
            self._operation.done.callbacks.append(on_in)
            self._operation.arrive(self._dst)
            self.ticket.peers_came = float(self._operation.done.env.now)

    def take(self, ticket: Ticket) -> None:
        """Let a recv take it."""
        self.recv = ticket
        ticket.source = self.source
        ticket.peers_came = float(self._operation.done.env.now)
        ticket.give(lambda: self.tensors)
        ticket.needs(self._operation.done)

    def describe(self) -> str:
        """What its sender waits for, in words."""
        call = self.call
        lack = "" if self.recv is not None else ", which no recv there has taken"
        return f"{call.describe()} in {call.describe_group()}{lack}"


class Mailbox:
    """The sends to one rank of a group, and its recvs."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._recvs: list[Ticket] = []

    def send(self, message: Message) -> None:
        """A send to this rank has been issued."""
        self._messages.append(message)
        self._settle()

    def recv(self, ticket: Ticket) -> None:
        """This rank has issued a recv."""
        ticket.describe = lambda: (
            f"{ticket.call.describe()} in {ticket.call.describe_group()}, which no send has met"
        )
        self._recvs.append(ticket)
        self._settle()

    def _settle(self, _: simpy.Event | None = None) -> None:
        """Match what can be matched now, the oldest recv first."""
        for ticket in list(self._recvs):
            found = self._match(ticket.call)
            if found is not None:
                self._recvs.remove(ticket)
                self._messages.remove(found)
                self._deliver(found, ticket)

    def _match(self, recv: Call) -> Message | None:
        fitting = [message for message in self._messages if message.call.tag == recv.tag]
        if recv.peer != ANY_SOURCE:
            return next((each for each in fitting if each.source == recv.peer), None)
        oldest: dict[int, Message] = {}
        for message in fitting:
            oldest.setdefault(message.source, message)
        for message in oldest.values():
            message.start(self._settle)
        first = min(oldest.values(), key=lambda each: (each.in_at, each.source), default=None)
        return None if first is None or first.in_at == float("inf") else first

    def _deliver(self, message: Message, ticket: Ticket) -> None:
        send, recv = message.call, ticket.call
        if (send.size, send.dtype) != (recv.size, recv.dtype):
            ranks = send.ranks
            error = MismatchError(
                f"rank {ranks[send.peer]} called {recv.describe()}{recv.at()}, but rank "
                f"{ranks[message.source]} called {send.describe()}{send.at()}, in "
                f"{send.describe_group()}"
            )
            ticket.fail(error)
            return
        message.start(self._settle)
        message.take(ticket)
