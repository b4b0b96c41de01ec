"""The first guide's NetworkSimulator: its own arguments and ranges, as data."""

import copy
import inspect
import pickle
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

import simnet
import topologies
from simnet import NetworkSimulator, NetworkTopology

MB = 1024**2


def test_the_signature_is_the_guides():
    parameters = inspect.signature(NetworkSimulator).parameters
    assert {name: each.default for name, each in parameters.items()} == {
        "bandwidth_range": (10, 100),
        "delay_range": (0.01, 0.5),
        "packet_loss_prob": 0.0,
        "jitter": 0.0,
    }


def test_every_cable_is_drawn_from_the_ranges():
    sim = NetworkSimulator((1, 5), (0.1, 0.5), 0.02, 0.3)
    net = sim.network(4)
    assert (net.num_ranks, net.num_links) == (4, 12)
    links = net.links
    assert len(set(links.bandwidth)) == 6
    assert ((links.bandwidth >= MB) & (links.bandwidth <= 5 * MB)).all()
    assert ((links.latency >= 0.1) & (links.latency <= 0.5)).all()
    assert (links.loss == 0.02).all()
    np.testing.assert_allclose(links.jitter, 0.3 * links.latency)


def test_draws_are_the_seeds():
    sim = NetworkSimulator()
    again = sim.network(3).links.bandwidth
    np.testing.assert_array_equal(sim.network(3).links.bandwidth, again)
    assert (sim.network(3, seed=1).links.bandwidth != again).all()


def test_the_topology_may_be_the_guides_a_graph_or_a_network():
    sim = NetworkSimulator((1, 1), (0.1, 0.1))
    assert sim.network(3, NetworkTopology(3, "line")).num_links == 4
    graph = topologies.star(3, bandwidth="1Gbit/s")
    net = sim.network(2, graph)
    assert set(net.links.bandwidth) == {1e9 / 8}  # what a graph says is not drawn
    own = simnet.Network(nx.path_graph(2), profile="lan")
    assert sim.network(2, own) is own


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"bandwidth_range": 5}, TypeError, r"bandwidth_range=5: a pair \(low, high\) in MB/s"),
        ({"bandwidth_range": (1, "5")}, TypeError, "bandwidth_range='5': a pair"),
        ({"bandwidth_range": (0, 5)}, ValueError, r"bandwidth_range=\(0.0, 5.0\): MB/s above zero"),
        ({"bandwidth_range": (5, 1)}, ValueError, r"bandwidth_range=\(5, 1\): needs 0 <= low <="),
        ({"delay_range": (-1, 1)}, ValueError, r"delay_range=\(-1, 1\): needs .* in seconds"),
        ({"delay_range": (0, float("inf"))}, ValueError, r"delay_range=\(0, inf\): needs"),
        ({"delay_range": (0, 1, 2)}, TypeError, r"delay_range=\(0, 1, 2\): a pair"),
        ({"packet_loss_prob": 1.0}, ValueError, "packet_loss_prob=1.0: nothing would ever arrive"),
        ({"packet_loss_prob": "1%"}, TypeError, "packet_loss_prob='1%': a number from 0 to 1"),
        ({"jitter": 1.5}, ValueError, "jitter=1.5: a number from 0 to 1"),
        ({"jitter": True}, TypeError, "jitter=True: a number from 0 to 1"),
        ({"jitter": float("nan")}, ValueError, "jitter=nan: a number from 0 to 1"),
    ],
)
def test_misuse_is_told_in_one_line(arguments, error, said):
    with pytest.raises(error, match=f"^{said}") as caught:
        NetworkSimulator(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((4, NetworkTopology(3)), ValueError, "num_ranks=4: the topology has 3 hosts"),
        ((2, "ring"), TypeError, "topology='ring': a NetworkTopology, a networkx graph or a"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(arguments, error, said):
    with pytest.raises(error, match=f"^{said}"):
        NetworkSimulator().network(*arguments)


def test_it_is_data_with_a_clock_of_its_own():
    sim = NetworkSimulator(jitter=0.5)
    assert sim.virtual_time == 0.0
    sim.show(lambda: 3.0)
    for twin in (pickle.loads(pickle.dumps(sim)), copy.copy(sim)):
        assert (twin, hash(twin), repr(twin)) == (sim, hash(sim), repr(sim))
        assert twin.virtual_time == 0.0
    assert sim.virtual_time == 3.0
    with pytest.raises(AttributeError):
        sim.jitter = 0.1


def test_it_needs_no_torch():
    code = (
        "import sys; from simnet import NetworkSimulator, patch_distributed_functions; "
        "sim = NetworkSimulator(); sim.network(3); sim.virtual_time; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
