"""What holds between two ranks on one channel: a route, a queue, a random stream."""

from __future__ import annotations

from collections import deque

import numpy as np

from simnet.engine.job import ListedJob
from simnet.network import Network
from simnet.transport import Round, Transport

JITTER_STREAM, LOSS_STREAM = 1, 2


class Connection:
    """First in, first out between a sender and a receiver on one channel.

    Its random draws come from a child stream of the seed named by (source, destination, channel),
    so they do not depend on what other connections carry.

    Parameters
    ----------
    net : Network
        Gives the route.
    src, dst, channel : int
        Global ranks and the channel's number.
    seed : int
        The run's seed.
    """

    def __init__(self, net: Network, src: int, dst: int, channel: int, seed: int) -> None:
        self.route = net.route(src, dst, channel)
        self.latency = net.route_latency(src, dst, channel)
        self.loss = net.route_loss(src, dst, channel)
        self._overhead = float(net.overhead[src])
        self._hops = net.links.latency[self.route]
        self._jitter = net.links.jitter[self.route]
        self._key = (seed, src, dst, channel & 0xFFFFFFFF)
        self._jitter_rng = self._stream(JITTER_STREAM) if self._jitter.any() else None
        self._loss_rng: np.random.Generator | None = None
        self._queue: deque[tuple[ListedJob, int]] = deque()
        self.started = 0

    def _stream(self, purpose: int) -> np.random.Generator:
        seed, src, dst, channel = self._key
        return np.random.default_rng(
            np.random.SeedSequence(seed, spawn_key=(purpose, src, dst, channel))
        )

    def delay(self) -> float:
        """Seconds from a message's start to its first byte's arrival: overhead, latency, jitter.

        Each link adds its own draw, uniform within ± its jitter; none goes below zero.
        """
        if self._jitter_rng is None:
            return self._overhead + self.latency
        draw = self._jitter_rng.uniform(-self._jitter, self._jitter)
        return self._overhead + float(np.maximum(self._hops + draw, 0.0).sum())

    def rounds(self, transport: Transport, size: int) -> tuple[Round, ...]:
        """The bursts that a message of `size` bytes needs here."""
        if transport.draws and self._loss_rng is None and self.loss > 0.0:
            self._loss_rng = self._stream(LOSS_STREAM)
        rounds = transport.rounds(size, latency=self.latency, loss=self.loss, rng=self._loss_rng)
        if not rounds:
            raise ValueError(f"transport {transport.name!r}: planned no round for {size} bytes")
        return rounds

    def push(self, job: ListedJob, transfer: int) -> None:
        """Queue a transfer that is ready."""
        self._queue.append((job, transfer))

    def pop(self) -> tuple[ListedJob, int] | None:
        """The next transfer that may start now, if there is one."""
        if not self._queue:
            return None
        limit = self._queue[0][0].program.in_flight
        if limit and self.started >= limit:
            return None
        return self._queue.popleft()
