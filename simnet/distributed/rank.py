"""A rank's place on the virtual clock; imports no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import simpy

from simnet.engine import Clock
from simnet.units import parse_time

_THREAD = threading.local()


class Rank(Protocol):
    """A rank of a run, as the code that it executes sees it.

    Attributes
    ----------
    number : int
        Which rank it is.
    clock : Clock
        The run's clock; it shows the rank's own time whenever the rank is running.
    """

    @property
    def number(self) -> int:
        """Which rank it is."""

    @property
    def clock(self) -> Clock:
        """The run's clock."""

    def wait(self, event: simpy.Event, describe: Callable[[], str]) -> Any:
        """Let the others go on until the event has happened; returns its value.

        `describe` says in words what the rank waits for, should that never come.
        """


def current() -> Rank | None:
    """The rank whose code this is; None outside."""
    rank: Rank | None = getattr(_THREAD, "rank", None)
    return rank


def enter(rank: Rank | None) -> None:
    """Make the calling thread a rank's, or no rank's any more."""
    _THREAD.rank = rank


def now() -> float:
    """The calling rank's virtual time.

    Returns
    -------
    float
        Seconds since the start of the run.

    Raises
    ------
    RuntimeError
        Outside a rank, where there is no virtual time.
    """
    rank = current()
    if rank is None:
        raise RuntimeError("simnet.now(): there is a virtual time only inside a rank of simnet.run")
    return float(rank.clock.now)


def compute(duration: float | str) -> None:
    """Charge computation to the calling rank: its virtual clock moves on by so much.

    Outside a rank nothing happens, so that a program also runs without simnet's network.

    Parameters
    ----------
    duration : float or str
        Seconds, or text such as "20ms".

    Raises
    ------
    ValueError, TypeError
        If it is no time, or negative; outside a rank too.
    """
    seconds = parse_time(duration)
    rank = current()
    if rank is not None and seconds > 0:
        clock = rank.clock
        rank.wait(clock.at(clock.now + seconds), lambda: "computes")
