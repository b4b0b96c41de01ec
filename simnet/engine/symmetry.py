"""The tier of symmetry: where all ranks do the same on links alike, one of them is simulated.

A schedule's translations move any rank to any other in exactly one way. Where each of the steps
that generate them also moves the route of every pair of ranks that talk, link by link, onto that
of the pair moved, one link always onto one and different links onto different ones of the same
kind, bandwidth and latency, and where all ranks cost and arrive alike, then moving a state of
the network gives a state of the network, and the max-min fair rates, being unique, move along.
So all transfers that are translations of one another have the same times. The quotient, a link
for each orbit of links and a transfer for each representative, goes through the event-driven
kernel; a transfer's route weighs an orbit by how many of its translations share a link of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.collectives.schedule import Representative
from simnet.collectives.symmetry import Translations
from simnet.engine.kernel import load_core
from simnet.engine.program import FloatArray, IntArray, Program
from simnet.engine.timeline import Timeline
from simnet.network import Links, Network

NAME = "symmetry"
PAIRS_AT_ONCE = 1 << 18
"""Pairs of ranks whose routes are compared at a time."""
MOST_PAIRS = 1 << 21
"""Pairs above which comparing their routes costs more than it saves."""
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
    everyone = np.asarray(program.ranks)
    for each in (arrivals, net.overhead[everyone], net.reduce_bandwidth[everyone]):
        if (each != each[0]).any():
            return None
    one = schedule.representative()
    places = np.arange(len(everyone))
    ranks = everyone[one.translations.ranks_at(places)]
    talk = _distinct(one)
    orbit = link_orbits(net, ranks, one.translations, talk.to, talk.channel)
    if orbit is None:
        return None
    quotient = _quotient(net, ranks, talk, orbit)
    start, end = _simulate(net, int(ranks[0]), one, talk, quotient, program.in_flight, arrivals)
    sizes = np.zeros(len(talk.to), dtype=np.int64)
    sent = talk.which >= 0
    np.add.at(sizes, talk.which[sent], one.size[sent])
    carried = np.zeros(len(quotient.orbits), dtype=np.int64)
    of = np.repeat(np.arange(len(sizes)), np.diff(quotient.offsets))
    np.add.at(carried, quotient.links, quotient.weights * sizes[of])
    link_bytes = np.zeros(net.num_links, dtype=np.int64)
    used = orbit >= 0
    link_bytes[used] = carried[np.searchsorted(quotient.orbits, orbit[used])]

    def times() -> tuple[FloatArray, FloatArray]:
        which = np.repeat(one.runs, one.copies)
        return start[which], end[which]

    leaves = end.max(initial=float(arrivals[0]))
    return Timeline(
        tier=NAME,
        left=frozen(np.full(len(ranks), leaves)),
        link_bytes=frozen(link_bytes),
        times=times,
    )


class _Talk(NamedTuple):
    """Whom place 0 sends to over which channel, each once; and which of them each transfer is."""

    to: IntArray
    channel: IntArray
    which: IntArray  # −1 for a join


def _distinct(one: Representative) -> _Talk:
    which = np.full(len(one), -1)
    apart = np.flatnonzero(one.to)
    channels, channel = np.unique(one.channel[apart], return_inverse=True)
    codes, which[apart] = np.unique(one.to[apart] * len(channels) + channel, return_inverse=True)
    count = max(len(channels), 1)
    return _Talk(codes // count, channels[codes % count], which)


# Orbits of links


def link_orbits(
    net: Network, ranks: IntArray, group: Translations, to: IntArray, channel: IntArray
) -> IntArray | None:
    """The orbit of each link, by its least link; −1 where it is not used.

    Parameters
    ----------
    net : Network
        The network.
    ranks : (N,) array of int
        The global rank at each place.
    group : Translations
        Of the places.
    to, channel : (n,) array of int
        Every place p sends to ``group.add(p, to[i])`` over ``channel[i]``.

    Returns
    -------
    (L,) array of int, or None
        None where the group does not move routes onto routes and links onto links alike.
    """
    orbit = np.full(net.num_links, -1)
    if net.is_hub(ranks):  # out to the hub and in from it, whoever talks to whom
        to, channel = to[:1], channel[:1]
    if len(to) * len(ranks) > MOST_PAIRS:
        return None
    moves = [group.add(np.arange(len(ranks)), np.array(step)) for step in group.generators]
    moved = [np.full(net.num_links, -1) for _ in moves]
    for routes in _routes(net, ranks, group, to, channel):
        if routes is None or not _alike(net.links, routes):
            return None
        for move, image in zip(moves, moved, strict=True):
            known, onto = image[routes], routes[:, move]
            if ((known >= 0) & (known != onto)).any():
                return None
            image[routes] = onto
            if (image[routes] != onto).any():
                return None
        orbit[routes] = routes.min(axis=1, keepdims=True)
    for image in moved:
        reached = image[image >= 0]
        if len(np.unique(reached)) < len(reached):
            return None
    return orbit


def _routes(
    net: Network, ranks: IntArray, group: Translations, to: IntArray, channel: IntArray
) -> Iterator[IntArray | None]:
    """Routes of one length, shape (some of `to`, N, hops); None where lengths differ in a row."""
    places, some = np.arange(len(ranks)), max(1, PAIRS_AT_ONCE // len(ranks))
    for begin in range(0, len(to), some):
        by, over = to[begin : begin + some], channel[begin : begin + some]
        src = np.tile(ranks, len(by))
        dst = ranks[group.add(places, by[:, None])].ravel()
        offsets, links = net.routes_of(src, dst, np.repeat(over, len(ranks)))
        hops = np.diff(offsets).reshape(len(by), len(ranks))
        if (hops != hops[:, :1]).any():
            yield None
            return
        for length in np.unique(hops[:, 0]).tolist():
            rows = np.flatnonzero(hops[:, 0] == length)
            first = offsets[:-1].reshape(hops.shape)[rows]
            yield links[first[..., None] + np.arange(length)]


def _alike(links: Links, routes: IntArray) -> bool:
    """Whether the links at each position of the routes of a row are alike."""
    columns: tuple[NDArray[np.generic], ...] = (links.kind, links.bandwidth, links.latency)
    return all((each[routes] == each[routes[:, :1]]).all() for each in columns)


# The quotient


class _Quotient(NamedTuple):
    """What stands for the network: a link for each orbit, and place 0's routes over them."""

    orbits: IntArray  # least link of each
    offsets: IntArray
    links: IntArray  # positions in `orbits`
    weights: IntArray
    delays: FloatArray


def _quotient(net: Network, ranks: IntArray, talk: _Talk, orbit: IntArray) -> _Quotient:
    src, dst = np.full(len(talk.to), ranks[0]), ranks[talk.to]
    offsets, links = net.routes_of(src, dst, talk.channel)
    delays = net.overhead[src] + net.latencies_of(offsets, links)
    orbits, sizes = np.unique(orbit[orbit >= 0], return_counts=True)
    owner = np.repeat(np.arange(len(src)), np.diff(offsets))
    codes = owner * max(len(orbits), 1) + np.searchsorted(orbits, orbit[links])
    codes, crossings = np.unique(codes, return_counts=True)
    owner, crossed = np.divmod(codes, max(len(orbits), 1))
    return _Quotient(
        orbits=orbits,
        offsets=np.searchsorted(owner, np.arange(len(src) + 1)),
        links=crossed,
        weights=crossings * len(ranks) // sizes[crossed],
        delays=delays,
    )


def _simulate(
    net: Network,
    rank: int,
    one: Representative,
    talk: _Talk,
    quotient: _Quotient,
    in_flight: int,
    arrivals: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Start and end of each representative, seconds; place 1 receives and reduces for all."""
    core, count = load_core(), len(quotient.orbits)
    capacity = np.append(net.links.bandwidth[quotient.orbits], [net.reduce_bandwidth[rank]] * 2)
    model = core.Model(capacity, count, 2, None, None)
    model.add_connections(
        quotient.offsets,
        quotient.links,
        quotient.delays,
        np.zeros(len(quotient.delays), dtype=np.bool_),
        quotient.weights,
    )
    apart = (talk.which >= 0).astype(np.int64)
    program = core.Program(
        np.arange(2),
        np.zeros(len(one), dtype=np.int64),
        apart,
        talk.which,
        one.size,
        one.reduces,
        one.dep_offsets,
        one.deps,
        None,
        in_flight,
        2,
        len(quotient.delays),
    )
    job = model.post(program, float(arrivals[0]))
    for place in range(2):
        model.arrive(job, place, float(arrivals[0]))
    while (time := model.next_time()) < INFINITY:
        model.advance(time, INFINITY)
    start, end = np.empty(len(one)), np.empty(len(one))
    model.times(job, start, end)
    return start, end
