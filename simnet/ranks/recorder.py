"""What a rank did, in order: the recording of which traces are made and times are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simnet.ranks.ticket import Ticket
from simnet.ranks.waits import Lookup, Poll, Sleep, Wait


class Entry(NamedTuple):
    """One thing a rank did.

    Attributes
    ----------
    action : str
        issue: made a call. compute, pause: began a span of `seconds`, and was in it until `end`.
        resume: went on with the last span, which other things had interrupted. wait: waited until
        `tickets` were over. interrupt: waited for the first of `tickets`, until the others were
        over, of which callbacks were to hear. poll: looked, and `tickets` were over, which it had
        not known before. expire: waited until a timeout of `seconds` had passed. lookup: waited
        for the store. publish, withdraw: wrote a key into it, took one out. phase: what follows
        belongs to `name`. end: its code ended.
    begin, end : float
        Virtual seconds.
    tickets : tuple of int
        Numbers of the rank's calls.
    seconds : float
        Length of a span that began, or of a timeout; None elsewhere.
    name : str
        A phase's name, or keys of the store.
    """

    action: str
    begin: float
    end: float
    tickets: tuple[int, ...] = ()
    seconds: float | None = None
    name: str = ""


@dataclass(slots=True)
class Account:
    """How a rank's time was spent, seconds.

    Attributes
    ----------
    compute : float
        Charged computation.
    exposed : float
        Waiting for communication that was under way.
    idle : float
        Waiting for other ranks to come, for the store, or pausing.
    """

    compute: float = 0.0
    exposed: float = 0.0
    idle: float = 0.0


@dataclass(slots=True)
class Recorder:
    """Takes down one rank.

    Attributes
    ----------
    account : Account
        How its time was spent until now.
    timely : bool
        Whether its control flow looked at time, or a callback made calls: replaying it elsewhere
        is an approximation.
    """

    account: Account = field(default_factory=Account)
    timely: bool = False
    # Entries as plain tuples: of those Python's collector of cycles lets go.
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _open: dict[int, Ticket] = field(default_factory=dict)  # not known yet to be over
    _parts: dict[Ticket, list[tuple[float, float]]] = field(default_factory=dict)  # of waits

    @property
    def entries(self) -> list[Entry]:
        """Everything, in order."""
        return list(map(Entry._make, self._rows))

    def _note(
        self,
        action: str,
        begin: float,
        end: float,
        tickets: tuple[int, ...] = (),
        seconds: float | None = None,
        name: str = "",
    ) -> None:
        self._rows.append((action, begin, end, tickets, seconds, name))

    def issued(self, ticket: Ticket) -> None:
        """It made a call."""
        if ticket.call.kind == "recv" and ticket.call.peer < 0:
            self.timely = True
        self._open[ticket.number] = ticket
        self._note("issue", ticket.issued, ticket.issued, (ticket.number,))

    def waited(self, wait: Wait, begin: float, end: float) -> None:
        """A wait of its is over."""
        if isinstance(wait, Poll):
            self._polled(begin, end)
        elif isinstance(wait, Lookup):
            self._looked_up(wait, begin, end)
        elif wait.why == "wait":
            self._awaited(wait, begin, end)
        else:
            self._spent(wait, begin, end)

    def found_over(self, ticket: Ticket, time: float) -> None:
        """It waited for a call that was over already."""
        self._note("wait", time, time, self._known((ticket,)))

    def found(self, keys: Sequence[str], time: float) -> None:
        """It waited for keys of the store that were there already."""
        self._note("lookup", time, time, name="\n".join(keys))

    def phase(self, name: str, time: float) -> None:
        """What follows belongs to `name`."""
        self._note("phase", time, time, name=name)

    def ended(self, time: float) -> None:
        """Its code ended."""
        for ticket, parts in self._parts.items():  # of waits that a callback outlasted
            self._account_for(parts, [ticket] if ticket.over else [])
        self._parts.clear()
        self._note("end", time, time)

    def wrote(self, action: str, key: str, time: float) -> None:
        """It wrote into the run's store ("publish") or took a key out ("withdraw")."""
        self._note(action, time, time, name=key)

    def _looked_up(self, wait: Lookup, begin: float, end: float) -> None:
        self.account.idle += end - begin
        expired = end >= wait.until
        self.timely |= expired
        limit = wait.until - begin if expired else None
        self._note("lookup", begin, end, (), limit, "\n".join(wait.keys))

    def _polled(self, begin: float, end: float) -> None:
        self.timely = True
        self.account.exposed += end - begin
        news = self._known([ticket for ticket in self._open.values() if ticket.over])
        self._note("poll", begin, end, news)

    def _awaited(self, wait: Sleep, begin: float, end: float) -> None:
        over = [ticket for ticket in wait.tickets if ticket.over]
        others = [ticket for ticket in wait.others if ticket.over]
        if others and not over and end < wait.until:
            awaited = wait.tickets[0]
            self._parts.setdefault(awaited, []).append((begin, end))
            self._note("interrupt", begin, end, (awaited.number, *self._known(others)))
            return
        before = self._parts.pop(wait.tickets[0], ()) if over else ()
        self._account_for([*before, (begin, end)], over)
        if over:
            self._note("wait", begin, end, self._known(over))
        else:
            self.timely = True
            self._note("expire", begin, end, seconds=wait.until - begin)

    def _account_for(self, parts: Sequence[tuple[float, float]], over: Sequence[Ticket]) -> None:
        """Tell apart waiting for peers to come from waiting for what was under way."""
        for begin, end in parts:
            came = min([ticket.peers_came for ticket in over], default=end)
            idle = min(max(came - begin, 0.0), end - begin)
            self.account.idle += idle
            self.account.exposed += end - begin - idle

    def _spent(self, wait: Sleep, begin: float, end: float) -> None:
        if wait.why == "compute":
            self.account.compute += end - begin
        else:
            self.account.idle += end - begin
        over = [ticket for ticket in wait.tickets if ticket.over] if end < wait.until else []
        started = wait.duration == wait.duration
        name = ("compute" if wait.why == "compute" else "pause") if started else "resume"
        seconds = wait.duration if started else None
        self._note(name, begin, end, self._known(over), seconds)

    def _known(self, over: Sequence[Ticket]) -> tuple[int, ...]:
        """The numbers of tickets that the rank knows from now on to be over."""
        for ticket in over:
            self._open.pop(ticket.number, None)
        return tuple([ticket.number for ticket in over])


def hidden(tickets: Sequence[Ticket], exposed: float) -> float:
    """Seconds during which a rank's calls were under way while it did something else.

    The union of the spans in which its calls were under way, less what it waited for openly.
    """
    spans = sorted((max(each.issued, each.peers_came), each.ended) for each in tickets if each.over)
    covered, reach = 0.0, 0.0
    for begin, end in spans:
        covered += max(end - max(begin, reach), 0.0)
        reach = max(reach, end)
    return max(covered - exposed, 0.0)
