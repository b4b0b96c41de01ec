"""Routes: fewest hops, then least latency, ties by a seeded hash, or the user's own."""

import collections
import itertools
import math
import os
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from cases import LATENCIES, graphs
from hypothesis import assume, given
from hypothesis import strategies as st

import simnet
import topologies
from simnet.network import CABLE
from simnet.searches import LATENCY_TOLERANCE, mix


def cables(net, route):
    return [int(link) for link in route if net.links.kind[link] == CABLE]


def walk(net, src, dst, channel=0):
    """The nodes a route visits, checked to hang together."""
    route = cables(net, net.route(src, dst, channel))
    for one, next_one in itertools.pairwise(route):
        assert net.links.target[one] == net.links.source[next_one]
    ends = [net.links.source[link] for link in route[:1]] + [net.links.target[i] for i in route]
    return [net.nodes[node] for node in ends]


def names(net, src, dst, channel=0):
    return [net.link_name(link) for link in net.route(src, dst, channel)]


def square(**latency):
    """Four hosts in a ring: two ways, of two hops, between opposite corners."""
    graph = topologies.ring(4, bandwidth=1e6, latency=1e-3)
    for edge, seconds in latency.items():
        graph.edges[int(edge[1]), int(edge[2])]["latency"] = seconds
    return graph


def parallel(count, **attributes):
    graph = nx.MultiGraph()
    for _ in range(count):
        graph.add_edge("a", "b", bandwidth=1e6, **attributes)
    return graph


# fewest hops, then least latency


def test_hops_count_before_latency():
    graph = topologies.ring(3, bandwidth=1e6, latency=1e-6)
    graph.edges[0, 2]["latency"] = 10.0  # 0-1-2 takes 2 µs, but two hops
    net = simnet.Network(graph)
    assert walk(net, 0, 2) == [0, 2]
    assert net.route_latency(0, 2) == 10.0


@pytest.mark.parametrize("ecmp", [True, False])
def test_latency_decides_among_equally_many_hops(ecmp):
    slow_1 = simnet.Network(square(e01=2e-3), ecmp=ecmp)
    slow_3 = simnet.Network(square(e03=2e-3), ecmp=ecmp)
    for channel in range(8):
        assert walk(slow_1, 0, 2, channel) == [0, 3, 2]
        assert walk(slow_3, 0, 2, channel) == [0, 1, 2]


def test_the_whole_route_counts_not_the_first_hop():
    # over 1: 1 + 5 ms; over 3: 3 + 1 ms
    net = simnet.Network(square(e01=1e-3, e12=5e-3, e03=3e-3, e23=1e-3))
    assert walk(net, 0, 2) == [0, 3, 2]
    assert net.route_latency(0, 2) == pytest.approx(4e-3, rel=1e-15)


def test_equal_but_for_rounding_is_equal():
    # 0.1 + 0.2 ms and 0.3 + 0 ms differ in the last bit
    net = simnet.Network(square(e01=1e-4, e12=2e-4, e03=3e-4, e23=0.0))
    ways = {tuple(walk(net, 0, 2, channel)) for channel in range(32)}
    assert ways == {(0, 1, 2), (0, 3, 2)}


def test_the_faster_of_parallel_cables():
    graph = parallel(2, latency=2e-3)
    graph.edges["a", "b", 1]["latency"] = 1e-3
    net = simnet.Network(graph)
    assert names(net, 0, 1) == ["a→b [1]"]
    assert names(net, 1, 0) == ["b→a [1]"]


@st.composite
def any_graphs(draw):
    """Graphs of all four kinds; what they have in one direction they may lack in the other."""
    graph = draw(graphs(min_hosts=2, cards=False))
    kind = draw(st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]))
    made = kind()
    made.add_nodes_from(graph.nodes(data=True))
    for u, v, attributes in graph.edges(data=True):
        made.add_edge(u, v, **attributes)
        if made.is_directed() and draw(st.integers(0, 9)):
            made.add_edge(v, u, bandwidth=1e6, latency=draw(st.sampled_from(LATENCIES)))
        if made.is_multigraph() and draw(st.booleans()):
            made.add_edge(u, v, bandwidth=1e6, latency=draw(st.sampled_from(LATENCIES)))
    return made


def least_latency(graph, path):
    """Along a path of nodes, by the fastest of parallel cables."""
    total = 0.0
    for u, v in itertools.pairwise(path):
        edges = graph[u][v].values() if graph.is_multigraph() else [graph[u][v]]
        total += min(attributes["latency"] for attributes in edges)
    return total


@given(
    any_graphs(),
    st.integers(0, 3),
    st.integers(0, 2**32),
    st.booleans(),
    st.booleans(),
)
def test_routes_are_the_best_that_networkx_knows(graph, channel, seed, ecmp, forward):
    hosts = [node for node, kind in graph.nodes(data="kind") if kind is None]
    if not all(nx.has_path(graph, *pair) for pair in itertools.permutations(hosts, 2)):
        with pytest.raises(ValueError, match=r"^graph: host \d cannot reach host \d: add a path$"):
            simnet.Network(graph)
        return
    net = simnet.Network(graph, seed=seed, ecmp=ecmp, forward=forward)
    for (src, start), (dst, end) in itertools.permutations(enumerate(hosts), 2):
        hidden = () if forward else set(hosts) - {start, end}
        seen = nx.restricted_view(graph, hidden, ())
        if not nx.has_path(seen, start, end):
            with pytest.raises(ValueError, match=r"^no route from"):
                net.route(src, dst, channel)
            continue
        paths = [list(path) for path in nx.all_shortest_paths(seen, start, end)]
        assert walk(net, src, dst, channel) in paths
        least = min(least_latency(graph, path) for path in paths)
        assert net.route_latency(src, dst, channel) == pytest.approx(least, rel=1e-8, abs=1e-300)


@given(graphs(min_hosts=2), st.integers(0, 2**32), st.randoms())
def test_a_route_does_not_depend_on_what_was_asked_before(graph, seed, random):
    first, second = simnet.Network(graph, seed=seed), simnet.Network(graph, seed=seed)
    ranks = range(first.num_ranks)
    asked = list(itertools.product(ranks, ranks, (0, 5)))
    routes = {key: first.route(*key).tolist() for key in asked}
    random.shuffle(asked)
    assert {key: second.route(*key).tolist() for key in asked} == routes
    assert {key: first.route(*key).tolist() for key in asked} == routes


def test_far_away_on_a_large_torus():
    # 64 x 64: the opposite of (0, 0) is (32, 32), 64 hops away
    net = simnet.Network(topologies.torus(64, 64, bandwidth=1e9, latency=1e-6))
    assert len(net.route(0, 32 * 64 + 32)) == 64
    assert net.route_latency(0, 32 * 64 + 32) == pytest.approx(64e-6, rel=1e-12)
    assert len(net.route(5, 6)) == 1
    assert len(net.route(0, 63)) == 1  # around the edge


# equal-cost routes


def test_all_equal_routes_are_used_about_evenly():
    graph = topologies.leaf_spine(2, 4, 8, bandwidth=1e9, latency=1e-6)
    net = simnet.Network(graph)
    spines = collections.Counter(
        walk(net, src, dst, channel)[2]
        for src in range(8)
        for dst in range(8, 16)
        for channel in range(8)
    )
    # 512 routes over 4 spines: 128 each, standard deviation sqrt(512 · 1/4 · 3/4) = 9.8
    assert len(spines) == 4
    assert all(abs(count - 128) < 5 * 9.8 for count in spines.values())


def test_choices_at_one_hop_say_nothing_about_the_next():
    # two stages of two parallel cables: all four combinations are taken
    graph = nx.MultiGraph()
    for u, v in (("a", "s"), ("a", "s"), ("s", "b"), ("s", "b")):
        graph.add_edge(u, v, bandwidth=1)
    graph.nodes["s"]["kind"] = "switch"
    net = simnet.Network(graph)
    seen = collections.Counter(tuple(net.route(0, 1, channel).tolist()) for channel in range(400))
    # 100 each, standard deviation sqrt(400 · 1/4 · 3/4) = 8.7
    assert len(seen) == 4
    assert all(abs(count - 100) < 5 * 8.7 for count in seen.values())


def test_one_route_for_one_source_destination_and_channel():
    net = simnet.Network(topologies.leaf_spine(2, 8, 2, bandwidth=1e9))
    for src, dst, channel in ((0, 2, 0), (0, 2, 1), (2, 0, 0)):
        assert net.route(src, dst, channel) is net.route(src, dst, channel)
    assert net.route(0, 2) is net.route(0, 2, 0)
    assert len({net.route(0, 2, channel).tobytes() for channel in range(64)}) == 8


def test_the_seed_moves_the_choices():
    graph = topologies.leaf_spine(2, 8, 2, bandwidth=1e9)
    routes = {simnet.Network(graph, seed=seed).route(0, 2).tobytes() for seed in range(64)}
    assert len(routes) == 8
    same = simnet.Network(graph, seed=3), simnet.Network(graph, seed=3)
    for channel in range(8):
        assert same[0].route(0, 2, channel).tolist() == same[1].route(0, 2, channel).tolist()


def test_without_ecmp_the_first_is_taken():
    net = simnet.Network(topologies.leaf_spine(2, 8, 2, bandwidth=1e9), ecmp=False)
    up = [net.link_name(link) for link in range(net.num_links) if net.links.kind[link] == CABLE]
    first_spine = next(name for name in up if name.startswith(f"{walk(net, 0, 2)[1]}→s"))
    for channel in range(16):
        assert names(net, 0, 2, channel)[1] == first_spine
    assert names(simnet.Network(parallel(3), ecmp=False), 0, 1) == ["a→b [0]"]


PROGRAM = """
import networkx as nx, simnet, topologies
graph = topologies.leaf_spine(3, 4, 2, bandwidth="10Gbit/s", nic="1Gbit/s")
nx.relabel_nodes(graph, {node: f"node {node}" for node in graph}, copy=False)
net = simnet.Network(graph, profile="mobile", seed=7)
print([net.route(s, d, c).tolist() for s in range(6) for d in range(6) for c in range(3)])
print(net.links.latency.tolist(), net.links.loss.tolist(), net.links.jitter.tolist())
print(net.nodes, [net.link_name(i) for i in range(net.num_links)])
"""


def test_routes_and_draws_do_not_depend_on_the_hash_seed():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


def test_the_hash_is_splitmix64():
    # the generator's first three numbers from state 0, as its authors' C code prints them
    steps = (0, 0x9E3779B97F4A7C15, 2 * 0x9E3779B97F4A7C15)
    assert [mix(state) for state in steps] == [
        *(0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F),
    ]
    assert mix(2**64) == mix(0)


def test_routes_stay_what_they_were():
    # a change here moves every published number that rests on ECMP: say so in the change log
    net = simnet.Network(topologies.leaf_spine(2, 4, 2, bandwidth=1e9))
    spines = [int(walk(net, 0, 2, channel)[2][-1]) for channel in range(8)]
    assert spines == [2, 1, 2, 3, 3, 3, 3, 1]


# network cards


def test_network_cards_stand_around_their_hosts_cables():
    graph = topologies.line(3, bandwidth=1e9, nic=1e6)
    net = simnet.Network(graph)
    assert names(net, 0, 1) == ["0 egress", "0→1", "1 ingress"]
    # host 1 forwards: its card receives and sends what passes through
    assert names(net, 0, 2) == [
        *("0 egress", "0→1", "1 ingress"),
        *("1 egress", "1→2", "2 ingress"),
    ]


def test_only_the_cards_that_are_there():
    graph = topologies.star(3, bandwidth=1e9)
    graph.nodes[0]["egress"] = 1e6
    graph.nodes[2]["ingress"] = 1e6
    net = simnet.Network(graph)
    assert names(net, 0, 2) == ["0 egress", "0→switch", "switch→2", "2 ingress"]
    assert names(net, 2, 0) == ["2→switch", "switch→0"]
    assert names(net, 0, 1) == ["0 egress", "0→switch", "switch→1"]


def test_latency_and_loss_of_a_route():
    graph = topologies.line(4, bandwidth=1e9, latency="1ms", loss=0.1, nic=1e6)
    graph.edges[1, 2]["latency"] = "5ms"
    graph.edges[1, 2]["loss"] = 0.5
    net = simnet.Network(graph)
    assert net.route_latency(0, 3) == pytest.approx(7e-3, rel=1e-15)
    assert net.route_loss(0, 3) == pytest.approx(1 - 0.9 * 0.5 * 0.9, rel=1e-14)
    assert net.route_loss(0, 1) == pytest.approx(0.1, rel=1e-14)
    assert net.route_latency(2, 2) == net.route_loss(2, 2) == 0.0


def test_no_loss_is_exactly_none():
    net = simnet.Network(topologies.ring(6, bandwidth=1))
    loss = net.route_loss(0, 3)
    assert loss == 0.0
    assert math.copysign(1, loss) == 1


# routes of the user's own


def test_a_given_route_is_taken_and_no_other_changes():
    graph = topologies.ring(5, bandwidth=1e6, nic=1e6)
    net = simnet.Network(graph, routes={(0, 1): (0, 4, 3, 2, 1)})
    plain = simnet.Network(graph)
    assert walk(net, 0, 1) == [0, 4, 3, 2, 1]
    assert names(net, 0, 1)[:4] == ["0 egress", "0→4", "4 ingress", "4 egress"]
    assert walk(net, 1, 0) == [1, 0]
    for src, dst in itertools.permutations(range(5), 2):
        if (src, dst) != (0, 1):
            assert net.route(src, dst).tolist() == plain.route(src, dst).tolist()


def test_keys_and_paths_are_names_of_nodes():
    graph = nx.Graph([("a", "s"), ("s", "b"), ("a", "t"), ("t", "b")])
    nx.set_edge_attributes(graph, 1e6, "bandwidth")
    nx.set_node_attributes(graph, {"s": "switch", "t": "switch"}, "kind")
    for via in "st":
        net = simnet.Network(graph, routes={("a", "b"): ["a", via, "b"]})
        assert all(walk(net, 0, 1, channel) == ["a", via, "b"] for channel in range(8))


def test_a_given_route_over_parallel_cables_spreads_over_the_fastest():
    graph = parallel(3, latency=1e-3)
    graph.edges["a", "b", 1]["latency"] = 2e-3
    routes = {("a", "b"): ("a", "b")}
    spread = simnet.Network(graph, routes=routes)
    seen = {names(spread, 0, 1, channel)[0] for channel in range(32)}
    assert seen == {"a→b [0]", "a→b [2]"}
    first = simnet.Network(graph, routes=routes, ecmp=False)
    assert {names(first, 0, 1, channel)[0] for channel in range(32)} == {"a→b [0]"}


def test_a_given_route_follows_the_direction_of_edges():
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 0)])
    nx.set_edge_attributes(graph, 1e6, "bandwidth")
    assert walk(simnet.Network(graph, routes={(0, 2): (0, 1, 2)}), 0, 2) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"^routes\[\(0, 2\)\]: there is no link 0→2$"):
        simnet.Network(graph, routes={(0, 2): (0, 2)})


@pytest.mark.parametrize(
    ("key", "path", "error", "message"),
    [
        ((0, 2), (0, 2), ValueError, "there is no link 0→2"),
        ((0, 2), (0, 9, 2), ValueError, "9 is not a node of this network"),
        ((0, 2), (0, [1], 2), ValueError, "[1] is not a node of this network"),
        ((0, 2), (1, 2), ValueError, "the path (1, 2) must lead from 0 to 2"),
        ((0, 2), (0, 1), ValueError, "the path (0, 1) must lead from 0 to 2"),
        ((0, 2), (2, 1, 0), ValueError, "must lead from 0 to 2"),
        ((0, 2), (), ValueError, "the path () must lead from 0 to 2"),
        ((0, 2), (0,), ValueError, "the path (0,) must lead from 0 to 2"),
        ((0, 2), (0, 1, 0, 1, 2), ValueError, "must visit no node twice"),
        ((0, 0), (0, 1, 0), ValueError, "must visit no node twice"),
        ((0, 2), "012", TypeError, "'012' must be a sequence of nodes"),
        ((0, 2), 7, TypeError, "7 must be a sequence of nodes"),
        ((0, 2), {0, 1, 2}, TypeError, "must be a sequence of nodes"),
        ((0, 2), None, TypeError, "None must be a sequence of nodes"),
        ((0, 9), (0, 9), ValueError, "9 is not a host of this network"),
        ((0, "switch"), (0, "switch"), ValueError, "'switch' is not a host of this network"),
        ((0, 1, 2), (0, 1, 2), TypeError, "the key must be a pair (source host, destination host)"),
        (0, (0, 1), TypeError, "the key must be a pair"),
        ("ab", (0, 1), TypeError, "the key must be a pair"),
    ],
)
def test_a_route_that_cannot_be(key, path, error, message):
    graph = topologies.line(4, bandwidth=1e6)
    graph.add_edge("switch", 0, bandwidth=1e6)
    graph.nodes["switch"]["kind"] = "switch"
    with pytest.raises(error) as caught:
        simnet.Network(graph, routes={key: path})
    assert str(caught.value).startswith(f"routes[{key!r}]: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("routes", [[(0, 1)], "routes", 3, ((0, 1), (0, 1))])
def test_routes_that_are_no_mapping(routes):
    with pytest.raises(TypeError, match="a mapping of "):
        simnet.Network(topologies.line(2, bandwidth=1), routes=routes)


def test_no_routes_of_ones_own():
    graph = topologies.ring(4, bandwidth=1)
    assert walk(simnet.Network(graph, routes={}), 0, 1) == [0, 1]
    assert walk(simnet.Network(graph, routes=None), 0, 1) == [0, 1]


# hosts that do not forward


def test_hosts_that_do_not_forward_are_gone_around():
    graph = topologies.star(3, bandwidth=1e6)
    graph.add_edge(0, 1, bandwidth=1e6)
    graph.add_edge("switch", "far", bandwidth=1e6)
    graph.nodes["far"]["kind"] = "switch"
    graph.add_edge("far", 3, bandwidth=1e6)
    graph.add_edge(1, 3, bandwidth=1e6)
    assert walk(simnet.Network(graph), 0, 3) == [0, 1, 3]  # two hops
    assert walk(simnet.Network(graph, forward=False), 0, 3) == [0, "switch", "far", 3]


def test_no_route_says_who_cannot_reach_whom():
    net = simnet.Network(topologies.line(3, bandwidth=1e6), forward=False)
    assert walk(net, 0, 1) == [0, 1]
    for ask in (net.route, net.route_latency, net.route_loss):
        with pytest.raises(ValueError, match=r"^no route from 2 to 0; hosts do not forward"):
            ask(2, 0)


def test_a_given_route_does_not_make_hosts_forward():
    graph = topologies.ring(4, bandwidth=1e6)
    with pytest.raises(ValueError, match=r"host 1 would forward, and forward=False forbids it"):
        simnet.Network(graph, forward=False, routes={(0, 2): (0, 1, 2)})
    star = topologies.star(3, bandwidth=1e6)
    net = simnet.Network(star, forward=False, routes={(0, 2): (0, "switch", 2)})
    assert walk(net, 0, 2) == [0, "switch", 2]


# ranks and channels


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((4, 0), ValueError, "source rank 4 is not one of 0 … 3"),
        ((0, 4), ValueError, "destination rank 4 is not one of 0 … 3"),
        ((-1, 0), ValueError, "source rank -1 is not one of 0 … 3"),
        ((0, np.int64(-2)), ValueError, "destination rank -2 is not one of 0 … 3"),
        ((9, 9), ValueError, "source rank 9 is not"),
        ((0, 1, -1), ValueError, "channel -1 is not zero or more"),
        ((True, 0), TypeError, "source rank True is not a whole number"),
        ((0, False), TypeError, "destination rank False is not a whole number"),
        (("0", 1), TypeError, "source rank '0' is not a whole number"),
        ((0, 1.0), TypeError, "destination rank 1.0 is not a whole number"),
        ((None, 1), TypeError, "source rank None is not a whole number"),
        (([0], 1), TypeError, "source rank [0] is not a whole number"),
        ((0, 1, 0.0), TypeError, "channel 0.0 is not a whole number"),
        ((0, 1, True), TypeError, "channel True is not a whole number"),
        ((0, 1, "0"), TypeError, "channel '0' is not a whole number"),
    ],
)
def test_what_is_no_rank(arguments, error, message):
    net = simnet.Network(topologies.ring(4, bandwidth=1e6))
    for src, dst, channel in itertools.product((0, 1), (0, 1), (0, 1)):
        net.route(src, dst, channel)  # an equal number asked before makes no difference
    for ask in (net.route, net.route_latency, net.route_loss):
        with pytest.raises(error) as caught:
            ask(*arguments)
        assert message in str(caught.value)


@given(st.sampled_from([np.int8, np.uint16, np.int64, np.uint64]), st.integers(0, 2**40))
def test_numpy_ranks_and_large_channels(kind, channel):
    net = simnet.Network(topologies.leaf_spine(2, 4, 2, bandwidth=1e9))
    fresh = simnet.Network(topologies.leaf_spine(2, 4, 2, bandwidth=1e9))
    expected = net.route(0, 3, channel).tolist()
    assert fresh.route(kind(0), kind(3), np.int64(channel)).tolist() == expected


@given(graphs(min_hosts=2, tree=True), st.integers(0, 5), st.integers(0, 5))
def test_there_and_back_on_a_tree(graph, src, dst):
    assume(max(src, dst) < sum(1 for node in graph if isinstance(node, int)))
    net = simnet.Network(graph)
    assert walk(net, src, dst) == walk(net, dst, src)[::-1]
    assert net.route_latency(src, dst) == pytest.approx(net.route_latency(dst, src), rel=1e-12)


def test_many_destinations_do_not_forget_each_other(monkeypatch):
    graph = nx.cycle_graph(7)
    nx.set_edge_attributes(graph, 1e9, "bandwidth")
    pairs = list(itertools.permutations(range(7), 2))
    roomy = simnet.Network(graph)
    wanted = {pair: roomy.route(*pair).tolist() for pair in pairs}
    monkeypatch.setattr("simnet.routing._KEPT_BYTES", 1)  # one search kept
    monkeypatch.setattr("simnet.network._ROUTES_KEPT", 3)
    net = simnet.Network(graph)
    for _ in range(2):
        assert {pair: net.route(*pair).tolist() for pair in pairs} == wanted


@pytest.mark.parametrize(("apart", "tied"), [(LATENCY_TOLERANCE / 10, True), (1e-6, False)])
def test_latencies_within_the_tolerance_are_tied(apart, tied):
    graph = nx.MultiGraph()
    graph.add_edge(0, 1, latency=0.3 * (1 + apart), bandwidth=1e9)
    graph.add_edge(0, 1, latency=0.3, bandwidth=1e9)
    net = simnet.Network(graph)
    links = {net.route(0, 1, channel).tolist()[0] for channel in range(40)}
    assert links == ({0, 2} if tied else {2})


# many at once


def all_at_once(net, channels):
    """Every (source, destination, channel), in a mixed order, and the routes of all."""
    rows = [(s, d, c) for s in range(net.num_ranks) for d in range(net.num_ranks) for c in channels]
    rows = [rows[i] for i in np.random.default_rng(len(rows)).permutation(len(rows))]
    offsets, links = net.routes_of(*np.array(rows).T)
    assert len(offsets) == len(rows) + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(links)
    return {row: links[offsets[i] : offsets[i + 1]].tolist() for i, row in enumerate(rows)}


@given(any_graphs(), st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans())
def test_many_routes_at_once_are_those_of_one_by_one(graph, seed, ecmp, forward, cards):
    hosts = [node for node, kind in graph.nodes(data="kind") if kind is None]
    assume(all(nx.has_path(graph, *pair) for pair in itertools.permutations(hosts, 2)))
    if cards:
        graph.nodes[hosts[0]]["egress"] = graph.nodes[hosts[-1]]["ingress"] = 1e6
    net = simnet.Network(graph, seed=seed, ecmp=ecmp, forward=forward)
    pairs = itertools.permutations(hosts, 2)
    seen = [
        nx.restricted_view(graph, () if forward else set(hosts) - {*pair}, ()) for pair in pairs
    ]
    pairs = itertools.permutations(hosts, 2)
    if not all(nx.has_path(each, *pair) for each, pair in zip(seen, pairs, strict=True)):
        with pytest.raises(ValueError, match=r"^no route from"):
            all_at_once(net, (0, 1, 5))
        return
    routes = all_at_once(net, (0, 1, 5))
    for row, route in routes.items():
        assert route == net.route(*row).tolist()


@pytest.mark.parametrize("kept", [1, 1 << 27])
@pytest.mark.parametrize(
    "graph",
    [
        topologies.star(9, bandwidth=1e9, latency=1e-3),
        topologies.line(6, bandwidth=1e9),
        topologies.torus((4, 4), bandwidth=1e9, latency=1e-6),
        topologies.hypercube(4, bandwidth=1e9, latency=1e-6),
        topologies.fat_tree(4, bandwidth=1e9, latency=1e-6),
    ],
    ids=lambda graph: graph.graph["name"],
)
def test_many_routes_at_once_on_regular_networks(graph, kept, monkeypatch):
    monkeypatch.setattr("simnet.routing._KEPT_BYTES", kept)
    net = simnet.Network(graph, seed=7)
    for row, route in all_at_once(net, (0, 3)).items():
        assert route == net.route(*row).tolist()


def test_many_routes_at_once_take_ones_own():
    graph = topologies.ring(5, bandwidth=1e9)
    net = simnet.Network(graph, routes={(0, 1): (0, 4, 3, 2, 1)})
    for row, route in all_at_once(net, (0,)).items():
        assert route == net.route(*row).tolist()
    assert len(net.route(0, 1)) == 4


@pytest.mark.parametrize("row", [(0, 5, 0), (-1, 2, 0), (0, 1, -1)])
def test_many_routes_at_once_refuse_what_one_does(row):
    net = simnet.Network(topologies.ring(5, bandwidth=1e9))
    with pytest.raises(ValueError, match=r"is not (one of|zero or more)"):
        net.routes_of(*np.array([(0, 1, 0), row]).T)


def test_many_routes_may_be_none():
    net = simnet.Network(topologies.star(3, bandwidth=1.0))
    none = np.empty(0, dtype=np.int64)
    assert [part.tolist() for part in net.routes_of(none, none, none)] == [[0], []]
    same = np.array([1, 2])
    assert [part.tolist() for part in net.routes_of(same, same, 0 * same)] == [[0, 0, 0], []]
