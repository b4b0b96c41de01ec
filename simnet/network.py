"""A network: a networkx graph checked and frozen into arrays of directed links, with routes."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.conditions import Profile
from simnet.conditions import profile as find_profile
from simnet.graph_check import check_connected, read_graph
from simnet.links import CABLE, EGRESS, INGRESS, Links, child_sequence, fill_open, make_links
from simnet.routing import Router, mix

__all__ = ["CABLE", "EGRESS", "INGRESS", "Links", "Network"]

LinkIndices = NDArray[np.int64]


class Network:
    """A graph checked and frozen.

    Parameters
    ----------
    graph : networkx graph
        Directed or not, multi or not. A Graph's edge is a full-duplex cable, a DiGraph's edge one
        direction; Multi* have parallel cables. Node attributes: `kind` ("host" or "switch"), on
        hosts `egress`, `ingress` (bytes/s), `overhead` (s per message), `reduce_bandwidth`
        (bytes/s). Edge attributes: `bandwidth` (bytes/s), `latency` (s one way), `jitter` (s),
        `loss` (probability per packet), `buffer` (bytes). Numbers are SI, text carries its unit.
        The graph is copied.
    profile : str or Profile, optional
        Draws what the graph leaves open, once; without one an open latency, jitter or loss is 0
        and an open bandwidth an error.
    seed : int or None
        Root of the profile's draws and of ECMP's choices; None draws one and records it.
    draw : bool
        False takes the mid-points of the profile's ranges.
    nic : bool
        With a profile, also draw one bandwidth a host for its open egress and ingress.
    routes : mapping, optional
        ``(source node, destination node)`` to a path of nodes, where routes are your own.
    forward : bool
        Whether hosts forward what is not for them.
    ecmp : bool
        Spread (source, destination, channel) over equal routes by seed; False takes the first.
    ignore : iterable of str
        Attribute names to leave unread.

    Attributes
    ----------
    graph : networkx graph
        The frozen copy.
    nodes : tuple of hashable
        Names, in graph order.
    hosts : (N,) array of int
        Node index of each rank.
    links : Links
        Cables in edge order (both directions), then network cards.
    overhead : (N,) array of float
        Seconds per message of each rank; 0 where absent.
    reduce_bandwidth : (N,) array of float
        Bytes/s of local reduction; infinite where absent.
    islands : tuple of tuple of int, or None
        Ranks by the hosts' attribute `island`.
    dims : tuple of int or None
        The grid's extents, as the graph says in ``graph.graph["dims"]``.
    seed, profile
        Where the draws came from; the profile's name or None.

    Raises
    ------
    TypeError, ValueError
        One line that names node or edge, value and what is allowed.
    """

    def __init__(
        self,
        graph: nx.Graph[Any],
        *,
        profile: str | Profile | None = None,
        seed: int | None = 0,
        draw: bool = True,
        nic: bool = False,
        routes: Mapping[tuple[Hashable, Hashable], Sequence[Hashable]] | None = None,
        forward: bool = True,
        ecmp: bool = True,
        ignore: Iterable[str] = (),
    ) -> None:
        data = read_graph(graph, ignore)
        self.seed = _checked_seed(seed)
        if forward:
            check_connected(graph, data)
        ranges = None if profile is None else find_profile(profile)
        if nic and ranges is None:
            raise ValueError("nic=True draws network cards from a profile: give profile= too")
        if ranges is not None:
            fill_open(data, ranges, seed=self.seed, draw=draw, nic=nic)
        self.profile = None if ranges is None else ranges.name
        self.graph = nx.freeze(graph.copy())
        self.nodes = data.nodes
        self.hosts = _frozen(data.hosts)
        self.links = make_links(data)
        self.overhead = _frozen(np.nan_to_num(data.per_node["overhead"][data.hosts], nan=0.0))
        reduce = data.per_node["reduce_bandwidth"][data.hosts]
        self.reduce_bandwidth = _frozen(np.where(np.isnan(reduce), np.inf, reduce))
        self.islands = _group(data.islands)
        self.dims = _dims(graph)
        self._ranks = {self.nodes[host]: rank for rank, host in enumerate(self.hosts)}
        self._cards = self._find_cards()
        cables = int((self.links.kind == CABLE).sum())
        self._router = Router(
            len(self.nodes),
            self.links.source[:cables],
            self.links.target[:cables],
            self.links.latency[:cables],
            np.ones(len(self.nodes), dtype=np.bool_) if forward else data.is_switch,
            ecmp,
        )
        self._forward = forward
        self._route_key = int(child_sequence(self.seed, "routes").generate_state(1, np.uint64)[0])
        self._routes: dict[tuple[int, int, int], LinkIndices] = {}
        self._paths = self._check_paths(routes or {})

    @property
    def num_ranks(self) -> int:
        """How many hosts there are; rank i is the i-th."""
        return len(self.hosts)

    @property
    def num_links(self) -> int:
        """Directed links, network cards included."""
        return len(self.links)

    @property
    def is_lossy(self) -> bool:
        """Whether any link loses packets."""
        return bool((self.links.loss > 0).any())

    @property
    def has_jitter(self) -> bool:
        """Whether any link's latency varies."""
        return bool((self.links.jitter > 0).any())

    def __repr__(self) -> str:
        """A short line: hosts, switches, links, profile."""
        name = self.graph.graph.get("name") or type(self.graph).__name__
        profile = f", profile={self.profile!r}, seed={self.seed}" if self.profile else ""
        switches = len(self.nodes) - self.num_ranks
        return (
            f"<Network {name}: {self.num_ranks} hosts, {switches} switches, "
            f"{self.num_links} links{profile}>"
        )

    def rank_of(self, node: Hashable) -> int:
        """The rank of a host; ValueError for anything else."""
        try:
            return self._ranks[node]
        except (KeyError, TypeError):
            raise ValueError(f"{node!r} is not a host of this network") from None

    def link_name(self, link: int) -> str:
        """How people call a link: "h0→s1", or "h0 egress" for a network card."""
        source, target = self.links.source[link], self.links.target[link]
        kind = self.links.kind[link]
        if kind == CABLE:
            return f"{self.nodes[source]}→{self.nodes[target]}"
        return f"{self.nodes[source]} {'egress' if kind == EGRESS else 'ingress'}"

    def route(self, src: int, dst: int, channel: int = 0) -> LinkIndices:
        """The links from one rank to another, network cards included, read-only.

        Fewest hops, then least latency; equal routes are told apart by a hash of seed, source,
        destination and channel (ECMP). A host's egress comes before each of its outgoing cables
        and its ingress after each incoming one, also where it forwards.

        Raises
        ------
        ValueError
            If a rank does not exist or there is no route.
        """
        key = (src, dst, channel)
        if key not in self._routes:
            self._routes[key] = self._find(*key)
        return self._routes[key]

    def route_latency(self, src: int, dst: int, channel: int = 0) -> float:
        """Seconds one way along `route`."""
        return float(self.links.latency[self.route(src, dst, channel)].sum())

    def route_loss(self, src: int, dst: int, channel: int = 0) -> float:
        """The probability that a packet is lost along `route`: 1 − Π(1 − p)."""
        kept = np.log1p(-self.links.loss[self.route(src, dst, channel)]).sum()
        return float(-np.expm1(kept)) + 0.0

    def _find(self, src: int, dst: int, channel: int) -> LinkIndices:
        for name, rank in (("source", src), ("destination", dst)):
            if not 0 <= rank < self.num_ranks:
                raise ValueError(f"{name} rank {rank} is not one of 0 … {self.num_ranks - 1}")
        if src == dst:
            return _frozen(np.empty(0, dtype=np.int64))
        start, end = int(self.hosts[src]), int(self.hosts[dst])
        key = self._key(start, end, channel)
        path = self._paths.get((start, end))
        if path is not None:
            return self._with_cards(self._along(path, key))
        cables = self._router.route(start, end, key)
        if cables is None:
            why = "" if self._forward else "; hosts do not forward (forward=False)"
            raise ValueError(f"no route from {self.nodes[start]!r} to {self.nodes[end]!r}{why}")
        return self._with_cards(cables)

    def _key(self, start: int, end: int, channel: int) -> int:
        """A hash of who sends to whom on which channel."""
        key = np.array([self._route_key], dtype=np.uint64)
        for part in (start, end, channel):
            key = mix(key ^ np.uint64(part))
        return int(key[0])

    def _with_cards(self, cables: LinkIndices) -> LinkIndices:
        links: list[int] = []
        for cable in cables.tolist():
            source, target = int(self.links.source[cable]), int(self.links.target[cable])
            before, after = self._cards.get((source, EGRESS)), self._cards.get((target, INGRESS))
            links += [] if before is None else [before]
            links.append(cable)
            links += [] if after is None else [after]
        return _frozen(np.array(links, dtype=np.int64))

    def _find_cards(self) -> dict[tuple[int, int], int]:
        """The link of each network card by (node, kind)."""
        links = self.links
        return {
            (int(links.source[link]), int(links.kind[link])): int(link)
            for link in np.flatnonzero(links.kind != CABLE)
        }

    def _check_paths(
        self, routes: Mapping[tuple[Hashable, Hashable], Sequence[Hashable]]
    ) -> dict[tuple[int, int], list[list[int]]]:
        """Turn paths of nodes into the cables that each hop may take (several in parallel)."""
        if not isinstance(routes, Mapping):
            raise TypeError(f"routes={routes!r:.60}: a mapping of (source, destination) to a path")
        if not routes:
            return {}
        index = {node: i for i, node in enumerate(self.nodes)}
        cables: dict[tuple[int, int], list[int]] = {}
        for cable in np.flatnonzero(self.links.kind == CABLE).tolist():
            ends = (int(self.links.source[cable]), int(self.links.target[cable]))
            cables.setdefault(ends, []).append(cable)
        return dict(self._check_path(key, path, index, cables) for key, path in routes.items())

    def _check_path(
        self,
        key: tuple[Hashable, Hashable],
        path: Sequence[Hashable],
        index: Mapping[Hashable, int],
        cables: Mapping[tuple[int, int], list[int]],
    ) -> tuple[tuple[int, int], list[list[int]]]:
        where = f"routes[{key!r}]"
        if not isinstance(key, tuple) or len(key) != 2:
            raise ValueError(f"{where}: the key is a pair (source host, destination host)")
        if isinstance(path, str) or not isinstance(path, Sequence):
            raise TypeError(f"{where}: {path!r} is not a sequence of nodes")
        start, end = (self.rank_of(node) for node in key)
        if len(path) < 2 or path[0] != key[0] or path[-1] != key[1]:
            raise ValueError(f"{where}: the path {tuple(path)} must lead from {key[0]!r} to {key[1]!r}")
        for node in path:
            if node not in index:
                raise ValueError(f"{where}: {node!r} is not a node of this network")
        if len(set(path)) < len(path):
            raise ValueError(f"{where}: the path {tuple(path)} visits a node twice")
        hops = []
        for u, v in zip(path, path[1:], strict=False):
            if (index[u], index[v]) not in cables:
                raise ValueError(f"{where}: there is no link {u!r}→{v!r}")
            hops.append(cables[index[u], index[v]])
        return (int(self.hosts[start]), int(self.hosts[end])), hops

    def _along(self, hops: list[list[int]], key: int) -> LinkIndices:
        """The cables of a path given by nodes; parallel ones are chosen as among equal routes."""
        keys = np.full(len(hops), key, dtype=np.uint64)
        counts = np.array([len(parallel) for parallel in hops])
        nodes = self.links.source[[parallel[0] for parallel in hops]]
        chosen = self._router.choose(counts, keys, nodes)
        return np.array([parallel[c] for parallel, c in zip(hops, chosen, strict=True)])


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed={seed!r}: a whole number, or None to draw one")
    if seed < 0:
        raise ValueError(f"seed={seed}: zero or more, or None to draw one")
    return int(seed)


def _group(islands: tuple[Hashable, ...] | None) -> tuple[tuple[int, ...], ...] | None:
    """Ranks by island, islands in the order of their first rank."""
    if islands is None:
        return None
    groups: dict[Hashable, list[int]] = {}
    for rank, island in enumerate(islands):
        groups.setdefault(island, []).append(rank)
    return tuple(tuple(ranks) for ranks in groups.values())


def _dims(graph: nx.Graph[Any]) -> tuple[int, ...] | None:
    dims = graph.graph.get("dims")
    return None if dims is None else tuple(int(extent) for extent in dims)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
