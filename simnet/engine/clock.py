"""The virtual clock: SimPy's event loop with absolute times."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import simpy
from simpy.events import NORMAL, Event, EventPriority

LAST = EventPriority(NORMAL + 1)
"""Behind all that the outside does at an instant: the network's own part of it."""
OVER = EventPriority(NORMAL + 2)
"""Behind even that: the end of the instant."""


class Clock(simpy.Environment):
    """A SimPy environment that starts at 0 and can wake at an absolute time.

    ``env.timeout(delay)`` adds the delay to the present time; `at` takes the instant itself, so
    that a time computed elsewhere is reached to the bit and never summed up step by step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._elsewhere: list[Callable[[], float]] = []

    def heed(self, earliest: Callable[[], float]) -> None:
        """Heed instants that are not on the clock yet but will be.

        Parameters
        ----------
        earliest : callable
            Returns the earliest instant, seconds, at which its owner may act of itself.
        """
        self._elsewhere.append(earliest)

    def horizon(self) -> float:
        """The earliest instant at which anything but the present event can happen, seconds."""
        return min([float(self.peek()), *(earliest() for earliest in self._elsewhere)])

    def at(self, time: float, value: Any = None, *, priority: EventPriority = NORMAL) -> Event:
        """An event that triggers at `time`.

        Parameters
        ----------
        time : float
            Absolute virtual time, seconds; not before now.
        value : object
            What a process that waits for the event receives.
        priority : EventPriority
            Order within one instant; `LAST` comes after everything else of that instant.

        Raises
        ------
        ValueError
            If the time has passed: the clock never goes back.
        """
        if not time >= self._now:
            raise ValueError(f"time={time} s has passed: it is {self._now} s")
        event = Event(self)
        event._ok = True
        event._value = value
        heapq.heappush(self._queue, (time, priority, next(self._eid), event))
        return event

    def cancel(self, event: Event) -> None:
        """Take off the clock what nobody waits for any more, if it has not come yet."""
        if event.callbacks is not None:
            self._queue[:] = [each for each in self._queue if each[-1] is not event]
            heapq.heapify(self._queue)

    def step(self) -> None:
        """Carry out the next event; what a process raises comes out as it is.

        SimPy alone would rebuild it from its arguments, which fails where they are not those of
        its class.
        """
        event = self._queue[0][-1] if self._queue else None
        try:
            super().step()
        except Exception as error:
            if event is None or event._ok or hasattr(event, "_defused"):
                raise
            raised: BaseException = event._value
            if raised is error:
                raise
        else:
            return
        raise raised  # out here, where nothing becomes its cause or context
