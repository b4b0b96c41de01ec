"""Regular topologies: every host is alike, or nearly so.

The hosts are the integers 0 ... n - 1, so that node i is rank i. Every builder takes the keywords
of :class:`topologies.Conditions`: ``bandwidth``, ``latency``, ``jitter``, ``loss`` are put on each
cable, ``nic`` on each host; what is not given is left out.

Degree, diameter and bisection of these networks are derived in Dally and Towles, "Principles and
Practices of Interconnection Networks", Morgan Kaufmann 2004, ISBN 978-0-12-200751-4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Unpack

import numpy as np

from topologies._build import (
    Conditions,
    Graph,
    Point,
    circle,
    hosts,
    join,
    place,
    switches,
    whole,
)


def line(n: int, **conditions: Unpack[Conditions]) -> Graph:
    """Return n hosts in a row, each cabled to the next.

    Parameters
    ----------
    n : int
        Number of hosts, at least 1.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        n - 1 cables, diameter n - 1, bisection width 1.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.
    """
    n = whole("n", n)
    graph = hosts(f"line({n})", n, conditions)
    join(graph, ((i, i + 1) for i in range(n - 1)), conditions)
    place(graph, {i: (i, 0.0) for i in range(n)})
    return graph


def ring(n: int, **conditions: Unpack[Conditions]) -> Graph:
    """Return n hosts in a circle, each cabled to the next and the last to the first.

    Parameters
    ----------
    n : int
        Number of hosts, at least 1; two hosts share one cable, one host has none.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        n cables, diameter floor(n / 2), bisection width 2, for n of at least 3.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.
    """
    n = whole("n", n)
    graph = hosts(f"ring({n})", n, conditions)
    join(graph, ((i, (i + 1) % n) for i in range(n) if n > 1), conditions)
    place(graph, circle(range(n)))
    return graph


def star(n: int, hub: str = "switch", **conditions: Unpack[Conditions]) -> Graph:
    """Return n hosts around a centre.

    Parameters
    ----------
    n : int
        Number of hosts, at least 1; the hub switch is not one of them.
    hub : {"switch", "host"}
        The centre: a switch named ``"switch"``, or host 0.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        n cables around a switch, n - 1 around a host; diameter 2; bisection width floor(n / 2).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.
    """
    n = whole("n", n)
    if hub not in ("switch", "host"):
        raise ValueError(f"hub must be 'switch' or 'host', not {hub!r}")
    graph = hosts(f"star({n}, hub={hub!r})", n, conditions)
    if hub == "switch":
        switches(graph, ["switch"], tier=1)
        join(graph, ((i, "switch") for i in range(n)), conditions)
        place(graph, {**circle(range(n)), "switch": (0.0, 0.0)})
    else:
        join(graph, ((0, i) for i in range(1, n)), conditions)
        place(graph, {0: (0.0, 0.0), **circle(range(1, n))})
    return graph


def fully_connected(n: int, **conditions: Unpack[Conditions]) -> Graph:
    """Return n hosts with a cable between every two.

    Without ``nic`` a host can send on all its n - 1 cables at once.

    Parameters
    ----------
    n : int
        Number of hosts, at least 1.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        n (n - 1) / 2 cables, diameter 1, bisection width floor(n / 2) ceil(n / 2).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.
    """
    n = whole("n", n)
    graph = hosts(f"fully_connected({n})", n, conditions)
    join(graph, ((i, j) for i in range(n) for j in range(i + 1, n)), conditions)
    place(graph, circle(range(n)))
    return graph


def tree(n: int, branching: int = 2, **conditions: Unpack[Conditions]) -> Graph:
    """Return n hosts in a tree that is filled level by level, from the left; host 0 is the root.

    All nodes are hosts: inner hosts forward. The parent of host i is host
    floor((i - 1) / branching) (Knuth, "The Art of Computer Programming", vol. 1, 2.3.4.5).

    Parameters
    ----------
    n : int
        Number of hosts, at least 1.
    branching : int
        Largest number of children of a host, at least 1.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        n - 1 cables.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.
    """
    n, branching = whole("n", n), whole("branching", branching)
    graph = hosts(f"tree({n}, {branching})", n, conditions)
    join(graph, (((i - 1) // branching, i) for i in range(1, n)), conditions)
    place(graph, _levels(n, branching))
    return graph


def mesh(*dims: int | Sequence[int], **conditions: Unpack[Conditions]) -> Graph:
    """Return hosts on a grid of any number of dimensions, each cabled to its grid neighbours.

    Parameters
    ----------
    *dims : int
        Size of each dimension, at least 1: ``mesh(4, 8)``, or as one sequence ``mesh((4, 8))``.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        prod(dims) hosts in row-major order (the last dimension varies fastest), diameter
        sum(d - 1); ``graph.graph["dims"]`` is the tuple of sizes.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Source: W. J. Dally, "Performance analysis of k-ary n-cube interconnection networks", IEEE
    Transactions on Computers 39(6), 1990, doi:10.1109/12.53599.
    """
    return _grid("mesh", dims, conditions, wrap=False)


def torus(*dims: int | Sequence[int], **conditions: Unpack[Conditions]) -> Graph:
    """Return hosts on a grid whose opposite sides are joined: a ring along every dimension.

    Parameters
    ----------
    *dims : int
        Size of each dimension, at least 1: ``torus(4, 4, 4)``, or as one sequence
        ``torus((4, 4, 4))``. A dimension of 2 is a single cable, of 1 none.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        prod(dims) hosts in row-major order (the last dimension varies fastest), diameter
        sum(floor(d / 2)); ``graph.graph["dims"]`` is the tuple of sizes.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Source: W. J. Dally, "Performance analysis of k-ary n-cube interconnection networks", IEEE
    Transactions on Computers 39(6), 1990, doi:10.1109/12.53599.
    """
    return _grid("torus", dims, conditions, wrap=True)


def hypercube(dimension: int, **conditions: Unpack[Conditions]) -> Graph:
    """Return 2 ** dimension hosts, cabled where their numbers differ in one bit.

    Parameters
    ----------
    dimension : int
        Number of bits, at least 0 (a single host).
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        Degree and diameter `dimension`, bisection width 2 ** (dimension - 1).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Source: Y. Saad, M. H. Schultz, "Topological properties of hypercubes", IEEE Transactions on
    Computers 37(7), 1988, doi:10.1109/12.2234.
    """
    dimension = whole("dimension", dimension, least=0)
    n = 1 << dimension
    graph = hosts(f"hypercube({dimension})", n, conditions)
    pairs = ((i, i | 1 << bit) for bit in range(dimension) for i in range(n) if not i >> bit & 1)
    join(graph, pairs, conditions)
    place(graph, _oblique((2,) * dimension) if dimension <= 3 else circle(range(n)))
    return graph


def _grid(
    kind: str, dims: Sequence[int | Sequence[int]], conditions: Conditions, wrap: bool
) -> Graph:
    """Build a mesh or, with `wrap`, a torus."""
    sizes = _sizes(dims)
    graph = hosts(f"{kind}({', '.join(map(str, sizes))})", math.prod(sizes), conditions, dims=sizes)
    join(graph, _neighbours(sizes, wrap), conditions)
    if len(sizes) <= 3:
        place(graph, _oblique(sizes))
    return graph


def _sizes(dims: Sequence[object]) -> tuple[int, ...]:
    """Check the sizes of a grid, given one by one or as one sequence."""
    if len(dims) == 1 and isinstance(dims[0], Sequence) and not isinstance(dims[0], str):
        dims = dims[0]
    if not dims:
        raise ValueError("dims must name the size of at least one dimension")
    return tuple(whole(f"dims[{axis}]", size) for axis, size in enumerate(dims))


def _neighbours(sizes: tuple[int, ...], wrap: bool) -> Iterator[tuple[int, int]]:
    """Yield the cables of a grid, one dimension after the other."""
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    for axis, size in enumerate(sizes):
        tails, heads = ids.take(range(size - 1), axis), ids.take(range(1, size), axis)
        yield from zip(tails.ravel().tolist(), heads.ravel().tolist(), strict=True)
        if wrap and size > 2:
            tails, heads = ids.take([size - 1], axis), ids.take([0], axis)
            yield from zip(tails.ravel().tolist(), heads.ravel().tolist(), strict=True)


def _oblique(sizes: tuple[int, ...]) -> dict[int, Point]:
    """Place a grid of at most three dimensions: rows downwards, the first of three slantwise."""
    depth, rows, columns = (1, 1, 1, *sizes)[-3:]
    cells = np.ndindex(depth, rows, columns)
    shift_x, shift_y = 0.4, 0.3
    return {i: (x + shift_x * z, shift_y * z - y) for i, (z, y, x) in enumerate(cells)}


def _levels(n: int, branching: int) -> dict[int, Point]:
    """Place a tree level by level, the root on top, each level as wide as the others."""
    points: dict[int, Point] = {}
    first, width, depth = 0, 1, 0
    while first < n:
        for i in range(first, min(first + width, n)):
            points[i] = ((i - first + 0.5) / width, float(-depth))
        first, width, depth = first + width, width * branching, depth + 1
    return points
