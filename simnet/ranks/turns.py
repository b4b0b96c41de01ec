"""Whose turn it is: of the ranks that are ready at one instant, the lowest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import simpy

from simnet.engine import Clock

Halves = tuple[Callable[[], None], Callable[[], Any]]


class Turns:
    """Lets ranks run that are ready at the same instant.

    All are told to go on, lowest first, then each is followed until it waits, lowest first:
    ranks that are processes run side by side meanwhile, threads one after the other, and what
    they ask for is taken up in the same order either way.

    Parameters
    ----------
    clock : Clock
        The run's clock.
    is_over : callable
        Asked when a rank has ended: whether the others are not to be followed any more.
    """

    def __init__(self, clock: Clock, is_over: Callable[[], bool] = bool) -> None:
        self._clock, self._is_over = clock, is_over
        self._ready: list[tuple[int, simpy.Event, Halves]] = []

    def ask(self, number: int, halves: Callable[[], Halves]) -> simpy.Event:
        """An event whose value is what the rank waits for next.

        Parameters
        ----------
        number : int
            The rank.
        halves : callable
            Returns two functions: one lets the rank go on, the other returns its next wait.
        """
        turn = self._clock.event()
        if not self._ready:
            # Behind all that is due already, so that every rank ready now is compared.
            self._clock.at(self._clock.now).callbacks.append(self._grant)
        heapq.heappush(self._ready, (number, turn, halves()))
        return turn

    def _grant(self, _: simpy.Event) -> None:
        ready, self._ready = sorted(self._ready, key=lambda each: each[0]), []
        for _number, _turn, (go, _settle) in ready:
            go()
        for _number, turn, (_go, settle) in ready:
            wait = settle()
            turn.succeed(wait)
            if wait is None and self._is_over():
                return
