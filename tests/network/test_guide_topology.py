"""The first guide's NetworkTopology: its own matrices, on the same graphs as everything else."""

import networkx as nx
import numpy as np
import pytest

import simnet
from simnet import NetworkTopology


def guide_matrix(num_nodes, topology_type):
    """What the guide's own code gives."""
    matrix = [[0] * num_nodes for _ in range(num_nodes)]
    for i in range(num_nodes):
        if topology_type == "fully_connected":
            for j in range(num_nodes):
                matrix[i][j] = int(i != j)
        elif topology_type == "ring":
            matrix[i][(i + 1) % num_nodes] = 1
            matrix[i][(i - 1) % num_nodes] = 1
        elif i:
            matrix[0][i] = matrix[i][0] = 1
    return matrix


@pytest.mark.parametrize("num_nodes", range(1, 10))
@pytest.mark.parametrize("topology_type", ["fully_connected", "ring", "star"])
def test_the_matrix_is_the_guides(num_nodes, topology_type):
    made = NetworkTopology(num_nodes, topology_type)
    assert made.adjacency_matrix == guide_matrix(num_nodes, topology_type)
    assert (made.num_nodes, made.topology_type) == (num_nodes, topology_type)
    for source in range(num_nodes):
        for target in range(num_nodes):
            expected = guide_matrix(num_nodes, topology_type)[source][target] == 1
            assert made.can_communicate(source, target) is expected


def test_matrices_by_hand():
    assert NetworkTopology(4, "ring").adjacency_matrix == [
        [0, 1, 0, 1],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
        [1, 0, 1, 0],
    ]
    assert NetworkTopology(3, "line").adjacency_matrix == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    # a binary tree: 0 over 1 and 2, 1 over 3
    assert NetworkTopology(4, "tree").adjacency_matrix == [
        [0, 1, 1, 0],
        [1, 0, 0, 1],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
    ]


def test_it_is_fully_connected_unless_told_otherwise():
    assert NetworkTopology(3).topology_type == "fully_connected"
    assert NetworkTopology(num_nodes=3, topology_type="star").adjacency_matrix[1] == [1, 0, 0]


@pytest.mark.parametrize("topology_type", ["fully_connected", "star", "line", "tree"])
def test_one_node_talks_to_nobody(topology_type):
    assert NetworkTopology(1, topology_type).adjacency_matrix == [[0]]


def test_a_ring_of_one_closes_on_itself_as_in_the_guide_without_a_cable():
    made = NetworkTopology(1, "ring")
    assert made.adjacency_matrix == [[1]]
    assert made.can_communicate(0, 0)
    assert simnet.Network(made.graph).num_links == 0


@pytest.mark.parametrize("topology_type", ["fully_connected", "ring", "star", "line", "tree"])
def test_the_graph_makes_a_network(topology_type):
    made = NetworkTopology(5, topology_type)
    net = simnet.Network(made.graph, profile="mobile")
    assert net.num_ranks == 5
    for source in range(5):
        for target in range(5):
            direct = len(net.route(source, target)) == 1
            assert made.can_communicate(source, target) is direct
    assert nx.to_numpy_array(made.graph).tolist() == made.adjacency_matrix


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((4, "mesh"), ValueError, "topology_type 'mesh' is unknown: choose one of fully_connected"),
        ((4, "Ring"), ValueError, "topology_type 'Ring' is unknown"),
        ((4, None), ValueError, "topology_type None is unknown"),
        ((4, ["ring"]), ValueError, "topology_type ['ring'] is unknown"),
        ((0, "ring"), ValueError, "must be at least 1, not 0"),
        ((-1, "star"), ValueError, "must be at least 1, not -1"),
        ((2.0, "line"), TypeError, "must be a whole number, not 2.0"),
        ((True, "line"), TypeError, "must be a whole number, not True"),
        (("4", "line"), TypeError, "must be a whole number, not '4'"),
    ],
)
def test_a_topology_that_cannot_be(arguments, error, message):
    with pytest.raises(error) as caught:
        NetworkTopology(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ranks", "error", "message"),
    [
        ((0, 3), ValueError, "rank 3 is not one of 0 … 2"),
        ((-1, 0), ValueError, "rank -1 is not one of 0 … 2"),  # no counting from the end
        ((0, "1"), TypeError, "rank '1' is not a whole number"),
        ((1.0, 0), TypeError, "rank 1.0 is not a whole number"),
        ((True, 0), TypeError, "rank True is not a whole number"),
        ((None, 0), TypeError, "rank None is not a whole number"),
    ],
)
def test_who_is_no_rank(ranks, error, message):
    with pytest.raises(error) as caught:
        NetworkTopology(3).can_communicate(*ranks)
    assert str(caught.value) == message


def test_numpy_ranks():
    assert NetworkTopology(np.int64(3), "line").can_communicate(np.int32(0), np.int64(1)) is True
