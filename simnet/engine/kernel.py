"""The fluid model, compiled: `simnet.engine.reference` in C++, equal to it to 1e-9.

Work is handed over as arrays once, and only what the outside can see comes back: who leaves, and
when. Random draws stay in Python (`Connection`), so that they are the reference's to the bit.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.engine.connection import Connection
from simnet.engine.fabric import Departure
from simnet.engine.job import Job
from simnet.engine.program import FloatArray, IntArray, Program
from simnet.network import Network
from simnet.transport import Ideal, Retransmit, Round, Transport

FEW = 64
"""Transfers below which a loop over them is faster than arrays."""
TABLE_SHARE, TABLE_FLOOR = 4, 1 << 16
"""Entries of a table of connections, for each transfer and besides, that are worth no sorting."""


def load_core() -> Any:
    """The compiled module; ImportError where it was not built."""
    return importlib.import_module("simnet.engine._kernel.core")


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
        self._make_program = core.Program
        self._net, self._transport, self._seed = net, transport, seed
        capacity = np.concatenate([net.links.bandwidth, net.reduce_bandwidth])
        self._core = core.Model(capacity, net.num_links, net.num_ranks, self._draw, self._rank)
        self._jobs: list[KernelJob] = []
        self._programs: dict[Program, Any] = {}
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._drawing: dict[int, Connection] = {}
        self._jitter, self._loss = net.links.jitter, net.links.loss
        self._latency: list[float] = net.links.latency.tolist()
        self._overhead: list[float] = net.overhead.tolist()
        # These plan one round where nothing is lost; any other transport is asked each time.
        self._plain = type(transport) is Ideal
        self._plain_if_clean = type(transport) in (Ideal, Retransmit)
        self._has_jitter, self._is_lossy = net.has_jitter, net.is_lossy

    # What the outside calls

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work; nothing of it moves before its ranks arrive."""
        compiled = self._programs.get(program)
        if compiled is None:
            compiled = self._compile(program)
            # Flows are posted once; a collective's program may come again.
            if program.releases is None:
                self._programs[program] = compiled
        number = self._core.post(compiled, time)
        job = KernelJob(self._core, program, number, order)
        self._jobs.append(job)
        return job

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""
        self._core.arrive(job.number, job.program.places[rank], time)

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
        when, left = self._core.advance(time, horizon)
        departures = []
        for number, place in zip(left[::2], left[1::2], strict=True):
            job = self._jobs[number]
            rank = job.program.ranks[place]
            job.left[rank] = when
            departures.append(Departure(job, rank, when))
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
        distinct, which = _distinct(program.sources, program.destinations, program.channels)
        sizes = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(sizes, which, program.sizes)
        for key, size in zip(distinct, sizes.tolist(), strict=True):
            carried[self._net.route(*key)] += size
        return carried

    # What the kernel calls

    def _draw(self, number: int, size: int) -> tuple[float, tuple[Round, ...]]:
        connection = self._drawing[number]
        rounds = connection.rounds(self._transport, size)
        return connection.delay(), rounds

    def _rank(self, numbers: list[int]) -> list[int]:
        """The place of each job in their order; equal orders share one."""
        orders = [self._jobs[number].order for number in numbers]
        turns = sorted(range(len(orders)), key=orders.__getitem__)
        places = [0] * len(orders)
        for before, turn in itertools.pairwise(turns):
            places[turn] = places[before] + (orders[turn] != orders[before])
        return places

    # Programs and connections as numbers

    def _compile(self, program: Program) -> Any:
        releases = program.releases
        return self._make_program(
            np.asarray(program.ranks, dtype=np.int64),
            _column(program.senders, np.int64),
            _column(program.receivers, np.int64),
            self._connections(program),
            _column(program.sizes, np.int64),
            _column(program.reducing, np.bool_),
            _column(program.dep_offsets, np.int64),
            _column(program.deps, np.int64),
            None if releases is None else _column(releases, np.float64),
            program.in_flight,
            self._net.num_ranks,
            len(self._numbers),
        )

    def _connections(self, program: Program) -> IntArray:
        """The connection number of every transfer; −1 for a join."""
        if len(program) <= FEW:
            keys = list(zip(program.src, program.dst, program.channel, strict=True))
            self._add_connections([key for key in dict.fromkeys(keys) if key[0] != key[1]])
            return np.array([self._numbers.get(key, -1) for key in keys], dtype=np.int64)
        columns = program.sources, program.destinations, program.channels
        distinct, which = _distinct(*columns)
        known = [key if key[0] != key[1] else None for key in distinct]
        self._add_connections([key for key in known if key is not None])
        numbers = [-1 if key is None else self._numbers[key] for key in known]
        found: IntArray = np.array(numbers, dtype=np.int64)[which]
        return found

    def _add_connections(self, keys: list[tuple[int, int, int]]) -> None:
        """Number the connections that have none yet."""
        new = [key for key in keys if key not in self._numbers]
        if not new:
            return
        routes = [self._net.route(*key) for key in new]
        delays = np.array(
            [
                self._overhead[key[0]] + self._sum_latency(route.tolist())
                for key, route in zip(new, routes, strict=True)
            ]
        )
        draws = np.array([self._draws(route) for route in routes])
        lengths = [len(route) for route in routes]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        first = self._core.add_connections(offsets, np.concatenate(routes), delays, draws)
        for number, (key, drawn) in enumerate(zip(new, draws.tolist(), strict=True), first):
            self._numbers[key] = number
            if drawn:
                self._drawing[number] = Connection(self._net, *key, self._seed)

    def _draws(self, route: NDArray[np.int64]) -> bool:
        """Whether a message over a route has to ask for its delay and its rounds."""
        if not self._plain_if_clean or (self._has_jitter and self._jitter[route].any()):
            return True
        return not self._plain and self._is_lossy and bool(self._loss[route].any())

    def _sum_latency(self, route: list[int]) -> float:
        """As `Network.route_latency` adds it up: in order, but for long routes."""
        if len(route) >= 8:
            return float(self._net.links.latency[route].sum())
        total = 0.0
        for link in route:
            total += self._latency[link]
        return total


class ArrayJob(Job):
    """A job whose times are arrays first, and lists for who asks."""

    @property
    def start(self) -> list[float]:
        """`starts` as a list."""
        times: list[float] = self.starts.tolist()
        return times

    @property
    def end(self) -> list[float]:
        """`ends` as a list."""
        times: list[float] = self.ends.tolist()
        return times


class KernelJob(ArrayJob):
    """A job whose books the kernel keeps."""

    def __init__(self, core: Any, program: Program, number: int, order: tuple[object, ...]) -> None:
        super().__init__(program, number, order)
        self._core = core

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


def _column(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """An array as the kernel takes it."""
    return np.ascontiguousarray(array, dtype=dtype)


def _distinct(
    src: IntArray, dst: IntArray, channel: IntArray
) -> tuple[list[tuple[int, int, int]], IntArray]:
    """The different (source, destination, channel), and which of them each entry is."""
    many = int(max(dst.max(), src.max())) + 1
    highest = int(channel.max())
    if highest < 2**62 // (many * many):
        codes = (channel * many + src) * many + dst
        if (highest + 1) * many * many <= TABLE_SHARE * len(codes) + TABLE_FLOOR:
            codes, which = _distinct_by_table(codes, (highest + 1) * many * many)
        else:
            codes, which = np.unique(codes, return_inverse=True)
        src, dst, channel = codes // many % many, codes % many, codes // (many * many)
    else:
        rows, which = np.unique(np.stack([src, dst, channel], axis=1), axis=0, return_inverse=True)
        src, dst, channel = rows.T
    return list(zip(src.tolist(), dst.tolist(), channel.tolist(), strict=True)), which.ravel()


def _distinct_by_table(codes: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """What `numpy.unique` returns, by a table of all codes below `size`: no sorting."""
    table = np.zeros(size, dtype=np.int64)
    table[codes] = 1
    distinct = np.flatnonzero(table)
    table[distinct] = np.arange(len(distinct))
    return distinct, table[codes]
