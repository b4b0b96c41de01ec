"""Invariants of the datacenter fabrics, derived from their sizes."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import topologies


def tier(graph, number):
    return [node for node, of in graph.nodes(data="tier") if of == number]


def bandwidths(graph, pairs):
    return {graph.edges[pair].get("bandwidth") for pair in pairs}


@pytest.mark.parametrize(
    ("leaves", "spines", "below"), [(1, 1, 1), (2, 3, 4), (5, 2, 1), (8, 4, 6)]
)
def test_leaf_spine(leaves, spines, below, hosts):
    g = topologies.leaf_spine(leaves, spines, below)
    assert hosts(g) == list(range(leaves * below)) == list(g)[: leaves * below]
    assert len(tier(g, 1)) == leaves
    assert len(tier(g, 2)) == spines
    assert g.size() == leaves * (below + spines)
    assert all(g.degree[leaf] == below + spines for leaf in tier(g, 1))
    assert all(g.degree[spine] == leaves for spine in tier(g, 2))
    for i in hosts(g):
        assert list(g[i]) == [f"leaf{i // below}"]
    assert leaves == 1 or nx.diameter(g) == 4


@pytest.mark.parametrize(("spines", "width"), [(1, 2), (2, 4), (3, 4)])
def test_leaf_spine_bisection(spines, width, bisection):
    # 4 leaves of 2 hosts: two leaves' uplinks to each side, at most the 4 host cables of a half
    assert bisection(topologies.leaf_spine(4, spines, 2)) == width


@pytest.mark.parametrize(
    ("bandwidth", "ratio", "uplink"),
    [
        ("25Gbit/s", 2, "25Gbit/s"),  # 4 hosts × 25 / (2 spines × 2)
        ("25Gbit/s", 1, "50Gbit/s"),
        ("1.5 GB/s", 1.0, "3 GB/s"),
        ("10Gbit/s", 3, "6.666666666666667Gbit/s"),
        ("1e3MB/s", 0.5, "4000MB/s"),
        (1e9, 2, 1e9),
        (1e9, 0.5, 4e9),
    ],
)
def test_oversubscription_sets_the_uplinks(bandwidth, ratio, uplink):
    g = topologies.leaf_spine(3, 2, 4, oversubscription=ratio, bandwidth=bandwidth)
    up = [(leaf, spine) for leaf in tier(g, 1) for spine in tier(g, 2)]
    assert bandwidths(g, up) == {uplink}
    assert bandwidths(g, set(g.edges(range(12)))) == {bandwidth}


def test_uplink_bandwidth_is_taken_as_given():
    g = topologies.leaf_spine(2, 2, 2, bandwidth="25Gbit/s", uplink_bandwidth="100Gbit/s")
    assert g.edges["leaf0", "spine1"]["bandwidth"] == "100Gbit/s"
    assert g.edges[0, "leaf0"]["bandwidth"] == "25Gbit/s"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"oversubscription": 2}, ValueError, "oversubscription needs bandwidth"),
        (
            {"oversubscription": 2, "bandwidth": 1, "uplink_bandwidth": 1},
            ValueError,
            "give oversubscription or uplink_bandwidth, not both",
        ),
        ({"oversubscription": 0, "bandwidth": 1}, ValueError, "must be more than 0"),
        ({"oversubscription": -1, "bandwidth": 1}, ValueError, "must be at least 0, not -1"),
        ({"oversubscription": float("nan"), "bandwidth": 1}, ValueError, "not nan"),
        ({"oversubscription": "4:1", "bandwidth": 1}, TypeError, "must be a number, not '4:1'"),
        (
            {"oversubscription": 2, "bandwidth": "fast"},
            ValueError,
            "'fast' must begin with a number",
        ),
        ({"oversubscription": 2, "bandwidth": [1]}, TypeError, "bandwidth must be a number or a"),
        ({"uplink_bandwidth": True}, TypeError, "uplink_bandwidth"),
    ],
)
def test_wrong_uplinks(options, error, message):
    with pytest.raises(error, match=message):
        topologies.leaf_spine(2, 2, 2, **options)


@pytest.mark.parametrize("k", [2, 4, 6, 8, 10])
def test_fat_tree(k, hosts):
    g = topologies.fat_tree(k)
    assert hosts(g) == list(range(k**3 // 4)) == list(g)[: k**3 // 4]
    assert [len(tier(g, t)) for t in (1, 2, 3)] == [k * k // 2, k * k // 2, k * k // 4]
    assert g.size() == 3 * k**3 // 4
    assert all(g.degree[node] == k for node in g if isinstance(node, str))  # every port in use
    assert nx.eccentricity(g, 0) == 6  # up to a core and down
    half = k // 2
    for i in range(half * half):  # one way down to each pod, to the same switch of each
        assert set(g[f"core{i}"]) == {f"agg{pod * half + i // half}" for pod in range(k)}
    for i in range(k * half):  # an edge switch reaches every aggregation switch of its pod
        up = {f"agg{i - i % half + j}" for j in range(half)}
        assert set(g[f"edge{i}"]) == up | set(range(i * half, (i + 1) * half))


@pytest.mark.parametrize("k", [2, 4, 6])
def test_fat_tree_has_full_bisection(k, cut):
    n = k**3 // 4
    g = topologies.fat_tree(k)
    assert cut(g, range(n // 2)) == n // 2  # half of the pods
    assert cut(g, range(0, n, 2)) == n // 2  # every other host


def test_fat_tree_bisection_over_all_halves_with_hosts_on_two_pods(bisection):
    g = topologies.fat_tree(4)
    g.remove_nodes_from(range(8, 16))
    assert bisection(g) == 4


@settings(deadline=None)
@given(a=st.integers(1, 6), h=st.integers(1, 3), p=st.integers(1, 3), data=st.data())
def test_dragonfly(a, h, p, data):
    groups = data.draw(st.sampled_from([None, 1, *range(h + 1, a * h + 2)]))
    g = topologies.dragonfly(a, h, p, groups)
    count = a * h + 1 if groups is None else groups
    assert list(g)[: a * p * count] == list(range(a * p * count))
    assert len(tier(g, 1)) == a * count
    per_pair = a * h // (count - 1) if count > 1 else 0
    crossing = Counter()
    for u, v in g.edges:
        if isinstance(u, str) and isinstance(v, str):
            crossing[frozenset(int(router[6:]) // a for router in (u, v))] += 1
    inside = [n for pair, n in crossing.items() if len(pair) == 1]
    between = [n for pair, n in crossing.items() if len(pair) == 2]
    assert inside == ([a * (a - 1) // 2] * count if a > 1 else [])
    assert between == [per_pair] * (count * (count - 1) // 2)
    full = count > 1 and a * h % (count - 1) == 0
    used = [g.degree[router] - (a - 1) - p for router in tier(g, 1)]
    assert set(used) == {h} if full else max(used) <= h
    assert nx.is_connected(g)


@pytest.mark.parametrize(("a", "h", "p"), [(2, 1, 1), (4, 2, 2), (6, 3, 3)])
def test_balanced_dragonfly(a, h, p, hosts):
    g = topologies.dragonfly(a, h, p)
    assert len(hosts(g)) == a * p * (a * h + 1)
    assert nx.diameter(g) == 5  # host, local, global, local, host
    assert {g.degree[router] for router in tier(g, 1)} == {a - 1 + h + p}


def test_dragonfly_follows_the_palm_tree():
    # a = 2, h = 1: port q of group i meets port 1 - q of group i - q - 1; router r owns port r
    g = topologies.dragonfly(2, 1, 1)
    between = {frozenset(edge) for edge in g.subgraph(tier(g, 1)).edges}
    local = {frozenset((f"router{i}", f"router{i + 1}")) for i in (0, 2, 4)}
    assert between - local == {
        frozenset(("router0", "router5")),
        frozenset(("router2", "router1")),
        frozenset(("router4", "router3")),
    }


@settings(deadline=None)
@given(
    count=st.integers(1, 24),
    degree=st.integers(0, 6),
    below=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_random_regular(count, degree, below, seed):
    assume(degree < count and count * degree % 2 == 0)
    assume(count == 1 or degree > 1 or (count == 2 and degree == 1))
    g = topologies.random_regular(count, degree, below, seed=seed)
    assert list(g)[: count * below] == list(range(count * below))
    assert nx.is_connected(g)
    assert {g.degree[switch] for switch in tier(g, 1)} == {degree + below}
    assert g.size() == count * below + count * degree // 2
    assert all(list(g[i]) == [f"switch{i // below}"] for i in range(count * below))
    again = topologies.random_regular(count, degree, below, seed=seed)
    assert list(g.edges) == list(again.edges)


def test_random_regular_depends_on_its_seed():
    drawn = {
        frozenset(map(frozenset, topologies.random_regular(12, 3, 1, seed=s).edges))
        for s in range(5)
    }
    assert len(drawn) == 5


def test_random_regular_records_a_drawn_seed():
    g = topologies.random_regular(12, 3, 1, seed=None)
    again = topologies.random_regular(12, 3, 1, seed=g.graph["seed"])
    assert list(g.edges) == list(again.edges)
    assert topologies.random_regular(12, 3, 1).graph["seed"] == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: topologies.fat_tree(3), "k must be even, not 3"),
        (lambda: topologies.fat_tree(0), "k must be at least 2, not 0"),
        (lambda: topologies.leaf_spine(0, 1, 1), "leaves must be at least 1, not 0"),
        (lambda: topologies.dragonfly(4, 2, 2, 10), "groups must be 1 or from h .* not 10"),
        (lambda: topologies.dragonfly(4, 2, 2, 2), "groups must be 1 or from h .* not 2"),
        (lambda: topologies.random_regular(5, 3, 1), r"must be even, not 5 \* 3"),
        (lambda: topologies.random_regular(4, 4, 1), "degree must be less than switch_count = 4"),
        (lambda: topologies.random_regular(4, 1, 1), "degree 1 cannot connect 4 switches"),
        (lambda: topologies.random_regular(2, 0, 1), "degree 0 cannot connect 2 switches"),
        (lambda: topologies.random_regular(4, 3, 1, seed=-1), "seed must be at least 0"),
    ],
)
def test_sizes_that_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()
