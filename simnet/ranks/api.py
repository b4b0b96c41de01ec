"""What a program may ask of simnet inside a rank: its time, to charge time, to mark phases."""

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


def phase(name: str) -> None:
    """Say that what the calling rank does from now on belongs to a phase, such as "round 3".

    The trace holds it as an entry of action "phase", so that a replay tells when each phase began
    on another network. It takes no virtual time. Outside a rank nothing happens.

    Parameters
    ----------
    name : str
        The phase's name.

    Raises
    ------
    TypeError
        If the name is no text; outside a rank too.
    """
    if not isinstance(name, str):
        raise TypeError(f"phase({name!r}): a text")
    seat = current()
    if seat is not None:
        with seat.away():
            seat.ask("phase", name)
