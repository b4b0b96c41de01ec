"""What must hold for every network and every piece of work."""

import networkx as nx
import numpy as np
import pytest
from cases import flow_sets, graphs, works
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
from simnet.engine import Clock, Fabric, FluidModel, Observer
from simnet.transport import Ideal

SLACK = 1e-9


@st.composite
def net_and_work(draw, **options):
    graph = draw(graphs(**options))
    net = simnet.Network(graph)
    return net, draw(works(net.num_ranks))


@st.composite
def net_and_flows(draw, **options):
    graph = draw(graphs(min_hosts=2, **options))
    net = simnet.Network(graph)
    return net, draw(flow_sets(net.num_ranks))


class Watch(Observer):
    """Looks at every settled state of a model."""

    def __init__(self):
        self.model = None
        self.states = 0
        self.sent = 0
        self.ended = 0

    def on_start(self, job, transfer, time):
        self.sent += 1

    def on_end(self, job, transfer, time):
        self.ended += job.program.src[transfer] != job.program.dst[transfer]
        assert job.end[transfer] >= job.start[transfer]

    def on_rates(self, time, link_rates):
        self.states += 1
        table = self.model._table
        capacity = table.capacity
        routes, rates = table.active()
        load = np.zeros(len(capacity))
        fastest = np.zeros(len(capacity))
        for route, rate in zip(routes, rates, strict=True):
            hops = np.unique(route)
            load[hops] += rate
            fastest[hops] = np.maximum(fastest[hops], rate)
        assert (load[:-1] <= capacity[:-1] * (1 + SLACK)).all()
        for route, rate in zip(routes, rates, strict=True):
            # A bottleneck: a full link on which nobody is faster.
            full = load[route] >= capacity[route] * (1 - SLACK)
            first = rate >= fastest[route] * (1 - SLACK)
            assert (full & first)[route < len(capacity) - 1].any()


def watched(net, work):
    """Simulate under observation; returns (watch, operation, model)."""
    watch, clock = Watch(), Clock()
    model = watch.model = FluidModel(net, Ideal(), 0, watch)
    operation = Fabric(clock, net, model).submit(work)
    clock.run()
    return watch, operation, model


@given(net_and_flows())
def test_flows_max_min_at_every_instant(case):
    net, flows = case
    watch, operation, _ = watched(net, flows)
    assert operation.done.triggered
    assert watch.sent == watch.ended == len(flows)


@given(net_and_work())
def test_collectives_max_min_at_every_instant(case):
    watch, operation, _ = watched(*case)
    assert operation.done.triggered
    assert watch.sent == watch.ended


@given(net_and_work())
def test_bytes_are_conserved(case):
    net, work = case
    _, operation, model = watched(net, work)
    expected = np.zeros(net.num_links, dtype=np.int64)
    program = operation.job.program
    for src, dst, size, channel in zip(
        program.src, program.dst, program.size, program.channel, strict=True
    ):
        if src != dst:
            expected[net.route(src, dst, channel)] += size
    assert (model.carried(operation.done.value) == expected).all()


@given(net_and_work())
def test_no_time_below_the_bound(case):
    net, work = case
    result = simnet.simulate(net, work)
    assert result.time >= 0
    assert result.works[0].time >= result.bound.seconds * (1 - SLACK)
    assert 0 <= result.efficiency <= 1 + SLACK


@given(net_and_work())
def test_busbw_is_at_most_the_mean_of_the_ranks_outgoing_bandwidth(case):
    net, work = case
    if work.kind not in ("all_reduce", "reduce_scatter", "all_gather", "all_to_all"):
        return
    result = simnet.simulate(net, work)
    # An uneven cut can give one rank up to a byte a block less than its share to send.
    if work.size % net.num_ranks or not work.size:
        return
    links = net.links
    outgoing = [links.bandwidth[(links.kind == 0) & (links.source == h)].sum() for h in net.hosts]
    if net.num_ranks > 1:
        assert result.busbw <= np.mean(outgoing) * (1 + SLACK)


@given(net_and_flows(), st.randoms(use_true_random=False))
def test_order_of_flows_does_not_matter(case, random):
    net, flows = case
    order = list(range(len(flows)))
    random.shuffle(order)
    shuffled = simnet.flows(
        flows.src[order], flows.dst[order], flows.size[order], flows.start[order]
    )
    first = simnet.simulate(net, flows).finish_times
    second = simnet.simulate(net, shuffled).finish_times
    np.testing.assert_allclose(second, first[order], rtol=1e-12)


@settings(max_examples=50)
@given(net_and_work(), st.data())
def test_order_of_posting_does_not_matter(case, data):
    net, work = case
    others = [data.draw(works(net.num_ranks)) for _ in range(2)]
    forward = simnet.simulate(net, work, *others)
    backward = simnet.simulate(net, *others[::-1], work)
    # Works that are alike in everything cannot be told apart, so compare them as a bag.
    first, second = (
        sorted((repr(w.work), w.finish) for w in result.works) for result in (forward, backward)
    )
    assert [name for name, _ in first] == [name for name, _ in second]
    assert [t for _, t in first] == pytest.approx([t for _, t in second], rel=1e-12)


@given(net_and_flows(tree=True), st.randoms(use_true_random=False))
def test_names_of_nodes_do_not_matter_where_routes_are_unique(case, random):
    net, flows = case
    nodes = list(net.graph)
    names = [f"n{i}" for i in range(len(nodes))]
    random.shuffle(names)
    renamed = nx.relabel_nodes(net.graph, dict(zip(nodes, names, strict=True)))
    shuffled = nx.Graph()
    shuffled.add_nodes_from(random.sample(list(renamed.nodes(data=True)), len(nodes)))
    shuffled.add_edges_from(random.sample(list(renamed.edges(data=True)), len(renamed.edges)))
    other = simnet.Network(shuffled)
    rank = [other.rank_of(names[nodes.index(net.nodes[host])]) for host in net.hosts]
    moved = simnet.flows(
        [rank[r] for r in flows.src], [rank[r] for r in flows.dst], flows.size, flows.start
    )
    np.testing.assert_allclose(
        simnet.simulate(other, moved).finish_times,
        simnet.simulate(net, flows).finish_times,
        rtol=1e-12,
    )


@given(works(1))
def test_time_zero_for_one_rank(work):
    graph = nx.Graph()
    graph.add_node(0)
    assert simnet.simulate(simnet.Network(graph), work).works[0].time == 0.0


@given(net_and_work())
def test_the_same_seed_gives_the_same_result_to_the_bit(case):
    net, work = case
    first, second = (simnet.simulate(net, work).to_dict() for _ in range(2))
    assert first == second


@given(net_and_flows(), st.lists(st.floats(0, 2), max_size=5))
def test_strangers_on_the_clock_do_not_matter_to_the_bit(case, times):
    net, flows = case

    def stranger(env, fabric):
        for time in sorted(times):
            if time > env.now:
                yield env.at(time)
        yield env.timeout(0)

    alone = simnet.simulate(net, flows)
    beside = simnet.simulate(net, flows, processes=[stranger])
    assert beside.finish_times.tolist() == alone.finish_times.tolist()
