"""Orbits of links: where all ranks do the same on links alike, one of them stands for all.

A schedule's translations move any rank to any other in exactly one way. Where each of the steps
that generate them also moves the route of every pair of ranks that talk, link by link, onto that
of the pair moved, one link always onto one and different links onto different ones of the same
kind, bandwidth and latency, and where all ranks cost alike, then moving a state of the network
gives a state of the network, and what is determined by it, max-min fair rates too, moves along.
So all transfers that are translations of one another have the same times, and a link for each
orbit stands for the network; a route weighs an orbit by how many of its translations share a
link of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import FloatArray, IntArray
from simnet.collectives.schedule import Representative
from simnet.collectives.symmetry import Translations
from simnet.network import Links, Network

PAIRS_AT_ONCE = 1 << 18
"""Pairs of ranks whose routes are compared at a time."""
MOST_PAIRS = 1 << 21
"""Pairs above which comparing their routes costs more than it saves."""


class Quotient(NamedTuple):
    """What stands for the network: a link for each orbit, and what place 0 sends over them."""

    orbit: IntArray  # of each link of the network, by its least link; −1 where it is not used
    orbits: IntArray  # the least link of each
    which: IntArray  # the route of each representative; −1 for a join
    offsets: IntArray  # of the routes
    links: IntArray  # positions in `orbits`
    weights: IntArray
    delays: FloatArray  # overhead and latency of each route, seconds


def quotient(
    net: Network, ranks: Sequence[int] | IntArray, one: Representative, *, pairs: int = MOST_PAIRS
) -> Quotient | None:
    """Let one rank stand for all, where they are all alike.

    Parameters
    ----------
    net : Network
        The network.
    ranks : (N,) sequence or array of int
        The global rank of each group rank.
    one : Representative
        What one of them sends.
    pairs : int
        Pairs of ranks whose routes may be compared at most.

    Returns
    -------
    Quotient or None
        None where the ranks or the links are not alike, or there are more pairs.
    """
    everyone = np.asarray(ranks, dtype=np.int64)
    for each in (net.overhead[everyone], net.reduce_bandwidth[everyone]):
        if (each != each[0]).any():
            return None
    at = everyone[one.translations.ranks_at(np.arange(len(everyone)))]
    to, channel, which = _distinct(one)
    if net.is_hub(at):  # out to the hub and in from it, whoever talks to whom
        orbit = link_orbits(net, at, one.translations, to[:1], channel[:1])
    elif len(to) * len(at) <= pairs:
        orbit = link_orbits(net, at, one.translations, to, channel)
    else:
        return None
    if orbit is None:
        return None
    src, dst = np.full(len(to), at[0]), at[to]
    offsets, links = net.routes_of(src, dst, channel)
    orbits, sizes = np.unique(orbit[orbit >= 0], return_counts=True)
    owner = np.repeat(np.arange(len(src)), np.diff(offsets))
    codes = owner * max(len(orbits), 1) + np.searchsorted(orbits, orbit[links])
    codes, crossings = np.unique(codes, return_counts=True)
    owner, crossed = np.divmod(codes, max(len(orbits), 1))
    return Quotient(
        orbit=orbit,
        orbits=orbits,
        which=which,
        offsets=np.searchsorted(owner, np.arange(len(src) + 1)),
        links=crossed,
        weights=crossings * len(at) // sizes[crossed],
        delays=net.overhead[src] + net.latencies_of(offsets, links),
    )


def _distinct(one: Representative) -> tuple[IntArray, IntArray, IntArray]:
    """Whom place 0 sends to over which channel, each once; and which each transfer is."""
    which = np.full(len(one), -1)
    apart = np.flatnonzero(one.to)
    channels, channel = np.unique(one.channel[apart], return_inverse=True)
    codes, which[apart] = np.unique(one.to[apart] * len(channels) + channel, return_inverse=True)
    count = max(len(channels), 1)
    return codes // count, channels[codes % count], which


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
        if np.bincount(image[image >= 0]).max(initial=0) > 1:
            return None
    return orbit


def _routes(
    net: Network, ranks: IntArray, group: Translations, to: IntArray, channel: IntArray
) -> Iterator[IntArray | None]:
    """Routes of one length, shape (some of `to`, N, hops); None where lengths differ in a row."""
    places, begin, some = np.arange(len(ranks)), 0, 1  # where there is no symmetry few rows tell
    while begin < len(to):
        by, over = to[begin : begin + some], channel[begin : begin + some]
        begin, some = begin + some, min(2 * some, max(1, PAIRS_AT_ONCE // len(ranks)))
        src = np.tile(ranks, len(by))
        dst = ranks[group.add(places, by[:, None])].ravel()
        offsets, links = net.routes_of(src, dst, np.repeat(over, len(ranks)))
        hops = np.diff(offsets).reshape(len(by), len(ranks))
        if (hops != hops[:, :1]).any():
            yield None
            return
        for length in sorted(set(hops[:, 0].tolist())):
            rows = np.flatnonzero(hops[:, 0] == length)
            first = offsets[:-1].reshape(hops.shape)[rows]
            yield links[first[..., None] + np.arange(length)]


def _alike(links: Links, routes: IntArray) -> bool:
    """Whether the links at each position of the routes of a row are alike."""
    columns: tuple[NDArray[np.generic], ...] = (links.kind, links.bandwidth, links.latency)
    return all((each[routes] == each[routes[:, :1]]).all() for each in columns)
