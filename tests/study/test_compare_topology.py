"""Topologies from text: builders with arguments, files, and nothing that runs."""

import json

import networkx as nx
import pytest

import topologies
from simnet.study.topology import BUILDERS, BY_WORLD_SIZE, read_topology


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ring", topologies.ring(6)),
        ("star", topologies.star(6)),
        ("torus(2, 3)", topologies.torus(2, 3)),
        ("torus((2, 3))", topologies.torus(2, 3)),
        (" ring(4) ", topologies.ring(4)),
        ("star(4, hub='host')", topologies.star(4, hub="host")),
        (
            "leaf_spine(leaves=2, spines=1, hosts_per_leaf=2, bandwidth='1Gbit/s')",
            topologies.leaf_spine(2, 1, 2, bandwidth="1Gbit/s"),
        ),
    ],
)
def test_text_builds_the_graph(text, expected):
    graph = read_topology(text, 6)
    assert nx.utils.graphs_equal(graph, expected)
    assert graph.graph == expected.graph


@pytest.mark.parametrize("name", sorted(set(BY_WORLD_SIZE) - {"wan_from_catalog"}))
@pytest.mark.parametrize("world_size", [1, 2, 6, 9])
def test_a_name_alone_has_room_for_the_world(name, world_size):
    graph = read_topology(name, world_size)
    hosts = [node for node, kind in graph.nodes(data="kind", default="host") if kind == "host"]
    assert len(hosts) >= world_size


def test_every_builder_is_there():
    public = set(topologies.__all__) - {
        "CableConditions", "Conditions", "catalog", "great_circle_km", "read_graphml",
        "read_node_link",
    }  # fmt: skip
    assert set(BUILDERS) == public


def test_files(tmp_path):
    graph = topologies.ring(3, bandwidth=1e6)
    nx.write_graphml(strip(graph), tmp_path / "g.graphml")
    (tmp_path / "g.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    for name in ("g.graphml", "g.json"):
        found = read_topology(str(tmp_path / name), 8)
        assert sorted(found.nodes) == [0, 1, 2]
        assert all(bandwidth == 1e6 for *_, bandwidth in found.edges(data="bandwidth"))


def strip(graph):
    """Without positions, which GraphML cannot hold."""
    plain = nx.Graph(graph)
    for _, data in plain.nodes(data=True):
        data.pop("pos", None)
    return plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rign", "no builder 'rign'; did you mean 'ring'"),
        ("read_graphml('x')", "no builder 'read_graphml'"),
        ("leaf_spine", r"needs arguments, as in Python: leaf_spine\(…\)"),
        ("ring(0)", "n must be at least 1"),
        ("ring('8')", "n must be a whole number"),
        ("ring(8, 9, 10)", "ring"),
        ("ring(8, colour=1)", "unknown keyword 'colour'"),
        ("", "write a builder's name"),
        ("ring(", "write a builder's name"),
        ("ring(n)", "write a builder's name"),
        ("ring(*[8])", "write a builder's name"),
        ("ring(**{'n': 8})", "write a builder's name"),
        ("ring(8).clear()", "write a builder's name"),
        ("topologies.ring(8)", "write a builder's name"),
        ("__import__('os').getcwd()", "write a builder's name"),
        ("ring(__import__('os').getpid())", "write a builder's name"),
        ("ring(9**9**9)", "write a builder's name"),
        ("missing.graphml", "cannot read missing.graphml"),
        ("missing.json", "cannot read missing.json"),
        ("missing.txt", "write a builder's name"),
    ],
)
def test_a_mistake_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_topology(text, 8)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none(tmp_path):
    for name in ("bad.json", "bad.graphml"):
        (tmp_path / name).write_bytes(b"\xff\x00 nonsense")
        with pytest.raises(ValueError, match=f"{name} is no"):
            read_topology(str(tmp_path / name), 8)
