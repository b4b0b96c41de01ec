"""The tier of symmetry: where all ranks do the same on links alike, one of them is simulated.

The quotient of network and schedule (`simnet.collectives.orbits`), a link for each orbit of links
and a transfer for each representative, goes through the event-driven kernel; what it finds holds
for all translations.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from simnet.arrays import frozen
from simnet.collectives.orbits import Quotient, quotient
from simnet.collectives.schedule import Representative
from simnet.engine.kernel import load_core
from simnet.engine.program import FloatArray, IntArray, Program, count_bytes
from simnet.engine.timeline import Timeline
from simnet.network import Network

NAME = "symmetry"
INFINITY = float("inf")


class Symmetry:
    """Works out jobs by one representative: a `simnet.engine.timeline.Tier`, for one network.

    It declines where the schedule tells no representative, ranks, links or arrivals differ, or a
    route is not moved onto a route. What it finds of a program it keeps as long as the program.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Program, _One | None] = WeakKeyDictionary()

    def __call__(
        self, net: Network, program: Program, posted: float, arrivals: FloatArray
    ) -> Timeline | None:
        """Work out a job, or decline."""
        schedule = program.schedule
        if schedule is None or schedule.representative is None or not len(arrivals):
            return None
        if (arrivals != arrivals[0]).any():
            return None
        if program not in self._known:
            one = schedule.representative()
            small = quotient(net, program.ranks, one)
            self._known[program] = None if small is None else _One(net, program, one, small)
        found = self._known[program]
        return None if found is None else found.timeline(len(arrivals), float(arrivals[0]))


class _One:
    """The quotient of a network and a program, ready to be simulated."""

    def __init__(self, net: Network, program: Program, one: Representative, small: Quotient):
        core = load_core()
        count_bytes(one.size[one.runs], one.copies)
        self._make_model = core.Model
        self._one, self._small = one, small
        pace = float(net.reduce_bandwidth[program.ranks[0]])
        # Two ranks: what one sends the other receives and reduces, for all.
        self._capacity = np.append(net.links.bandwidth[small.orbits], [pace, pace])
        self._program = core.Program(np.arange(2), program.in_flight, 2)
        self._program.add(
            np.zeros(len(one), dtype=np.int64),
            (small.which >= 0).astype(np.int64),
            small.which,
            one.size,
            one.reduces,
            one.dep_offsets,
            one.deps,
            1,
            len(small.delays),
        )
        self._link_bytes = frozen(_link_bytes(small, one))

    def timeline(self, num_ranks: int, begin: float) -> Timeline | None:
        """How it goes if all ranks arrive at `begin`; None where anything never ends."""
        start, end = self._simulate(begin)
        one = self._one
        if np.isnan(end).any():
            return None

        def times() -> tuple[FloatArray, FloatArray]:
            which = np.repeat(one.runs, one.copies)
            return start[which], end[which]

        return Timeline(
            tier=NAME,
            left=frozen(np.full(num_ranks, end.max(initial=begin))),
            link_bytes=self._link_bytes,
            times=times,
        )

    def _simulate(self, begin: float) -> tuple[FloatArray, FloatArray]:
        """Start and end of each representative, seconds."""
        small, draws = self._small, np.zeros(len(self._small.delays), dtype=np.bool_)
        model = self._make_model(self._capacity, len(small.orbits), 2, None, None)
        model.add_connections(small.offsets, small.links, small.delays, draws, small.weights)
        job = model.post(self._program, begin)
        for place in range(2):
            model.arrive(job, place, begin)
        while (time := model.next_time()) < INFINITY:
            model.advance(time, INFINITY)
        start, end = np.empty(len(self._one)), np.empty(len(self._one))
        model.times(job, start, end)
        return start, end


def _link_bytes(small: Quotient, one: Representative) -> IntArray:
    """Bytes that each link of the network carries: those of its orbit."""
    sizes = np.zeros(len(small.delays), dtype=np.int64)
    sent = small.which >= 0
    np.add.at(sizes, small.which[sent], one.size[sent])
    carried = np.zeros(len(small.orbits), dtype=np.int64)
    of = np.repeat(np.arange(len(sizes)), np.diff(small.offsets))
    np.add.at(carried, small.links, small.weights * sizes[of])
    link_bytes = np.zeros(len(small.orbit), dtype=np.int64)
    used = small.orbit >= 0
    link_bytes[used] = carried[np.searchsorted(small.orbits, small.orbit[used])]
    return link_bytes
