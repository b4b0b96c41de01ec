"""Routes over directed links: fewest hops, then least latency, ties by a seeded hash.

Searches run backwards from a destination over arrays, level by level, and no further than the
sources asked for: a neighbour costs one level, and what was searched serves later sources.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATENCY_TOLERANCE", "Hops", "Router", "mix", "read_path"]

LATENCY_TOLERANCE = 1e-9  # relative; paths closer in latency than this are tied
_KEPT_BYTES = 1 << 27  # memory of the searches kept, about
_WORD = (1 << 64) - 1

_Ints = NDArray[np.int64]
Hops = list[list[int]]
"""The cables that each hop of a path may take."""


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
    z = (value + 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


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
        self._ecmp = ecmp
        self._targets: list[int] = target.tolist()  # single look-ups are faster in a list
        by_target = np.argsort(target, kind="stable")
        self._incoming_source = source[by_target]
        self._incoming_code = source[by_target] * len(source) + by_target
        self._degree = np.bincount(target, minlength=num_nodes)
        self._begin = np.cumsum(self._degree) - self._degree
        self._pairs: dict[tuple[int, int], list[int]] | None = None
        self._searches: OrderedDict[int, _Search] = OrderedDict()
        self._most = max(1, _KEPT_BYTES // (20 * num_nodes + 8 * len(source)))

    def route(self, source: int, destination: int, key: int) -> list[int] | None:
        """The links from one node to another, or None; the key decides among equals."""
        search = self._searches.get(destination)
        if search is None:
            search = self._searches[destination] = _Search(self, destination)
            if len(self._searches) > self._most:
                self._searches.popitem(last=False)
        self._searches.move_to_end(destination)
        if not search.reach(source):
            return None
        links = []
        while source != destination:
            equals = search.next_links(source)
            links.append(self._choose(equals, key, source))
            source = self._targets[links[-1]]
        return links

    def along(self, hops: Hops, key: int) -> list[int]:
        """The links of a path of one's own, parallel ones chosen as among equal routes."""
        return [self._choose(equals, key, int(self.source[equals[0]])) for equals in hops]

    def between(self, source: int, target: int) -> list[int]:
        """The cables of least latency from one node directly to another."""
        if self._pairs is None:
            self._pairs = {}
            for link, ends in enumerate(zip(self.source.tolist(), self._targets, strict=True)):
                self._pairs.setdefault(ends, []).append(link)
        links = self._pairs.get((source, target), [])
        most = (1 + LATENCY_TOLERANCE) * min((self.latency[i] for i in links), default=0.0)
        return [link for link in links if self.latency[link] <= most]

    def unvisited_into(self, nodes: _Ints, hops: NDArray[np.int32]) -> _Ints:
        """Links into the nodes from those without hops yet, by source and then link."""
        degree = self._degree[nodes]
        shift = self._begin[nodes] - (np.cumsum(degree) - degree)
        slots = np.repeat(shift, degree)
        slots += np.arange(len(slots))
        codes = self._incoming_code[slots[hops[self._incoming_source[slots]] < 0]]
        codes.sort()
        links: _Ints = codes % max(1, len(self.source))
        return links

    def _choose(self, equals: Sequence[int] | _Ints, key: int, node: int) -> int:
        if not self._ecmp or len(equals) == 1:
            return int(equals[0])
        return int(equals[mix(key ^ node) % len(equals)])


class _Search:
    """Best routes towards one destination, grown level by level."""

    def __init__(self, router: Router, destination: int) -> None:
        self._router = router
        self._hops = np.full(router.num_nodes, -1, dtype=np.int32)
        self._latency = np.zeros(router.num_nodes)
        self._first = np.zeros(router.num_nodes, dtype=np.int32)
        self._count = np.zeros(router.num_nodes, dtype=np.int32)
        self._links: list[_Ints] = []  # of every level, on best routes, by source
        self._level = 0
        self._hops[destination] = 0
        self._frontier = np.array([destination])

    def reach(self, source: int) -> bool:
        """Grow until the source is reached; False if it cannot be."""
        while self._hops[source] < 0:
            if not len(self._frontier):
                return False
            self._grow()
        return True

    def next_links(self, node: int) -> _Ints:
        """The equally good links out of a node, lowest index first."""
        level: _Ints = self._links[self._hops[node] - 1]
        first = self._first[node]
        return level[first : first + self._count[node]]

    def _grow(self) -> None:
        """Add the next level: nodes one hop further, with the links on their best routes."""
        router = self._router
        links = router.unvisited_into(self._frontier, self._hops)
        self._level += 1
        if not len(links):
            self._frontier = links
            return
        source = router.source[links]
        bounds = _run_bounds(source)
        first, count = bounds[:-1], bounds[1:] - bounds[:-1]
        level = source[first]
        latency = self._latency[router.target[links]] + router.latency[links]
        least = np.minimum.reduceat(latency, first)
        best = latency <= np.repeat(least * (1 + LATENCY_TOLERANCE), count)
        if not best.all():
            links, count = links[best], np.add.reduceat(best, first, dtype=np.int64)
            first = np.cumsum(count) - count
        self._hops[level] = self._level
        self._latency[level], self._first[level], self._count[level] = least, first, count
        self._links.append(links)
        self._frontier = level[router.forwards[level]]


def _run_bounds(values: _Ints) -> _Ints:
    """Where each run of equal values starts, and the end of the last."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([[0], changes, [len(values)]])


def read_path(
    key: object,
    path: object,
    hosts: Mapping[Hashable, int],
    nodes: Mapping[Hashable, int],
    router: Router,
) -> tuple[tuple[int, int], Hops]:
    """Check a route of the user's own.

    Parameters
    ----------
    key : tuple
        Names of the source and the destination host.
    path : sequence
        Names of the nodes from one to the other.
    hosts, nodes : mapping
        Node index by name: of the hosts, of all nodes.
    router : Router
        Whose links the path takes.

    Returns
    -------
    tuple of int, Hops
        Node indices of the ends, and the cables of least latency that each hop may take.

    Raises
    ------
    TypeError, ValueError
        Naming the key and what is wrong with it.
    """
    where = f"routes[{key!r}]"
    if not isinstance(key, tuple) or len(key) != 2:
        raise TypeError(f"{where}: the key must be a pair (source host, destination host)")
    if isinstance(path, str) or not isinstance(path, Sequence):
        raise TypeError(f"{where}: {path!r} must be a sequence of nodes")
    for node in key:
        if node not in hosts:
            raise ValueError(f"{where}: {node!r} is not a host of this network")
    for node in path:
        if not isinstance(node, Hashable) or node not in nodes:
            raise ValueError(f"{where}: {node!r} is not a node of this network")
    shown = f"the path {tuple(path)!r}"
    if len(path) < 2 or (path[0], path[-1]) != key:
        raise ValueError(f"{where}: {shown} must lead from {key[0]!r} to {key[1]!r}")
    if len(set(path)) < len(path):
        raise ValueError(f"{where}: {shown} must visit no node twice")
    for node in path[1:-1]:
        if not router.forwards[nodes[node]]:
            raise ValueError(f"{where}: host {node!r} would forward, and forward=False forbids it")
    hops = []
    for u, v in pairwise(path):
        links = router.between(nodes[u], nodes[v])
        if not links:
            raise ValueError(f"{where}: there is no link {u!r}→{v!r}")
        hops.append(links)
    return (nodes[key[0]], nodes[key[1]]), hops
