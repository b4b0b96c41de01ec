"""Readers of graphs that others made: GraphML and node-link JSON.

What a file says stays as it is: numbers are numbers, texts are texts, units are not looked at.
Files are untrusted: a document type declaration (and with it every entity) is refused, and whatever
is wrong with a file is one ValueError that names it.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

import networkx as nx

from topologies._build import Graph

PathLike: TypeAlias = str | os.PathLike[str]

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_GRAPHML = "http://graphml.graphdrawing.org/xmlns"


def read_graphml(path: PathLike) -> Graph:
    """Return the graph of a GraphML file.

    Parameters
    ----------
    path : str or path-like
        The file. Its keys' types decide: a key of type ``string`` gives text (``"10Gbit/s"``), of
        type ``double`` a number (SI). Defaults of keys apply where a node or edge says nothing.

    Returns
    -------
    networkx.Graph
        Or DiGraph, MultiGraph, MultiDiGraph, as the file says. Node ids that are whole numbers
        (``"7"``) become ints, others stay text; nodes are in the order of the file. Edge ids are
        dropped.

    Raises
    ------
    ValueError
        Where the file is missing, not GraphML, has a document type declaration, names a node twice
        or not at all.

    Notes
    -----
    Source of the format: U. Brandes et al., "GraphML progress report", Graph Drawing 2001,
    doi:10.1007/3-540-45848-4_59.
    """
    with _reading("GraphML", path):
        content = Path(path).read_bytes()
        declared = _declared_nodes(content)
        as_name: Any = _node_name  # the stubs want a class, any callable will do
        graph: Graph = nx.read_graphml(io.BytesIO(content), node_type=as_name)
        for node in graph:
            if str(node) not in declared:
                raise ValueError(f"an edge names node {str(node)!r}, which the file does not have")
        _apply_defaults(graph)
        return graph


def read_node_link(path: PathLike) -> Graph:
    """Return the graph of a node-link JSON file, as `networkx.node_link_data` writes it.

    Parameters
    ----------
    path : str or path-like
        The file: an object with ``nodes`` (each with ``id``), ``edges`` or ``links`` (each with
        ``source`` and ``target``, and ``key`` in a multigraph), and optionally ``directed``,
        ``multigraph`` and ``graph``.

    Returns
    -------
    networkx.Graph
        Or DiGraph, MultiGraph, MultiDiGraph, as the file says. Lists become tuples where they are
        node ids, ``pos`` or the graph's ``dims``.

    Raises
    ------
    ValueError
        Where the file is missing, not such JSON, names a node twice or not at all, or a simple
        graph has two edges between the same nodes.
    """
    with _reading("node-link JSON", path):
        text = Path(path).read_text(encoding="utf-8-sig")
        data = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(data, dict):
            raise ValueError("the top must be an object with nodes and edges")
        graph = _empty(data)
        for entry in _entries(data, "nodes"):
            _add_node(graph, entry)
        for entry in _entries(data, "edges" if "edges" in data else "links"):
            _add_edge(graph, entry)
        return graph


@contextmanager
def _reading(kind: str, path: PathLike) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line that names it."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    except KeyError as error:
        raise ValueError(f"{os.fspath(path)} is no {kind} file: unknown {error}") from error
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        ParseError,
        expat.ExpatError,
        nx.NetworkXException,
    ) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{os.fspath(path)} is no {kind} file: {reason}") from error


def _declared_nodes(content: bytes) -> set[str]:
    """Return the node ids of a GraphML document, refusing document type declarations."""
    declared: set[str] = set()

    def refuse(*_: object) -> NoReturn:
        raise ValueError("document type declarations (DTD, entities) are not allowed")

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag not in ("node", f"{_GRAPHML} node"):
            return
        name = attributes.get("id")
        if name is None:
            raise ValueError("a node has no id")
        if name in declared:
            raise ValueError(f"node {name!r} is there twice")
        declared.add(name)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.Parse(content, True)
    return declared


def _node_name(text: str) -> int | str:
    """Return a node id as an int where it is the usual way to write one."""
    return int(text) if _INTEGER.fullmatch(text) else text


def _apply_defaults(graph: Graph) -> None:
    """Give nodes and edges the defaults of their GraphML keys, and drop the ids of edges."""
    node_defaults = graph.graph.pop("node_default", {})
    edge_defaults = graph.graph.pop("edge_default", {})
    for _, attributes in graph.nodes(data=True):
        for key, value in node_defaults.items():
            attributes.setdefault(key, value)
    for _, _, attributes in graph.edges(data=True):
        attributes.pop("id", None)
        for key, value in edge_defaults.items():
            attributes.setdefault(key, value)


def _refuse_constant(text: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"{text} is not allowed")


def _empty(data: dict[str, Any]) -> Graph:
    """Return the empty graph of the kind a node-link file asks for."""
    directed, multigraph = data.get("directed", False), data.get("multigraph", False)
    for key, value in (("directed", directed), ("multigraph", multigraph)):
        if not isinstance(value, bool):
            raise ValueError(f"{key} must be true or false, not {value!r}")
    about = data.get("graph", {})
    if not isinstance(about, dict):
        raise ValueError(f"graph must be an object, not {about!r}")
    if "dims" in about:
        about = {**about, "dims": _tupled(about["dims"])}
    kinds = {
        (False, False): nx.Graph,
        (True, False): nx.DiGraph,
        (False, True): nx.MultiGraph,
        (True, True): nx.MultiDiGraph,
    }
    graph: Graph = kinds[directed, multigraph]()
    graph.graph.update(about)
    return graph


def _entries(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of nodes or edges of a node-link file."""
    entries = data.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{key} must be a list of objects")
    return entries


def _add_node(graph: Graph, entry: dict[str, Any]) -> None:
    """Add one node of a node-link file."""
    if "id" not in entry:
        raise ValueError(f"a node has no id: {entry!r}")
    node = _node_id(entry["id"])
    if node in graph:
        raise ValueError(f"node {node!r} is there twice")
    graph.add_node(node)
    graph.nodes[node].update({key: value for key, value in entry.items() if key != "id"})
    if "pos" in entry:
        graph.nodes[node]["pos"] = _tupled(entry["pos"])


def _add_edge(graph: Graph, entry: dict[str, Any]) -> None:
    """Add one edge of a node-link file."""
    ends = []
    for end in ("source", "target"):
        if end not in entry:
            raise ValueError(f"an edge has no {end}: {entry!r}")
        ends.append(_node_id(entry[end]))
        if ends[-1] not in graph:
            raise ValueError(f"an edge names node {ends[-1]!r}, which the file does not have")
    add = _add_parallel_edge if graph.is_multigraph() else _add_only_edge
    attributes = add(graph, ends[0], ends[1], entry)
    own = {"source", "target", "key"} if graph.is_multigraph() else {"source", "target"}
    attributes.update({name: value for name, value in entry.items() if name not in own})


def _add_only_edge(graph: Any, u: Hashable, v: Hashable, _: object) -> dict[str, Any]:
    """Add an edge to a simple graph and return its attributes."""
    if graph.has_edge(u, v):
        raise ValueError(f"two edges join {u!r} and {v!r}, and multigraph is not true")
    graph.add_edge(u, v)
    attributes: dict[str, Any] = graph.edges[u, v]
    return attributes


def _add_parallel_edge(
    graph: Any, u: Hashable, v: Hashable, entry: dict[str, Any]
) -> dict[str, Any]:
    """Add an edge to a multigraph, under its key if it has one, and return its attributes."""
    key = _tupled(entry.get("key"))
    if key is not None and graph.has_edge(u, v, key):
        raise ValueError(f"two edges join {u!r} and {v!r} with key {key!r}")
    key = graph.add_edge(u, v, key)
    attributes: dict[str, Any] = graph.edges[u, v, key]
    return attributes


def _node_id(value: object) -> Hashable:
    """Return a node id: a text, a whole number, or a list of them as a tuple."""
    if isinstance(value, list) and value:
        return tuple(_node_id(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(
            f"a node id must be a text, a whole number or a list of them, not {value!r}"
        )
    return value


def _tupled(value: Any) -> Any:
    """Return lists as tuples, at any depth."""
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
