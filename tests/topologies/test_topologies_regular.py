"""Invariants of the regular topologies, derived from their sizes."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies

SIZES = [1, 2, 3, 4, 5, 7, 8, 16, 33]


def degrees(graph):
    return [degree for _, degree in graph.degree]


def coordinates(index, dims):
    return np.unravel_index(index, dims)


@pytest.mark.parametrize("n", SIZES)
def test_line(n):
    g = topologies.line(n)
    assert list(g) == list(range(n))
    assert g.size() == n - 1
    assert nx.diameter(g) == n - 1
    assert set(g.edges) == {(i, i + 1) for i in range(n - 1)}


@pytest.mark.parametrize("n", SIZES)
def test_ring(n):
    g = topologies.ring(n)
    assert list(g) == list(range(n))
    assert g.size() == (n if n > 2 else n - 1)
    assert nx.diameter(g) == n // 2
    assert degrees(g) == [min(2, n - 1)] * n
    assert n < 2 or g.has_edge(0, n - 1)


@pytest.mark.parametrize("n", SIZES)
def test_star_around_a_switch(n, hosts):
    g = topologies.star(n)
    assert list(g) == [*range(n), "switch"]
    assert hosts(g) == list(range(n))
    assert g.nodes["switch"]["kind"] == "switch"
    assert set(g.edges) == {(i, "switch") for i in range(n)}


@pytest.mark.parametrize("n", SIZES)
def test_star_around_rank_zero(n):
    g = topologies.star(n, hub="host")
    assert list(g) == list(range(n))
    assert set(g.edges) == {(0, i) for i in range(1, n)}


@pytest.mark.parametrize("n", SIZES)
def test_fully_connected(n):
    g = topologies.fully_connected(n)
    assert list(g) == list(range(n))
    assert g.size() == n * (n - 1) // 2
    assert degrees(g) == [n - 1] * n


@settings(deadline=None)
@given(n=st.integers(1, 80), branching=st.integers(1, 5))
def test_tree_is_filled_level_by_level(n, branching):
    g = topologies.tree(n, branching)
    assert nx.is_tree(g)
    assert list(g) == list(range(n))
    depth = nx.single_source_shortest_path_length(g, 0)
    for i in range(1, n):
        assert sum(j < i for j in g[i]) == 1  # one parent
        assert depth[i] >= depth[i - 1]
        if i < n - 1 and depth[i + 1] > depth[i]:  # a full level: branching ** depth hosts
            assert list(depth.values()).count(depth[i]) == branching ** depth[i]
    assert all(sum(j > i for j in g[i]) <= branching for i in g)


@settings(deadline=None)
@given(dims=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_mesh_and_torus(dims):
    mesh, torus = topologies.mesh(*dims), topologies.torus(*dims)
    n = math.prod(dims)
    for g in (mesh, torus):
        assert list(g) == list(range(n))
        assert g.graph["dims"] == tuple(dims)
    assert mesh.size() == sum(n // d * (d - 1) for d in dims)
    assert torus.size() == sum(n // d * (d if d > 2 else d - 1) for d in dims)
    assert nx.diameter(mesh) == sum(d - 1 for d in dims)
    assert nx.diameter(torus) == sum(d // 2 for d in dims)
    assert degrees(torus) == [sum(min(2, d - 1) for d in dims)] * n


@settings(deadline=None)
@given(dims=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_grid_neighbours_differ_by_one_step_in_one_dimension(dims):
    for u, v in topologies.mesh(*dims).edges:
        steps = [
            abs(int(a) - int(b))
            for a, b in zip(coordinates(u, dims), coordinates(v, dims), strict=True)
        ]
        assert sorted(steps) == [0] * (len(dims) - 1) + [1]
    for u, v in topologies.torus(*dims).edges:
        steps = [
            (int(a) - int(b)) % d
            for a, b, d in zip(coordinates(u, dims), coordinates(v, dims), dims, strict=True)
        ]
        moved = [(step, d) for step, d in zip(steps, dims, strict=True) if step]
        assert len(moved) == 1
        assert moved[0][0] in (1, moved[0][1] - 1)


def test_grid_is_row_major():
    g = topologies.mesh(2, 3)
    assert set(g.edges) == {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)}
    wrapped = set(topologies.torus(2, 3).edges) - set(g.edges)
    assert {tuple(sorted(edge)) for edge in wrapped} == {(0, 2), (3, 5)}  # no second 0-3 cable


def test_dims_may_be_one_sequence():
    assert nx.utils.graphs_equal(topologies.torus((2, 4)), topologies.torus(2, 4))
    assert nx.utils.graphs_equal(topologies.mesh([5]), topologies.mesh(5))


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_a_torus_of_one_dimension_is_a_ring(n):
    assert set(map(frozenset, topologies.torus(n).edges)) == set(
        map(frozenset, topologies.ring(n).edges)
    )


@pytest.mark.parametrize("d", range(8))
def test_hypercube(d):
    g = topologies.hypercube(d)
    assert list(g) == list(range(2**d))
    assert degrees(g) == [d] * 2**d
    assert nx.diameter(g) == d
    assert all((u ^ v).bit_count() == 1 for u, v in g.edges)


@pytest.mark.parametrize(
    ("graph", "width"),
    [
        (topologies.line(8), 1),
        (topologies.line(9), 1),
        (topologies.ring(2), 1),
        (topologies.ring(8), 2),
        (topologies.ring(9), 2),
        (topologies.fully_connected(8), 16),
        (topologies.fully_connected(7), 12),
        (topologies.star(6), 3),
        (topologies.star(6, hub="host"), 3),
        (topologies.mesh(4, 2), 2),  # hosts / longest side, where that is even
        (topologies.mesh(4, 3), 3),
        (topologies.torus(4, 3), 6),
        (topologies.torus(2, 4), 4),
        (topologies.torus(2, 2, 2), 4),
        (topologies.hypercube(3), 4),
    ],
    ids=lambda value: value.graph["name"] if isinstance(value, nx.Graph) else str(value),
)
def test_bisection_width(graph, width, bisection):
    assert bisection(graph) == width


@pytest.mark.parametrize("dims", [(8, 4), (6, 4, 2), (8, 8), (4, 4, 4)])
def test_bisection_across_the_longest_side(dims, cut):
    n = math.prod(dims)
    half = range(n // 2)  # rows come first
    assert cut(topologies.mesh(*dims), half) == n // dims[0]
    assert cut(topologies.torus(*dims), half) == 2 * n // dims[0]
