"""Islands of fast links joined by slow ones: GPU pods over Ethernet, sites over a WAN.

The hosts are the integers 0 ... n - 1 in order of their islands; the host attribute ``island`` is
the number of its island, which hierarchical collectives read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Unpack

import networkx as nx

from topologies._build import (
    CableConditions,
    Conditions,
    Graph,
    Point,
    circle,
    given,
    hosts,
    join,
    place,
    switches,
    tiers,
    whole,
)


def hierarchical(
    islands: int,
    hosts_per_island: int | Sequence[int],
    *,
    inner: CableConditions | None = None,
    outer: CableConditions | None = None,
    backbone: str = "switch",
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return islands of hosts, each around a switch, joined by a backbone.

    ``hierarchical(4, 8, inner={"bandwidth": "400GB/s"}, outer={"bandwidth": "100Gbit/s"})`` is four
    GPU pods over Ethernet; with ``backbone="mesh"`` and an outer latency it is sites over a WAN.

    Parameters
    ----------
    islands : int
        Number of islands, at least 1.
    hosts_per_island : int or sequence of int
        Hosts of each island, at least 1; a sequence has one number an island.
    inner, outer : dict, optional
        Conditions (``bandwidth``, ``latency``, ``jitter``, ``loss``) of the cables between a host
        and its island's switch, and of those that leave an island; they override `conditions`.
    backbone : {"switch", "mesh"}
        How islands are joined: each by one cable to a switch ``"backbone"``, so that a way between
        islands takes two outer cables and all of an island's traffic shares one; or each by a
        cable to every other island's switch, so that it takes one.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        Hosts with attribute ``island``, switches ``island0`` ... (tier 1) and, if it is a switch
        and there are two islands or more, ``backbone`` (tier 2).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Source: T. Kielmann et al., "MagPIe: MPI's collective communication operations for clustered
    wide area systems", PPoPP 1999, doi:10.1145/301104.301116.
    """
    sizes = _island_sizes(islands, hosts_per_island)
    if backbone not in ("switch", "mesh"):
        raise ValueError(f"backbone must be 'switch' or 'mesh', not {backbone!r}")
    owner = [island for island, size in enumerate(sizes) for _ in range(size)]
    graph = hosts(f"hierarchical({len(sizes)}, {hosts_per_island})", len(owner), conditions)
    nx.set_node_attributes(graph, dict(enumerate(owner)), "island")
    names = switches(graph, (f"island{i}" for i in range(len(sizes))), tier=1)
    join(
        graph,
        ((i, names[island]) for i, island in enumerate(owner)),
        conditions,
        given(inner, "inner"),
    )
    leaving: list[tuple[str, str]] = list(combinations(names, 2))
    if backbone == "switch" and len(sizes) > 1:
        (centre,) = switches(graph, ["backbone"], tier=2)
        leaving = [(name, centre) for name in names]
    join(graph, leaving, conditions, given(outer, "outer"))
    place(graph, _archipelago(graph, names, owner))
    return graph


def rail_optimised(
    servers: int,
    gpus_per_server: int,
    *,
    spines: int = 0,
    inner: CableConditions | None = None,
    outer: CableConditions | None = None,
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return a rail-optimised pod: GPU j of every server hangs on rail switch j.

    The hosts are the GPUs. Inside a server they share a switch (NVSwitch); each also has a cable
    to its rail. Without spines ("rail-only") a way between rails leads through another GPU of the
    server, so hosts must forward.

    Parameters
    ----------
    servers, gpus_per_server : int
        Numbers of servers, and of GPUs (so of rails) in each, at least 1.
    spines : int
        Spine switches, each cabled to every rail; 0 is rail-only.
    inner, outer : dict, optional
        Conditions (``bandwidth``, ``latency``, ``jitter``, ``loss``) of the cables inside a server,
        and of those to the rails and spines; they override `conditions`.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        Hosts with attribute ``island`` (the server), switches ``server0`` ... (tier 1),
        ``rail0`` ... (tier 2), ``spine0`` ... (tier 3).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Source: W. Wang, M. Ghobadi, K. Shakeri, Y. Zhang, N. Hasani, "Rail-only: a low-cost
    high-performance network for training LLMs with trillion parameters", arXiv:2307.12169.
    """
    servers, gpus = whole("servers", servers), whole("gpus_per_server", gpus_per_server)
    spines = whole("spines", spines, least=0)
    n = servers * gpus
    graph = hosts(f"rail_optimised({servers}, {gpus}, spines={spines})", n, conditions)
    nx.set_node_attributes(graph, {i: i // gpus for i in range(n)}, "island")
    server = switches(graph, (f"server{i}" for i in range(servers)), tier=1)
    rail = switches(graph, (f"rail{i}" for i in range(gpus)), tier=2)
    spine = switches(graph, (f"spine{i}" for i in range(spines)), tier=3)
    join(graph, ((i, server[i // gpus]) for i in range(n)), conditions, given(inner, "inner"))
    to_rails: list[tuple[int | str, int | str]] = [(i, rail[i % gpus]) for i in range(n)]
    to_rails += [(u, v) for u in rail for v in spine]
    join(graph, to_rails, conditions, given(outer, "outer"))
    below = {node: (x, -y) for node, (x, y) in tiers(range(n), server).items()}
    above = tiers(range(n), rail, spine) if spine else tiers(range(n), rail)
    place(graph, {**above, **below})
    return graph


def _island_sizes(islands: int, hosts_per_island: int | Sequence[int]) -> list[int]:
    """Return the number of hosts of each island."""
    islands = whole("islands", islands)
    if isinstance(hosts_per_island, str) or not isinstance(hosts_per_island, Sequence):
        return [whole("hosts_per_island", hosts_per_island)] * islands
    if len(hosts_per_island) != islands:
        raise ValueError(
            f"hosts_per_island must have one number for each of {islands} islands, "
            f"not {len(hosts_per_island)}"
        )
    return [whole(f"hosts_per_island[{i}]", size) for i, size in enumerate(hosts_per_island)]


def _archipelago(graph: Graph, names: Sequence[str], owner: Sequence[int]) -> dict[Any, Point]:
    """Place the islands' switches on a circle, and each island's hosts on a circle around it."""
    centres = circle(names, radius=3.0 if len(names) > 1 else 0.0)
    points = dict(centres)
    for island, name in enumerate(names):
        members = [host for host, own in enumerate(owner) if own == island]
        x, y = centres[name]
        points |= {host: (x + dx, y + dy) for host, (dx, dy) in circle(members).items()}
    if "backbone" in graph:
        points["backbone"] = (0.0, 0.0)
    return points
