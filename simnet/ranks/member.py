"""A rank on the clock: what it asks for, what it waits for, and how its time is spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import simpy
from simpy.events import NORMAL, EventPriority

from simnet.engine import OVER, Clock
from simnet.ranks.call import Call
from simnet.ranks.hub import Hub
from simnet.ranks.polls import Polls
from simnet.ranks.recorder import Recorder
from simnet.ranks.ticket import Ticket
from simnet.ranks.turns import Turns
from simnet.ranks.waits import Lookup, Poll, Wait

SHOWN = 3  # calls that words about a rank name


class Driver(Protocol):
    """What executes a rank's code: a thread, a process, or a recording."""

    def go(self, member: Member) -> None:
        """Let the code go on; it need not have stopped when this returns."""

    def settle(self, member: Member) -> Wait | None:
        """Let it run until it waits, and return for what; None once it has ended.

        Everything else that the code asks for meanwhile is asked of `member`.
        """

    def stop(self, member: Member, until: float) -> str:
        """Make it end, wherever it is, whatever has happened.

        Returns in words what is left of it at `until`, wall seconds of `time.monotonic`; nothing
        if nothing is. It may be called again.
        """

    def where(self, member: Member) -> str:
        """Where in the user's code it waits: "file:line"; empty if unknown."""


class Member:
    """One rank of a run, as the loop sees it.

    Parameters
    ----------
    number : int
        Which rank.
    hub : Hub
        Where it meets the others.
    driver : Driver
        What executes its code.
    polls : Polls
        The ranks that look whether something has happened.
    recorder : Recorder
        What is told of everything the rank does.
    turns : Turns
        Who goes on when.

    Attributes
    ----------
    result : object
        What its code returned.
    error : BaseException or None
        What it raised instead.
    finish : float
        When it ended, virtual seconds; NaN until then.
    """

    def __init__(
        self,
        number: int,
        hub: Hub,
        polls: Polls,
        driver: Driver,
        recorder: Recorder,
        turns: Turns,
    ) -> None:
        self.number, self.hub, self.driver, self.recorder = number, hub, driver, recorder
        self._polls, self._turns = polls, turns
        self.result: Any = None
        self.error: BaseException | None = None
        self.finish = float("nan")
        self.tickets: list[Ticket] = []
        self._news: list[Ticket] = []  # that are over, which it does not know
        self.steps = 0
        self._wait: Wait | None = None
        self._timer: simpy.Event | None = None
        self._began = 0.0
        self._waits = 0

    @property
    def clock(self) -> Clock:
        """The run's clock; it shows the rank's own time whenever the rank is running."""
        return self.hub.fabric.env

    @property
    def now(self) -> float:
        """The clock's time, seconds."""
        return float(self.clock.now)

    @property
    def ended(self) -> bool:
        """Whether its code has returned or raised."""
        return self.finish == self.finish

    @property
    def busy(self) -> bool:
        """Whether it looks, or its wait ends at a time if by nothing else."""
        wait = self._wait
        return isinstance(wait, Poll) or (wait is not None and wait.until < float("inf"))

    # What its code asks for

    def issue(self, call: Call, tensors: Sequence[Any]) -> Ticket:
        """Make a call now.

        Raises
        ------
        MismatchError
            See `Hub.issue`.
        """
        self._polls.moved(self.number)
        self._polls.happened()
        ticket = self.hub.issue(self.number, len(self.tickets), call, tensors)
        self.tickets.append(ticket)
        if ticket.over:
            self._news.append(ticket)
        else:
            ticket.then(self._news.append)
            ticket.then(self._polls.happened)
        self.recorder.issued(ticket)
        return ticket

    def end(self, result: Any, error: BaseException | None) -> None:
        """Its code has ended."""
        self.result, self.error, self.finish = result, error, self.now
        self.recorder.ended(self.now)
        self._polls.happened()

    # On the clock

    def go(self) -> None:
        """Its turn has come: its wait is over, and its code goes on."""
        self._learn()
        if self._wait is not None:
            self.recorder.waited(self._wait, self._began, self.now)
            self._wait = None
        self.driver.go(self)

    def _learn(self) -> None:
        """Let it know which of its calls are over now, before any rank ready now has run."""
        for ticket in self._news:
            ticket.known = True
        self._news.clear()

    def settle(self) -> bool:
        """Let it run until it waits, and see that what it waits for gives it its next turn."""
        wait = self.driver.settle(self)
        if wait is None:
            return True
        self._wait, self._began = wait, self.now
        self._waits += 1
        self._await(wait, partial(self._wake, self._waits))
        return False

    def _wake(self, number: int, _: object = None) -> None:
        """What a wait was for has come; whatever comes later than the first is too late."""
        if number == self._waits:
            self._waits += 1
            if self._timer is not None:  # left there, it would be an event for those who poll
                self.clock.cancel(self._timer)
                self._timer = None
            self._turns.ask(self)

    def _await(self, wait: Wait, wake: Callable[[object], None]) -> None:
        """Let whatever ends a wait call `wake`."""
        self._polls.wrote(self.hub.board.writes)
        if isinstance(wait, Poll):
            _then(self._polls.ask(self.number, wait.interval), wake)
            return
        self._polls.moved(self.number)
        if isinstance(wait, Lookup):
            _then(self.hub.board.await_keys(self.number, wait.keys), wake)
            self._await_time(wait.until, OVER, wake)
            return
        tickets = (*wait.tickets, *wait.others)
        if any(ticket.over for ticket in tickets):
            _then(self.clock.at(self.clock.now), wake)
        else:
            for ticket in tickets:
                ticket.then(wake)
            # A call that is over at the very instant of its timeout is in time.
            self._await_time(wait.until, OVER if wait.why == "wait" else NORMAL, wake)

    def _await_time(
        self, until: float, priority: EventPriority, wake: Callable[[object], None]
    ) -> None:
        if until < float("inf"):
            self._timer = self.clock.at(max(until, self.clock.now), priority=priority)
            _then(self._timer, wake)

    def state(self) -> str:
        """What the rank is doing, in words."""
        if self.ended:
            return f"rank {self.number} has ended"
        where = self.driver.where(self)
        return f"rank {self.number} {self._doing()}{f', at {where}' if where else ''}"

    def _doing(self) -> str:
        wait = self._wait
        if wait is None:
            return "runs"
        if isinstance(wait, Lookup):
            missing = [key for key in wait.keys if not self.hub.board.has([key])]
            return f"waits for {', '.join(missing)} in the store"
        if isinstance(wait, Poll):
            return f"polls{self._open()}, and nothing is left that could happen"
        if wait.why == "compute":
            return "computes"
        return f"waits in {'; '.join(ticket.describe() for ticket in wait.tickets)}"

    def _open(self) -> str:
        """Its calls that are not over, in words; of many the oldest."""
        calls = [ticket.describe() for ticket in self.tickets if not ticket.over]
        more = f" and {len(calls) - SHOWN} more calls" if len(calls) > SHOWN else ""
        return f" with {' and '.join(calls[:SHOWN])}{more}" if calls else ""


def _then(event: simpy.Event, wake: Callable[[object], None]) -> None:
    """Let an event that has not been carried out call `wake`."""
    assert event.callbacks is not None
    event.callbacks.append(wake)
