"""What holds for every builder: keywords, attributes, names, positions, bad arguments, imports."""

from __future__ import annotations

import ast
import inspect
import math
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import topologies

BUILDERS = {
    "line": (topologies.line, (4,)),
    "ring": (topologies.ring, (5,)),
    "star": (topologies.star, (4,)),
    "star_host": (topologies.star, (4, "host")),
    "fully_connected": (topologies.fully_connected, (4,)),
    "tree": (topologies.tree, (7, 3)),
    "mesh": (topologies.mesh, (2, 3)),
    "torus": (topologies.torus, (3, 2, 4)),
    "torus_4d": (topologies.torus, (2, 2, 2, 2)),
    "hypercube": (topologies.hypercube, (3,)),
    "hypercube_5": (topologies.hypercube, (5,)),
    "leaf_spine": (topologies.leaf_spine, (2, 2, 3)),
    "fat_tree": (topologies.fat_tree, (4,)),
    "dragonfly": (topologies.dragonfly, (4, 2, 2)),
    "random_regular": (topologies.random_regular, (6, 3, 2)),
    "hierarchical": (topologies.hierarchical, (3, 2)),
    "rail_optimised": (topologies.rail_optimised, (2, 4)),
    "wan": (topologies.wan, ({"a": (0, 0), "b": (10, 20)},)),
    "wan_from_catalog": (topologies.wan_from_catalog, ()),
}
every_builder = pytest.mark.parametrize(("build", "sizes"), BUILDERS.values(), ids=BUILDERS)
WITHOUT_LATENCY = (topologies.wan, topologies.wan_from_catalog)
KNOWN_NODE = {"kind", "tier", "island", "pos", "latitude", "longitude", "site", "egress", "ingress"}
KNOWN_EDGE = {"bandwidth", "latency", "jitter", "loss"}


@every_builder
def test_conditions_reach_every_cable_unchanged(build, sizes, hosts):
    given = {"bandwidth": "25Gbit/s", "jitter": 1e-6, "loss": "1%"}
    if build not in WITHOUT_LATENCY:
        given["latency"] = "10us"
    g = build(*sizes, **given, nic=5e9)
    assert g.size() > 0
    for _, _, attributes in g.edges(data=True):
        assert given.items() <= attributes.items()
    for host in hosts(g):
        assert g.nodes[host]["egress"] == g.nodes[host]["ingress"] == 5e9
    for node in set(g) - set(hosts(g)):
        assert g.nodes[node]["kind"] == "switch"
        assert g.nodes[node]["tier"] >= 1
        assert not {"egress", "ingress"} & set(g.nodes[node])


@every_builder
def test_what_is_not_given_is_left_out(build, sizes):
    computed = {"latency"} if build in WITHOUT_LATENCY else set()
    for g in (build(*sizes), build(*sizes, bandwidth=None, loss=None, nic=None)):
        assert all(set(attributes) == computed for _, _, attributes in g.edges(data=True))


@every_builder
def test_hosts_come_first_and_are_ranks(build, sizes, hosts):
    g = build(*sizes)
    n = len(hosts(g))
    assert list(g)[:n] == hosts(g) == list(range(n))
    assert all(type(host) is int for host in hosts(g))
    assert all(type(node) is str for node in list(g)[n:])
    assert nx.is_connected(g)
    assert not list(nx.selfloop_edges(g))
    assert g.graph["name"].startswith(build.__name__)


@every_builder
def test_only_known_attributes(build, sizes):
    g = build(*sizes, bandwidth=1, nic=1)
    assert all(set(attributes) <= KNOWN_NODE for _, attributes in g.nodes(data=True))
    assert all(set(attributes) <= KNOWN_EDGE for _, _, attributes in g.edges(data=True))


@every_builder
def test_positions_are_plain_and_distinct(build, sizes):
    positions = nx.get_node_attributes(build(*sizes), "pos")
    if build is topologies.torus and len(sizes) > 3:
        assert not positions
        return
    g = build(*sizes)
    assert set(positions) == set(g)
    assert all(type(x) is float and math.isfinite(x) for pos in positions.values() for x in pos)
    assert all(type(pos) is tuple and len(pos) == 2 for pos in positions.values())
    assert len({(round(x, 6), round(y, 6)) for x, y in positions.values()}) == len(g)


@every_builder
def test_each_call_makes_its_own_graph(build, sizes):
    first, second = build(*sizes, bandwidth=1), build(*sizes, bandwidth=1)
    assert nx.utils.graphs_equal(first, second)
    assert list(first.edges) == list(second.edges)
    edges = list(first.edges)
    first.edges[edges[0]]["bandwidth"] = 2
    assert [first.edges[edge]["bandwidth"] for edge in edges[1:]] == [1] * (len(edges) - 1)
    assert second.edges[edges[0]]["bandwidth"] == 1


@every_builder
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"bandwith": 1}, "unknown keyword 'bandwith'; did you mean 'bandwidth'"),
        (
            {"colour": 1},
            "unknown keyword 'colour'; allowed are bandwidth, latency, jitter, loss, nic",
        ),
        ({"loss": [0.1]}, r"loss must be a number or a text, not \[0.1\]"),
        ({"bandwidth": True}, "bandwidth must be a number or a text, not True"),
        ({"nic": b"1"}, "nic must be a number or a text, not b'1'"),
    ],
)
def test_wrong_keywords(build, sizes, keywords, message):
    with pytest.raises(TypeError, match=message):
        build(*sizes, **keywords)


@pytest.mark.parametrize(
    "build",
    [
        topologies.line,
        topologies.ring,
        topologies.star,
        topologies.fully_connected,
        topologies.tree,
        topologies.mesh,
        topologies.torus,
    ],
)
@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "must be at least 1, not 0"),
        (-3, ValueError, "must be at least 1, not -3"),
        (2.0, TypeError, "must be a whole number, not 2.0"),
        ("8", TypeError, "must be a whole number, not '8'"),
        (True, TypeError, "must be a whole number, not True"),
        (None, TypeError, "must be a whole number, not None"),
    ],
)
def test_wrong_sizes(build, n, error, message):
    with pytest.raises(error, match=message) as caught:
        build(n)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: topologies.torus(), "at least one dimension"),
        (lambda: topologies.mesh(()), "at least one dimension"),
        (lambda: topologies.torus(4, 0), r"dims\[1\] must be at least 1, not 0"),
        (lambda: topologies.hypercube(-1), "dimension must be at least 0"),
        (lambda: topologies.tree(3, 0), "branching must be at least 1"),
        (lambda: topologies.star(3, hub="router"), "hub must be 'switch' or 'host', not 'router'"),
        (lambda: topologies.star(3, hub=["host"]), "hub must be 'switch' or 'host'"),
    ],
)
def test_wrong_shapes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_numpy_numbers_are_numbers():
    g = topologies.ring(np.int64(4), bandwidth=np.float32(2.5))
    assert list(g) == [0, 1, 2, 3]
    assert g.edges[0, 1]["bandwidth"] == 2.5


def test_every_public_name_exists_and_is_documented():
    assert topologies.__all__ == sorted(topologies.__all__)
    for name in topologies.__all__:
        assert inspect.getdoc(getattr(topologies, name)), name


def test_imports_nothing_but_networkx_numpy_and_the_standard_library():
    allowed = {"networkx", "numpy", "topologies", *sys.stdlib_module_names}
    files = list(Path(topologies.__file__).parent.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= allowed, file


def test_same_graph_for_every_hash_seed():
    code = (
        "import topologies as t; print([list(t.random_regular(20, 4, 2, seed=7).edges), "
        "list(t.dragonfly(4, 2, 2).edges), list(t.wan_from_catalog().edges(data=True))])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(topologies.__file__).parents[1],
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1
