"""A network: a networkx graph checked and frozen into arrays of directed links, with routes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.conditions import Profile
from simnet.conditions import profile as find_profile
from simnet.graph_check import check_connected, read_graph
from simnet.links import CABLE, EGRESS, INGRESS, Links, child_sequence, fill_open, make_links
from simnet.routing import Hops, Router, read_path
from simnet.searches import Cables, Words, mix, mixed
from simnet.seeds import checked_seed

__all__ = ["CABLE", "EGRESS", "INGRESS", "Links", "Network"]

LinkIndices = NDArray[np.int64]

_ROUTES_KEPT = 1 << 18  # routes remembered; more are found again


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
    open_cables : dict of str to (E,) array of bool
        Which edges the graph left without "bandwidth", and which without "latency".
    seed, profile
        Where the draws came from; the profile's name or None.

    Raises
    ------
    TypeError, ValueError
        One line that names node or edge, value and what is allowed.

    Notes
    -----
    Ranks follow the graph's own order of nodes. That of a networkx ``subgraph`` view of texts is
    a set's, another one in every process: add its nodes to a new graph in an order of your own.
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
        self.seed = checked_seed(seed)
        check_connected(graph, data)
        self.open_cables = {
            name: frozen(np.isnan(data.cables[name])) for name in ("bandwidth", "latency")
        }
        ranges = None if profile is None else find_profile(profile)
        if nic and ranges is None:
            raise ValueError("nic=True draws network cards from a profile: give profile= too")
        if ranges is not None:
            fill_open(data, ranges, seed=self.seed, draw=draw, nic=nic)
        self.profile = None if ranges is None else ranges.name
        self.graph = nx.freeze(graph.copy())
        self.nodes = data.nodes
        self.hosts = frozen(data.hosts)
        self.links = make_links(data)
        self.overhead = frozen(np.nan_to_num(data.per_node["overhead"][data.hosts], nan=0.0))
        reduce = data.per_node["reduce_bandwidth"][data.hosts]
        self.reduce_bandwidth = frozen(np.where(np.isnan(reduce), np.inf, reduce))
        self.islands = _group(data.islands)
        self.dims = _dims(graph)
        self._ranks = {self.nodes[host]: rank for rank, host in enumerate(self.hosts)}
        self._keys, self._directed = data.keys, data.directed
        count = int((self.links.kind == CABLE).sum())
        cables = Cables(
            len(self.nodes),
            self.links.source[:count],
            self.links.target[:count],
            self.links.latency[:count],
            np.ones(len(self.nodes), dtype=np.bool_) if forward else data.is_switch,
        )
        self._around = _cards_around(self.links, cables)
        self._router = Router(cables, ecmp)
        self._forward = forward
        self._route_key = int(child_sequence(self.seed, "routes").generate_state(1, np.uint64)[0])
        self._routes: dict[tuple[int, int, int], LinkIndices] = {}
        self._paths = self._check_paths(routes)

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
        """How people call a link: "h0→s1", or "h0 egress" for a network card.

        A multigraph's parallel cables add their edge key: "h0→s1 [rail2]".
        """
        _check_index("link", link, self.num_links)
        kind = self.links.kind[link]
        source, target = (self.nodes[ends[link]] for ends in (self.links.source, self.links.target))
        if kind != CABLE:
            return f"{source} {'egress' if kind == EGRESS else 'ingress'}"
        if self._keys is None or self.graph.number_of_edges(source, target) == 1:
            return f"{source}→{target}"
        return f"{source}→{target} [{self._keys[link if self._directed else link // 2]}]"

    def route(self, src: int, dst: int, channel: int = 0) -> LinkIndices:
        """The links from one rank to another, network cards included, read-only.

        Fewest hops, then least latency; equal routes are told apart by a hash of seed, source,
        destination and channel (ECMP). A host's egress comes before each of its outgoing cables
        and its ingress after each incoming one, also where it forwards. From a rank to itself
        there is nothing to cross.

        Raises
        ------
        TypeError
            If a rank or the channel is no whole number.
        ValueError
            If a rank does not exist, the channel is negative or there is no route.
        """
        if type(src) is type(dst) is type(channel) is int:
            found = self._routes.get((src, dst, channel))
            if found is not None:
                return found
        for name, rank in (("source rank", src), ("destination rank", dst)):
            _check_index(name, rank, self.num_ranks)
        _check_index("channel", channel)
        found = self._find(src, dst, channel)
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        self._routes[int(src), int(dst), int(channel)] = found
        return found

    def routes_of(
        self, src: LinkIndices, dst: LinkIndices, channel: LinkIndices
    ) -> tuple[LinkIndices, LinkIndices]:
        """The routes of many (source, destination, channel), each the one that `route` gives.

        Parameters
        ----------
        src, dst, channel : (n,) array of int
            Ranks and channel numbers.

        Returns
        -------
        offsets : (n + 1,) array of int
        links : array of int
            Route i is ``links[offsets[i]:offsets[i + 1]]``; empty from a rank to itself.

        Raises
        ------
        ValueError
            If a rank does not exist, a channel is negative or there is no route.
        """
        columns = [np.asarray(column, dtype=np.int64) for column in (src, dst, channel)]
        apart = np.flatnonzero(columns[0] != columns[1])
        found = None
        if len(apart) and not self._paths:
            found = self._routes_of(*(each[apart] for each in columns))
        if found is None:  # none, routes of the user's own, or something to complain of
            rows = zip(*(column.tolist() for column in columns), strict=True)
            routes = [self.route(*row) for row in rows]
            lengths = np.array([len(route) for route in routes], dtype=np.int64)
            links = np.concatenate([np.empty(0, dtype=np.int64), *routes])
            return np.concatenate([[0], np.cumsum(lengths)]), links
        lengths = np.zeros(len(columns[0]), dtype=np.int64)
        lengths[apart] = np.diff(found[0])
        return np.concatenate([[0], np.cumsum(lengths)]), found[1]

    def _routes_of(
        self, src: LinkIndices, dst: LinkIndices, channel: LinkIndices
    ) -> tuple[LinkIndices, LinkIndices] | None:
        """Routes between different ranks; None where there is none or a number is wrong."""
        for column, count in ((src, self.num_ranks), (dst, self.num_ranks), (channel, None)):
            if len(column) and (column.min() < 0 or (count and column.max() >= count)):
                return None
        start, end = self.hosts[src], self.hosts[dst]

        def keys(some: LinkIndices) -> Words:
            key = np.full(len(some), self._route_key, dtype=np.uint64)
            for part in (start, end, channel):
                key = mixed(key ^ part[some].astype(np.uint64))
            return key

        found = self._router.routes(start, end, keys)
        if found is None or self._around is None:
            return found
        offsets, cables = found
        links = self._around[cables]
        there = links >= 0
        counts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return counts[offsets], links[there]

    def route_latency(self, src: int, dst: int, channel: int = 0) -> float:
        """Seconds one way along `route`."""
        return float(sum(self.links.latency[self.route(src, dst, channel)].tolist()))

    def is_hub(self, ranks: LinkIndices) -> bool:
        """Whether all routes between some ranks are one cable to one common node and one on."""
        hosts, (out, into) = self.hosts[ranks], self._router.only
        out, into, cables = out[hosts], into[hosts], self._router.cables
        if self._paths or not len(ranks) or min(out.min(), into.min()) < 0:
            return False
        hub = cables.target[out[0]]
        ends = (cables.target[out] == hub).all() and (cables.source[into] == hub).all()
        return bool(ends and cables.forwards[hub])

    def latencies_of(self, offsets: LinkIndices, links: LinkIndices) -> NDArray[np.float64]:
        """Seconds one way along each of many routes, as `routes_of` gives them; (n,)."""
        total = np.zeros(len(offsets) - 1)
        left = np.flatnonzero(np.diff(offsets))
        at = offsets[left]
        while len(left):  # link after link, as `route_latency` adds up
            total[left] += self.links.latency[links[at]]
            at = at + 1
            more = at < offsets[left + 1]
            left, at = left[more], at[more]
        return total

    def route_loss(self, src: int, dst: int, channel: int = 0) -> float:
        """The probability that a packet is lost along `route`: 1 − Π(1 − p)."""
        kept = np.log1p(-self.links.loss[self.route(src, dst, channel)]).sum()
        return float(-np.expm1(kept)) + 0.0

    def _find(self, src: int, dst: int, channel: int) -> LinkIndices:
        if src == dst:
            return frozen(np.empty(0, dtype=np.int64))
        start, end = int(self.hosts[src]), int(self.hosts[dst])
        key = self._route_key
        for part in (start, end, int(channel)):
            key = mix(key ^ part)
        hops = self._paths.get((start, end))
        if hops is not None:
            return self._with_cards(np.array(self._router.along(hops, key), dtype=np.int64))
        cables = self._router.route(start, end, key)
        if cables is None:
            why = "" if self._forward else "; hosts do not forward (forward=False)"
            raise ValueError(f"no route from {self.nodes[start]!r} to {self.nodes[end]!r}{why}")
        return self._with_cards(np.array(cables, dtype=np.int64))

    def _with_cards(self, cables: LinkIndices) -> LinkIndices:
        """The links of one route over cables: each with the cards at its ends."""
        if self._around is None:
            return frozen(cables)
        links = self._around[cables].ravel()
        return frozen(links[links >= 0])

    def _check_paths(self, routes: object) -> dict[tuple[int, int], Hops]:
        """Turn paths of nodes into the cables that each hop may take (several in parallel)."""
        if routes is None:
            return {}
        if not isinstance(routes, Mapping):
            raise TypeError(f"routes={routes!r:.60}: a mapping of (source, destination) to a path")
        nodes = {node: index for index, node in enumerate(self.nodes)}
        hosts = {node: nodes[node] for node in self._ranks}
        paths = (read_path(key, path, hosts, nodes, self._router) for key, path in routes.items())
        return dict(paths)


def _cards_around(links: Links, cables: Cables) -> LinkIndices | None:
    """Each cable with the egress before it and the ingress behind it, shape (cables, 3).

    -1 where there is no card; None where there is none at all.
    """
    count = len(cables.source)
    if count == len(links):
        return None
    card = np.full((3, cables.num_nodes), -1)
    cards = np.arange(count, len(links))
    card[links.kind[cards], links.source[cards]] = cards
    before, behind = card[EGRESS][cables.source], card[INGRESS][cables.target]
    return np.stack([before, np.arange(count), behind], axis=1)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_index(name: str, value: int, count: int | None = None) -> None:
    """Raise unless value is a whole number, not negative and below count."""
    if not _is_whole(value):
        raise TypeError(f"{name} {value!r} is not a whole number")
    if value < 0 or (count is not None and value >= count):
        allowed = "zero or more" if count is None else f"one of 0 … {count - 1}"
        raise ValueError(f"{name} {value} is not {allowed}")


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
    if dims is None:
        return None
    if isinstance(dims, Sequence) and all(_is_whole(extent) and extent > 0 for extent in dims):
        return tuple(int(extent) for extent in dims)
    raise ValueError(f"graph: dims {dims!r} must be a tuple of positive whole numbers")
