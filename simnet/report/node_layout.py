"""Where a drawing puts the nodes: at their `pos`, or as far apart as they are in hops.

numpy only: networkx's own layouts of this kind ask for scipy.
"""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.network import Network

Points = NDArray[np.float64]

_FULL_STRESS = 600  # nodes up to which all pairs are weighed
_PIVOTS = 64
_WIDEST, _TALLEST = 2.2, 1.25  # width over height, height over width


def place_nodes(net: Network) -> Points:
    """A point a node, shape (num_nodes, 2), the longer side of all being 1.

    The nodes' own `pos` where every one has two finite numbers, else a layout in which distance
    means hops; the same graph is always drawn the same. Very wide or tall ones are stretched.
    """
    given = [net.graph.nodes[node].get("pos") for node in net.nodes]
    return _fit(_as_points(given) if _are_points(given) else hop_layout(net.graph, net.nodes))


def _are_points(values: list[Any]) -> bool:
    """Whether each is a pair of finite numbers."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return array.ndim == 2 and array.shape[1] == 2 and bool(np.isfinite(array).all())


def _as_points(values: list[Any]) -> Points:
    return np.array(values, dtype=np.float64)


def _fit(points: Points) -> Points:
    """Move to the first quadrant, stretch what is very flat, and scale the longer side to 1."""
    points = points - points.min(axis=0)
    width, height = points.max(axis=0)
    if width > 0 and height > 0:
        points[:, 1] *= max(1.0, width / height / _WIDEST)
        points[:, 0] *= max(1.0, height / width / _TALLEST)
    longest = points.max()
    return points / longest if longest > 0 else points


def hop_layout(graph: nx.Graph[Any], nodes: tuple[Any, ...]) -> Points:
    """Place nodes so that straight distances are near their distances in hops.

    Pivot MDS, then stress majorization for up to some hundred nodes.

    Source: Brandes and Pich, "Eigensolver methods for progressive multidimensional scaling of
    large data" (2006); Gansner, Koren and North, "Graph drawing by stress majorization" (2004).
    """
    if len(nodes) < 3:
        return np.array([[float(i), 0.0] for i in range(len(nodes))])
    plain: nx.Graph[Any] = nx.Graph(graph.edges()) if not graph.is_multigraph() else nx.Graph(graph)
    plain.add_nodes_from(nodes)
    index = {node: i for i, node in enumerate(nodes)}
    full = len(nodes) <= _FULL_STRESS
    step = 1 if full else max(1, len(nodes) // _PIVOTS)
    hops = np.array([_hops(plain, node, index) for node in nodes[::step]])
    farthest = hops[np.isfinite(hops)].max()
    hops = np.where(np.isfinite(hops), hops, farthest + 2)
    points = _pivot_mds(hops) + _jitter(len(nodes))
    return _majorize(points, hops) if full else points


def _hops(graph: nx.Graph[Any], node: Any, index: dict[Any, int]) -> Points:
    """Hops from a node to each, infinite where there is no way."""
    hops = np.full(len(index), np.inf)
    for other, distance in nx.single_source_shortest_path_length(graph, node).items():
        hops[index[other]] = distance
    return hops


def _pivot_mds(hops: Points) -> Points:
    """Two principal axes of doubly centred squared distances, shape (pivots, nodes) in."""
    squared = hops**2
    centred = squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean()
    _, _, axes = np.linalg.svd(centred @ centred.T)
    points = centred.T @ axes[:2].T
    signs = np.sign(points[np.abs(points).argmax(axis=0), range(2)])
    spread = np.abs(points).max()
    scale = hops.max() / 2 / (spread if spread > 0 else 1.0)
    return np.asarray(points * signs * scale)


def _jitter(count: int) -> Points:
    """A little of a sunflower, so that leaves of one switch do not fall on one point."""
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    radius = 0.25 * np.sqrt((np.arange(count) + 0.5) / count)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _majorize(points: Points, hops: Points) -> Points:
    """Move each node to where the others want it, weighed by 1 over hops squared."""
    with np.errstate(divide="ignore"):
        weight = np.where(hops > 0, hops**-2.0, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    for _ in range(60 if len(points) > 200 else 200):
        apart = points[:, None, :] - points[None, :, :]
        length = np.maximum(np.hypot(apart[..., 0], apart[..., 1]), 1e-9)
        pull = (weight * hops / length)[..., None] * apart
        wanted = (weight @ points + pull.sum(axis=1)) / total
        points = 0.5 * (points + wanted)
    return points


def nearest(points: Points) -> Points:
    """Each point's distance to its nearest other, shape (n,); infinite if there is none."""
    found = np.full(len(points), np.inf)
    for begin in range(0, len(points), 512):
        block = points[begin : begin + 512]
        apart = block[:, None, :] - points[None, :, :]
        length = np.hypot(apart[..., 0], apart[..., 1])
        length[range(len(block)), range(begin, begin + len(block))] = np.inf
        found[begin : begin + 512] = length.min(axis=1)
    return found


def spread(points: Points, least: float) -> Points:
    """Push apart points that are nearer than `least`, each as little as needed."""
    points = points.copy()
    for _ in range(80 if len(points) <= 400 else 0):
        apart = points[:, None, :] - points[None, :, :]
        length = np.hypot(apart[..., 0], apart[..., 1])
        np.fill_diagonal(length, np.inf)
        if length.min() >= least * 0.99:
            break
        same = length < 1e-9
        apart = np.where(
            same[..., None], _away(len(points)), apart / np.maximum(length, 1e-9)[..., None]
        )
        points += (apart * np.clip(least - length, 0, None)[..., None]).sum(axis=1) * 0.5
    return points


def _away(count: int) -> Points:
    """A direction for each pair of points that lie on one another, opposite for the two."""
    order = np.sign(np.arange(count)[:, None] - np.arange(count)[None, :])
    turn = (np.arange(count)[:, None] + np.arange(count)[None, :]) * 2.4
    return np.stack([order * np.cos(turn), order * np.sin(turn)], axis=-1)
