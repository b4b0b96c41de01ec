"""What a program may ask of simnet inside a rank: its time, and to charge time."""

from __future__ import annotations

from simnet.ranks.seat import current
from simnet.units import parse_time


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
    seat = current()
    if seat is None:
        raise RuntimeError("simnet.now(): there is a virtual time only inside a rank of simnet.run")
    return seat.now()


def charge(duration: float | str) -> None:
    """Charge computation to the calling rank; nothing happens outside one.

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
    seat = current()
    if seat is not None and seconds > 0:
        seat.spend(seconds)


def step() -> None:
    """Say that a training step is over: for compute models, and for the step rate shown.

    An optimizer's step counts by itself unless the program calls this. Outside a rank nothing
    happens.
    """
    seat = current()
    if seat is not None:
        seat.step()
