"""The fluid model, compiled: `simnet.engine.reference` in C++, equal to it to 1e-9.

Work is handed over as arrays once, and only what the outside can see comes back: who leaves, and
when. Random draws stay in Python (`Connection`), so that they are the reference's to the bit.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.engine.connection import Connection
from simnet.engine.fabric import Departure
from simnet.engine.job import ArrayJob, Job
from simnet.engine.program import FloatArray, IntArray, Program, columns
from simnet.network import Network
from simnet.transport import Ideal, Retransmit, Round, Transport

MOST_TRANSFERS = 10_000_000
"""Transfers of all programs that stay compiled; of more only the last posted do."""
INTERFACE = 1
"""What the compiled module must say: counts changes of what is called there."""


def load_core() -> Any:
    """The compiled module; ImportError where it was not built, or of other sources than these."""
    core = importlib.import_module("simnet.engine._kernel.core")
    if getattr(core, "INTERFACE", 0) != INTERFACE:
        raise ImportError("compiled from other sources: install simnet again")
    return core


class KernelModel:
    """The compiled network model: `simnet.engine.fabric.NetworkModel`, and it `RunsAhead`.

    Parameters
    ----------
    net : Network
        The network; nothing in it changes.
    transport : Transport
        What a message pays beyond its share.
    seed : int
        Root of the random streams of jitter and loss.

    Raises
    ------
    ImportError
        If the kernel was not built.
    """

    name = "kernel"

    def __init__(self, net: Network, transport: Transport, seed: int) -> None:
        core = load_core()
        self._make_program, self._make_numbering = core.Program, core.Numbering
        self._net, self._seed = net, seed
        capacity = np.concatenate([net.links.bandwidth, net.reduce_bandwidth])
        # Of the jobs that are not over; then those that are and that nobody holds any more.
        self._jobs: dict[int, KernelJob] = {}
        self._orders: dict[int, tuple[object, ...]] = {}
        self._dropped: list[int] = []
        self._drawing: dict[int, Connection] = {}
        # What the kernel calls knows nothing of the model: all goes when the last job does.
        draw = functools.partial(_draw, self._drawing, transport)
        rank = functools.partial(_rank, self._orders)
        self._core = core.Model(capacity, net.num_links, net.num_ranks, draw, rank)
        self._programs: dict[Program, Any] = {}  # compiled, the last posted last
        self._compiled = 0  # transfers of all these
        self._numbering = core.Numbering(net.num_ranks)
        self._jitter, self._loss = net.links.jitter, net.links.loss
        # These plan one round where nothing is lost; any other transport is asked each time.
        self._plain = type(transport) is Ideal
        self._plain_if_clean = type(transport) in (Ideal, Retransmit)
        self._has_jitter, self._is_lossy = net.has_jitter, net.is_lossy

    # What the outside calls

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work; nothing of it moves before its ranks arrive."""
        number = self._core.post(self._compiled_once(program), time)
        job = KernelJob(self._core, program, number, order, self._dropped)
        if not job.done:
            self._jobs[number], self._orders[number] = job, order
        return job

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""
        self._core.arrive(job.number, job.program.places[rank], time)

    def arrive_all(self, job: Job, times: FloatArray) -> None:
        """Let all ranks of a job enter, each at its own instant."""
        for place, time in enumerate(times.tolist()):
            self._core.arrive(job.number, place, time)

    def carried(self, time: float) -> IntArray:
        """Bytes that each link has carried by `time`, retransmissions included."""
        carried = np.zeros(self._net.num_links, dtype=np.int64)
        self._core.carried(time, carried)
        return carried

    def next_time(self) -> float:
        """The next instant at which anything happens here, seconds; infinity for none."""
        time: float = self._core.next_time()
        return time

    def advance(self, time: float) -> Sequence[Departure]:
        """Carry out everything that happens at the instant `next_time()`, as one batch."""
        return self.run(time, time)

    def run(self, time: float, horizon: float) -> Sequence[Departure]:
        """Carry out `time`, then all before `horizon` until a rank leaves."""
        while self._dropped:
            self._core.forget(self._dropped.pop())
        when, left = self._core.advance(time, horizon)
        departures = []
        pairs = zip(left[::2], left[1::2], strict=True)
        for number, group in itertools.groupby(pairs, key=operator.itemgetter(0)):
            job = self._jobs[number]
            ranks = [job.program.ranks[place] for _, place in group]
            job.left.update(dict.fromkeys(ranks, when))
            if job.done:
                del self._jobs[number], self._orders[number]
            departures.append(Departure(job, ranks, when))
        return departures

    def rates(self) -> list[tuple[tuple[int, ...], int, float]]:
        """Links, number of flows and rate (bytes/s) of every route in use; for tests.

        A link past the network's last is a rank's local reduction.
        """
        rates: list[tuple[tuple[int, ...], int, float]] = self._core.rates()
        return rates

    @property
    def draws(self) -> bool:
        """Whether anything here is random or planned message by message."""
        if self._plain:
            return self._has_jitter
        return not self._plain_if_clean or self._has_jitter or self._is_lossy

    def bytes_of(self, program: Program) -> IntArray:
        """Bytes that each link carries for a program, where nothing is lost."""
        carried = np.zeros(self._net.num_links, dtype=np.int64)
        if not len(program):
            return carried
        ends = program.sources, program.destinations, program.channels
        numbers, first = numbered(self._make_numbering(self._net.num_ranks), *ends)
        apart = numbers >= 0
        sizes = np.zeros(len(first), dtype=np.int64)
        np.add.at(sizes, numbers[apart], program.sizes[apart])
        offsets, links = self._net.routes_of(*(each[first] for each in ends))
        np.add.at(carried, links, np.repeat(sizes, np.diff(offsets)))
        return carried

    # Programs and connections as numbers

    def _compiled_once(self, program: Program) -> Any:
        """A program compiled, now or when it was posted before."""
        if program.releases is not None:
            return self._compile(program)  # flows are posted once
        compiled = self._programs.pop(program, None)
        if compiled is None:
            compiled = self._compile(program)
            self._compiled += len(program)
        self._programs[program] = compiled
        while self._compiled > MOST_TRANSFERS and len(self._programs) > 1:
            oldest = next(iter(self._programs))
            del self._programs[oldest]
            self._compiled -= len(oldest)
        return compiled

    def _compile(self, program: Program) -> Any:
        ranks = np.asarray(program.ranks, dtype=np.int64)
        compiled = self._make_program(ranks, program.in_flight, self._net.num_ranks)
        compiled.expect(len(program))
        for repeated in program.repeats():
            src, dst, size, channel, *rest = columns(repeated)
            connection = self._connections(ranks[src], ranks[dst], channel)
            known = self._numbering.count()
            compiled.add(src, dst, connection, size, *rest, repeated.times, known)
        if program.releases is not None:
            compiled.release(np.ascontiguousarray(program.releases, dtype=np.float64))
        return compiled

    def _connections(self, src: IntArray, dst: IntArray, channel: IntArray) -> IntArray:
        """The connection number of every transfer; −1 for a join."""
        numbers, first = numbered(self._numbering, src, dst, channel)
        if len(first):
            self._add_connections(src[first], dst[first], channel[first])
        return numbers

    def _add_connections(self, src: IntArray, dst: IntArray, channel: IntArray) -> None:
        """Tell the kernel of new connections, in the order of their numbers."""
        offsets, links = self._net.routes_of(src, dst, channel)
        delays = self._net.overhead[src] + self._net.latencies_of(offsets, links)
        draws = self._draws(offsets, links)
        first = self._core.add_connections(offsets, links, delays, draws)
        for new in np.flatnonzero(draws).tolist():
            key = int(src[new]), int(dst[new]), int(channel[new])
            self._drawing[first + new] = Connection(self._net, *key, self._seed)

    def _draws(self, offsets: IntArray, links: IntArray) -> NDArray[np.bool_]:
        """Whether a message over each route has to ask for its delay and its rounds."""
        if not self._plain_if_clean or not self.draws:
            return np.full(len(offsets) - 1, self.draws)
        drawn = self._jitter[links] > 0
        if not self._plain:
            drawn |= self._loss[links] > 0
        before = np.concatenate([[0], np.cumsum(drawn)])[offsets]
        return np.diff(before) > 0


# What the kernel calls


def _draw(
    drawing: dict[int, Connection], transport: Transport, number: int, size: int
) -> tuple[float, tuple[Round, ...]]:
    """Delay and rounds of the next message over a connection."""
    connection = drawing[number]
    rounds = connection.rounds(transport, size)
    return connection.delay(), rounds


def _rank(orders: dict[int, tuple[object, ...]], numbers: list[int]) -> list[int]:
    """The place of each job in their order; equal orders share one."""
    chosen = [orders[number] for number in numbers]
    turns = sorted(range(len(chosen)), key=chosen.__getitem__)
    places = [0] * len(chosen)
    for before, turn in itertools.pairwise(turns):
        places[turn] = places[before] + (chosen[turn] != chosen[before])
    return places


class KernelJob(ArrayJob):
    """A job whose books the kernel keeps, until it is over and nobody holds this any more."""

    def __init__(
        self,
        core: Any,
        program: Program,
        number: int,
        order: tuple[object, ...],
        dropped: list[int],
    ) -> None:
        super().__init__(program, number, order)
        self._core = core
        self._dropped = dropped

    def __del__(self) -> None:
        """Let the kernel forget it when next called: just now it may be in the middle of a draw."""
        self._dropped.append(self.number)

    def _times(self) -> tuple[FloatArray, FloatArray]:
        total = len(self.program)
        start, end = np.empty(total), np.empty(total)
        self._core.times(self.number, start, end)
        return frozen(start), frozen(end)

    @property
    def starts(self) -> FloatArray:
        """When each transfer was started, seconds; NaN until then."""
        return self._times()[0]

    @property
    def ends(self) -> FloatArray:
        """When each transfer ended, seconds; NaN until then."""
        return self._times()[1]

    @property
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again."""
        again: list[int] = self._retransmitted().tolist()
        return again

    @property
    def retransmitted_bytes(self) -> int:
        """Sum of `retransmitted`."""
        return int(self._retransmitted().sum())

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""
        flags = self._core.arrived(self.number)
        return {rank for rank, flag in zip(self.program.ranks, flags, strict=True) if flag}

    def _retransmitted(self) -> IntArray:
        again = np.empty(len(self.program), dtype=np.int64)
        self._core.retransmitted(self.number, again)
        return again


def numbered(
    numbering: Any, src: IntArray, dst: IntArray, channel: IntArray
) -> tuple[IntArray, IntArray]:
    """The connection number of every transfer, −1 for a join, and the first over each new one."""
    numbers = np.empty(len(src), dtype=np.int64)
    first = numbering.numbers(src, dst, channel, numbers)
    return numbers, np.frombuffer(first, dtype=np.int64)
