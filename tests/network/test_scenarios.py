"""Scenarios: what is given and what is drawn, link by link."""

import networkx as nx
import numpy as np
import pytest

import simnet
import topologies
from simnet.conditions import PROFILES
from simnet.scenarios import Scenarios, draw, scale


def cards():
    graph = topologies.star(3, bandwidth=100.0, latency=1.0)
    graph.nodes[1]["egress"] = 50.0
    return simnet.Network(graph)


def test_a_scenario_is_a_network_with_other_links():
    net = cards()
    table = Scenarios(bandwidth=[[10.0] * 7, [20.0] * 7], latency=np.zeros((2, 7)))
    assert len(table) == 2
    assert table.num_links == net.num_links == 7
    other = table.network(net, 1)
    assert other.links.bandwidth.tolist() == [20.0] * 7
    assert other.links.latency.tolist() == [0.0] * 7
    assert net.links.bandwidth.tolist() == [100.0] * 6 + [50.0]
    for array in (table.bandwidth, other.links.bandwidth):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_routes_stay_those_of_the_network():
    """From 0 to 3 the way over 1 is the faster one; in the scenario it would be that over 2."""
    graph = nx.empty_graph(4)
    for edge in ((0, 1), (1, 3), (0, 2), (2, 3)):
        graph.add_edge(*edge, bandwidth=100.0, latency=1.0 if 1 in edge else 2.0)
    net = simnet.Network(graph)
    slower = np.where(net.links.latency == 1.0, 10.0, 2.0)[None, :]
    other = Scenarios(latency=slower).network(net, 0)
    assert other.route(0, 3).tolist() == net.route(0, 3).tolist()
    assert other.route_latency(0, 3) == 20.0
    assert simnet.simulate_many(net, simnet.flows(0, 3, 0), {"latency": slower}).time == [20.0]


def test_scaled_links():
    net = cards()
    table = scale(net, bandwidth=[1.0, 0.5])
    assert table.latency is None
    assert table.bandwidth.tolist() == [[100.0] * 6 + [50.0], [50.0] * 6 + [25.0]]
    each = scale(net, latency=[[0.0] * 6 + [1.0]])
    assert each.latency.tolist() == [[0.0] * 7]


def test_a_spread_is_one_factor_a_cable():
    net = cards()
    table = draw(net, 500, spread={"bandwidth": 0.25, "latency": 0.5})
    for found, base, spread in (
        (table.bandwidth, net.links.bandwidth, 0.25),
        (table.latency[:, :6], net.links.latency[:6], 0.5),
    ):
        factors = found / base
        assert (factors[:, 0:6:2] == factors[:, 1:6:2]).all()  # both directions
        cables = factors[:, :6]
        assert 1 - spread <= cables.min() < 1 - 0.98 * spread
        assert 1 + 0.98 * spread < cables.max() <= 1 + spread
        assert abs(cables.mean() - 1) < 0.05 * spread
        assert len(np.unique(cables)) == 1500
    assert (table.bandwidth[:, 6] == 50.0).all()  # network cards stay
    assert (table.latency[:, 6] == 0.0).all()
    assert draw(net, 2, spread={"latency": 0.1}).bandwidth is None


@pytest.mark.parametrize("options", [{"spread": 0.3}, {"profile": "mobile"}])
def test_a_scenario_is_the_same_whatever_their_number(options):
    net = simnet.Network(topologies.ring(4), profile="lan")
    few, many = (draw(net, count, seed=3, **options) for count in (5, 50))
    assert few.bandwidth.tolist() == many.bandwidth[:5].tolist()
    assert few.latency.tolist() == many.latency[:5].tolist()
    other = draw(net, 5, seed=4, **options)
    assert not (other.bandwidth == few.bandwidth).any()


def test_a_profile_draws_what_the_graph_leaves_open():
    graph = topologies.star(3)
    graph.edges[0, "switch"]["bandwidth"] = 1e9
    net = simnet.Network(graph, profile="lan")
    table = draw(net, 400)
    ranges = PROFILES["lan"]
    assert (table.bandwidth[:, :2] == 1e9).all()
    for found, (low, high) in (
        (table.bandwidth[:, 2:], ranges.bandwidth),
        (2 * table.latency, ranges.latency),  # host to switch: half
    ):
        assert (found[:, ::2] == found[:, 1::2]).all()
        assert low <= found.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < found.max() <= high
    other = draw(net, 3, profile="mobile")
    assert (other.latency >= PROFILES["mobile"].latency[0] / 2).all()


def test_a_directed_graph_draws_each_direction():
    graph = nx.DiGraph([(0, 1), (1, 0)])
    nx.set_edge_attributes(graph, 100.0, "bandwidth")
    table = draw(simnet.Network(graph), 10, spread=0.5)
    assert not (table.bandwidth[:, 0] == table.bandwidth[:, 1]).any()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ValueError, "give bandwidth=, latency= or both"),
        ({"bandwidth": "fast"}, TypeError, "bandwidth must be numbers"),
        ({"bandwidth": [1.0, 2.0]}, ValueError, r"bandwidth has shape \(2,\)"),
        ({"latency": np.zeros((0, 3))}, ValueError, r"latency has shape \(0, 3\)"),
        ({"bandwidth": [[1.0, 0.0]]}, ValueError, r"bandwidth\[0, 1\] = 0.0: needs bytes/s"),
        ({"bandwidth": [[1.0], [np.inf]]}, ValueError, r"bandwidth\[1, 0\] = inf"),
        ({"latency": [[1.0, np.nan]]}, ValueError, r"latency\[0, 1\] = nan: needs seconds"),
        ({"latency": [[-1.0]]}, ValueError, r"latency\[0, 0\] = -1.0"),
        ({"bandwidth": [[1.0]], "latency": [[1.0, 1.0]]}, ValueError, "shape"),
    ],
)
def test_misused_parameters(given, error, message):
    with pytest.raises(error, match=message):
        Scenarios(**given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no profile"),
        ({"count": 0}, "count=0"),
        ({"count": True}, "count=True"),
        ({"spread": 1.0}, "spread of bandwidth: 1.0"),
        ({"spread": -0.1}, "spread of bandwidth: -0.1"),
        ({"spread": {"loss": 0.1}}, "'loss'"),
        ({"spread": 0.1, "profile": "lan"}, "not both"),
        ({"profile": "lan"}, "leaves no cable's"),
        ({"profile": "moon"}, "moon"),
    ],
)
def test_misused_draws(options, message):
    with pytest.raises(ValueError, match=message):
        draw(cards(), **({"count": 5} | options))


def test_a_table_for_another_network():
    net = cards()
    with pytest.raises(ValueError, match="3 links, but the network has 7"):
        Scenarios(latency=np.zeros((1, 3))).network(net, 0)
