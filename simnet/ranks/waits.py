"""What a rank can wait for."""

from __future__ import annotations

from typing import Literal, NamedTuple

from simnet.ranks.ticket import Ticket

Why = Literal["compute", "wait", "idle"]


class Sleep(NamedTuple):
    """Until a time, or until one of some tickets is over, whichever comes first.

    Attributes
    ----------
    tickets : tuple of Ticket
        Any of these ends the wait.
    until : float
        Absolute virtual seconds; infinity where only tickets end it.
    why : {"compute", "wait", "idle"}
        What the time counts as: computation, waiting for communication, or neither.
    duration : float
        Seconds of a computation or pause that begins here; NaN where none does.
    others : tuple of Ticket
        These end the wait too, for callbacks, though it is not for them.
    """

    tickets: tuple[Ticket, ...] = ()
    until: float = float("inf")
    why: Why = "wait"
    duration: float = float("nan")
    others: tuple[Ticket, ...] = ()


class Poll(NamedTuple):
    """A look at whether anything has happened: see `simnet.ranks.polls`."""

    interval: float


class Lookup(NamedTuple):
    """Until keys are in the run's store, or a time."""

    keys: tuple[str, ...]
    until: float = float("inf")


Wait = Sleep | Poll | Lookup
