"""Where ranks meet: calls become operations on the network, and their data move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from simnet.collectives import Collective
from simnet.engine import Fabric, Operation
from simnet.ranks.algorithms import Algorithm
from simnet.ranks.bucketing import BUCKETED, FLUSH, Buckets
from simnet.ranks.call import PAIRED, Call, works
from simnet.ranks.data import MakeExchange
from simnet.ranks.mailbox import Mailbox, Message
from simnet.ranks.meeting import Meeting
from simnet.ranks.store import Board
from simnet.ranks.ticket import Ticket

GroupKey = tuple[str, tuple[int, ...]]


class Hub:
    """Matches the calls of the ranks of each group, one by one in the order each makes them.

    Parameters
    ----------
    fabric : Fabric
        The network on the run's clock.
    hosts : sequence of int
        The network's rank of each rank of the run.
    algorithms : mapping
        The algorithm of each kind of collective: a name, or a function of (kind, bytes, the
        group's ranks) that returns one; "auto" for kinds not named.
    make_exchange : callable
        ``make_exchange(call)`` makes what moves an operation's data.
    """

    def __init__(
        self,
        fabric: Fabric,
        hosts: Sequence[int],
        algorithms: Mapping[str, Algorithm],
        make_exchange: MakeExchange,
    ) -> None:
        self.fabric = fabric
        self.hosts = tuple(hosts)
        self.board = Board(fabric.env)
        self.calls: list[tuple[Call, int, Sequence[Operation]]] = []
        self._algorithms = algorithms
        self._make_exchange = make_exchange
        self._counts: Counter[tuple[int, GroupKey]] = Counter()
        self._open: dict[tuple[GroupKey, int], Meeting] = {}
        self._mailboxes: dict[tuple[GroupKey, int], Mailbox] = {}
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._buckets: dict[GroupKey, Buckets] = {}

    def issue(self, rank: int, number: int, call: Call, tensors: Sequence[Any]) -> Ticket:
        """Make a rank's call, at its present virtual time; returns what it can wait for.

        Raises
        ------
        MismatchError
            If another rank of the group made a different call where this one stands.
        """
        key = (call.group, call.ranks)
        position = call.ranks.index(rank)
        if call.kind == FLUSH:
            return self._flush(self._buckets_of(key, call), position, number, call)
        if call.kind in PAIRED:
            return self._pair(key, position, number, call, tensors)
        count = self._counts[rank, key]
        algorithm = call.algorithm or self._algorithm(call)
        meeting = self._open.get((key, count))
        if meeting is None:
            meeting = self._meet(call, position, count, algorithm)
            self._open[key, count] = meeting
        meeting.check(position, call)
        ticket = self._join(meeting, position, number, call, tensors)
        ticket.algorithm = algorithm
        self._counts[rank, key] += 1
        if meeting.full:
            del self._open[key, count]
        return ticket

    def _place(self, call: Call) -> tuple[int, ...]:
        return tuple(self.hosts[rank] for rank in call.ranks)

    def _meet(self, call: Call, position: int, count: int, algorithm: str) -> Meeting:
        exchange = self._make_exchange(call)
        meeting = Meeting(call, position, count, self.fabric.env, exchange)
        if not call.uneven:
            place = self._place(call)
            posted = works(call, place, algorithm)
            meeting.operations = [self.fabric.post(work, sequence=count) for work in posted]
        self.calls.append((call, position, meeting.operations))
        return meeting

    def _algorithm(self, call: Call) -> str:
        chosen = self._algorithms.get(call.kind, "auto")
        return chosen if isinstance(chosen, str) else chosen(call.kind, call.size, call.ranks)

    def _join(
        self, meeting: Meeting, position: int, number: int, call: Call, tensors: Sequence[Any]
    ) -> Ticket:
        """Let a rank into an operation, on the network too."""
        host = self.hosts[call.ranks[position]]
        if call.uneven:
            own = self._uneven(meeting, position, call)
        elif call.bucket:
            buckets = self._buckets_of((call.group, call.ranks), call)
            own = buckets.put(position, call.size, meeting.number)
        else:
            own = [each for each in meeting.operations if host in each.left]
        ticket = Ticket(number, call, self.fabric.env, parts=len(own) + 1)
        meeting.join(position, call, ticket, tensors)
        for operation in own:
            operation.arrive(host)
            ticket.needs(operation.left[host])
        return ticket

    def _uneven(self, meeting: Meeting, position: int, call: Call) -> list[Operation]:
        """The messages of one rank in an all_to_all of uneven sizes.

        Each pair's message is posted when the first of the two comes: neither knows the sizes of
        other pairs. Empty ones are not sent.
        """
        place = self._place(call)
        absent = set(range(len(place))) - {position, *meeting.present}
        for other in sorted(absent):
            for src, dst, size in (
                (position, other, call.sends[other]),
                (other, position, call.receives[other]),
            ):
                if size:
                    work = _message(place[src], place[dst], size)
                    posted = self.fabric.post(work, sequence=meeting.number)
                    meeting.operations.append(posted)
        host = place[position]
        return [each for each in meeting.operations if host in each.left]

    # Buckets

    def _buckets_of(self, key: GroupKey, call: Call) -> Buckets:
        if key not in self._buckets:

            def post(size: int, number: int) -> Operation:
                whole = Call(kind=BUCKETED, group=call.group, ranks=call.ranks, size=size)
                algorithm = call.algorithm or self._algorithm(whole)
                (work,) = works(whole, self._place(call), algorithm)
                operation = self.fabric.post(work, sequence=number)
                self.calls.append((replace(whole, where=call.where), 0, (operation,)))
                return operation

            self._buckets[key] = Buckets(self._place(call), call.bucket, post)
        return self._buckets[key]

    def _flush(self, buckets: Buckets, position: int, number: int, call: Call) -> Ticket:
        """A rank waits for whatever of its buckets is under way."""
        host = self.hosts[call.ranks[position]]
        under_way = buckets.flush(position)
        ticket = Ticket(number, call, self.fabric.env, parts=len(under_way) + 1)
        ticket.meeting = buckets
        ticket.inside = partial(_describe_bucket, call)
        for operation in under_way:
            ticket.needs(operation.left[host])
        ticket.part_over()
        return ticket

    # Messages between two ranks

    def _pair(
        self, key: GroupKey, position: int, number: int, call: Call, tensors: Sequence[Any]
    ) -> Ticket:
        receiver = call.peer if call.kind == "send" else position
        mailbox = self._mailboxes.setdefault((key, receiver), Mailbox())
        ticket = Ticket(number, call, self.fabric.env, parts=1)
        if call.kind == "recv":
            mailbox.recv(ticket)
            return ticket
        place = self._place(call)
        src, dst = place[position], place[receiver]
        self._pairs[src, dst] += 1
        operation = self.fabric.post(_message(src, dst, call.size), sequence=self._pairs[src, dst])
        operation.arrive(src)
        self.calls.append((call, position, (operation,)))
        mailbox.send(Message(call, position, operation, ticket, tensors, dst))
        return ticket


def _message(src: int, dst: int, size: int) -> Collective:
    return Collective(kind="send", size=size, ranks=(src, dst), pairs=((0, 1),))


def _describe_bucket(call: Call) -> str:
    return f"{BUCKETED} of a bucket in {call.describe_group()}, whose calls not every rank has made"
