"""The tier of symmetry: where all ranks do the same on links alike, one of them is simulated.

The quotient of network and schedule (`simnet.collectives.orbits`), a link for each orbit of links
and a transfer for each representative, goes through the event-driven kernel; what it finds holds
for all translations.
"""

from __future__ import annotations

import numpy as np

from simnet.arrays import frozen
from simnet.collectives.orbits import Quotient, quotient
from simnet.collectives.schedule import Representative
from simnet.engine.kernel import load_core
from simnet.engine.program import FloatArray, IntArray, Program
from simnet.engine.timeline import Timeline
from simnet.network import Network

NAME = "symmetry"
INFINITY = float("inf")


def symmetry(
    net: Network, program: Program, posted: float, arrivals: FloatArray
) -> Timeline | None:
    """Work out a job by one representative: `simnet.engine.timeline.Tier`.

    None where the schedule tells no representative, ranks or links differ, or a route is not
    moved onto a route.
    """
    schedule = program.schedule
    if schedule is None or schedule.representative is None or not len(arrivals):
        return None
    if (arrivals != arrivals[0]).any():
        return None
    one = schedule.representative()
    small = quotient(net, program.ranks, one)
    if small is None:
        return None
    pace, begin = float(net.reduce_bandwidth[program.ranks[0]]), float(arrivals[0])
    capacity = np.append(net.links.bandwidth[small.orbits], [pace] * 2)
    start, end = _simulate(small, capacity, one, program.in_flight, begin)

    def times() -> tuple[FloatArray, FloatArray]:
        which = np.repeat(one.runs, one.copies)
        return start[which], end[which]

    return Timeline(
        tier=NAME,
        left=frozen(np.full(len(arrivals), end.max(initial=begin))),
        link_bytes=frozen(_link_bytes(small, one)),
        times=times,
    )


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


def _simulate(
    small: Quotient, capacity: FloatArray, one: Representative, in_flight: int, begin: float
) -> tuple[FloatArray, FloatArray]:
    """Start and end of each representative, seconds; place 1 receives and reduces for all."""
    core, draws = load_core(), np.zeros(len(small.delays), dtype=np.bool_)
    model = core.Model(capacity, len(small.orbits), 2, None, None)
    model.add_connections(small.offsets, small.links, small.delays, draws, small.weights)
    program = core.Program(
        np.arange(2),
        np.zeros(len(one), dtype=np.int64),
        (small.which >= 0).astype(np.int64),
        small.which,
        one.size,
        one.reduces,
        one.dep_offsets,
        one.deps,
        None,
        in_flight,
        2,
        len(small.delays),
    )
    job = model.post(program, begin)
    for place in range(2):
        model.arrive(job, place, begin)
    while (time := model.next_time()) < INFINITY:
        model.advance(time, INFINITY)
    start, end = np.empty(len(one)), np.empty(len(one))
    model.times(job, start, end)
    return start, end
