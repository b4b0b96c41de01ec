"""Selective retransmission under independent packet loss, at a cost that does not grow with n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simnet.transport.base import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Retransmit:
    """All packets go out; one RTO after a round's last packet the lost ones are sent again.

    Each packet is lost independently with the route's probability, so the number of packets of
    the next round is binomial: thinning a count round by round is exact jointly in the number
    of rounds and of retransmitted packets, whatever the message's size.

    The retransmission timer starts when the last packet of a round leaves the sender. Both that
    packet and the first retransmitted one take one latency, so at the receiver the next round
    begins exactly one RTO after the last one ended.

    Parameters
    ----------
    packet_bytes : int
        Bytes of a full packet; the last one of a message may be shorter. There are no headers.
    min_rto : float
        The least retransmission timeout, seconds; the timeout is max(min_rto, 2 RTT) with
        RTT = 2 × one-way latency. 200 ms is Linux' TCP_RTO_MIN; RFC 6298 recommends 1 s.
    name : str
        How results call it.
    draws : bool
        Always True.
    """

    packet_bytes: int = 1500
    min_rto: float = 0.2
    name: str = "retransmit"
    draws: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes and times that mean nothing."""
        if self.packet_bytes < 1:
            raise ValueError(f"packet_bytes={self.packet_bytes}: at least 1 byte")
        if not 0 <= self.min_rto < float("inf"):
            raise ValueError(f"min_rto={self.min_rto}: seconds, zero or more")

    def rto(self, latency: float) -> float:
        """The retransmission timeout on a route of this one-way latency, seconds."""
        return max(self.min_rto, 4.0 * latency)

    def rounds(
        self, size: int, *, latency: float, loss: float, rng: np.random.Generator | None
    ) -> tuple[Round, ...]:
        """The message, then one round for each time that packets of it were lost.

        A message of no bytes is one packet of no bytes, which can be lost like any other. The
        short last packet is drawn on its own, so the bytes of every round are exact.
        """
        rounds = [Round(0.0, size)]
        if loss <= 0.0:
            return tuple(rounds)
        if rng is None:
            raise ValueError("retransmit on a lossy route needs a random stream, got rng=None")
        full, tail_bytes = divmod(size, self.packet_bytes)
        tail = 1 if tail_bytes or not size else 0
        wait = self.rto(latency)
        while True:
            full = int(rng.binomial(full, loss)) if full else 0
            tail = int(rng.random() < loss) if tail else 0
            if not full and not tail:
                return tuple(rounds)
            rounds.append(Round(wait, full * self.packet_bytes + tail * tail_bytes))
