"""Messages from one rank to another: which send meets which recv.

A recv from a given rank takes the oldest send of that rank with its tag that nothing has taken;
the transfer begins when both ends have come. A recv from any rank lets the oldest such send of
every rank begin, and takes whichever is in first; the others are in, or on their way, when a
later recv takes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, TypeVar

from simnet.engine import Operation
from simnet.ranks.call import ANY_SOURCE, Call
from simnet.ranks.errors import MismatchError
from simnet.ranks.ticket import Ticket

Key = TypeVar("Key")
Item = TypeVar("Item")


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
        self.started = self.taken = False
        self.order = -1
        self._operation, self._dst = operation, dst
        ticket.inside = self.describe
        ticket.needs(operation.done)

    @property
    def in_at(self) -> float:
        """When it was in, virtual seconds; infinite until then."""
        done = self._operation.done
        return float(done.value) if done.processed else float("inf")  # type: ignore[arg-type]

    def start(self, on_in: Callable[[Message], None]) -> None:
        """Let the receiver come."""
        if not self.started:
            self.started = True
            assert self._operation.done.callbacks is not None
            self._operation.done.callbacks.append(lambda _: on_in(self))
            self._operation.arrive(self._dst)
            self.ticket.peers_came = float(self._operation.done.env.now)

    def take(self, ticket: Ticket) -> None:
        """Let a recv take it, with its data: the sender's ticket may hold this for long."""
        self.taken = True
        ticket.source = self.source
        ticket.peers_came = float(self._operation.done.env.now)
        tensors, self.tensors = self.tensors, ()
        ticket.give(lambda: tensors)
        ticket.needs(self._operation.done)

    def describe(self) -> str:
        """What its sender waits for, in words."""
        call = self.call
        lack = "" if self.taken else ", which no recv there has taken"
        return f"{call.describe()} in {call.describe_group()}{lack}"


class Mailbox:
    """The sends to one rank of a group that nothing has taken, and its recvs that wait.

    A recv from a given rank waits only while there is no send for it, and one from any rank only
    while none is in; of the sends of one source and tag, only the oldest may have started.
    """

    def __init__(self) -> None:
        self._messages: dict[int, dict[int, deque[Message]]] = {}  # by tag, then source
        self._given: dict[tuple[int, int], deque[Ticket]] = {}  # by source and tag
        self._any: dict[int, deque[Ticket]] = {}  # by tag
        self._order = count()

    def send(self, message: Message) -> None:
        """A send to this rank has been issued."""
        source, tag = message.source, message.call.tag
        message.order = next(self._order)
        given, any_source = self._given.get((source, tag)), self._any.get(tag)
        queue = self._messages.setdefault(tag, {}).setdefault(source, deque())
        queue.append(message)
        # The oldest recv comes first, and one from any rank only lets it begin.
        if any_source and not (given and given[0].number < any_source[0].number):
            queue[0].start(self._is_in)
        if given:
            self._hand_over(message, _pop(self._given, (source, tag)))

    def recv(self, ticket: Ticket) -> None:
        """This rank has issued a recv."""
        call = ticket.call
        ticket.inside = partial(_unmet, call)
        sources = self._messages.get(call.tag, {})
        if call.peer == ANY_SOURCE:
            found = self._first_in(sources)
        else:
            found = sources[call.peer][0] if call.peer in sources else None
        if found is not None:
            self._hand_over(found, ticket)
        elif call.peer == ANY_SOURCE:
            self._any.setdefault(call.tag, deque()).append(ticket)
        else:
            self._given.setdefault((call.peer, call.tag), deque()).append(ticket)

    def _first_in(self, sources: dict[int, deque[Message]]) -> Message | None:
        """Let the oldest message of every source begin; the one that was in first, if any is."""
        oldest = [queue[0] for queue in sources.values()]
        for message in sorted(oldest, key=lambda each: each.order):
            message.start(self._is_in)
        first = min(oldest, key=lambda each: (each.in_at, each.source), default=None)
        return None if first is None or first.in_at == float("inf") else first

    def _is_in(self, message: Message) -> None:
        """A message is in: the oldest recv from any rank takes it, if nothing has."""
        tag = message.call.tag
        queue = self._messages.get(tag, {}).get(message.source)
        if queue and queue[0] is message and tag in self._any:
            self._hand_over(message, _pop(self._any, tag))

    def _hand_over(self, message: Message, ticket: Ticket) -> None:
        """Give a recv the oldest message of a source; the next may begin if it is waited for."""
        source, tag = message.source, message.call.tag
        sources = self._messages[tag]
        _pop(sources, source)
        self._deliver(message, ticket)
        if source not in sources:
            if not sources:
                del self._messages[tag]
        elif tag in self._any:
            sources[source][0].start(self._is_in)

    def _deliver(self, message: Message, ticket: Ticket) -> None:
        send, recv = message.call, ticket.call
        if (send.size, send.dtype) != (recv.size, recv.dtype):
            ranks = send.ranks
            error = MismatchError(
                f"rank {ranks[send.peer]} called {recv.describe()}{recv.at()}, but rank "
                f"{ranks[message.source]} called {send.describe()}{send.at()}, in "
                f"{send.describe_group()}"
            )
            message.tensors = ()
            ticket.fail(error)
            return
        message.start(self._is_in)
        message.take(ticket)


def _pop(queues: dict[Key, deque[Item]], key: Key) -> Item:
    """Take the oldest of a queue, and away the queue with its last."""
    queue = queues[key]
    item = queue.popleft()
    if not queue:
        del queues[key]
    return item


def _unmet(recv: Call) -> str:
    return f"{recv.describe()} in {recv.describe_group()}, which no send has met"
