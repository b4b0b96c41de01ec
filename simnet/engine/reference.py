"""The fluid model, readable: this module and those it calls define what a virtual time is.

A transfer starts when all it depends on has ended, its sender and its receiver have arrived and
its connection is free. It pays the sender's overhead and its route's latency, then shares the
links max-min fairly with every other transfer until its bytes have drained; each further round
of its transport follows after a wait. A transfer that reduces then passes the receiver's local
reduction, a resource shared like a link. All that happens at one instant is one batch.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.engine.connection import Connection
from simnet.engine.fabric import Departure, Observer
from simnet.engine.flow_table import FlowTable
from simnet.engine.job import Job, ListedJob
from simnet.engine.program import MOST_BYTES, Program
from simnet.network import Network
from simnet.transport import Round, Transport


@dataclass(slots=True)
class Leg:
    """A started transfer: which of its rounds is on the wire."""

    job: ListedJob
    transfer: int
    connection: Connection
    rounds: tuple[Round, ...]
    round: int = 0
    reducing: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A rank enters a job."""

    job: ListedJob
    rank: int


@dataclass(frozen=True, slots=True)
class Release:
    """A transfer's own start time has come."""

    job: ListedJob
    transfer: int


class FluidModel:
    """The reference network model: `simnet.engine.fabric.NetworkModel` in plain Python.

    Parameters
    ----------
    net : Network
        The network; nothing in it changes.
    transport : Transport
        What a message pays beyond its share.
    seed : int
        Root of the random streams of jitter and loss.
    observer : Observer, optional
        Told of starts, ends and rates.

    """

    name = "reference"

    def __init__(
        self, net: Network, transport: Transport, seed: int, observer: Observer | None = None
    ) -> None:
        self._net, self._transport, self._seed = net, transport, seed
        self._observer = observer
        reducers = net.reduce_bandwidth
        self._reducer = net.num_links + np.arange(net.num_ranks)
        self._reduces = np.isfinite(reducers).tolist()
        self._table = FlowTable(np.concatenate([net.links.bandwidth, reducers]))
        self._legs: dict[int, Leg] = {}
        self._agenda: list[tuple[float, int, Arrival | Release | Leg]] = []
        self._entries = 0
        self._jobs = self._bytes = 0
        self._connections: dict[tuple[int, int, int], Connection] = {}
        self._ready: list[tuple[ListedJob, int]] = []
        self._freed: list[Connection] = []
        self._departures: list[Departure] = []
        self._link_bytes = np.zeros(net.num_links, dtype=np.int64)

    # What the outside calls

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work; nothing of it moves before its ranks arrive."""
        self._bytes += sum(program.size)
        if self._bytes > MOST_BYTES:
            raise ValueError("the program brings the model's bytes over 2^62")
        job = ListedJob(program, self._jobs, order)
        self._jobs += 1
        for transfer, after in enumerate(program.release):
            self._note(time + after, Release(job, transfer))
        return job

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""
        assert isinstance(job, ListedJob)
        self._note(time, Arrival(job, rank))

    def arrive_all(self, job: Job, times: NDArray[np.float64]) -> None:
        """Let all ranks of a job enter, each at its own instant."""
        for rank, time in zip(job.program.ranks, times.tolist(), strict=True):
            self.arrive(job, rank, time)

    def carried(self, time: float) -> NDArray[np.int64]:
        """Bytes that each link has carried by `time`, retransmissions included."""
        carried = self._link_bytes.copy()
        for slot, leg in self._legs.items():
            if not leg.reducing:
                size = leg.rounds[leg.round].size
                carried[leg.connection.route] += math.floor(
                    size - self._table.left(slot, time) + 0.5
                )
        return carried

    def next_time(self) -> float:
        """The next instant at which anything happens here, seconds; infinity for none."""
        planned = self._agenda[0][0] if self._agenda else float("inf")
        return min(planned, self._table.next_finish())

    def advance(self, time: float) -> Sequence[Departure]:
        """Carry out everything that happens at the instant `next_time()`, as one batch."""
        self._departures = []
        while self._carry_out(time):
            self._launch(time)
        shared = self._table.settle(time)
        if shared and self._observer is not None:
            self._observer.on_rates(time, self._table.link_rates()[: self._net.num_links])
        return self._departures

    # One instant

    def _note(self, time: float, what: Arrival | Release | Leg) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (time, self._entries, what))

    def _carry_out(self, time: float) -> bool:
        """Handle what is due; returns whether there was anything."""
        finished = self._table.pop_finished(time)
        for slot in finished:
            self._table.release(slot)
            self._drained(self._legs.pop(slot), time)
        due = bool(finished)
        while self._agenda and self._agenda[0][0] <= time:
            due = True
            what = heapq.heappop(self._agenda)[2]
            if isinstance(what, Leg):
                self._enter(what, time)
            elif isinstance(what, Release):
                self._make_ready(what.job, what.job.release(what.transfer))
            else:
                self._make_ready(what.job, what.job.arrive(what.rank))
                self._leave(what.job, what.rank, time)
        return due

    def _make_ready(self, job: ListedJob, transfers: list[int]) -> None:
        self._ready.extend((job, transfer) for transfer in transfers)

    def _launch(self, time: float) -> None:
        """Queue what has become ready and start what its connection lets through."""
        while self._ready:
            ready, self._ready = self._ready, []
            ready.sort(key=_turn)
            for job, transfer in ready:
                self._queue(job, transfer, time)
        freed, self._freed = self._freed, []
        for connection in freed:
            while (head := connection.pop()) is not None:
                connection.started += 1
                self._start(*head, connection, time)

    def _queue(self, job: ListedJob, transfer: int, time: float) -> None:
        program = job.program
        src, dst = program.src[transfer], program.dst[transfer]
        if src == dst:
            job.start[transfer] = time
            self._ended(job, transfer, time)
            return
        connection = self._connection(src, dst, program.channel[transfer])
        if not program.in_flight:
            self._start(job, transfer, connection, time)
            return
        connection.push(job, transfer)
        self._freed.append(connection)

    def _connection(self, src: int, dst: int, channel: int) -> Connection:
        key = (src, dst, channel)
        connection = self._connections.get(key)
        if connection is None:
            connection = Connection(self._net, src, dst, channel, self._seed)
            self._connections[key] = connection
        return connection

    # One transfer

    def _start(self, job: ListedJob, transfer: int, connection: Connection, time: float) -> None:
        job.start[transfer] = time
        rounds = connection.rounds(self._transport, job.program.size[transfer])
        job.retransmitted[transfer] = sum(round_.size for round_ in rounds[1:])
        self._note(time + connection.delay(), Leg(job, transfer, connection, rounds))
        if self._observer is not None:
            self._observer.on_start(job, transfer, time)

    def _enter(self, leg: Leg, time: float) -> None:
        """Let the bytes of the leg's present round, or its reduction, begin to drain."""
        if leg.reducing:
            size = leg.job.program.size[leg.transfer]
            receiver = leg.job.program.dst[leg.transfer]
            route: NDArray[np.int64] = self._reducer[receiver : receiver + 1]
        else:
            size = leg.rounds[leg.round].size
            route = leg.connection.route
        if size:
            self._legs[self._table.add(route, size, time)] = leg
        else:
            self._drained(leg, time)

    def _drained(self, leg: Leg, time: float) -> None:
        """Go on after a round: the next round, the reduction, or the end."""
        program = leg.job.program
        if leg.reducing:
            self._delivered(leg, time)
            return
        self._link_bytes[leg.connection.route] += leg.rounds[leg.round].size
        if leg.round + 1 < len(leg.rounds):
            leg.round += 1
            self._note(time + leg.rounds[leg.round].wait, leg)
        elif program.reduces[leg.transfer] and self._reduces[program.dst[leg.transfer]]:
            leg.reducing = True
            self._enter(leg, time)
        else:
            self._delivered(leg, time)

    def _delivered(self, leg: Leg, time: float) -> None:
        if leg.job.program.in_flight:
            leg.connection.started -= 1
            self._freed.append(leg.connection)
        self._ended(leg.job, leg.transfer, time)

    def _ended(self, job: ListedJob, transfer: int, time: float) -> None:
        self._make_ready(job, job.finish(transfer, time))
        self._leave(job, job.program.src[transfer], time)
        self._leave(job, job.program.dst[transfer], time)
        if self._observer is not None:
            self._observer.on_end(job, transfer, time)

    def _leave(self, job: ListedJob, rank: int, time: float) -> None:
        if job.leave(rank, time):
            self._departures.append(Departure(job, (rank,), time))


def _turn(item: tuple[ListedJob, int]) -> tuple[object, ...]:
    """Who goes first of those that become ready at one instant: never who was posted first."""
    job, transfer = item
    size = 0 if job.program.in_flight else job.program.size[transfer]
    return (job.order, size, job.number, transfer)
