"""Routes over directed links: fewest hops, then least latency, ties by a seeded hash.

A destination that only one cable leads to shares its search with all that hang on the same node
by cables of the same latency; a source with one cable out needs none of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simnet.searches import LATENCY_TOLERANCE, Cables, Ints, Search, Words, mix, mixed

__all__ = ["Hops", "Router", "read_path"]

_KEPT_BYTES = 1 << 27  # memory of the searches kept, and of those made at once, about

Hops = list[list[int]]
"""The cables that each hop of a path may take."""


class _Roots(NamedTuple):
    """Where the searches of all destinations begin."""

    of: Ints  # the root's number, of each node as a destination
    node: Ints
    latency: NDArray[np.float64]  # seconds from the root to its destinations
    forwarding: NDArray[np.bool_]


class Router:
    """Routes over cables, searched when asked for.

    Parameters
    ----------
    cables : Cables
        What routes go over.
    ecmp : bool
        False takes the lowest link index among equals.
    """

    def __init__(self, cables: Cables, ecmp: bool) -> None:
        self.cables = cables
        self._ecmp = ecmp
        # Single look-ups are faster in lists.
        self._sources: list[int] = cables.source.tolist()
        self._targets: list[int] = cables.target.tolist()
        self._only_in = _only(cables.target, cables.num_nodes)
        self._only_out = _only(cables.source, cables.num_nodes)
        self._searches: OrderedDict[int, Search] = OrderedDict()
        search_bytes = 21 * cables.num_nodes + 8 * len(cables.source)
        self._most = max(1, _KEPT_BYTES // search_bytes)

    @property
    def only(self) -> tuple[Ints, Ints]:
        """The one cable out of each node, and the one into it; -1 where there is none or more."""
        return self._only_out, self._only_in

    def route(self, source: int, destination: int, key: int) -> list[int] | None:
        """The links from one node to another, or None; the key decides among equals."""
        last = int(self._only_in[destination])
        root = self._sources[last] if last >= 0 else destination
        links: list[int] = []
        if source != root:
            search = self._search(int(self._roots.of[destination]))
            if not search.reach(np.array([source])).all():
                return None
            while source != root:
                links.append(self._choose(search.links_from(source), key, source))
                source = self._targets[links[-1]]
        return [*links, last] if last >= 0 else links

    def routes(
        self, source: Ints, destination: Ints, keys: Callable[[Ints], Words]
    ) -> tuple[Ints, Ints] | None:
        """The routes of many pairs of different nodes: those that `route` gives, to the bit.

        Parameters
        ----------
        source, destination : (n,) array of int
            Nodes.
        keys : callable
            Returns, for some pairs by their positions, the keys that decide among equals.

        Returns
        -------
        tuple of arrays, or None
            Route i is ``links[offsets[i]:offsets[i + 1]]``; None if any pair has none.
        """
        cables = self.cables
        last = self._only_in[destination]
        root = np.where(last >= 0, cables.source[last], destination)
        through = (root == destination) | cables.forwards[root]
        first = np.where(source != root, self._only_out[source], -1)
        onward = cables.target[first]
        first[(onward != destination) & ~cables.forwards[onward]] = -1
        node = np.where(first >= 0, onward, source)
        middle = np.full(len(node), -1)
        apart = np.flatnonzero((node != root) & through)
        middle[apart] = self._single(node[apart], root[apart])
        far = np.flatnonzero((node != root) & (middle < 0))
        found = self._walk(node[far], destination[far], root[far], keys(far))
        if found is None:
            return None
        owners, hops, links = found
        before, some = (first >= 0).astype(np.int64), (middle >= 0).astype(np.int64)
        length = before + some + (last >= 0)
        length[far] += np.bincount(owners, minlength=len(far))
        offsets = np.concatenate([[0], np.cumsum(length)])
        flat = np.empty(offsets[-1], dtype=np.int64)
        begin = offsets[:-1]
        flat[begin[first >= 0]] = first[first >= 0]
        flat[(begin + before)[middle >= 0]] = middle[middle >= 0]
        flat[(begin + before)[far][owners] + hops] = links
        flat[(offsets[1:] - 1)[last >= 0]] = last[last >= 0]
        return offsets, flat

    def along(self, hops: Hops, key: int) -> list[int]:
        """The links of a path of one's own, parallel ones chosen as among equal routes."""
        return [self._choose(equals, key, self._sources[equals[0]]) for equals in hops]

    def between(self, source: int, target: int) -> list[int]:
        """The cables of least latency from one node directly to another."""
        links = self._pairs.get((source, target), [])
        latency = self.cables.latency
        most = (1 + LATENCY_TOLERANCE) * min((latency[i] for i in links), default=0.0)
        return [link for link in links if latency[link] <= most]

    @cached_property
    def _pairs(self) -> dict[tuple[int, int], list[int]]:
        pairs: dict[tuple[int, int], list[int]] = {}
        for link, ends in enumerate(zip(self._sources, self._targets, strict=True)):
            pairs.setdefault(ends, []).append(link)
        return pairs

    @cached_property
    def _roots(self) -> _Roots:
        cables, last = self.cables, self._only_in
        every = np.arange(cables.num_nodes)
        node = np.where(last >= 0, cables.source[last], every)
        latency = np.where(last >= 0, cables.latency[last], 0.0)
        forwarding = (last < 0) | cables.forwards[node]
        order = np.lexsort((forwarding, latency, node))
        new = np.ones(len(order), dtype=np.bool_)
        for column in (node, latency, forwarding):
            new[1:] &= column[order][1:] == column[order][:-1]
        new[1:] = ~new[1:]
        of = np.empty_like(every)
        of[order] = np.cumsum(new) - 1
        begins = order[new]
        return _Roots(of, node[begins], latency[begins], forwarding[begins])

    @cached_property
    def _singles(self) -> tuple[Ints, Ints]:
        """Codes of the pairs of nodes that exactly one cable joins, ascending, and the cables."""
        codes = self.cables.source * self.cables.num_nodes + self.cables.target
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        alone = np.ones(len(codes), dtype=np.bool_)
        alone[1:] &= codes[1:] != codes[:-1]
        alone[:-1] &= codes[1:] != codes[:-1]
        return codes[alone], order[alone]

    def _single(self, source: Ints, target: Ints) -> Ints:
        """The one cable between each two nodes; -1 where there is none or a choice."""
        codes, links = self._singles
        if not len(codes):
            return np.full(len(source), -1)
        asked = source * self.cables.num_nodes + target
        place = np.minimum(np.searchsorted(codes, asked), len(codes) - 1)
        return np.where(codes[place] == asked, links[place], -1)

    def _search(self, number: int) -> Search:
        """The search of one root, kept for a while."""
        search = self._searches.get(number)
        if search is None:
            search = self._searches[number] = self._begin(np.array([number]))
            if len(self._searches) > self._most:
                self._searches.popitem(last=False)
        self._searches.move_to_end(number)
        return search

    def _begin(self, numbers: Ints) -> Search:
        _, node, latency, forwarding = self._roots
        return Search(self.cables, node[numbers], latency[numbers], forwarding[numbers])

    def _walk(
        self, source: Ints, destination: Ints, root: Ints, key: Words
    ) -> tuple[Ints, Ints, Ints] | None:
        """Links from sources to the roots of destinations: of which pair, which hop, the link."""
        numbers, of = np.unique(self._roots.of[destination], return_inverse=True)
        none = np.empty(0, dtype=np.int64)
        found = [(none, none, none)]
        for begin in range(0, len(numbers), self._most):
            some = np.flatnonzero((of >= begin) & (of < begin + self._most))
            search = self._begin(numbers[begin : begin + self._most])
            shift = (of[some] - begin) * self.cables.num_nodes
            state, end = shift + source[some], shift + root[some]
            if not search.reach(state).all():
                return None
            found += [
                (some[active], np.full(len(active), hop), links)
                for hop, (active, links) in enumerate(self._hops(search, state, end, key[some]))
            ]
        owners, hops, links = (np.concatenate(column) for column in zip(*found, strict=True))
        return owners, hops, links

    def _hops(
        self, search: Search, state: Ints, end: Ints, key: Words
    ) -> Iterator[tuple[Ints, Ints]]:
        """Yield hop by hop which pairs are still under way, and the link that each takes."""
        active = np.flatnonzero(state != end)
        while len(active):
            here = state[active]
            equals, first, count = search.next_links(here)
            many = np.flatnonzero(count > 1)
            if self._ecmp and len(many):
                node = (here[many] % self.cables.num_nodes).astype(np.uint64)
                turn = mixed(key[active[many]] ^ node) % count[many].astype(np.uint64)
                first[many] += turn.astype(np.int64)
            link = equals[first]
            yield active, link
            state[active] += self.cables.target[link] - self.cables.source[link]
            active = active[state[active] != end[active]]

    def _choose(self, equals: Sequence[int] | Ints, key: int, node: int) -> int:
        if not self._ecmp or len(equals) == 1:
            return int(equals[0])
        return int(equals[mix(key ^ node) % len(equals)])


def _only(ends: Ints, num_nodes: int) -> Ints:
    """The one link at each node, by the links' ends; -1 where there is none or several."""
    only = np.full(num_nodes, -1)
    only[ends] = np.arange(len(ends))
    only[np.bincount(ends, minlength=num_nodes) != 1] = -1
    return only


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
        if not router.cables.forwards[nodes[node]]:
            raise ValueError(f"{where}: host {node!r} would forward, and forward=False forbids it")
    hops = []
    for u, v in pairwise(path):
        links = router.between(nodes[u], nodes[v])
        if not links:
            raise ValueError(f"{where}: there is no link {u!r}→{v!r}")
        hops.append(links)
    return (nodes[key[0]], nodes[key[1]]), hops
