"""Datacenter fabrics: hosts at the edge, switches between them.

The hosts are the integers 0 ... n - 1 (so that node i is rank i), switches are texts such as
``"leaf0"``; each switch carries its ``tier`` (1 is next to the hosts). Every builder takes the
keywords of :class:`topologies.Conditions`: ``bandwidth``, ``latency``, ``jitter``, ``loss`` are put
on each cable, ``nic`` on each host; what is not given is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Unpack

import networkx as nx
import numpy as np

from topologies._build import (
    ALL_KEYS,
    Conditions,
    Graph,
    Quantity,
    given,
    hosts,
    join,
    number,
    place,
    switches,
    tiers,
    wheel,
    whole,
)

_LEADING_NUMBER = re.compile(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)(.*)", re.S)


def leaf_spine(
    leaves: int,
    spines: int,
    hosts_per_leaf: int,
    *,
    oversubscription: float | None = None,
    uplink_bandwidth: Quantity | None = None,
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return a two-tier Clos network: every leaf switch is cabled to every spine switch.

    Parameters
    ----------
    leaves, spines, hosts_per_leaf : int
        Numbers of leaf switches, of spine switches, and of hosts below each leaf, at least 1.
    oversubscription : float, optional
        What the hosts of a leaf can send over what its uplinks can carry; 1 is non-blocking. Sets
        the bandwidth of an uplink to hosts_per_leaf × bandwidth / (spines × oversubscription), so
        it needs `bandwidth`: of a text the leading number is scaled and the unit kept
        (``"25Gbit/s"`` → ``"50Gbit/s"``).
    uplink_bandwidth : float or str, optional
        The bandwidth of a leaf-spine cable, instead of `oversubscription`. With neither, an uplink
        is as fast as a host's cable.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        Hosts in order of their leaves, then ``leaf0`` ... (tier 1), then ``spine0`` ... (tier 2).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range, or the uplink is given twice.

    Notes
    -----
    Source: M. Alizadeh, T. Edsall, "On the data path performance of leaf-spine datacenter
    fabrics", IEEE Hot Interconnects 2013, doi:10.1109/HOTI.2013.23.
    """
    leaves, spines = whole("leaves", leaves), whole("spines", spines)
    hosts_per_leaf = whole("hosts_per_leaf", hosts_per_leaf)
    if oversubscription is not None:
        uplink_bandwidth = _uplink(
            conditions, uplink_bandwidth, hosts_per_leaf, spines, oversubscription
        )
    name = f"leaf_spine({leaves}, {spines}, {hosts_per_leaf})"
    graph = hosts(name, leaves * hosts_per_leaf, conditions)
    leaf = switches(graph, (f"leaf{i}" for i in range(leaves)), tier=1)
    spine = switches(graph, (f"spine{i}" for i in range(spines)), tier=2)
    below = range(leaves * hosts_per_leaf)
    join(graph, ((i, leaf[i // hosts_per_leaf]) for i in below), conditions)
    uplink = given({"bandwidth": uplink_bandwidth}, "uplink_bandwidth")
    join(graph, ((u, v) for u in leaf for v in spine), conditions, uplink)
    place(graph, tiers(below, leaf, spine))
    return graph


def fat_tree(k: int, **conditions: Unpack[Conditions]) -> Graph:
    """Return the three-tier fat-tree of k-port switches: k pods, full bisection.

    Parameters
    ----------
    k : int
        Ports of a switch: even, at least 2.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        k³/4 hosts; k²/2 switches ``edge0`` ... (tier 1) and k²/2 ``agg0`` ... (tier 2), k/2 of each
        a pod, in pod order; k²/4 switches ``core0`` ... (tier 3). The j-th aggregation switch of
        every pod is cabled to cores j k/2 ... (j + 1) k/2 - 1.

    Raises
    ------
    TypeError, ValueError
        Where `k` is not an even whole number of at least 2, or a condition is of a wrong type.

    Notes
    -----
    Source: M. Al-Fares, A. Loukissas, A. Vahdat, "A scalable, commodity data center network
    architecture", SIGCOMM 2008, doi:10.1145/1402958.1402967.
    """
    k = whole("k", k, least=2)
    if k % 2:
        raise ValueError(f"k must be even, not {k}")
    half = k // 2
    graph = hosts(f"fat_tree({k})", k * half * half, conditions)
    edge = switches(graph, (f"edge{i}" for i in range(k * half)), tier=1)
    agg = switches(graph, (f"agg{i}" for i in range(k * half)), tier=2)
    core = switches(graph, (f"core{i}" for i in range(half * half)), tier=3)
    below = range(k * half * half)
    join(graph, ((i, edge[i // half]) for i in below), conditions)
    in_pods = ((e, agg[i - i % half + j]) for i, e in enumerate(edge) for j in range(half))
    join(graph, in_pods, conditions)
    to_cores = ((a, core[i % half * half + j]) for i, a in enumerate(agg) for j in range(half))
    join(graph, to_cores, conditions)
    place(graph, tiers(below, edge, agg, core))
    return graph


def dragonfly(
    a: int, h: int, p: int, groups: int | None = None, **conditions: Unpack[Conditions]
) -> Graph:
    """Return a dragonfly: fully connected groups of routers, joined by global cables.

    Kim et al. balance it with a = 2 p = 2 h. Global cables follow the palm-tree arrangement of
    Camarero et al.: port q of group i leads to group i - q - 1, counted around the circle of
    groups; router r of a group owns ports r h ... (r + 1) h - 1.

    Parameters
    ----------
    a : int
        Routers a group, at least 1.
    h : int
        Global cables a router, at least 1.
    p : int
        Hosts a router, at least 1.
    groups : int, optional
        Number of groups: 1, or from h + 1 to a h + 1 (default: a h + 1, one cable between every two
        groups). With fewer, floor(a h / (groups - 1)) cables join every two groups and ports left
        over stay empty.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        a p groups hosts and a groups routers ``router0`` ... (tier 1), in order of their groups.

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range.

    Notes
    -----
    Sources: J. Kim, W. J. Dally, S. Scott, D. Abts, "Technology-driven, highly-scalable dragonfly
    topology", ISCA 2008, doi:10.1109/ISCA.2008.19; C. Camarero, E. Vallejo, R. Beivide,
    "Topological characterization of Hamming and dragonfly networks and its implications on
    routing", ACM TACO 11(4), 2014, doi:10.1145/2677038.
    """
    a, h, p = whole("a", a), whole("h", h), whole("p", p)
    groups = a * h + 1 if groups is None else whole("groups", groups)
    if groups > 1 and not h < groups <= a * h + 1:
        raise ValueError(
            f"groups must be 1 or from h + 1 = {h + 1} to a h + 1 = {a * h + 1}, not {groups}"
        )
    graph = hosts(f"dragonfly({a}, {h}, {p}, {groups})", a * p * groups, conditions)
    router = switches(graph, (f"router{i}" for i in range(a * groups)), tier=1)
    join(graph, ((i, router[i // p]) for i in range(a * p * groups)), conditions)
    local = (
        (router[first + i], router[first + j])
        for first in range(0, a * groups, a)
        for i in range(a)
        for j in range(i + 1, a)
    )
    join(graph, local, conditions)
    join(graph, ((router[u], router[v]) for u, v in _global_cables(a, h, groups)), conditions)
    place(graph, wheel(router, a * p * groups))
    return graph


def random_regular(
    switch_count: int,
    degree: int,
    hosts_per_switch: int,
    *,
    seed: int | None = 0,
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return Jellyfish: switches joined at random, each to `degree` others.

    Parameters
    ----------
    switch_count : int
        Number of switches, at least 1.
    degree : int
        Cables from each switch to other switches; switch_count × degree is even and degree is less
        than switch_count.
    hosts_per_switch : int
        Hosts below each switch, at least 1.
    seed : int, optional
        Seed of the random graph; None draws one. ``graph.graph["seed"]`` records it.
    **conditions
        ``bandwidth``, ``latency``, ``jitter``, ``loss``, ``nic``: see `Conditions`.

    Returns
    -------
    networkx.Graph
        Connected. Hosts in order of their switches, then ``switch0`` ... (tier 1).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range, or no such graph is connected.

    Notes
    -----
    Source: A. Singla, C.-Y. Hong, L. Popa, P. B. Godfrey, "Jellyfish: networking data centers
    randomly", NSDI 2012, arXiv:1110.1687. A draw that is not connected is discarded; the draws are
    numbered child streams of the seed.
    """
    switch_count, degree = whole("switch_count", switch_count), whole("degree", degree, least=0)
    hosts_per_switch = whole("hosts_per_switch", hosts_per_switch)
    _check_regular(switch_count, degree)
    root = np.random.SeedSequence(None if seed is None else whole("seed", seed, least=0))
    name = f"random_regular({switch_count}, {degree}, {hosts_per_switch})"
    below = range(switch_count * hosts_per_switch)
    graph = hosts(name, len(below), conditions, seed=root.entropy)
    names = switches(graph, (f"switch{i}" for i in range(switch_count)), tier=1)
    join(graph, ((i, names[i // hosts_per_switch]) for i in below), conditions)
    drawn = _connected_regular(switch_count, degree, root)
    join(graph, ((names[u], names[v]) for u, v in drawn), conditions)
    place(graph, wheel(names, len(below)))
    return graph


def _uplink(
    conditions: Conditions,
    uplink_bandwidth: Quantity | None,
    hosts_per_leaf: int,
    spines: int,
    oversubscription: float,
) -> Quantity:
    """Return the bandwidth of a leaf-spine cable from the oversubscription."""
    if uplink_bandwidth is not None:
        raise ValueError("give oversubscription or uplink_bandwidth, not both")
    bandwidth = given(conditions, keys=ALL_KEYS).get("bandwidth")
    if bandwidth is None:
        raise ValueError("oversubscription needs bandwidth, which the uplinks' is computed from")
    ratio = number("oversubscription", oversubscription, least=0)
    if ratio == 0:
        raise ValueError("oversubscription must be more than 0, not 0")
    text = _LEADING_NUMBER.fullmatch(bandwidth) if isinstance(bandwidth, str) else None
    if isinstance(bandwidth, str) and text is None:
        raise ValueError(
            f"bandwidth {bandwidth!r} must begin with a number to be scaled by oversubscription"
        )
    value = number("bandwidth", float(text[1]) if text else bandwidth, least=0)
    scaled = value * hosts_per_leaf / (spines * ratio)
    return np.format_float_positional(scaled, trim="-") + text[2] if text else scaled


def _global_cables(a: int, h: int, groups: int) -> Iterator[tuple[int, int]]:
    """Yield the global cables of a dragonfly as pairs of router numbers, each once."""
    others = groups - 1
    for port in range(a * h // others * others if others else 0):
        lap, step = divmod(port, others)
        far_port = lap * others + others - 1 - step
        for group in range(groups):
            far_group = (group - step - 1) % groups
            if group < far_group:
                yield group * a + port // h, far_group * a + far_port // h


def _check_regular(count: int, degree: int) -> None:
    """Complain where no connected graph of `count` switches has this degree."""
    if degree >= count:
        raise ValueError(f"degree must be less than switch_count = {count}, not {degree}")
    if count * degree % 2:
        raise ValueError(f"switch_count * degree must be even, not {count} * {degree}")
    if count > 1 and degree < (1 if count == 2 else 2):
        raise ValueError(f"degree {degree} cannot connect {count} switches")


def _connected_regular(
    count: int, degree: int, root: np.random.SeedSequence, attempts: int = 1000
) -> list[tuple[int, int]]:
    """Draw random regular graphs from child seeds until one is connected; return its edges."""
    for _ in range(attempts):
        (child,) = root.spawn(1)
        drawn = nx.random_regular_graph(degree, count, seed=int(child.generate_state(1)[0]))
        if nx.is_connected(drawn):
            return sorted((min(u, v), max(u, v)) for u, v in drawn.edges)
    raise ValueError(
        f"no connected graph of {count} switches of degree {degree} in {attempts} "
        "draws; take a larger degree or another seed"
    )
