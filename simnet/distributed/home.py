"""Threads that take turns wake on one processor.

Of ranks that are threads one runs at a time. Where the system wakes the next on an idle processor
instead of the present one, each hand-over costs a signal between the two and cold caches: measured
on two cores, 26 µs in place of 8, and as much again in what the ranks do. So the loop stays on one
processor, and whoever waits for a turn wakes there; while it runs it may be anywhere.

Nor may the woken push its waker aside, as the system lets a thread do that has slept: it would
find that the waker still holds Python's lock, and sleep again. Measured, 2.6 switches a call in
place of 8.2.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Processors = frozenset[int]
MOVE_EVERY_S = 0.1
"""How often the loop lets the system choose another processor, in case this one is taken."""


class Home:
    """The processor on which the threads of one run wake.

    Does nothing where the system has no such call, or the process has one processor only.

    Attributes
    ----------
    everywhere : frozenset of int
        Where the thread that made this may run.
    """

    def __init__(self) -> None:
        self._present = _present_processor()
        self.everywhere = _allowed()
        self._is_of_use = len(self.everywhere) > 1
        self._here = self.everywhere
        self._until = 0.0

    def choose(self) -> None:
        """Called by the loop before it hands over: stay, or now and then be moved."""
        if not self._is_of_use:
            return
        now = time.monotonic()
        if now < self._until:
            return
        if self._here is self.everywhere:
            self._here, self._until = frozenset((self._present(),)), now + MOVE_EVERY_S
        else:
            self._here = self.everywhere
        _allow(self._here)

    def come(self) -> Processors:
        """Called by a rank before it waits for its turn: wake at home, if it is there now.

        Returns where it will wake. To be moved home at once would take long.
        """
        if self._is_of_use and self._present() in self._here:
            _allow(self._here)
            return self._here
        return self.everywhere

    def call(self, thread: int, wakes: Processors) -> None:
        """Called by the loop before it wakes a rank, which sleeps: let it wake at home.

        Parameters
        ----------
        thread : int
            The system's number of its thread.
        wakes : frozenset of int
            What `come` returned.
        """
        if wakes is not self._here:
            _allow(self._here, thread)

    def leave(self) -> None:
        """Called by a rank when it goes on: run anywhere."""
        if self._is_of_use:
            _allow(self.everywhere)


@contextmanager
def polite() -> Iterator[None]:
    """Let this thread, and those that it starts, not push aside who wakes them."""
    if not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    _schedule(os.SCHED_BATCH)
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER)


def _schedule(policy: int) -> None:
    with suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))


def _present_processor() -> Callable[[], int]:
    """What tells the processor of the calling thread; -1 where nothing does."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: -1
    # With Python's lock held: the call takes less time than giving that up.
    return getattr(ctypes.PyDLL(None), "sched_getcpu", lambda: -1)


def _allowed() -> Processors:
    """The processors on which the calling thread may run; none where nothing tells."""
    if not hasattr(os, "sched_getaffinity") or _present_processor()() < 0:
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


def _allow(processors: Processors, thread: int = 0) -> None:
    """Let a thread (or this one) run on some processors only, if the system lets us say so."""
    try:  # noqa: SIM105 (suppress takes as long as the call)
        os.sched_setaffinity(thread, processors)
    except OSError:
        pass
