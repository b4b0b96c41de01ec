"""Routes over directed links: fewest hops, then least latency, ties by a seeded hash.

Searches run backwards from destinations over arrays, many destinations at once, level by
level, and no further than the sources asked for: a neighbour costs one level.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATENCY_TOLERANCE", "Forest", "Router", "mix"]

LATENCY_TOLERANCE = 1e-9  # relative; paths closer in latency than this are tied
_BUDGET = 1 << 22  # array entries held by the searches of one batch, and by those kept

_Ints = NDArray[np.int64]
_Keys = NDArray[np.uint64]


def mix(values: _Keys) -> _Keys:
    """Scramble 64-bit integers, each on its own, alike in every process.

    Parameters
    ----------
    values : ndarray of uint64
        Any shape.

    Returns
    -------
    ndarray of uint64
        The same shape.

    Notes
    -----
    One step of splitmix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014, https://doi.org/10.1145/2660193.2660195.
    """
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Forest:
    """Shortest-path searches towards several destinations at once, grown level by level.

    Position b * num_nodes + node is a node in the search towards destination b.

    Parameters
    ----------
    router : Router
        Whose links are searched.
    destinations : ndarray of int, shape (B,)
        Node indices.
    """

    def __init__(self, router: Router, destinations: _Ints) -> None:
        self._router = router
        size = len(destinations) * router.num_nodes
        roots = np.arange(len(destinations)) * router.num_nodes + destinations
        self.hops = np.full(size, -1, dtype=np.int32)
        self._latency = np.full(size, np.inf)
        self._first = np.zeros(size, dtype=np.int64)
        self._count = np.zeros(size, dtype=np.int64)
        self._levels: list[_Ints] = []
        self._num_tight = 0
        self.hops[roots] = 0
        self._latency[roots] = 0.0
        self._frontier = roots

    def reach(self, starts: _Ints, *, prune: bool = False) -> bool:
        """Grow until every start is reached; False if some never is.

        With prune, destinations whose starts are all reached grow no further.
        """
        n = self._router.num_nodes
        while True:
            missing = starts[self.hops[starts] < 0]
            if not len(missing) or not len(self._frontier):
                return not len(missing)
            if prune:
                wanted = np.zeros(len(self.hops) // n, dtype=np.bool_)
                wanted[missing // n] = True
                self._frontier = self._frontier[wanted[self._frontier // n]]
            self._grow()

    def walk(self, starts: _Ints, keys: _Keys) -> tuple[_Ints, _Ints]:
        """Follow one route from each start; keys decide among equals.

        Returns the lengths and the links of all routes, one after the other.
        """
        router = self._router
        if len(self._levels) > 1:
            self._levels = [np.concatenate(self._levels)]
        lengths = self.hops[starts].astype(np.int64)
        out = np.empty(int(lengths.sum()), dtype=np.int64)
        at = np.cumsum(lengths) - lengths
        left = lengths
        position = starts
        while True:
            if not left.all():
                going = left > 0
                position, at, left, keys = position[going], at[going], left[going], keys[going]
            if not len(position):
                return lengths, out
            node = position % router.num_nodes
            choice = router.choose(self._count[position], keys, node)
            link = self._levels[0][self._first[position] + choice]
            out[at] = link
            position = position - node + router.target[link]
            at, left = at + 1, left - 1

    def _grow(self) -> None:
        """Add the next level: nodes one hop further, with the links on their best routes."""
        router = self._router
        node = self._frontier % router.num_nodes
        links, owner = router.incoming(node)
        towards = self._frontier[owner]
        source = towards - node[owner] + router.source[links]
        fresh = self.hops[source] < 0
        links, towards, source = links[fresh], towards[fresh], source[fresh]
        latency = self._latency[towards] + router.latency[links]
        np.minimum.at(self._latency, source, latency)
        tight = latency <= self._latency[source] * (1 + LATENCY_TOLERANCE)
        links, source = links[tight], source[tight]
        order = np.lexsort((links, source))
        links, source = links[order], source[order]
        begins = np.flatnonzero(np.diff(source, prepend=-1))
        level = source[begins]
        self.hops[level] = self.hops[self._frontier[0]] + 1 if len(level) else 0
        self._first[level] = self._num_tight + begins
        self._count[level] = np.diff(begins, append=len(source))
        self._levels.append(links)
        self._num_tight += len(links)
        self._frontier = level[router.forwards[level % router.num_nodes]]


class Router:
    """Routes over cables, searched when asked for.

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
    ecmp : bool
        False takes the lowest link index among equals.
    """

    def __init__(
        self,
        num_nodes: int,
        source: _Ints,
        target: _Ints,
        latency: NDArray[np.float64],
        forwards: NDArray[np.bool_],
        ecmp: bool,
    ) -> None:
        self.num_nodes = num_nodes
        self.source = source
        self.target = target
        self.latency = latency
        self.forwards = forwards
        self.ecmp = ecmp
        self._by_target = np.argsort(target, kind="stable")
        degrees = np.bincount(target, minlength=num_nodes)
        self._begins = np.concatenate([[0], np.cumsum(degrees)])
        self._kept: OrderedDict[int, Forest] = OrderedDict()
        self._most = max(1, _BUDGET // (num_nodes + len(source)))

    def incoming(self, nodes: _Ints) -> tuple[_Ints, _Ints]:
        """Links into the nodes, and the position in nodes each belongs to."""
        begins = self._begins[nodes]
        degrees = self._begins[nodes + 1] - begins
        owner = np.repeat(np.arange(len(nodes)), degrees)
        shift = begins - (np.cumsum(degrees) - degrees)
        return self._by_target[np.arange(len(owner)) + shift[owner]], owner

    def choose(self, counts: _Ints, keys: _Keys, nodes: _Ints) -> _Ints:
        """Which of counts equal next links each key takes at each node."""
        if not self.ecmp or counts.max() == 1:
            return np.zeros(len(counts), dtype=np.int64)
        hashed = mix(keys ^ nodes.astype(np.uint64))
        return (hashed % counts.astype(np.uint64)).astype(np.int64)

    def route(self, source: int, destination: int, key: int) -> _Ints | None:
        """One route, or None; the search is kept for other sources."""
        forest = self._kept.get(destination)
        if forest is None:
            forest = Forest(self, np.array([destination]))
            self._kept[destination] = forest
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(destination)
        start = np.array([source])
        if not forest.reach(start):
            return None
        return forest.walk(start, np.array([key], dtype=np.uint64))[1]

    def table(self, sources: _Ints, destinations: _Ints, keys: _Keys) -> tuple[_Ints, _Ints]:
        """Many routes at once: lengths (-1 where there is none) and all links in order."""
        targets, inverse = np.unique(destinations, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        bounds = np.searchsorted(inverse[order], np.arange(0, len(targets), self._most))
        lengths = np.empty(len(sources), dtype=np.int64)
        pieces = []
        for batch, pairs in enumerate(np.split(order, bounds[1:])):
            low = batch * self._most
            forest = Forest(self, targets[low : low + self._most])
            starts = (inverse[pairs] - low) * self.num_nodes + sources[pairs]
            forest.reach(starts, prune=True)
            found = forest.hops[starts] >= 0
            lengths[pairs] = -1
            lengths[pairs[found]], links = forest.walk(starts[found], keys[pairs[found]])
            pieces.append(links)
        return lengths, _reordered(lengths, order, np.concatenate(pieces))


def _reordered(lengths: _Ints, order: _Ints, links: _Ints) -> _Ints:
    """Links of routes stored in the given order, put back in the order of lengths."""
    taken = np.maximum(lengths, 0)
    begins = np.empty(len(taken), dtype=np.int64)
    begins[order] = np.cumsum(taken[order]) - taken[order]
    shift = begins - (np.cumsum(taken) - taken)
    gathered: _Ints = links[np.arange(len(links)) + np.repeat(shift, taken)]
    return gathered
