"""Ranks as threads that take turns: exactly one runs at a time, in virtual-time order.

The loop runs in the caller's thread. It hands a rank's thread the right to run and gets it back
when the thread waits for something on the clock, or ends.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from simnet.distributed.watchdog import Watchdog
from simnet.ranks.call import Call
from simnet.ranks.errors import EndedError
from simnet.ranks.member import Member
from simnet.ranks.requests import answer
from simnet.ranks.seat import Meter, Seat, enter
from simnet.ranks.ticket import Ticket
from simnet.ranks.waits import Lookup, Poll, Sleep, Wait
from simnet.ranks.where import user_line

PATIENCE_S = 1.0  # wall time left to a thread that is told to end
MAX_REFUSALS = 100  # how often such a thread may go on to wait for something else


class ThreadSeat(Seat):
    """A rank that is a thread, as its own code sees it."""

    def __init__(self, driver: ThreadDriver, member: Member, world_size: int, **about: Any) -> None:
        super().__init__(member.number, world_size, **about)
        self._driver, self._member = driver, member

    @property
    def time(self) -> float:
        """The rank's virtual time."""
        self._driver.check()
        return self._member.now

    def _issue(self, call: Call, tensors: Sequence[Any]) -> Ticket:
        self._driver.check()
        return self._member.issue(call, tensors)

    def _wait(self, wait: Sleep | Poll | Lookup) -> None:
        self._driver.park(wait)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask something of the run that takes no time."""
        self._driver.check()
        return answer(self._member, method, arguments)


class ThreadDriver:
    """Executes a rank's code in a thread (a `simnet.ranks.member.Driver`).

    Parameters
    ----------
    number : int
        Which rank.
    body : callable
        ``body(seat)`` is what the rank executes.
    make_seat : callable
        ``make_seat(driver, member)`` makes what the code has of the run.
    on_turn : callable
        ``on_turn(number)`` is called each time before the rank goes on.
    watchdog : Watchdog
        Says when a rank that does not come back has stalled.
    """

    def __init__(
        self,
        number: int,
        body: Callable[[Seat], Any],
        make_seat: Callable[[ThreadDriver, Member], ThreadSeat],
        on_turn: Callable[[int], None],
        watchdog: Watchdog,
    ) -> None:
        self.stuck = False
        self._number, self._body, self._make_seat = number, body, make_seat
        self._on_turn, self._watchdog = on_turn, watchdog
        self._next: Wait | None = None
        self._ending = False
        self._parked = True
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread: threading.Thread | None = None

    # In the rank's thread

    def park(self, wait: Wait) -> None:
        """Let the others go on until the wait is over."""
        self.check()
        self._next = wait
        self._hand_back()
        self._go.acquire()
        self._parked = False
        self.check()

    def check(self) -> None:
        """End the rank's code if the run has ended without it."""
        if self._ending:
            raise EndedError

    def _hand_back(self) -> None:
        self._parked = True
        if self._back.locked():  # else an interrupted loop has not taken the last one yet
            self._back.release()

    def _main(self, member: Member) -> None:
        self._go.acquire()
        self._parked = False
        result, error = None, None
        seat = self._make_seat(self, member)
        enter(seat)
        try:
            if not self._ending:
                result = _metered(self._body, seat)
        except EndedError:
            pass
        except BaseException as raised:
            error = raised
        finally:
            enter(None)
            self._next = None
            member.end(result, error)
            self._hand_back()

    # In the loop's thread

    def go(self, member: Member) -> None:
        """Start the thread, the first time; it runs in `settle`."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=contextvars.copy_context().run,
                args=(self._main, member),
                name=f"simnet-rank-{self._number}",
                daemon=True,
            )
            self._thread.start()

    def settle(self, member: Member) -> Wait | None:
        """Let the thread run until it waits or ends."""
        self._on_turn(self._number)
        self._go.release()
        thread = self._thread
        assert thread is not None
        self._watchdog.follow(
            member, lambda seconds: self._back.acquire(timeout=seconds), thread.ident
        )
        return self._next

    def stop(self, member: Member) -> None:
        """Make the thread end wherever it is.

        It gets an exception from whatever it waits in. A thread that is stuck in code of its own
        is left alone, and `stuck`: whatever it asks of the run later only raises. An interrupt
        may have come at any point of a hand-over, so nothing is taken for granted of the locks.
        """
        self._ending = True
        if self._thread is None:
            return
        for _ in range(MAX_REFUSALS):
            if member.ended:
                self._thread.join(PATIENCE_S)
                break
            if self._parked and self._go.locked():
                self._on_turn(self._number)
                self._go.release()
            if not self._back.acquire(timeout=PATIENCE_S):
                break
        self.stuck = not member.ended

    def where(self, member: Member) -> str:
        """The line of the user's code that waits."""
        ident = self._thread.ident if self._thread is not None else None
        frame = sys._current_frames().get(ident) if ident is not None else None
        return user_line(frame) if frame is not None else ""


def _metered(body: Callable[[Seat], Any], seat: Seat) -> Any:
    """Run a rank's code, what it computes measured, and charged until its end."""
    meter: Meter | None = seat.meter
    if meter is None:
        return body(seat)
    meter.begin()
    try:
        meter.resume()
        result = body(seat)
        seat.now()
        return result
    finally:
        meter.pause()
        meter.end()
