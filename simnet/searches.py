"""Searches over directed links: fewest hops, then least latency, towards many nodes at once.

A search runs backwards from its roots over arrays, level by level, and no further than the
sources asked for: a neighbour costs one level, and what was searched serves later sources.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATENCY_TOLERANCE", "Cables", "Search", "mix", "mixed"]

LATENCY_TOLERANCE = 1e-9  # relative; paths closer in latency than this are tied
_WORD = (1 << 64) - 1
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
_NONE: Ints = np.empty(0, dtype=np.int64)


def mix(value: int) -> int:
    """Scramble a 64-bit number, alike in every process.

    Parameters
    ----------
    value : int
        Taken modulo 2**64.

    Returns
    -------
    int
        In [0, 2**64).

    Notes
    -----
    One step of splitmix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014, https://doi.org/10.1145/2660193.2660195.
    """
    z = (value + _GOLDEN) & _WORD
    z = ((z ^ (z >> 30)) * _FIRST) & _WORD
    z = ((z ^ (z >> 27)) * _SECOND) & _WORD
    return z ^ (z >> 31)


def mixed(values: NDArray[Any]) -> Words:
    """`mix` of every entry."""
    z = values.astype(np.uint64) + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    scrambled: Words = z ^ (z >> np.uint64(31))
    return scrambled


class Cables:
    """Directed links between nodes, by the node that they end at.

    Parameters
    ----------
    num_nodes : int
        Nodes are 0 ... num_nodes - 1.
    source, target : ndarray of int, shape (num_links,)
        Ends of the directed links.
    latency : ndarray of float, shape (num_links,)
        Seconds.
    forwards : ndarray of bool, shape (num_nodes,)
        Whether a route may pass through the node.
    """

    def __init__(
        self,
        num_nodes: int,
        source: Ints,
        target: Ints,
        latency: Floats,
        forwards: NDArray[np.bool_],
    ) -> None:
        self.num_nodes = num_nodes
        self.source, self.target = source, target
        self.latency = latency
        self.forwards = forwards
        self.incoming = np.argsort(target, kind="stable")
        self.in_degree = np.bincount(target, minlength=num_nodes)
        self.begin = np.cumsum(self.in_degree) - self.in_degree

    def into(self, nodes: Ints) -> tuple[Ints, Ints]:
        """The links that end at each of some nodes, and how many those are."""
        degree = self.in_degree[nodes]
        shift = self.begin[nodes] - (np.cumsum(degree) - degree)
        slots = np.repeat(shift, degree)
        slots += np.arange(len(slots))
        return self.incoming[slots], degree


class Search:
    """Best routes towards some roots, grown level by level, all roots at once.

    A *state* is a node in the search of one root: ``number of the root * num_nodes + node``.

    Parameters
    ----------
    cables : Cables
        What routes go over.
    roots : ndarray of int, shape (R,)
        Where routes lead.
    latency : ndarray of float, shape (R,)
        Seconds from each root on to the destinations that it stands for.
    forwarding : ndarray of bool, shape (R,)
        Whether anything may come to each root at all.
    """

    def __init__(
        self, cables: Cables, roots: Ints, latency: Floats, forwarding: NDArray[np.bool_]
    ) -> None:
        self._cables = cables
        total = len(roots) * cables.num_nodes
        states = np.arange(len(roots)) * cables.num_nodes + roots
        self._reached = np.zeros(total, dtype=np.bool_)
        self._latency = np.zeros(total)
        self._first = np.zeros(total, dtype=np.int64)
        self._count = np.zeros(total, dtype=np.int32)
        self._levels: list[Ints] = []  # links on best routes, level by level, by state
        self._length = 0
        self._reached[states] = True
        self._latency[states] = latency
        self._frontier = states[forwarding]

    def reach(self, states: Ints) -> NDArray[np.bool_]:
        """Grow until some states are reached; returns which of them can be."""
        missing = states[~self._reached[states]]
        while len(missing) and len(self._frontier):
            self._grow()
            missing = missing[~self._reached[missing]]
        return self._reached[states]

    def next_links(self, states: Ints) -> tuple[Ints, Ints, Ints]:
        """The equally good links out of each state, as `links`, `first` and `count`.

        They are ``links[first[i]:first[i] + count[i]]``, lowest index first.
        """
        if len(self._levels) > 1:
            self._levels = [np.concatenate(self._levels)]
        links = self._levels[0] if self._levels else np.empty(0, dtype=np.int64)
        return links, self._first[states], self._count[states].astype(np.int64)

    def links_from(self, state: int) -> Ints:
        """The equally good links out of one state, lowest index first."""
        links, _, _ = self.next_links(_NONE)
        first = self._first[state]
        return links[first : first + self._count[state]]

    def _grow(self) -> None:
        """Add the next level: states one hop further, with the links on their best routes."""
        cables = self._cables
        link, state, onward = self._unreached()
        if not len(link):
            self._frontier = link
            return
        bounds = _run_bounds(state)
        first, count = bounds[:-1], bounds[1:] - bounds[:-1]
        level = state[first]
        latency = self._latency[onward] + cables.latency[link]
        least = np.minimum.reduceat(latency, first)
        best = latency <= np.repeat(least * (1 + LATENCY_TOLERANCE), count)
        if not best.all():
            link, count = link[best], np.add.reduceat(best, first, dtype=np.int64)
            first = np.cumsum(count) - count
        self._reached[level] = True
        self._latency[level], self._count[level] = least, count
        self._first[level] = self._length + first
        self._levels.append(link)
        self._length += len(link)
        self._frontier = level[cables.forwards[level % cables.num_nodes]]

    def _unreached(self) -> tuple[Ints, Ints, Ints]:
        """Links into the frontier from states not reached yet, by state and then link.

        Returns the links, the states that they come from and those that they lead to.
        """
        cables, num_links = self._cables, len(self._cables.source)
        node = self._frontier % cables.num_nodes
        link, degree = cables.into(node)
        state = np.repeat(self._frontier - node, degree) + cables.source[link]
        new = ~self._reached[state]
        codes = state[new] * num_links + link[new]
        codes.sort()
        state = codes // max(1, num_links)
        link = codes - state * num_links
        return link, state, state - cables.source[link] + cables.target[link]


def _run_bounds(values: Ints) -> Ints:
    """Where each run of equal values starts, and the end of the last."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([[0], changes, [len(values)]])
