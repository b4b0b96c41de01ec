"""A networkx graph read into arrays, with a complaint that names the place of every mistake."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.units import parse_bandwidth, parse_probability, parse_size, parse_time

__all__ = ["GraphData", "check_connected", "read_graph"]

_Parser = Callable[[object], float]

NODE_NUMBERS: Mapping[str, _Parser] = {
    "egress": parse_bandwidth,
    "ingress": parse_bandwidth,
    "overhead": parse_time,
    "reduce_bandwidth": parse_bandwidth,
}
EDGE_NUMBERS: Mapping[str, _Parser] = {
    "bandwidth": parse_bandwidth,
    "latency": parse_time,
    "jitter": parse_time,
    "loss": parse_probability,
    "buffer": parse_size,
}
DESCRIPTIVE = frozenset(  # accepted on nodes and edges; they change no time
    (
        *("id", "key", "label", "name", "title"),
        *("island", "group", "layer", "level", "pod", "rack", "subset", "tier"),
        *("coordinates", "country", "latitude", "length_km", "longitude", "region", "site"),
        *("color", "height", "pos", "shape", "size", "style", "width", "x", "y", "z"),
    )
)
_KINDS = ("host", "switch")
LEAST = sys.float_info.min
"""Below it numbers lose digits."""
_POSITIVE = frozenset({"bandwidth", "buffer", "egress", "ingress", "reduce_bandwidth"})
_OTHER_WORDS = {  # what other tools call it
    "bw": "bandwidth",
    "capacity": "bandwidth",
    "rate": "bandwidth",
    "speed": "bandwidth",
    "delay": "latency",
    "rtt": "latency",
    "drop": "loss",
    "packet_loss": "loss",
    "queue": "buffer",
    "type": "kind",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphData:
    """A checked graph as arrays; NaN marks an attribute the graph leaves open.

    Parameters
    ----------
    nodes : tuple of hashable
        Node names in graph order; everything else counts nodes by this order.
    directed : bool
        Whether an edge is one direction; otherwise it is a cable of two.
    is_switch : ndarray of bool, shape (num_nodes,)
        Whether the node is a switch.
    hosts : ndarray of int, shape (N,)
        Node index of each rank.
    islands : tuple of hashable or None
        The island of each rank.
    per_node : mapping of str to ndarray of float, shape (num_nodes,)
        egress, ingress, overhead, reduce_bandwidth in SI.
    u, v : ndarray of int, shape (num_edges,)
        Ends of the edges, in edge order.
    keys : tuple of hashable or None
        Edge keys of a multigraph.
    cables : mapping of str to ndarray of float, shape (num_edges,)
        bandwidth, latency, jitter, loss, buffer in SI.
    """

    nodes: tuple[Hashable, ...]
    directed: bool
    is_switch: NDArray[np.bool_]
    hosts: NDArray[np.int64]
    islands: tuple[Hashable, ...] | None
    per_node: Mapping[str, NDArray[np.float64]]
    u: NDArray[np.int64]
    v: NDArray[np.int64]
    keys: tuple[Hashable, ...] | None
    cables: Mapping[str, NDArray[np.float64]]

    def edge_name(self, edge: int) -> str:
        """Name an edge as error messages do."""
        key = None if self.keys is None else self.keys[edge]
        return _edge_name(self.nodes[self.u[edge]], self.nodes[self.v[edge]], key, self.directed)


class _Reader:
    """Reads attribute dictionaries; remembers texts and numbers already parsed."""

    def __init__(self, ignore: Collection[str]) -> None:
        self._ignore = frozenset(ignore)
        self._parsed: dict[tuple[str, type, object], float] = {}

    def read(
        self,
        place: Callable[[], str],
        attributes: Mapping[str, object],
        numbers: Mapping[str, _Parser],
        words: Collection[str] = (),
    ) -> list[tuple[str, float]]:
        found = []
        for name, value in attributes.items():
            if name in self._ignore:
                continue
            if name in numbers:
                found.append((name, self._number(place, name, value, numbers[name])))
            elif name not in DESCRIPTIVE and name not in words:
                raise ValueError(f"{place()}: {_unknown(name, numbers, words)}")
        return found

    def kind(self, place: Callable[[], str], attributes: Mapping[str, object]) -> str:
        kind = "host" if "kind" in self._ignore else attributes.get("kind", "host")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"{place()}: kind {kind!r} is unknown: give 'host' or 'switch'")
        return kind

    def island(self, attributes: Mapping[str, object]) -> object:
        return None if "island" in self._ignore else attributes.get("island")

    def _number(self, place: Callable[[], str], name: str, value: object, parse: _Parser) -> float:
        plain = isinstance(value, (str, int, float))
        key = (name, type(value), value if plain else None)
        if plain and key in self._parsed:
            return self._parsed[key]
        try:
            number = float(parse(value))
        except (TypeError, ValueError) as error:
            what = "" if str(error).startswith(name) else f"{name}: "
            raise type(error)(f"{place()}: {what}{error}") from None
        if name in _POSITIVE and not number > 0:
            raise ValueError(f"{place()}: {name} {value!r} must be positive")
        if name in _POSITIVE and number < LEAST:
            raise ValueError(f"{place()}: {name} {value!r} must be at least {LEAST:.3g}")
        if plain:
            self._parsed[key] = number
        return number


def read_graph(graph: nx.Graph[Any], ignore: Iterable[str] = ()) -> GraphData:
    """Check a graph and read it into arrays.

    Parameters
    ----------
    graph : networkx.Graph, DiGraph, MultiGraph or MultiDiGraph
        Attributes are text with units or SI numbers.
    ignore : iterable of str
        Attribute names to leave unread.

    Returns
    -------
    GraphData
        Open attributes are NaN.

    Raises
    ------
    TypeError
        If it is not a graph, or an attribute is neither text nor a number.
    ValueError
        If the graph is empty, has no hosts or a self-loop, or an attribute is unknown or out
        of range; the message names node or edge.
    """
    if not isinstance(graph, nx.Graph):
        raise TypeError(f"graph: needs a networkx graph, not a {type(graph).__name__}")
    reader = _Reader(_names(ignore))
    nodes = tuple(graph.nodes)
    per_node = {name: np.full(len(nodes), np.nan) for name in NODE_NUMBERS}
    is_switch = np.zeros(len(nodes), dtype=np.bool_)
    for index, (node, attributes) in enumerate(graph.nodes(data=True)):
        is_switch[index] = _read_node(reader, node, attributes, index, per_node)
    hosts = np.flatnonzero(~is_switch)
    if not nodes:
        raise ValueError("graph: has no nodes: give at least one host")
    if not len(hosts):
        raise ValueError("graph: has no hosts: every node has kind 'switch'")
    u, v, keys, cables = _read_edges(reader, graph, nodes)
    return GraphData(
        nodes=nodes,
        directed=graph.is_directed(),
        is_switch=is_switch,
        hosts=hosts,
        islands=_read_islands(reader, graph, [nodes[h] for h in hosts]),
        per_node=per_node,
        u=u,
        v=v,
        keys=keys,
        cables=cables,
    )


def check_connected(graph: nx.Graph[Any], data: GraphData) -> None:
    """Raise unless every host reaches every other, through whatever nodes.

    Parameters
    ----------
    graph : networkx graph
        The graph.
    data : GraphData
        What was read from it.

    Raises
    ------
    ValueError
        Naming a host and one it cannot reach.
    """
    hosts = [data.nodes[h] for h in data.hosts]
    first = hosts[0]
    reached = nx.descendants(graph, first)
    for host in hosts[1:]:
        if host not in reached:
            raise ValueError(f"graph: host {first!r} cannot reach host {host!r}: add a path")
    reaching = nx.ancestors(graph, first) if data.directed else reached
    for host in hosts[1:]:
        if host not in reaching:
            raise ValueError(f"graph: host {host!r} cannot reach host {first!r}: add a path")


def _read_node(
    reader: _Reader,
    node: Hashable,
    attributes: Mapping[str, object],
    index: int,
    per_node: Mapping[str, NDArray[np.float64]],
) -> bool:
    """Store a node's numbers; return whether it is a switch."""

    def place() -> str:
        return f"node {node!r}"

    switch = reader.kind(place, attributes) == "switch"
    for name, number in reader.read(place, attributes, NODE_NUMBERS, ("kind",)):
        if switch:
            raise ValueError(f"{place()}: {name} is for hosts, this is a switch")
        per_node[name][index] = number
    return switch


def _read_edges(
    reader: _Reader, graph: nx.Graph[Any], nodes: tuple[Hashable, ...]
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    tuple[Hashable, ...] | None,
    dict[str, NDArray[np.float64]],
]:
    index = {node: i for i, node in enumerate(nodes)}
    count = graph.number_of_edges()
    ends = np.empty((2, count), dtype=np.int64)
    cables = {name: np.full(count, np.nan) for name in EDGE_NUMBERS}
    multi = graph.is_multigraph()
    keys: list[Hashable] = []
    directed = graph.is_directed()
    edges: Any = graph.edges  # only a multigraph's view takes keys=
    for i, (u, v, *key, attributes) in enumerate(
        edges(keys=True, data=True) if multi else edges(data=True)
    ):
        keys += key

        def place(u: Hashable = u, v: Hashable = v, key: list[Hashable] = key) -> str:
            return _edge_name(u, v, key[0] if key else None, directed)

        if u == v:
            raise ValueError(f"{place()}: is a self-loop: a link joins two different nodes")
        ends[:, i] = index[u], index[v]
        for name, number in reader.read(place, attributes, EDGE_NUMBERS):
            cables[name][i] = number
    return ends[0], ends[1], tuple(keys) if multi else None, cables


def _read_islands(
    reader: _Reader, graph: nx.Graph[Any], hosts: list[Hashable]
) -> tuple[Hashable, ...] | None:
    islands = [reader.island(graph.nodes[host]) for host in hosts]
    present = [i for i, island in enumerate(islands) if island is not None]
    if not present:
        return None
    for host, island in zip(hosts, islands, strict=True):
        if island is None:
            named = hosts[present[0]]
            raise ValueError(f"node {host!r}: has no island, but host {named!r} has: name all")
        if not isinstance(island, Hashable):
            raise TypeError(f"node {host!r}: island {island!r} must be hashable: give a name")
    return tuple(islands)


def _unknown(name: object, numbers: Mapping[str, _Parser], words: Collection[str]) -> str:
    """The complaint about an attribute nobody knows."""
    allowed = [*words, *numbers]
    elsewhere = EDGE_NUMBERS if numbers is NODE_NUMBERS else {**NODE_NUMBERS, "kind": None}
    if name in elsewhere:
        other = "edge" if numbers is NODE_NUMBERS else "node"
        return f"{name} is an attribute of {other}s; allowed here: {', '.join(allowed)}"
    word = str(name).lower()
    near = difflib.get_close_matches(word, allowed, n=1) or [
        w for w in [_OTHER_WORDS.get(word)] if w in allowed
    ]
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(allowed)};"
    return f"attribute {name!r} is unknown: {hint} ignore=({name!r},) leaves it out"


def _names(ignore: Iterable[str]) -> frozenset[str]:
    if isinstance(ignore, str) or not isinstance(ignore, Iterable):
        raise TypeError(f"ignore={ignore!r}: give a tuple of attribute names")
    names = frozenset(ignore)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"ignore: {name!r} is not an attribute name")
    return names


def _edge_name(u: Hashable, v: Hashable, key: Hashable | None, directed: bool) -> str:
    name = f"edge {u!r}{'→' if directed else '–'}{v!r}"
    return name if key is None else f"{name} (key {key!r})"
