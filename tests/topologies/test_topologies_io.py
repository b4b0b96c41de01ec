"""Readers: what networkx writes comes back; whatever is wrong with a file is one line."""

from __future__ import annotations

import json

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import topologies

GRAPHS = [
    topologies.ring(4, bandwidth="10Gbit/s", latency=1e-5),
    topologies.torus(2, 3, nic=1e9),
    topologies.star(3, loss=0.01),
    topologies.leaf_spine(2, 2, 2, bandwidth="25Gbit/s", oversubscription=2),
    topologies.hierarchical(2, 2, inner={"latency": "1us"}),
    topologies.wan_from_catalog(sites=["East US", "UK South"], hosts_per_site=2),
]
every_graph = pytest.mark.parametrize("graph", GRAPHS, ids=lambda g: g.graph["name"])
KINDS = [nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]

GRAPHML = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="b" for="edge" attr.name="bandwidth" attr.type="string"/>
  <key id="l" for="edge" attr.name="latency" attr.type="double"><default>0.25</default></key>
  <key id="k" for="node" attr.name="kind" attr.type="string"><default>host</default></key>
  <graph edgedefault="undirected">
    <node id="0"/><node id="s1"><data key="k">switch</data></node><node id="007"/>
    <edge id="e0" source="0" target="s1"><data key="b">10Gbit/s</data></edge>
    <edge source="s1" target="007"><data key="l">0.5</data></edge>
  </graph>
</graphml>
"""


def written(tmp_path, text, name="file"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(read, path, *parts):
    with pytest.raises(
        ValueError, match=r"^cannot read|is no (GraphML|node-link JSON) file: "
    ) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message
    return message


def node_link(**changes):
    data = {"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1}]}
    return json.dumps(data | changes)


def without_tuples(graph):
    plain = graph.copy()
    plain.graph.pop("dims", None)
    for _, attributes in plain.nodes(data=True):
        attributes.pop("pos", None)
    return plain


@every_graph
@pytest.mark.parametrize("key", ["edges", "links"])
def test_node_link_round_trip(graph, key, tmp_path):
    path = written(tmp_path, json.dumps(nx.node_link_data(graph, edges=key)))
    back = topologies.read_node_link(path)
    assert nx.utils.graphs_equal(back, graph)
    assert list(back) == list(graph)
    assert list(back.edges) == list(graph.edges)


@pytest.mark.parametrize("kind", KINDS)
def test_node_link_keeps_direction_and_parallel_links(kind, tmp_path):
    graph = kind([("a", "b"), ("b", "a"), (("x", 1), "a")])
    if graph.is_multigraph():
        graph.add_edge("a", "b", key="fibre", bandwidth=5.0)
    path = written(tmp_path, json.dumps(nx.node_link_data(graph, edges="edges")))
    back = topologies.read_node_link(str(path))
    assert type(back) is kind
    assert nx.utils.graphs_equal(back, graph)


def test_node_link_parallel_edges_without_keys(tmp_path):
    edges = [{"source": 0, "target": 1, "loss": p} for p in (0.1, 0.2)]
    g = topologies.read_node_link(written(tmp_path, node_link(multigraph=True, edges=edges)))
    assert sorted(p for _, _, p in g.edges(data="loss")) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "the top must be an object"),
        ("{}", "nodes must be a list of objects"),
        (node_link(nodes=[1]), "nodes must be a list of objects"),
        (node_link(edges=None), "edges must be a list of objects"),
        (node_link(nodes=[{"name": 1}]), "a node has no id"),
        (node_link(nodes=[{"id": 0}, {"id": 0}]), "node 0 is there twice"),
        (node_link(nodes=[{"id": None}]), "a node id must be"),
        (node_link(nodes=[{"id": {"a": 1}}]), "a node id must be"),
        (node_link(nodes=[{"id": True}]), "a node id must be"),
        (node_link(edges=[{"source": 0}]), "an edge has no target"),
        (node_link(edges=[{"source": 0, "target": 9}]), "an edge names node 9"),
        (
            node_link(edges=[{"source": 0, "target": 1}, {"source": 1, "target": 0}]),
            "two edges join 1 and 0",
        ),
        (node_link(multigraph=True, edges=[{"source": 0, "target": 1, "key": 2}] * 2), "key 2"),
        (node_link(multigraph=True, edges=[{"source": 0, "target": 1, "key": {}}]), "unhashable"),
        (node_link(directed="yes"), "directed must be true or false"),
        (node_link(graph=[]), "graph must be an object"),
        ('{"nodes": [{"id": 0, "egress": NaN}], "edges": []}', "NaN is not allowed"),
        ("[" * 100_000, "recursion"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_wrong_node_link_files(text, part, tmp_path):
    refused(topologies.read_node_link, written(tmp_path, text), part)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "source", "target", "key", "pos", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.fixed_dictionaries(
        {
            "nodes": st.lists(st.dictionaries(st.sampled_from(["id", "x"]), JSON)) | JSON,
            "edges": st.lists(st.dictionaries(st.sampled_from(["source", "target", "key"]), JSON))
            | JSON,
        },
        optional={"directed": JSON, "multigraph": st.booleans() | JSON, "graph": JSON},
    )
)
def test_any_json_is_a_graph_or_one_line(data, tmp_path):
    path = written(tmp_path, json.dumps(data))
    try:
        graph = topologies.read_node_link(path)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert len(graph) == len(data["nodes"])
        assert graph.number_of_edges() == len(data["edges"])


@every_graph
def test_graphml_round_trip(graph, tmp_path):
    plain = without_tuples(graph)  # GraphML has no tuples
    path = tmp_path / "graph.graphml"
    nx.write_graphml(plain, path)
    back = topologies.read_graphml(path)
    assert nx.utils.graphs_equal(back, plain)
    assert list(back) == list(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_graphml_keeps_direction_and_parallel_links(kind, tmp_path):
    graph = kind([(0, 1, {"loss": 0.5}), (1, 0, {"loss": 0.25}), (1, 2, {"loss": 0.0})])
    path = tmp_path / "graph.graphml"
    nx.write_graphml(graph, path)
    back = topologies.read_graphml(path)
    assert back.is_directed() == graph.is_directed()
    assert sorted(back.edges(data="loss")) == sorted(graph.edges(data="loss"))


def test_graphml_types_defaults_and_names(tmp_path):
    g = topologies.read_graphml(written(tmp_path, GRAPHML))
    assert list(g.nodes(data="kind")) == [(0, "host"), ("s1", "switch"), ("007", "host")]
    assert g.edges[0, "s1"] == {"bandwidth": "10Gbit/s", "latency": 0.25}
    assert g.edges["s1", "007"] == {"latency": 0.5}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no element found"),
        ("not xml", "syntax error"),
        ("<a><b></a>", "mismatched tag"),
        ("<a/>", "not successfully read"),
        (GRAPHML.replace('id="007"', 'id="0"'), "node '0' is there twice"),
        (GRAPHML.replace('<node id="007"/>', ""), "an edge names node '007'"),
        (GRAPHML.replace('<node id="007"/>', "<node/>"), "a node has no id"),
        (GRAPHML.replace(' target="007"', ""), ""),
        (GRAPHML.replace(">0.5<", ">fast<"), "could not convert string to float"),
        (GRAPHML.replace('key="l"', 'key="z"'), "no key z"),
        (GRAPHML.replace('"double"', '"quaternion"'), "unknown 'quaternion'"),
        (GRAPHML.replace(' attr.name="kind"', ""), "Unknown key"),
        (GRAPHML.replace('<edge id="e0"', '<edge directed="true"'), "undirected graph"),
        (b"\x00\x01\x02", ""),
    ],
)
def test_wrong_graphml_files(text, part, tmp_path):
    refused(topologies.read_graphml, written(tmp_path, text), part)


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(10))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE graphml>",
        f"<!DOCTYPE graphml [{LAUGHS}]>",
        '<!DOCTYPE graphml [<!ENTITY secret SYSTEM "SECRET">]>',
        '<!DOCTYPE graphml SYSTEM "http://127.0.0.1:9/graphml.dtd">',
    ],
)
def test_graphml_with_a_document_type_is_refused(doctype, encoding, tmp_path):
    secret = written(tmp_path, "do-not-read", "secret.txt")
    text = GRAPHML.replace("<graphml ", doctype.replace("SECRET", secret.as_uri()) + "<graphml ")
    text = text.replace("10Gbit/s", "&l9;" if "l9" in doctype else "&secret;")
    path = written(tmp_path, text.replace("utf-8", encoding).encode(encoding))
    message = refused(topologies.read_graphml, path, "document type declarations")
    assert "do-not-read" not in message


@pytest.mark.filterwarnings("ignore:No key type")  # networkx takes it for a string
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(GRAPHML) - 1), change=st.binary(max_size=3))
def test_any_damage_to_graphml_is_a_graph_or_one_line(at, change, tmp_path):
    whole = GRAPHML.encode()
    path = written(tmp_path, whole[:at] + change + whole[at + len(change) + 1 :])
    try:
        topologies.read_graphml(path)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("read", [topologies.read_graphml, topologies.read_node_link])
def test_files_that_cannot_be_opened(read, tmp_path):
    refused(read, tmp_path / "missing.json", "No such file")
    refused(read, tmp_path, "directory")
