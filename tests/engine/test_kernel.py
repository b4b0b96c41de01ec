"""The compiled kernel against the reference, its definition, and what must not crash it."""

import networkx as nx
import numpy as np
import pytest
from border import columns, make_program
from cases import flow_sets, graphs, works
from hypothesis import given
from hypothesis import strategies as st
from wild import wild_case

import simnet
import topologies
from simnet import collectives
from simnet.engine import Clock, Fabric, KernelModel, Observer, make_model
from simnet.engine.maxmin import max_min_rates
from simnet.testing import check_network_model
from simnet.transport import Ideal, Retransmit, Round

pytestmark = pytest.mark.kernel

RTOL = 1e-9
CASES, CASES_A_TEST = 2000, 50


def equal(net, works, **options):
    """Simulate twice and compare every transfer; returns the kernel's result."""
    twin = simnet.simulate(net, *works, engine="reference", **options)
    fast = simnet.simulate(net, *works, engine="events", **options)
    assert (twin.engine, fast.engine) == ("reference", "kernel")
    for theirs, ours in zip(twin.works, fast.works, strict=True):
        np.testing.assert_allclose(ours.job.start, theirs.job.start, rtol=RTOL)
        np.testing.assert_allclose(ours.job.end, theirs.job.end, rtol=RTOL)
        np.testing.assert_allclose(ours.rank_times, theirs.rank_times, rtol=RTOL)
        assert ours.job.retransmitted == theirs.job.retransmitted
        assert ours.start == theirs.start
    assert fast.link_bytes.tolist() == twin.link_bytes.tolist()
    return fast


@pytest.mark.parametrize("first", range(0, CASES, CASES_A_TEST))
def test_equals_the_reference(first):
    for seed in range(first, first + CASES_A_TEST):
        net, works = wild_case(seed)
        try:
            equal(net, works, seed=seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


@given(st.data())
def test_equals_the_reference_on_what_hypothesis_draws(data):
    net = simnet.Network(data.draw(graphs(min_hosts=2)))
    pieces = st.one_of(works(net.num_ranks), flow_sets(net.num_ranks))
    equal(net, data.draw(st.lists(pieces, min_size=1, max_size=3)))


TOPOLOGIES = {
    "ring": lambda **a: topologies.ring(8, **a),
    "star": lambda **a: topologies.star(8, **a),
    "fully connected": lambda **a: topologies.fully_connected(8, **a),
    "line": lambda **a: topologies.line(8, **a),
    "tree": lambda **a: topologies.tree(8, **a),
    "mesh": lambda **a: topologies.mesh((2, 4), **a),
    "torus": lambda **a: topologies.torus((2, 4), **a),
    "hypercube": lambda **a: topologies.hypercube(3, **a),
    "leaf-spine": lambda **a: topologies.leaf_spine(2, 2, 4, **a),
    "fat-tree": lambda **a: topologies.fat_tree(4, **a),
    "dragonfly": lambda **a: topologies.dragonfly(2, 1, 2, 2, **a),
    "random regular": lambda **a: topologies.random_regular(4, 3, 2, **a),
    "hierarchical": lambda **a: topologies.hierarchical(2, 4, **a),
    "rail-optimised": lambda **a: topologies.rail_optimised(2, 4, **a),
    "WAN": lambda **a: topologies.wan({"a": (0, 0), "b": (9, 9), "c": (50, 4)}, **a),
}


def every_work(kind, num_ranks):
    """A kind of collective by each of its algorithms, unevenly cut."""
    options = {
        "hierarchical": {"islands": [range(num_ranks // 2), range(num_ranks // 2, num_ranks)]},
        "torus": {"dims": (num_ranks // 2, 2)},
    }
    if kind == "send":
        return [collectives.send("1MB", src=0, dst=num_ranks - 1)]
    if kind == "permutation":
        return [collectives.permutation("1MB", [*range(1, num_ranks), 0])]
    size = [] if kind == "barrier" else [10**6 + 3]
    return [
        getattr(collectives, kind)(*size, algorithm=name, **options.get(name, {}))
        for name in collectives.algorithms(kind)
        if name != "torus" or num_ranks % 2 == 0
    ]


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("kind", collectives.collective.KINDS)
def test_every_collective_on_every_topology(topology, kind):
    conditions = {} if topology == "WAN" else {"latency": "10us"}
    net = simnet.Network(TOPOLOGIES[topology](bandwidth="10Gbit/s", **conditions))
    for work in every_work(kind, net.num_ranks):
        equal(net, [work])


def test_pieces_that_overlap_in_time():
    net = simnet.Network(topologies.star(6, bandwidth=1e6, latency=1e-3))
    works = [
        collectives.all_reduce(10**6, algorithm="ring", ranks=[0, 1, 2, 3]),
        collectives.all_to_all(10**6, algorithm="direct", start=0.5),
        collectives.broadcast(10**6, algorithm="chain", segment=10**4, start=0.25),
        simnet.flows([0, 1, 2], [3, 4, 5], 10**5, [0.1, 0.2, 0.3]),
    ]
    equal(net, works)


class Halves:
    """A transport of one's own: loses half of every message once."""

    name, draws = "halves", False

    def rounds(self, size, *, latency, loss, rng):
        return (Round(0.0, size), Round(0.1, size // 2))


def test_a_transport_of_ones_own_is_asked():
    net = simnet.Network(topologies.star(3, bandwidth=100.0, latency=1.0))
    equal(net, [simnet.flows([0, 1], [1, 2], 100)], transport=Halves())


def test_stopped_and_looked_at_on_the_way():
    net = simnet.Network(topologies.star(4, bandwidth=100.0, latency=0.5))
    works = [simnet.flows([0, 0, 1], [1, 2, 2], [1000, 500, 800])]
    for until in (0.1, 2.0, 5.5, 11.0):
        equal(net, works, until=until)


def test_processes_that_send():
    net = simnet.Network(topologies.star(4, bandwidth=100.0, latency=0.5))

    def talk(env, fabric):
        for turn in range(5):
            yield fabric.send(turn % 3, 3, 50 * turn)
            yield env.timeout(0.25)

    work = collectives.all_reduce(4000, algorithm="ring")
    times = [
        simnet.simulate(net, work, processes=[talk, talk], engine=engine).works
        for engine in ("reference", "events")
    ]
    twin, fast = ([each.finish for each in works] for works in times)
    np.testing.assert_allclose(fast, twin, rtol=RTOL)


def test_conformance():
    check_network_model(KernelModel)


def test_rates_are_max_min_in_random_states():
    """After every instant of a random run the rates are what progressive filling gives."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        hosts = int(rng.integers(3, 12))
        graph = topologies.fat_tree(4, bandwidth=1.0) if rng.random() < 0.3 else None
        graph = graph or nx.gnm_random_graph(hosts, 2 * hosts, seed=int(rng.integers(1000)))
        graph = graph if nx.is_connected(graph) else nx.path_graph(hosts)
        for _, _, edge in graph.edges(data=True):
            edge["bandwidth"] = float(10 ** rng.uniform(0, 12))
        net = simnet.Network(graph)
        count = 60
        src = rng.integers(0, net.num_ranks, count)
        dst = (src + rng.integers(1, net.num_ranks, count)) % net.num_ranks
        size = (10 ** rng.uniform(0, 12, count)).astype(np.int64)
        model = KernelModel(net, Ideal(), 0)
        _check_rates(net, model, simnet.flows(src, dst, size, rng.random(count)))


def _check_rates(net, model, flows):
    clock = Clock()
    fabric = Fabric(clock, net, model)
    fabric.submit(flows)
    capacity = np.concatenate([net.links.bandwidth, net.reduce_bandwidth, [np.inf]])
    while clock.peek() < np.inf:
        clock.step()
        found = model.rates()
        if not found:
            continue
        rows = [links for links, count, _ in found for _ in range(count)]
        table = np.full((len(rows), max(map(len, rows))), len(capacity) - 1)
        for row, links in enumerate(rows):
            table[row, : len(links)] = links
        rates = [rate for _, count, rate in found for _ in range(count)]
        np.testing.assert_allclose(rates, max_min_rates(table, capacity), rtol=RTOL)


def test_the_choice_of_engine():
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    flow = simnet.flows(0, 1, 100)
    assert simnet.simulate(net, flow).engine == "kernel"
    assert simnet.simulate(net, flow, observer=Observer()).engine == "reference"
    with pytest.raises(ValueError, match="engine='fast'"):
        simnet.simulate(net, flow, engine="fast")
    with pytest.raises(ValueError, match="observer"):
        simnet.simulate(net, flow, engine="events", observer=Observer())


def program(core, **changes):
    """A program of one transfer, with some of its columns replaced."""
    return make_program(core, columns() | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ranks": np.array([0, 9])},
        {"ranks": np.array([0, -1])},
        {"ranks": np.array([0.0, 1.0])},
        {"ranks": "01"},
        {"ranks": None},
        {"src": np.array([2])},
        {"src": np.array([-1])},
        {"src": np.array([1])},
        {"src": np.array([0, 0])},
        {"src": np.array([[0]])},
        {"src": np.array([0], dtype=np.int32)},
        {"src": np.array([0], dtype=">i8")},
        {"size": np.arange(4)[::2], "src": np.array([0, 0]), "dst": np.array([1, 1])},
        {"dst": np.array([2])},
        {"connection": np.array([1])},
        {"connection": np.array([-1])},
        {"size": np.array([-5])},
        {"size": np.array([], dtype=np.int64)},
        {"reduces": np.array([0])},
        {"dep_offsets": np.array([0])},
        {"dep_offsets": np.array([0, 1])},
        {"dep_offsets": np.array([1, 0])},
        {"dep_offsets": np.array([0, 1]), "deps": np.array([0])},
        {"dep_offsets": np.array([0, 1]), "deps": np.array([-1])},
        {"dep_offsets": np.array([0, 1]), "deps": np.array([7])},
        {"release": np.array([-1.0])},
        {"release": np.array([np.nan])},
        {"release": np.array([np.inf])},
        {"release": np.array([0.0, 1.0])},
        {"in_flight": -1},
        {"network_ranks": -2},
        {"network_ranks": 1},
        {"times": 0},
        {"times": 2**31},
        {"times": 3, "size": np.array([5, 5])},
        {"connections": 0},
    ],
    ids=repr,
)
def test_malformed_programs_are_refused(changes):
    from simnet.engine._kernel import core

    program(core)
    with pytest.raises(ValueError, match=r"\S"):
        program(core, **changes)


def made():
    from simnet.engine._kernel import core

    model = core.Model(np.array([1.0, 2.0, np.inf, np.inf]), 2, 2, None, None)
    model.add_connections(np.array([0, 1]), np.array([0]), np.array([0.5]), np.array([False]))
    return core, model


@pytest.mark.parametrize(
    "call",
    [
        lambda core, model: core.Model(np.array([1.0]), 2, 2, None, None),
        lambda core, model: core.Model(np.array([0.0, 1.0]), 1, 1, None, None),
        lambda core, model: core.Model(np.array([np.nan, 1.0]), 1, 1, None, None),
        lambda core, model: core.Model(np.array([1.0]), -1, 2, None, None),
        lambda core, model: model.add_connections(
            np.array([0, 5]), np.array([0]), np.array([0.5]), np.array([False])
        ),
        lambda core, model: model.add_connections(
            np.array([0, 1]), np.array([2]), np.array([0.5]), np.array([False])
        ),
        lambda core, model: model.add_connections(
            np.array([0, 1]), np.array([-1]), np.array([0.5]), np.array([False])
        ),
        lambda core, model: model.add_connections(
            np.array([0, 2]), np.array([0, 0]), np.array([0.5]), np.array([False])
        ),
        lambda core, model: model.add_connections(
            np.array([0, 1]), np.array([0]), np.array([np.nan]), np.array([False])
        ),
        lambda core, model: model.arrive(0, 0, 0.0),
        lambda core, model: model.arrive(-1, 0, 0.0),
        lambda core, model: model.arrive(model.post(program(core), 0.0), 2, 0.0),
        lambda core, model: model.arrive(model.post(program(core), 0.0), 0, np.nan),
        lambda core, model: model.post(program(core), np.nan),
        lambda core, model: model.post(program(core, connections=9, connection=np.array([7])), 0.0),
        lambda core, model: model.post(program(core, network_ranks=9, ranks=np.array([0, 7])), 0.0),
        lambda core, model: model.times(0, np.empty(1), np.empty(1)),
        lambda core, model: model.times(model.post(program(core), 0.0), np.empty(2), np.empty(1)),
        lambda core, model: model.carried(0.0, np.zeros(1, dtype=np.int64)),
        lambda core, model: model.carried(0.0, bytes(16)),
        lambda core, model: model.advance(np.nan, 1.0),
    ],
)
def test_malformed_calls_are_refused(call):
    with pytest.raises(ValueError, match=r"\S"):
        call(*made())


def test_time_does_not_go_back():
    core, model = made()
    job = model.post(program(core), 0.0)
    for place in (0, 1):
        model.arrive(job, place, 1.0)
    assert model.next_time() == 1.0
    assert model.advance(1.0, np.inf) == (6.5, [job, 0, job, 1])
    with pytest.raises(ValueError, match="passed"):
        model.advance(1.0, 1.0)
    with pytest.raises(ValueError, match="passed"):
        model.post(program(core), 1.0)


def test_an_error_in_a_draw_comes_out():
    net = simnet.Network(topologies.star(3, bandwidth=100.0))

    class Broken:
        name, draws = "broken", False

        def rounds(self, size, *, latency, loss, rng):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        simnet.simulate(net, simnet.flows(0, 1, 100), transport=Broken())


@pytest.mark.slow
def test_many_flows_over_twelve_orders_of_magnitude():
    """No stall and no residual below zero; every flow ends, and every byte is carried."""
    rng = np.random.default_rng(11)
    graph = topologies.star(64, bandwidth=1.0, latency=0.0)
    for _, _, edge in graph.edges(data=True):
        edge["bandwidth"] = float(10 ** rng.uniform(0, 12))
    net = simnet.Network(graph)
    count = 20_000
    src = rng.integers(0, 64, count)
    dst = (src + rng.integers(1, 64, count)) % 64
    size = (10 ** rng.uniform(0, 12, count)).astype(np.int64)
    start = rng.integers(0, 50, count) * 0.1 + rng.choice([0.0, 1e-16, 1e-15, 1e-12], count)
    result = simnet.simulate(net, simnet.flows(src, dst, size, start), engine="events")
    assert np.isfinite(result.finish_times).all()
    assert result.bytes_on_wire == 2 * int(size.sum())


def test_retransmission_draws_as_the_reference_does():
    graph = topologies.star(4, bandwidth=1e6, latency=1e-3)
    nx.set_edge_attributes(graph, 0.05, "loss")
    net = simnet.Network(graph)
    works = [simnet.flows([0, 1, 2, 0], [1, 2, 3, 1], 10**6), collectives.all_reduce(10**5)]
    assert equal(net, works, transport=Retransmit()).retransmitted_bytes > 0


def test_make_model_says_what_it_knows():
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    assert make_model(net, Ideal(), 0).name == "kernel"
    assert make_model(net, Ideal(), 0, engine="reference").name == "reference"
