"""Ranks that look whether something has happened, again and again.

A look lets every earlier event happen first and costs an interval of virtual time. A rank that
only looks jumps: it goes on at its first look after the next event on the clock, for the looks
between could have seen nothing. Looks are counted from the first of a row, so that the instants
of a row are the same however many of them are jumped over. Where no event is left, looks are
made one by one: a program may leave its row after some of them, but not after any number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection

import simpy

from simnet.engine import OVER, Clock

IDLE_LOOKS = 1_000
"""Looks of one row that are made though nothing is left that they could see."""
LONE_LOOKS = 10_000
"""Looks of a rank, with or without spans between, in which nothing else happens, before it is
asked whether anything still can."""


class Row:
    """Looks of one rank with nothing else between them."""

    __slots__ = ("begin", "count", "event", "idle", "interval")

    def __init__(self, begin: float, interval: float) -> None:
        self.begin, self.interval = begin, interval
        self.count, self.idle = 1, 0
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
        self._looks: Counter[int] = Counter()  # of each rank, since anything else happened
        self._writes = 0
        self._is_due = False

    def moved(self, rank: int) -> None:
        """The rank has done something else: its row of looks is over."""
        self._rows.pop(rank, None)

    def happened(self, _: object = None) -> None:
        """Something has happened that is neither a look nor a span."""
        self._looks.clear()
        self._is_due = False

    def wrote(self, writes: int) -> None:
        """So many writes to the run's store there have been."""
        if writes != self._writes:
            self._writes = writes
            self.happened()

    def is_vain(self, busy: Callable[[], Collection[int]]) -> bool:
        """Whether ranks look and compute for ever, and nothing that they look for can come.

        To be called after `place`, when nothing is left to do at the present instant.

        Parameters
        ----------
        busy : callable
            Returns the ranks that look or wait for a time; asked rarely.
        """
        if not self._is_due:
            return False
        self._is_due = False
        ranks = busy()
        own = len(ranks) - len(self._asked) - len(self._aimed)
        if len(self._clock._queue) > own:  # of the network, say
            self.happened()
            return False
        return all(self._looks[rank] >= LONE_LOOKS for rank in ranks)

    def ask(self, rank: int, interval: float) -> simpy.Event:
        """An event for the rank's next look."""
        self._looks[rank] += 1
        self._is_due |= self._looks[rank] % LONE_LOOKS == 0
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
                row.count, row.idle = max(row.count + 1, row.first_from(ahead)), 0
            self._aimed += self._asked
            self._asked = []
        elif not self._aimed:
            self._aim_idly()
        due = min((row.instant(row.count) for row in self._aimed), default=float("inf"))
        if due <= ahead:
            for row in [row for row in self._aimed if row.instant(row.count) == due]:
                self._aimed.remove(row)
                assert row.event is not None
                self._clock.at(due, priority=OVER).callbacks.append(_triggering(row.event))

    def _aim_idly(self) -> None:
        """Nothing is left but looks: let the earliest come, of the rows that may look on."""
        rows = [row for row in self._asked if row.idle < IDLE_LOOKS]
        counts = [max(row.count + 1, row.first_from(self._clock.now)) for row in rows]
        instants = [row.instant(count) for row, count in zip(rows, counts, strict=True)]
        due = min(instants, default=float("inf"))
        for row, count, instant in zip(rows, counts, instants, strict=True):
            if instant == due:
                row.count, row.idle = count, row.idle + 1
                self._asked.remove(row)
                self._aimed.append(row)


def _triggering(event: simpy.Event) -> Callable[[simpy.Event], None]:
    def trigger(_: simpy.Event) -> None:
        event.succeed()

    return trigger
