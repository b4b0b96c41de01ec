"""Islands: who belongs to which, which cable gets which conditions."""

from __future__ import annotations

import networkx as nx
import pytest

import topologies

INNER = {"bandwidth": "400GB/s", "latency": "1us"}
OUTER = {"bandwidth": "100Gbit/s", "latency": "50us", "loss": 0.01}


def members(graph):
    islands = {}
    for host, island in graph.nodes(data="island"):
        if island is not None:
            islands.setdefault(island, []).append(host)
    return islands


@pytest.mark.parametrize("islands", [1, 2, 3, 5])
@pytest.mark.parametrize("each", [1, 2, 4])
@pytest.mark.parametrize("backbone", ["switch", "mesh"])
def test_hierarchical(islands, each, backbone, hosts):
    g = topologies.hierarchical(islands, each, backbone=backbone)
    n = islands * each
    assert hosts(g) == list(range(n)) == list(g)[:n]
    assert members(g) == {i: list(range(i * each, (i + 1) * each)) for i in range(islands)}
    leaving = islands * (islands - 1) // 2 if backbone == "mesh" else islands * (islands > 1)
    assert g.size() == n + leaving
    assert len(g) == n + islands + (backbone == "switch" and islands > 1)
    far = 3 if backbone == "mesh" else 4
    if islands > 1:
        assert nx.shortest_path_length(g, 0, n - 1) == far


def test_islands_of_different_sizes():
    g = topologies.hierarchical(3, [1, 3, 2])
    assert members(g) == {0: [0], 1: [1, 2, 3], 2: [4, 5]}


def test_inner_and_outer_override_the_common_conditions():
    g = topologies.hierarchical(2, 2, inner=INNER, outer=OUTER, latency="9s", jitter=1e-6)
    for u, v, attributes in g.edges(data=True):
        own = OUTER if "backbone" in (u, v) else INNER
        assert attributes == {"latency": "9s", "jitter": 1e-6} | own


def test_hierarchical_bisection(cut, bisection):
    assert bisection(topologies.hierarchical(2, 3)) == 1
    assert cut(topologies.hierarchical(4, 2, backbone="mesh"), range(4)) == 4  # 2 × 2 cables


@pytest.mark.parametrize(("servers", "gpus", "spines"), [(1, 1, 0), (2, 4, 0), (3, 2, 2)])
def test_rail_optimised(servers, gpus, spines, hosts):
    g = topologies.rail_optimised(servers, gpus, spines=spines)
    n = servers * gpus
    assert hosts(g) == list(range(n)) == list(g)[:n]
    assert len(g) == n + servers + gpus + spines
    assert g.size() == 2 * n + gpus * spines
    for i in range(n):
        assert set(g[i]) == {f"server{i // gpus}", f"rail{i % gpus}"}
        assert g.nodes[i]["island"] == i // gpus


def test_rail_conditions():
    g = topologies.rail_optimised(2, 2, spines=1, inner=INNER, outer=OUTER)
    assert g.edges[0, "server0"] == INNER
    assert g.edges[0, "rail0"] == OUTER
    assert g.edges["rail1", "spine0"] == OUTER


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: topologies.hierarchical(0, 2), ValueError, "islands must be at least 1"),
        (lambda: topologies.hierarchical(2, [1]), ValueError, "one number for each of 2 islands"),
        (lambda: topologies.hierarchical(2, [1, 0]), ValueError, r"hosts_per_island\[1\]"),
        (lambda: topologies.hierarchical(2, "2"), TypeError, "hosts_per_island must be a whole"),
        (lambda: topologies.hierarchical(2, 2, backbone="bus"), ValueError, "backbone .* 'bus'"),
        (lambda: topologies.hierarchical(2, 2, inner={"nic": 1}), TypeError, "inner: .* 'nic'"),
        (
            lambda: topologies.hierarchical(2, 2, outer={"latenzy": 1}),
            TypeError,
            "outer: unknown keyword 'latenzy'; did you mean 'latency'",
        ),
        (lambda: topologies.hierarchical(2, 2, outer="1ms"), TypeError, "outer must be a mapping"),
        (lambda: topologies.rail_optimised(2, 0), ValueError, "gpus_per_server"),
        (lambda: topologies.rail_optimised(2, 2, spines=-1), ValueError, "spines must be at least"),
    ],
)
def test_wrong_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()
