"""Threads that take turns wake on one processor.

Of ranks that are threads one runs at a time. Where the system wakes the next on an idle processor
instead of the present one, each hand-over costs a signal between the two and cold caches: measured
on two cores, 26 µs in place of 8, and as much again in what the ranks do. So the loop stays on one
processor, and whoever waits for a turn may only wake there; while it runs it may be anywhere.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

MOVE_EVERY_S = 0.1
"""How often the loop lets the system choose another processor, in case this one is taken."""


class Home:
    """The processor on which the threads of one run wake.

    Does nothing where the system has no such call, or the process has one processor only.
    """

    def __init__(self) -> None:
        present = _present_processor()
        self._everywhere = _allowed()
        self._is_of_use = present is not None and len(self._everywhere) > 1
        self._present = present or int
        self._here = self._everywhere
        self._until = 0.0

    def choose(self) -> None:
        """Called by the loop before it hands over: stay, or now and then be moved."""
        if not self._is_of_use:
            return
        now = time.monotonic()
        if now < self._until:
            return
        if self._here is self._everywhere:
            self._here, self._until = frozenset((self._present(),)), now + MOVE_EVERY_S
        else:
            self._here = self._everywhere
        _allow(self._here)

    def come(self) -> None:
        """Called by a rank before it waits for its turn: wake at home, if it is there now.

        To be moved there at once would take longer than to wake elsewhere.
        """
        if self._is_of_use and self._present() in self._here:
            _allow(self._here)

    def leave(self) -> None:
        """Called by a rank when it goes on: run anywhere."""
        if self._is_of_use:
            _allow(self._everywhere)


def _present_processor() -> Callable[[], int] | None:
    """What tells the processor of the calling thread; None where nothing does."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    # With Python's lock held: the call takes less time than giving that up.
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


def _allowed() -> frozenset[int]:
    """The processors on which the calling thread may run."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


def _allow(processors: frozenset[int]) -> None:
    """Let the calling thread run on some processors only; who is forbidden to say so, does not."""
    try:
        os.sched_setaffinity(0, processors)
    except OSError:
        return
