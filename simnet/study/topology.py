"""A topology from a text: a builder's name with its arguments, or a file."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx

import topologies

FILE_SUFFIXES = (".graphml", ".xml", ".json")
BUILDERS: dict[str, Callable[..., nx.Graph[Any]]] = {
    name: getattr(topologies, name)
    for name in (
        "line",
        "ring",
        "star",
        "fully_connected",
        "tree",
        "mesh",
        "torus",
        "hypercube",
        "leaf_spine",
        "fat_tree",
        "dragonfly",
        "random_regular",
        "hierarchical",
        "rail_optimised",
        "wan",
        "wan_from_catalog",
    )
}


def _near_square(hosts: int) -> tuple[int, int]:
    """The two factors of a number that are nearest to each other, the smaller first."""
    low = next(f for f in range(math.isqrt(hosts), 0, -1) if hosts % f == 0)
    return low, hosts // low


BY_WORLD_SIZE: dict[str, Callable[[int], nx.Graph[Any]]] = {
    "line": topologies.line,
    "ring": topologies.ring,
    "star": topologies.star,
    "fully_connected": topologies.fully_connected,
    "tree": topologies.tree,
    "mesh": lambda hosts: topologies.mesh(*_near_square(hosts)),
    "torus": lambda hosts: topologies.torus(*_near_square(hosts)),
    "hypercube": lambda hosts: topologies.hypercube(
        math.ceil(math.log2(hosts)) if hosts > 1 else 0
    ),
    "fat_tree": lambda hosts: topologies.fat_tree(
        next(k for k in range(2, 2 + 2 * hosts, 2) if k**3 // 4 >= hosts)
    ),
    "wan_from_catalog": lambda hosts: topologies.wan_from_catalog(),
}


def read_topology(text: str, world_size: int) -> nx.Graph[Any]:
    """Build or read a graph.

    Parameters
    ----------
    text : str
        A builder's name (``"ring"``), a builder with arguments as in Python
        (``"torus(4, 4)"``, ``"leaf_spine(4, 2, 4, bandwidth='25Gbit/s')"``), or the path of a
        GraphML or node-link JSON file.
    world_size : int
        Hosts of a builder that is given by name only.

    Raises
    ------
    ValueError
        One line that says what is wrong with the text or the file.
    """
    if Path(text).suffix.lower() in FILE_SUFFIXES and "(" not in text:
        return _read_file(Path(text))
    name, args, keywords = _parse_call(text)
    builder = BUILDERS.get(name)
    if builder is None:
        near = difflib.get_close_matches(name, BUILDERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"topology {text!r}: no builder {name!r}{hint} (one of {', '.join(BUILDERS)}, "
            "or a .graphml or .json file)"
        )
    try:
        if args or keywords:
            return builder(*args, **keywords)
        if name not in BY_WORLD_SIZE:
            raise ValueError(f"needs arguments, as in Python: {name}(…)")
        return BY_WORLD_SIZE[name](world_size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"topology {text!r}: {error}") from None


def _read_file(path: Path) -> nx.Graph[Any]:
    if path.suffix.lower() == ".json":
        return topologies.read_node_link(path)
    return topologies.read_graphml(path)


def _parse_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Split ``name(arguments)``; only literals are read, nothing is evaluated."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            args = [ast.literal_eval(value) for value in tree.args]
            keywords = {key.arg: ast.literal_eval(key.value) for key in tree.keywords if key.arg}
            if len(keywords) == len(tree.keywords):
                return tree.func.id, args, keywords
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise ValueError(
        f"topology {text!r}: write a builder's name, or with arguments such as torus(4, 4), "
        "or a .graphml or .json file"
    )
