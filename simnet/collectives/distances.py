"""Shortest paths over a network's cables, by latency alone: what no route can beat."""

from __future__ import annotations

import heapq
import math
from weakref import WeakKeyDictionary

import numpy as np

from simnet.arrays import frozen
from simnet.collectives.collective import FloatArray, IntArray
from simnet.network import CABLE, Network

Adjacency = list[list[tuple[int, float]]]

_known: WeakKeyDictionary[Network, dict[tuple[int, bool], FloatArray]] = WeakKeyDictionary()


def adjacency(net: Network, *, backward: bool = False) -> Adjacency:
    """(neighbour, least latency) of every node's cables out; into it, where `backward`."""
    around: Adjacency = [[] for _ in net.nodes]
    cables = net.links.kind == CABLE
    least = np.maximum(net.links.latency - net.links.jitter, 0.0)
    columns = (each[cables].tolist() for each in (net.links.source, net.links.target, least))
    for source, target, latency in zip(*columns, strict=True):
        tail, head = (target, source) if backward else (source, target)
        around[tail].append((head, latency))
    return around


def _nearest(
    around: Adjacency, nodes: IntArray, begin: FloatArray, *, count: int = 1
) -> list[dict[int, float]]:
    """Seconds from the nearest `count` of some nodes, each with its beginning, to every node."""
    nearest: list[dict[int, float]] = [{} for _ in around]
    heap = [(s, node, node) for node, s in zip(nodes.tolist(), begin.tolist(), strict=True)]
    heapq.heapify(heap)
    while heap:
        seconds, node, origin = heapq.heappop(heap)
        if len(nearest[node]) == count or origin in nearest[node]:
            continue
        nearest[node][origin] = seconds
        for neighbour, latency in around[node]:
            if len(nearest[neighbour]) < count:
                heapq.heappush(heap, (seconds + latency, neighbour, origin))
    return nearest


def distances(around: Adjacency, nodes: IntArray, begin: FloatArray) -> FloatArray:
    """Seconds from the nearest of some nodes to every node; (number of nodes,)."""
    found = _nearest(around, nodes, begin)
    return np.array([min(seconds.values(), default=math.inf) for seconds in found])


def distances_from(net: Network, node: int, *, backward: bool = False) -> FloatArray:
    """Seconds from a node to every node, or to it where `backward`; worked out once a network."""
    known = _known.setdefault(net, {})
    found = known.get((node, backward))
    if found is None:
        around = adjacency(net, backward=backward)
        found = distances(around, np.array([node]), np.zeros(1))
        known[node, backward] = frozen(found)
    return found


def nearest_other(around: Adjacency, hosts: IntArray, begin: FloatArray) -> FloatArray:
    """Seconds to each host from the nearest other one; (N,)."""
    nearest = _nearest(around, hosts, begin, count=2)
    others = ([s for o, s in nearest[host].items() if o != host] for host in hosts.tolist())
    return np.array([min(seconds, default=math.inf) for seconds in others])
