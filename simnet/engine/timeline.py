"""What a tier above the event-driven kernel hands over: how one job goes, from its posting on.

A *tier* works out a job that has the network to itself and whose ranks' arrivals are all known,
more cheaply than event by event. It is a function of type `Tier`; where it cannot (something is
shared in a way that it does not see, a symmetry does not hold) it returns None and the next one
is asked. Its times are those of the event-driven kernel, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from simnet.engine.program import FloatArray, IntArray, Program
from simnet.network import Network


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """How a job goes if nothing else comes to the network until it is over.

    Attributes
    ----------
    tier : str
        Name of what worked it out: "symmetry" or "max-plus".
    left : (P,) array of float
        When the rank at each place of the program leaves, absolute seconds.
    link_bytes : (L,) array of int
        Bytes that each link of the network has carried when all is over.
    times : callable
        Returns the start and the end of every transfer, absolute seconds, two arrays of shape
        (n,) in the program's order, joins included. It is called only when somebody asks, so
        that nothing of the size of the program need be kept or even made.
    """

    tier: str
    left: FloatArray
    link_bytes: IntArray
    times: Callable[[], tuple[FloatArray, FloatArray]] = field(repr=False)


class Tier(Protocol):
    """Works out a whole job at once, or declines."""

    def __call__(
        self, net: Network, program: Program, posted: float, arrivals: FloatArray
    ) -> Timeline | None:
        """Work out a job.

        Parameters
        ----------
        net : Network
            It is at rest, and nothing in it is drawn for a single message: no jitter, no loss
            that draws, and a transport that plans one round of the message's own size.
        program : Program
            Not expanded yet where it comes from a schedule: `Program.blocks` streams it.
        posted : float
            When it was posted, absolute seconds: `Program.releases` count from here.
        arrivals : (P,) array of float
            When the rank at each place of the program arrives, absolute seconds, not before
            `posted`.

        Returns
        -------
        Timeline or None
            None where this tier cannot tell; it must not guess.
        """
