"""Ranks as threads that take turns: exactly one runs at a time, in virtual-time order.

The SimPy loop runs in the caller's thread. A rank is a SimPy process with a thread of its own;
the process hands the thread the right to run and gets it back when the thread waits for
something on the clock, or ends.
"""

from __future__ import annotations

import contextvars
import heapq
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import simpy

from simnet.distributed.errors import DeadlockError
from simnet.distributed.rank import enter
from simnet.engine import Clock

PATIENCE_S = 2.0  # wall time left to a thread that is told to end
MAX_REFUSALS = 100  # how often such a thread may go on to wait for something else


class EndedError(BaseException):
    """Raised inside a rank whose run has ended without it; not for programs to catch."""


class Turns:
    """Lets ranks that are ready at the same instant run one after the other, lowest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: list[tuple[int, simpy.Event]] = []
        self._busy = False

    def ask(self, number: int) -> simpy.Event:
        """An event for when it is this rank's turn."""
        turn = self._clock.event()
        heapq.heappush(self._ready, (number, turn))
        self._announce()
        return turn

    def over(self) -> None:
        """The rank whose turn it was waits again, or has ended."""
        self._busy = False
        self._announce()

    def _announce(self) -> None:
        if self._ready and not self._busy:
            self._busy = True
            # Behind all that is due already, so that every rank ready now is compared.
            self._clock.at(self._clock.now).callbacks.append(self._grant)

    def _grant(self, _: simpy.Event) -> None:
        heapq.heappop(self._ready)[1].succeed()


class ThreadRank:
    """A rank that executes a function in a thread of its own (a `simnet.distributed.rank.Rank`).

    Parameters
    ----------
    number : int
        Which rank it is.
    clock : Clock
        The run's clock.
    body : callable
        ``body(rank)`` is what the rank executes.
    on_turn : callable
        ``on_turn(number)`` is called each time before the rank goes on.

    Attributes
    ----------
    result : object
        What `body` returned.
    error : BaseException or None
        What it raised instead.
    finish : float
        The virtual time at which it ended, seconds; NaN until then.
    """

    def __init__(
        self,
        number: int,
        clock: Clock,
        body: Callable[[ThreadRank], Any],
        on_turn: Callable[[int], None],
    ) -> None:
        self.number = number
        self.clock = clock
        self.result: Any = None
        self.error: BaseException | None = None
        self.finish = float("nan")
        self._body, self._on_turn = body, on_turn
        self._event: simpy.Event | None = None
        self._describe: Callable[[], str] = lambda: "waits to begin"
        self._ending = False
        self._parked = True
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._main,),
            name=f"simnet-rank-{number}",
            daemon=True,
        )

    @property
    def ended(self) -> bool:
        """Whether it has returned or raised."""
        return self.finish == self.finish

    def state(self) -> str:
        """What the rank is doing, in words."""
        if self.ended:
            return f"rank {self.number} has ended"
        return f"rank {self.number} {self._describe()}"

    # In the rank's thread

    def wait(self, event: simpy.Event, describe: Callable[[], str]) -> Any:
        """Let the others go on until the event has happened; returns its value."""
        if self._ending:
            raise EndedError
        if not event.processed:
            self._event, self._describe = event, describe
            self._hand_back()
            self._go.acquire()
            self._parked = False
            if self._ending:
                raise EndedError
        return event.value

    def _hand_back(self) -> None:
        self._parked = True
        if self._back.locked():  # else an interrupted loop has not taken the last one yet
            self._back.release()

    def _main(self) -> None:
        self._go.acquire()
        self._parked = False
        enter(self)
        try:
            if not self._ending:
                self.result = self._body(self)
        except EndedError:
            pass
        except BaseException as error:
            self.error = error
        finally:
            enter(None)
            self.finish = float(self.clock.now)
            self._event = None
            self._hand_back()

    # In the loop's thread

    def live(
        self, turns: Turns, on_end: Callable[[ThreadRank], None]
    ) -> Generator[simpy.Event, Any, None]:
        """The rank's SimPy process: run until it waits, wait for what it waits for, repeat."""
        self._thread.start()
        while True:
            yield turns.ask(self.number)
            self._on_turn(self.number)
            self._resume()
            turns.over()
            if self._event is None:
                on_end(self)
                return
            yield self._event

    def _resume(self) -> None:
        """Let the thread run until it waits or ends."""
        self._go.release()
        self._back.acquire()

    def end(self) -> bool:
        """Make the thread end wherever it is; returns whether it did.

        It gets an exception from whatever it waits in. A thread that is stuck in code of its own
        is left alone: whatever it asks of the run later only raises. An interrupt may have come
        at any point of a hand-over, so nothing is taken for granted of the locks.
        """
        self._ending = True
        if self._thread.ident is None:
            return True
        for _ in range(MAX_REFUSALS):
            if self.ended:
                self._thread.join()
                break
            if self._parked and self._go.locked():
                self._on_turn(self.number)
                self._go.release()
            if not self._back.acquire(timeout=PATIENCE_S):
                break
        return self.ended


def run_ranks(clock: Clock, ranks: Sequence[ThreadRank]) -> None:
    """Run the clock until every rank has ended, then until nothing is left on it.

    Raises
    ------
    DeadlockError
        If ranks are left, all of them wait, and nothing is left on the clock.
    BaseException
        Whatever a rank raised, with a note that says which and when. The others are ended.
    """
    turns = Turns(clock)
    ended: list[ThreadRank] = []
    for rank in ranks:
        clock.process(rank.live(turns, ended.append))
    try:
        while len(ended) < len(ranks):
            if clock.peek() == float("inf"):
                raise DeadlockError(_deadlock(clock, ranks))
            clock.step()
            # Raised here and not in the process: SimPy would rebuild it from its arguments.
            if ended and ended[-1].error is not None:
                raise _noted(ended[-1].error, ended[-1])
        clock.run()
    finally:
        for rank in ranks:
            rank.end()


def _noted(error: BaseException, rank: ThreadRank) -> BaseException:
    error.add_note(f"on rank {rank.number} at virtual time {rank.finish:.9g} s")
    return error


def _deadlock(clock: Clock, ranks: Sequence[ThreadRank]) -> str:
    states = "; ".join(rank.state() for rank in ranks)
    return f"deadlock at virtual time {clock.now:.9g} s: {states}"
