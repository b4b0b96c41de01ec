"""The contract of a transport, and the ideal one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Round(NamedTuple):
    """A burst of one message: wait so long after the last burst has drained, then send.

    Attributes
    ----------
    wait : float
        Seconds between the end of the round before (0 for the first) and this one's first byte.
    size : int
        Bytes put on the wire.
    """

    wait: float
    size: int


@runtime_checkable
class Transport(Protocol):
    """What a network model asks of a transport."""

    @property
    def name(self) -> str:
        """How results call it."""

    @property
    def draws(self) -> bool:
        """Whether `rounds` needs a random generator (symmetric ranks then differ)."""

    def rounds(
        self, size: int, *, latency: float, loss: float, rng: np.random.Generator | None
    ) -> tuple[Round, ...]:
        """Plan the bursts of one message of `size` bytes.

        Parameters
        ----------
        size : int
            Payload, bytes.
        latency : float
            One-way latency of the route, seconds.
        loss : float
            Probability that one packet is lost somewhere on the route.
        rng : numpy.random.Generator or None
            The stream of this connection; never None where `draws` and `loss` > 0.
        """


@dataclass(frozen=True, slots=True)
class Ideal:
    """Every byte arrives at the first try and nothing but payload crosses the wire."""

    name: str = "ideal"
    draws: bool = False

    def rounds(
        self, size: int, *, latency: float, loss: float, rng: np.random.Generator | None
    ) -> tuple[Round, ...]:
        """One round: the message itself."""
        return (Round(0.0, size),)


def choose_transport(transport: str | Transport | None, *, lossy: bool) -> Transport:
    """Turn what the user wrote into a transport.

    None is ideal where nothing is lost and `retransmit` where any link has loss. ``"ideal"`` on
    a lossy network warns, because its loss is then ignored.

    Raises
    ------
    ValueError
        For a name that is not built.
    TypeError
        For an object without ``rounds``.
    """
    from simnet.transport.retransmit import Retransmit

    if transport is None:
        return Retransmit() if lossy else Ideal()
    if isinstance(transport, str):
        if transport == "retransmit":
            return Retransmit()
        if transport == "ideal":
            if lossy:
                warnings.warn(
                    "transport='ideal' on a network with loss: the loss is ignored; "
                    "'retransmit' pays for it",
                    stacklevel=3,
                )
            return Ideal()
        raise ValueError(
            f"transport={transport!r}: not known; write 'ideal', 'retransmit' or pass an object"
        )
    if isinstance(transport, type) or not isinstance(transport, Transport):
        raise TypeError(
            f"transport={transport!r}: a transport has 'name', 'draws' and 'rounds(size, ...)'"
        )
    return transport
