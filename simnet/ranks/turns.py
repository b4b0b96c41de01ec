"""Whose turn it is: of the ranks that are ready at one instant, the lowest first."""

from __future__ import annotations

from typing import Protocol

import simpy

from simnet.engine import Clock


class Player(Protocol):
    """A rank, as far as turns go."""

    @property
    def number(self) -> int:
        """Which rank."""

    @property
    def error(self) -> BaseException | None:
        """What its code has raised."""

    def go(self) -> None:
        """Let its code go on; it need not have stopped when this returns."""

    def settle(self) -> bool:
        """Let it run until it waits; returns whether it has ended instead."""


class Turns:
    """Lets ranks run that are ready at the same instant.

    All are told to go on, lowest first, then each is followed until it waits, lowest first:
    ranks that are processes run side by side meanwhile, threads one after the other, and what
    they ask for is taken up in the same order either way.

    Parameters
    ----------
    clock : Clock
        The run's clock.

    Attributes
    ----------
    ended : list of Player
        The ranks that have ended, in that order; after an error no rank is followed any more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: list[Player] = []
        self.ended: list[Player] = []

    def ask(self, player: Player) -> None:
        """Let a rank go on at this instant."""
        if not self._ready:
            # Behind all that is due already, so that every rank ready now is compared.
            self._clock.at(self._clock.now).callbacks.append(self._grant)
        self._ready.append(player)

    def _grant(self, _: simpy.Event) -> None:
        ready, self._ready = sorted(self._ready, key=lambda each: each.number), []
        for player in ready:
            player.go()
        for player in ready:
            if player.settle():
                self.ended.append(player)
                if player.error is not None:
                    return
