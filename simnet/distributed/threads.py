"""Ranks as threads that take turns: exactly one runs at a time, in virtual-time order.

The loop runs in the caller's thread. It hands a rank's thread the right to run and gets it back
when the thread waits for something on the clock, or ends.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from simnet.distributed.home import Home
from simnet.distributed.watchdog import Watchdog
from simnet.ranks.call import Call
from simnet.ranks.errors import EndedError
from simnet.ranks.member import Member
from simnet.ranks.requests import answer
from simnet.ranks.seat import Seat, enter
from simnet.ranks.ticket import Ticket
from simnet.ranks.waits import Lookup, Poll, Sleep, Wait
from simnet.ranks.where import user_line

GRACE_S = 0.4  # wall time for a thread to hear that it is to end, until it is interrupted
LOOK_EVERY_S = 0.02
BREATH_S = 0.0005
MAX_REFUSALS = 100  # how often such a thread may go on to call something else


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

    def close(self) -> None:
        """Let whatever its code calls only raise."""
        self._driver.disown()

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
    home : Home
        Where it wakes.
    """

    def __init__(
        self,
        number: int,
        body: Callable[[Seat], Any],
        make_seat: Callable[[ThreadDriver, Member], ThreadSeat],
        on_turn: Callable[[int], None],
        watchdog: Watchdog,
        home: Home,
    ) -> None:
        self._number, self._body, self._make_seat = number, body, make_seat
        self._on_turn, self._watchdog, self._home = on_turn, watchdog, home
        self._next: Wait | None = None
        self._wakes = home.everywhere
        self._ending = self._is_fork = False
        self._refusals = 0
        self._parked = True
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        # Not Thread.join: an interrupt in it makes Python believe that the thread has ended.
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    # In the rank's thread

    def park(self, wait: Wait) -> None:
        """Let the others go on until the wait is over."""
        self.check()
        self._next = wait
        self._wakes = self._home.come()
        self._hand_back()
        self._go.acquire()
        self._home.leave()
        self._parked = False
        self.check()

    def check(self) -> None:
        """End the rank's code if the run has ended without it; in the end, by not coming back."""
        if self._ending:
            self._refusals += 1
            if self._refusals > MAX_REFUSALS and not self._is_fork:
                threading.Event().wait()
            raise EndedError

    def disown(self) -> None:
        """This is a process that the rank has forked: what it calls only raises."""
        self._ending = self._is_fork = True

    def _hand_back(self) -> None:
        self._parked = True
        if self._back.locked():  # else an interrupted loop has not taken the last one yet
            self._back.release()

    def _live(self, member: Member) -> None:
        try:
            with contextlib.suppress(EndedError):  # which may come anywhere
                self._main(member)
        finally:
            self._left.set()

    def _main(self, member: Member) -> None:
        self._go.acquire()
        self._home.leave()
        self._parked = False
        result, error = None, None
        try:
            seat = self._make_seat(self, member)
            enter(seat)
            if not self._ending:
                with seat.at_work():
                    result = self._body(seat)
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
                args=(self._live, member),
                name=f"simnet-rank-{self._number}",
                daemon=True,
            )
            self._thread.start()

    def settle(self, member: Member) -> Wait | None:
        """Let the thread run until it waits or ends."""
        self._on_turn(self._number)
        thread = self._thread
        assert thread is not None
        self._home.choose()
        self._home.call(thread.native_id or 0, self._wakes)
        self._go.release()
        task = f"{os.getpid()}/task/{thread.native_id}"
        self._watchdog.follow(member, lambda seconds: self._back.acquire(timeout=seconds), task)
        return self._next

    def stop(self, member: Member, until: float) -> str:
        """Make the thread end wherever it is; returns in words what is left of it.

        It gets an exception from whatever it waits in, and after a moment wherever it is. A thread
        that is stuck outside of Python all the same is left alone: whatever it asks of the run
        later only raises. An interrupt may have come at any point of a hand-over, so nothing is
        taken for granted of the locks.
        """
        self._ending = True
        thread = self._thread
        if thread is None:
            return ""
        begin, interrupted = time.monotonic(), False
        while True:
            if self._parked and self._go.locked():
                self._on_turn(self._number)
                self._go.release()
            if self._left.wait(LOOK_EVERY_S):
                while thread.is_alive():  # not join, which an interrupt may leave in disorder
                    time.sleep(BREATH_S)
                return ""
            now = time.monotonic()
            if not (interrupted or member.ended or self._refusals) and now > begin + GRACE_S:
                interrupted = True
                _interrupt(thread)
            if now > until:
                _interrupt(thread)
                return (
                    f"the thread of rank {member.number} is stuck{_at(self.where(member))} and is "
                    "left behind: what it calls from now on only raises"
                )

    def where(self, member: Member) -> str:
        """The line of the user's code that waits."""
        ident = self._thread.ident if self._thread is not None else None
        frame = sys._current_frames().get(ident) if ident is not None else None
        return user_line(frame) if frame is not None else ""


def _interrupt(thread: threading.Thread) -> None:
    """Raise an exception in a thread that executes Python code, or comes back to it."""
    assert thread.ident is not None
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(EndedError))


def _at(where: str) -> str:
    return f" at {where}" if where else ""
