"""A graph becomes read-only arrays of directed links, hosts become ranks."""

import math

import networkx as nx
import numpy as np
import pytest
from cases import graphs
from hypothesis import given

import simnet
import topologies
from simnet.network import CABLE, EGRESS, INGRESS, Links

COLUMNS = ("source", "target", "kind", "bandwidth", "latency", "jitter", "loss", "buffer")
FULL = {
    "bandwidth": "8Mbit/s",
    "latency": "5ms",
    "jitter": "100us",
    "loss": "1%",
    "buffer": "64KiB",
}


def names(net):
    return [net.link_name(i) for i in range(net.num_links)]


def test_every_column_of_a_cable():
    net = simnet.Network(nx.Graph([("a", "b", FULL)]))
    links = net.links
    assert links.source.tolist() == [0, 1]
    assert links.target.tolist() == [1, 0]
    assert links.kind.tolist() == [CABLE, CABLE]
    assert links.bandwidth.tolist() == [1e6, 1e6]
    assert links.latency.tolist() == [0.005, 0.005]
    assert links.jitter.tolist() == [1e-4, 1e-4]
    assert links.loss.tolist() == [0.01, 0.01]
    assert links.buffer.tolist() == [65536.0, 65536.0]
    assert net.num_links == len(links) == 2
    assert net.is_lossy
    assert net.has_jitter
    assert names(net) == ["a→b", "b→a"]


def test_text_and_numbers_are_one():
    numbers = {"bandwidth": 1e6, "latency": 0.005, "jitter": 1e-4, "loss": 0.01, "buffer": 2**16}
    numpy = {name: np.float64(value) for name, value in numbers.items()}
    for attributes in (numbers, numpy):
        net = simnet.Network(nx.Graph([("a", "b", attributes)]))
        of_text = simnet.Network(nx.Graph([("a", "b", FULL)])).links
        for column in COLUMNS:
            assert (getattr(net.links, column) == getattr(of_text, column)).all()


def test_what_an_edge_leaves_open():
    links = simnet.Network(nx.Graph([(0, 1, {"bandwidth": 1})])).links
    for column in ("latency", "jitter", "loss"):
        assert getattr(links, column).tolist() == [0.0, 0.0]
    assert np.isnan(links.buffer).all()


def test_cables_in_edge_order_then_cards_host_by_host():
    graph = nx.Graph()
    graph.add_node("s", kind="switch")
    graph.add_node("a", egress="1MB/s", ingress="2MB/s")
    graph.add_node("b")
    graph.add_node("c", ingress=3e6)
    graph.add_node("d", egress=4e6)
    graph.add_edges_from([("b", "s"), ("s", "a"), ("c", "s"), ("d", "s")], bandwidth=1e9)
    net = simnet.Network(graph)
    # an undirected graph's edges go node by node: s first, with its neighbours as added
    assert list(graph.edges) == [("s", "b"), ("s", "a"), ("s", "c"), ("s", "d")]
    assert names(net) == [
        *("s→b", "b→s", "s→a", "a→s", "s→c", "c→s", "s→d", "d→s"),
        *("a egress", "a ingress", "c ingress", "d egress"),
    ]
    assert net.links.kind.tolist() == [CABLE] * 8 + [EGRESS, INGRESS, INGRESS, EGRESS]
    assert net.links.bandwidth[8:].tolist() == [1e6, 2e6, 3e6, 4e6]
    assert net.links.source[8:].tolist() == net.links.target[8:].tolist() == [1, 1, 3, 4]
    for column in ("latency", "jitter", "loss"):
        assert getattr(net.links, column)[8:].tolist() == [0.0] * 4
    assert np.isnan(net.links.buffer[8:]).all()


def test_ranks_are_hosts_in_node_order():
    graph = nx.Graph()
    graph.add_node("z", overhead="1us", reduce_bandwidth="1GB/s")
    graph.add_node("s", kind="switch")
    graph.add_node("a", kind="host")
    graph.add_node((1, 2), overhead=0.5)
    graph.add_edges_from([("z", "s"), ("a", "s"), ((1, 2), "s")], bandwidth=1)
    net = simnet.Network(graph)
    assert net.nodes == ("z", "s", "a", (1, 2))
    assert net.hosts.tolist() == [0, 2, 3]
    assert net.num_ranks == 3
    assert [net.rank_of(node) for node in ("z", "a", (1, 2))] == [0, 1, 2]
    assert net.overhead.tolist() == [1e-6, 0.0, 0.5]
    assert net.reduce_bandwidth.tolist() == [1e9, math.inf, math.inf]


@pytest.mark.parametrize("node", ["s", "b", None, 0, ["z"], {}])
def test_the_rank_of_what_is_no_host(node):
    graph = nx.Graph([("z", "s", {"bandwidth": 1})])
    graph.nodes["s"]["kind"] = "switch"
    with pytest.raises(ValueError, match="is not a host of this network"):
        simnet.Network(graph).rank_of(node)


def test_a_directed_edge_is_one_direction():
    graph = nx.DiGraph()
    graph.add_edge(0, 1, bandwidth=1e6, latency="1ms")
    graph.add_edge(1, 2, bandwidth=2e6, latency="2ms")
    graph.add_edge(2, 0, bandwidth=3e6, latency="3ms")
    net = simnet.Network(graph)
    assert names(net) == ["0→1", "1→2", "2→0"]
    assert net.links.bandwidth.tolist() == [1e6, 2e6, 3e6]
    assert net.route(0, 2).tolist() == [0, 1]
    assert net.route(2, 0).tolist() == [2]
    assert net.route_latency(0, 2) == pytest.approx(0.003, rel=1e-15)


def test_multigraphs_have_parallel_links():
    graph = nx.MultiGraph()
    graph.add_edge("a", "b", "rail0", bandwidth=1e6)
    graph.add_edge("a", "b", "rail1", bandwidth=2e6)
    graph.add_edge("b", "c", bandwidth=3e6)
    net = simnet.Network(graph)
    assert names(net) == [
        *("a→b [rail0]", "b→a [rail0]", "a→b [rail1]", "b→a [rail1]"),
        *("b→c", "c→b"),
    ]
    assert net.links.bandwidth.tolist() == [1e6, 1e6, 2e6, 2e6, 3e6, 3e6]


def test_directed_multigraphs():
    graph = nx.MultiDiGraph()
    graph.add_edge("a", "b", bandwidth=1e6)
    graph.add_edge("a", "b", bandwidth=2e6)
    graph.add_edge("b", "a", bandwidth=3e6)
    net = simnet.Network(graph)
    assert names(net) == ["a→b [0]", "a→b [1]", "b→a"]
    assert net.links.bandwidth.tolist() == [1e6, 2e6, 3e6]


@pytest.mark.parametrize(
    ("link", "error"), [(2, ValueError), (-1, ValueError), (0.0, TypeError), ("a", TypeError)]
)
def test_the_name_of_no_link(link, error):
    net = simnet.Network(topologies.line(2, bandwidth=1))
    with pytest.raises(error, match=f"^link {link!r} is not "):
        net.link_name(link)
    assert net.link_name(np.int64(1)) == "1→0"


def test_a_single_host():
    net = simnet.Network(topologies.line(1))
    assert (net.num_ranks, net.num_links, net.nodes) == (1, 0, (0,))
    assert net.route(0, 0).tolist() == []
    assert net.route_latency(0, 0) == net.route_loss(0, 0) == 0.0
    assert math.copysign(1, net.route_loss(0, 0)) == 1
    assert not net.is_lossy
    with pytest.raises(ValueError, match="destination rank 1 is not one of 0 … 0"):
        net.route(0, 1)
    drawn = simnet.Network(topologies.line(1), profile="mobile", nic=True)
    assert drawn.links.kind.tolist() == [EGRESS, INGRESS]


def test_arrays_are_read_only():
    graph = topologies.star(3, bandwidth=1e6, nic=1e6)
    net = simnet.Network(graph, profile="mobile")
    arrays = [net.hosts, net.overhead, net.reduce_bandwidth, net.route(0, 1), net.route(1, 1)]
    for array in [*arrays, *(getattr(net.links, column) for column in COLUMNS)]:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        net.links.bandwidth = net.links.latency


def test_the_columns_of_links():
    net = simnet.Network(topologies.star(3, bandwidth=1e6))
    assert tuple(Links.__dataclass_fields__) == COLUMNS
    assert net.links.kind.dtype == np.int8
    assert net.links.source.dtype == net.links.target.dtype == net.hosts.dtype == np.int64


def test_the_graph_is_copied_and_frozen():
    graph = topologies.ring(4, bandwidth=1e6)
    net = simnet.Network(graph)
    graph.remove_node(3)
    graph.edges[0, 1]["bandwidth"] = 5
    assert list(net.graph) == [0, 1, 2, 3]
    assert net.graph.edges[0, 1]["bandwidth"] == 1e6
    assert nx.is_frozen(net.graph)
    with pytest.raises(nx.NetworkXError):
        net.graph.add_node(9)
    assert not nx.is_frozen(graph)
    assert simnet.Network(net.graph).num_ranks == 4  # a frozen graph will do


def test_building_a_network_leaves_the_graph_alone():
    graph = topologies.star(3)
    before = nx.node_link_data(graph, edges="edges")
    simnet.Network(graph, profile="mobile", nic=True)
    assert nx.node_link_data(graph, edges="edges") == before


def test_islands_group_ranks_in_order_of_their_first():
    graph = topologies.star(5, bandwidth=1)
    nx.set_node_attributes(graph, dict(enumerate(["y", "x", "y", "z", "x"])), "island")
    assert simnet.Network(graph).islands == ((0, 2), (1, 4), (3,))
    assert simnet.Network(topologies.star(5, bandwidth=1)).islands is None


def test_the_island_of_a_switch_counts_for_nothing():
    graph = topologies.star(2, bandwidth=1)
    graph.nodes["switch"]["island"] = "x"
    assert simnet.Network(graph).islands is None


def test_dims():
    assert simnet.Network(topologies.torus(2, 3, bandwidth=1)).dims == (2, 3)
    assert simnet.Network(topologies.ring(3, bandwidth=1)).dims is None
    graph = topologies.ring(4, bandwidth=1)
    graph.graph["dims"] = [np.int64(2), 2]
    dims = simnet.Network(graph).dims
    assert dims == (2, 2)
    assert {type(extent) for extent in dims} == {int}


def test_repr():
    graph = topologies.star(3)
    graph.graph["name"] = "g"
    net = simnet.Network(graph, profile="lan", seed=4)
    assert repr(net) == ("<Network g: 3 hosts, 1 switches, 6 links, profile='lan', seed=4>")
    graph = nx.DiGraph([(0, 1, {"bandwidth": 1}), (1, 0, {"bandwidth": 1})])
    assert repr(simnet.Network(graph)) == "<Network DiGraph: 2 hosts, 0 switches, 2 links>"


GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="k" for="node" attr.name="kind" attr.type="string"/>
  <key id="e" for="node" attr.name="egress" attr.type="double"/>
  <key id="b" for="edge" attr.name="bandwidth" attr.type="string">
    <default>8Gbit/s</default>
  </key>
  <key id="l" for="edge" attr.name="latency" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="paris"><data key="e">5e6</data></node>
    <node id="hub"><data key="k">switch</data></node>
    <node id="7"/>
    <edge id="e0" source="paris" target="hub"><data key="l">0.002</data></edge>
    <edge id="e1" source="hub" target="7"><data key="b">1MB/s</data></edge>
  </graph>
</graphml>
"""


def test_a_graphml_file_becomes_a_network(tmp_path):
    path = tmp_path / "g.graphml"
    path.write_text(GRAPHML)
    net = simnet.Network(topologies.read_graphml(path))
    assert net.nodes == ("paris", "hub", 7)
    assert net.hosts.tolist() == [0, 2]
    assert names(net) == ["paris→hub", "hub→paris", "hub→7", "7→hub", "paris egress"]
    assert net.links.bandwidth.tolist() == [1e9, 1e9, 1e6, 1e6, 5e6]
    assert net.links.latency.tolist() == [0.002, 0.002, 0.0, 0.0, 0.0]


def test_a_graphml_file_with_text_for_a_number(tmp_path):
    path = tmp_path / "g.graphml"
    path.write_text(GRAPHML.replace("1MB/s", "1000000"))
    with pytest.raises(ValueError, match=r"^edge 'hub'–7: bandwidth '1000000' has no unit"):
        simnet.Network(topologies.read_graphml(path))


def test_a_network_survives_graphml(tmp_path):
    graph = topologies.star(4, bandwidth="1Gbit/s", latency=1e-5, loss=0.01, nic=1e7)
    for _, attributes in graph.nodes(data=True):
        attributes.pop("pos", None)  # GraphML has no tuples
    nx.write_graphml(graph, tmp_path / "g.graphml")
    net, again = (
        simnet.Network(graph),
        simnet.Network(topologies.read_graphml(tmp_path / "g.graphml")),
    )
    assert names(net) == names(again)
    for column in COLUMNS:
        expected = getattr(net.links, column)
        assert np.array_equal(getattr(again.links, column), expected, equal_nan=column == "buffer")


@given(graphs())
def test_links_say_what_the_graph_says(graph):
    net = simnet.Network(graph)
    edges = list(graph.edges(data=True))
    assert (net.links.kind == CABLE).sum() == 2 * len(edges)
    for i, (u, v, attributes) in enumerate(edges):
        for link, ends in ((2 * i, (u, v)), (2 * i + 1, (v, u))):
            assert (net.nodes[net.links.source[link]], net.nodes[net.links.target[link]]) == ends
            assert net.links.bandwidth[link] == attributes["bandwidth"]
            assert net.links.latency[link] == attributes["latency"]
    cards = [
        (node, kind, attributes[name])
        for node, attributes in graph.nodes(data=True)
        for name, kind in (("egress", EGRESS), ("ingress", INGRESS))
        if name in attributes
    ]
    assert cards == [
        (net.nodes[net.links.source[i]], net.links.kind[i], net.links.bandwidth[i])
        for i in range(2 * len(edges), net.num_links)
    ]
