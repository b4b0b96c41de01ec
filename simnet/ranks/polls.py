"""Ranks that look whether something has happened, again and again.

A look lets every earlier event happen first and costs an interval of virtual time. A rank that
only looks jumps: it goes on at its first look after the next event on the clock, for the looks
between could have seen nothing. Looks are counted from the first of a row, so that the instants
of a row are the same however many of them are jumped over.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import simpy

from simnet.engine import OVER, Clock


class Row:
    """Looks of one rank with nothing else between them."""

    __slots__ = ("begin", "count", "event", "interval")

    def __init__(self, begin: float, interval: float) -> None:
        self.begin, self.interval = begin, interval
        self.count = 1
        self.event: simpy.Event | None = None

    def instant(self, count: int) -> float:
        """When look number `count` sees, seconds."""
        return self.begin + count * self.interval

    def first_from(self, time: float) -> int:
        """The number of the first look that is not before a time."""
        count = math.ceil((time - self.begin) / self.interval)
        while self.instant(count) < time:
            count += 1
        while self.instant(count - 1) >= time:
            count -= 1
        return count


class Polls:
    """The ranks that look, and when they look next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[int, Row] = {}
        self._asked: list[Row] = []
        self._aimed: list[Row] = []

    def moved(self, rank: int) -> None:
        """The rank has done something else: its row of looks is over."""
        self._rows.pop(rank, None)

    def ask(self, rank: int, interval: float) -> simpy.Event:
        """An event for the rank's next look."""
        row = self._rows.get(rank)
        if row is None or row.interval != interval:
            row = self._rows[rank] = Row(float(self._clock.now), interval)
            # Last of its instant: all that happens then is seen.
            return self._clock.at(row.instant(1), priority=OVER)
        row.event = self._clock.event()
        self._asked.append(row)
        return row.event

    def place(self) -> None:
        """Put on the clock the looks that come before every other event there.

        To be called when nothing is left to do at the present instant. Looks are kept off the
        clock until then, so that ranks that only look do not take each other's looks for events.
        """
        if not self._asked and not self._aimed:
            return
        ahead = float(self._clock.peek())
        if ahead < float("inf"):
            for row in self._asked:
                row.count = max(row.count + 1, row.first_from(ahead))
            self._aimed += self._asked
            self._asked = []
        due = min((row.instant(row.count) for row in self._aimed), default=float("inf"))
        if due <= ahead:
            for row in [row for row in self._aimed if row.instant(row.count) == due]:
                self._aimed.remove(row)
                assert row.event is not None
                self._clock.at(due, priority=OVER).callbacks.append(_triggering(row.event))


def _triggering(event: simpy.Event) -> Callable[[simpy.Event], None]:
    def trigger(_: simpy.Event) -> None:
        event.succeed()

    return trigger
