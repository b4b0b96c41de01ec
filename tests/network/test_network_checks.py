"""Bad graphs and arguments: one line that names the place, the value and what is allowed."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simnet
import topologies


def pair(*, node=None, edge=None, graph=None):
    """Two hosts and a cable, with attributes on host 0 and the cable."""
    graph = nx.Graph() if graph is None else graph
    graph.add_nodes_from([(0, node or {}), 1])
    graph.add_edge(0, 1, bandwidth=1e6)
    for *_, attributes in graph.edges(data=True):
        attributes.update(edge or {})
    return graph


def complaint(error, graph, **arguments):
    with pytest.raises(error) as caught:
        simnet.Network(graph, **arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(
    ("edge", "error", "message"),
    [
        ({"bandwidth": 0}, ValueError, "bandwidth 0 must be positive"),
        ({"bandwidth": 1e-310}, ValueError, "bandwidth 1e-310 must be at least 2.23e-308"),
        ({"bandwidth": "0Mbit/s"}, ValueError, "bandwidth '0Mbit/s' must be positive"),
        ({"bandwidth": -1.0}, ValueError, "edge 0–1: bandwidth -1.0 is negative"),
        ({"bandwidth": math.nan}, ValueError, "bandwidth nan is not a finite number"),
        ({"bandwidth": math.inf}, ValueError, "bandwidth inf is not a finite number"),
        ({"bandwidth": None}, TypeError, "bandwidth None is a NoneType: give '25Gbit/s'"),
        ({"bandwidth": True}, TypeError, "bandwidth True is a bool"),
        ({"bandwidth": "10ms"}, ValueError, "bandwidth '10ms' is a time, not a bandwidth"),
        ({"bandwidth": "10MB"}, ValueError, "write '10MB/s'"),
        ({"bandwidth": "10M"}, ValueError, "neither bit nor byte"),
        ({"latency": "10Gbit/s"}, ValueError, "latency: time '10Gbit/s' is a bandwidth"),
        ({"latency": -1e-9}, ValueError, "is negative"),
        ({"latency": math.nan}, ValueError, "latency: time nan is not a finite number"),
        ({"latency": "5m"}, ValueError, "write '5min' or '5ms'"),
        ({"jitter": "-1ms"}, ValueError, "jitter: time '-1ms' is negative"),
        ({"jitter": [1]}, TypeError, "jitter: time [1] is a list"),
        ({"loss": 1.0}, ValueError, "loss: probability 1.0 is outside [0, 1)"),
        ({"loss": "100%"}, ValueError, "loss: probability '100%' is outside [0, 1)"),
        ({"loss": -0.01}, ValueError, "is negative"),
        ({"loss": math.nan}, ValueError, "not a finite number"),
        ({"loss": "1ms"}, ValueError, "has a unit: write '1%' or '0.01'"),
        ({"buffer": 0}, ValueError, "buffer 0 must be positive"),
        ({"buffer": 1.5}, ValueError, "not a whole number"),
        ({"buffer": "1MB/s"}, ValueError, "buffer: size '1MB/s' is a bandwidth"),
        (
            {"bandwith": 1e6},
            ValueError,
            "attribute 'bandwith' is unknown: did you mean 'bandwidth'",
        ),
        ({"Latency": 1}, ValueError, "did you mean 'latency'?"),
        ({"delay": 1}, ValueError, "did you mean 'latency'?"),
        ({"capacity": 1}, ValueError, "did you mean 'bandwidth'?"),
        ({"weight": 1}, ValueError, "known are bandwidth, latency, jitter, loss, buffer"),
        ({"weight": 1}, ValueError, "ignore=('weight',) leaves it out"),
        ({7: 1}, ValueError, "attribute 7 is unknown"),
        ({"egress": 1e6}, ValueError, "egress is an attribute of nodes; allowed here: bandwidth"),
        ({"kind": "switch"}, ValueError, "kind is an attribute of nodes"),
    ],
)
def test_a_bad_edge(edge, error, message):
    text = complaint(error, pair(edge=edge))
    assert text.startswith("edge 0–1: ")
    assert message in text


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        ({"kind": "swich"}, ValueError, "kind 'swich' is unknown: give 'host' or 'switch'"),
        ({"kind": "Host"}, ValueError, "kind 'Host' is unknown"),
        ({"kind": None}, ValueError, "kind None is unknown"),
        ({"kind": ["host"]}, ValueError, "kind ['host'] is unknown"),
        ({"egress": 0}, ValueError, "egress 0 must be positive"),
        ({"ingress": "10ms"}, ValueError, "ingress: bandwidth '10ms' is a time"),
        ({"overhead": -1}, ValueError, "overhead: time -1 is negative"),
        ({"overhead": "1MB"}, ValueError, "overhead: time '1MB' is a size"),
        ({"reduce_bandwidth": 0.0}, ValueError, "reduce_bandwidth 0.0 must be positive"),
        ({"reduce_bandwidth": "fast"}, ValueError, "is no number with a unit"),
        ({"egres": 1}, ValueError, "attribute 'egres' is unknown: did you mean 'egress'?"),
        ({"type": "host"}, ValueError, "attribute 'type' is unknown: did you mean 'kind'?"),
        ({"bandwidth": 1e6}, ValueError, "bandwidth is an attribute of edges; allowed here: kind"),
    ],
)
def test_a_bad_node(node, error, message):
    text = complaint(error, pair(node=node))
    assert text.startswith("node 0: ")
    assert message in text


def test_islands_are_names_and_all_hosts_have_one():
    unnamed = pair(node={"island": "a"})
    text = complaint(ValueError, unnamed)
    assert text == "node 1: has no island, but host 0 has: name all"
    text = complaint(TypeError, pair(node={"island": ["a"]}))
    assert text == "node 0: island ['a'] must be hashable: give a name"


@pytest.mark.parametrize("name", ["egress", "ingress", "overhead", "reduce_bandwidth"])
def test_a_switch_has_none_of_what_hosts_have(name):
    graph = topologies.star(2, bandwidth=1e6)
    graph.nodes["switch"][name] = 1
    text = complaint(ValueError, graph)
    assert text == f"node 'switch': {name} is for hosts, this is a switch"


@pytest.mark.parametrize(
    ("graph", "place"),
    [
        (pair(graph=nx.DiGraph(), edge={"loss": 2}), "edge 0→1: "),
        (pair(graph=nx.MultiGraph(), edge={"loss": 2}), "edge 0–1 (key 0): "),
        (nx.MultiDiGraph([(0, 1, "rail", {"loss": 2})]), "edge 0→1 (key 'rail'): "),
        (nx.Graph([(("a", 0), ("a", 1), {"loss": 2})]), "edge ('a', 0)–('a', 1): "),
        (nx.Graph([("a\nb", "c", {"loss": 2})]), r"edge 'a\nb'–'c': "),
    ],
)
def test_how_an_edge_is_called(graph, place):
    assert complaint(ValueError, graph).startswith(place)


def test_an_edge_without_bandwidth():
    graph = topologies.ring(4, bandwidth=1e6)
    del graph.edges[1, 2]["bandwidth"]
    text = complaint(ValueError, graph)
    assert text.startswith("edge 1–2: bandwidth is missing: set it on the edge, or ")
    assert "profile=" in text
    simnet.Network(graph, profile="lan")


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_a_self_loop(kind):
    graph = kind([(0, 1, {"bandwidth": 1e6}), (1, 0, {"bandwidth": 1e6})])
    graph.add_edge(1, 1, bandwidth=1e6)
    text = complaint(ValueError, graph)
    assert text.startswith("edge 1")
    assert "is a self-loop: a link joins two different nodes" in text


def test_nothing_to_send_between():
    assert complaint(ValueError, nx.Graph()) == "graph: has no nodes: give at least one host"
    graph = nx.Graph()
    graph.add_nodes_from("ab", kind="switch")
    assert complaint(ValueError, graph) == "graph: has no hosts: every node has kind 'switch'"


@pytest.mark.parametrize("graph", [None, "ring", [(0, 1)], {0: [1]}, np.eye(2), nx.Graph])
def test_what_is_not_a_graph(graph):
    text = complaint(TypeError, graph)
    assert text == f"graph: needs a networkx graph, not a {type(graph).__name__}"


@pytest.mark.parametrize("forward", [True, False])
def test_disconnected_hosts(forward):
    graph = topologies.ring(4, bandwidth=1e6)
    graph.remove_edges_from([(1, 2), (0, 3)])
    text = complaint(ValueError, graph, forward=forward)
    assert text == "graph: host 0 cannot reach host 2: add a path"


def test_a_host_that_hears_but_is_not_heard():
    graph = nx.DiGraph([("a", "b"), ("b", "a"), ("a", "c")])
    nx.set_edge_attributes(graph, 1e6, "bandwidth")
    assert complaint(ValueError, graph) == "graph: host 'c' cannot reach host 'a': add a path"
    graph = graph.reverse()
    assert complaint(ValueError, graph) == "graph: host 'a' cannot reach host 'c': add a path"


def test_an_unconnected_switch_does_not_matter():
    graph = pair()
    graph.add_node("spare", kind="switch")
    assert simnet.Network(graph).num_ranks == 2


@pytest.mark.parametrize(
    ("ignore", "message"),
    [
        ("weight", "ignore='weight': give a tuple of attribute names"),
        (3, "ignore=3: give a tuple of attribute names"),
        ((3,), "ignore: 3 is not an attribute name"),
    ],
)
def test_ignoring_what_is_no_name(ignore, message):
    assert complaint(TypeError, pair(), ignore=ignore) == message


def test_ignored_attributes_are_not_read():
    graph = pair(
        node={"kind": "laptop", "island": "a", "cpu": 3, "egress": "unknown"},
        edge={"weight": 1, "latency": "far"},
    )
    ignore = ["kind", "island", "cpu", "egress", "weight", "latency"]
    net = simnet.Network(graph, ignore=ignore)
    assert (net.num_ranks, net.num_links, net.islands) == (2, 2, None)
    assert net.links.latency.tolist() == [0.0, 0.0]
    for i, name in enumerate(ignore):
        if name == "weight":
            complaint(ValueError, graph, ignore=ignore[:i] + ignore[i + 1 :])


def test_descriptions_are_welcome():
    node = {"pos": (0.0, 1.0), "label": "x", "rack": 4, "tier": 1, "country": "FR", "latitude": 1.5}
    edge = {"length_km": 12.5, "color": "red", "name": "cable"}
    assert simnet.Network(pair(node=node, edge=edge)).num_ranks == 2


@pytest.mark.parametrize(
    "dims", [7, "22", (2, 0), (2, -1), (2.0, 2), (True, 2), ("2", "2"), {2: 2}]
)
def test_bad_dims(dims):
    graph = pair()
    graph.graph["dims"] = dims
    text = complaint(ValueError, graph)
    assert text == f"graph: dims {dims!r} must be a tuple of positive whole numbers"


def test_a_mistake_does_not_hide_behind_an_equal_number_elsewhere():
    graph = nx.path_graph(4)
    nx.set_edge_attributes(graph, 1, "bandwidth")
    graph.edges[1, 2]["bandwidth"] = True  # equal to 1, and no number
    assert complaint(TypeError, graph).startswith("edge 1–2: bandwidth True is a bool")
    nx.set_edge_attributes(graph, 1, "bandwidth")
    nx.set_edge_attributes(graph, 0, "latency")
    graph.edges[2, 3]["loss"] = 1  # a fine bandwidth, no probability
    assert complaint(ValueError, graph).startswith("edge 2–3: loss: probability 1 is outside")


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["1MB/s", "1ms", "1%", "switch", "host", 0.5, 10]),
)
NAMES = st.sampled_from(
    [
        *("kind", "egress", "ingress", "overhead", "reduce_bandwidth", "island"),
        *("bandwidth", "latency", "jitter", "loss", "buffer", "pos", "speed", ""),
    ]
)


@given(node=st.dictionaries(NAMES, ODD, max_size=3), edge=st.dictionaries(NAMES, ODD, max_size=3))
def test_any_attributes_are_taken_or_refused_in_one_line(node, edge):
    graph = pair(node=node, edge=edge)
    graph.nodes[1].update(graph.nodes[0])
    net, said = None, "graph: fine"
    try:
        net = simnet.Network(graph)
    except (ValueError, TypeError) as error:
        said = str(error)
    assert len(said.splitlines()) == 1
    assert said.startswith(("node ", "edge ", "graph: "))
    if net is not None:
        links = net.links
        assert (links.bandwidth > 0).all()
        assert ((links.loss >= 0) & (links.loss < 1)).all()
        assert (links.latency >= 0).all()
        assert (links.jitter >= 0).all()
