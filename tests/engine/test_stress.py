"""The kernel where it is hardest: near-ties, twelve orders of magnitude, a million flows."""

import random

import networkx as nx
import numpy as np
import pytest
from fairness import assert_max_min, exact_rates

import simnet
import topologies
from simnet.collectives.collective import Flows
from simnet.engine import KernelModel
from simnet.engine.program import compile_flows
from simnet.transport import Ideal

pytestmark = pytest.mark.kernel

RTOL = 1e-9


def near(value, rng):
    """The value, or one that rounding might take for it."""
    ulps = rng.choice([0, 0, 1, -1, 2, 5])
    for _ in range(abs(ulps)):
        value = np.nextafter(value, np.inf * ulps)
    return float(abs(value) * (1 + rng.choice([0, 0, 1e-15, -1e-15, 1e-13, 1e-12, 1e-10, 1e-9])))


class Case:
    """Flows on the kernel, looked at on the way."""

    def __init__(self, net, flows):
        self.net, self.flows = net, flows
        self.program = compile_flows(flows, net.num_ranks)
        self.model = KernelModel(net, Ideal(), 0)
        self.job = self.model.post(self.program, 0.0)
        for rank in self.program.ranks:
            self.model.arrive(self.job, rank, 0.0)
        self.capacity = np.concatenate([net.links.bandwidth, net.reduce_bandwidth])

    def go_on(self, until=np.inf):
        """Carry out all instants up to and at `until`."""
        while (time := self.model.next_time()) <= min(until, 1e300):
            self.model.run(time, np.nextafter(until, np.inf))

    def assert_over(self):
        """Every flow has ended, none sooner than alone, and each link carried just its bytes."""
        assert self.job.done
        net, flows = self.net, self.flows
        routes = [net.route(*key) for key in zip(flows.src, flows.dst, flows.channel, strict=True)]
        links = np.concatenate(routes)
        flow = np.repeat(np.arange(len(flows)), [len(route) for route in routes])
        expected = np.zeros(net.num_links, dtype=np.int64)
        np.add.at(expected, links, flows.size[flow])
        assert self.model.carried(1e300).tolist() == expected.tolist()
        assert self.model.bytes_of(self.program).tolist() == expected.tolist()
        narrowest = np.full(len(flows), np.inf)
        np.minimum.at(narrowest, flow, net.links.bandwidth[links])
        latency = np.bincount(flow, weights=net.links.latency[links])
        alone = flows.start + latency + flows.size / narrowest
        assert (self.job.starts == flows.start).all()
        assert (self.job.ends >= alone * (1 - RTOL)).all()


def any_flows(rng, ranks, count, *, sizes, starts):
    src = [rng.randrange(ranks) for _ in range(count)]
    dst = [(rank + rng.randrange(1, ranks)) % ranks for rank in src]
    return simnet.flows(
        src, dst, [sizes(rng) for _ in range(count)], [starts(rng) for _ in range(count)]
    )


def near_tied(seed, count):
    """Bandwidths, starts and sizes that are nearly, but not always, the same."""
    rng = random.Random(seed)
    graph = nx.gnm_random_graph(rng.randrange(3, 7), rng.randrange(4, 12), seed=seed)
    nx.add_path(graph, range(len(graph)))
    level, size = 10 ** rng.uniform(0, 12), int(10 ** rng.uniform(1, 12))
    for _, _, edge in graph.edges(data=True):
        # A whole multiple of one level, so that links fill up at nearly the same.
        edge["bandwidth"] = near(level * rng.choice([1, 1, 2, 3]), rng)
        edge["latency"] = near(rng.choice([0.0, 1e-9, 1e-3, 1e3]), rng)
    flows = any_flows(
        rng,
        len(graph),
        count,
        sizes=lambda rng: size + rng.choice([0, 0, 0, 1, -1]),
        starts=lambda rng: near(rng.choice([0.0, size / level]), rng),
    )
    return simnet.Network(graph), flows


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_near_ties_as_in_the_reference(first):
    for seed in range(first, first + 50):
        net, flows = near_tied(seed, 40)
        ours, theirs = (
            simnet.simulate(net, flows, engine=engine) for engine in ("kernel", "reference")
        )
        np.testing.assert_allclose(
            ours.finish_times, theirs.finish_times, rtol=RTOL, err_msg=f"seed {seed}"
        )
        assert ours.link_bytes.tolist() == theirs.link_bytes.tolist()


@pytest.mark.parametrize("seed", range(40))
def test_rates_at_any_instant_are_those_of_exact_arithmetic(seed):
    rng = random.Random(seed)
    case = Case(*near_tied(seed, 12))
    known = np.unique(case.flows.start)
    while (time := case.model.next_time()) < np.inf:
        case.model.run(time, time + rng.choice([0.0, 0.0, 1e-9, known.max()]))
        found = case.model.rates()
        flows = [list(links) for links, count, _ in found for _ in range(count)]
        exact = [float(rate) for rate in exact_rates(flows, case.capacity)]
        rates = [rate for _, count, rate in found for _ in range(count)]
        np.testing.assert_allclose(rates, exact, rtol=RTOL)
    case.assert_over()


def test_levels_that_differ_by_one_ulp():
    """A hundred links of nearly one level, each with its own flow, and one flow over them all."""
    bandwidth, levels = 1e9, []
    for _ in range(100):
        levels.append(bandwidth)
        bandwidth = np.nextafter(bandwidth, np.inf)
    graph = nx.path_graph(101, create_using=nx.DiGraph)
    for (u, v), level in zip(list(graph.edges), levels, strict=True):
        graph.edges[u, v]["bandwidth"] = level
        graph.add_edge(v, u, bandwidth=1.0)
    hops = np.arange(100)
    flows = simnet.flows([*hops, 0], [*hops + 1, 100], 10**9)
    case = Case(simnet.Network(graph), flows)
    case.go_on(0.0)
    np.testing.assert_allclose([rate for *_, rate in case.model.rates()], 5e8, rtol=1e-12)
    case.go_on()
    case.assert_over()
    np.testing.assert_allclose(case.job.ends, 2.0, rtol=1e-12)


def over_all_orders(seed, count):
    """Bandwidths over 12 orders of magnitude, latencies of 1 ns to 1,000 s, up to 2**53 bytes."""
    rng = random.Random(seed)
    graph = nx.gnm_random_graph(10, 20, seed=seed)
    nx.add_path(graph, range(10))
    for _, _, edge in graph.edges(data=True):
        edge["bandwidth"] = 10 ** rng.uniform(0, 12)
        edge["latency"] = 10 ** rng.uniform(-9, 3)
    flows = any_flows(
        rng,
        10,
        count,
        sizes=lambda rng: rng.choice([0, 1, 2**53, int(10 ** rng.uniform(0, 15))]),
        starts=lambda rng: rng.choice([0.0, 1e-9, 1e3, rng.random()]),
    )
    return simnet.Network(graph), flows


@pytest.mark.parametrize("seed", range(20))
def test_all_orders_of_magnitude_in_one_network(seed):
    net, flows = over_all_orders(seed, 100)
    ours, theirs = (
        simnet.simulate(net, flows, engine=engine) for engine in ("kernel", "reference")
    )
    np.testing.assert_allclose(ours.finish_times, theirs.finish_times, rtol=RTOL)
    case = Case(net, flows)
    for until in np.quantile(theirs.finish_times, [0.1, 0.3, 0.5, 0.7, 0.9]):
        case.go_on(until)
        if found := case.model.rates():
            assert_max_min(found, case.capacity)
    case.go_on()
    case.assert_over()
    np.testing.assert_allclose(case.job.ends, theirs.finish_times, rtol=RTOL)


def test_nothing_and_an_exbibyte_between_them():
    net = simnet.Network(topologies.star(3, bandwidth=2.0**30, latency=2.0**-30))
    one, two = (np.array(values) for values in ([0, 0, 1], [2, 1, 2]))
    flows = Flows(
        src=one, dst=two, size=np.array([2**60, 0, 1]), start=np.zeros(3), channel=0 * one
    )
    case = Case(net, flows)
    case.go_on()
    case.assert_over()
    # Latency twice; then the third shares the way into rank 2 until its byte is there.
    after = 2.0**-29
    assert case.job.ends.tolist() == [after + 2.0**30 + 2.0**-30, after, after + 2.0**-29]


def test_flows_of_one_route_end_in_order_of_size():
    rng = np.random.default_rng(3)
    size = rng.permutation(np.repeat(np.arange(1, 5001), 2))
    net = simnet.Network(topologies.star(2, bandwidth=1e9, latency=1e-6))
    case = Case(net, simnet.flows(0, 1, size))
    case.go_on()
    case.assert_over()
    ends = case.job.ends[np.argsort(size, kind="stable")]
    assert (np.diff(ends[::2]) > 0).all()
    assert (ends[::2] == ends[1::2]).all()
    # The last has waited for all: the link was never idle.
    assert ends.max() == pytest.approx(2e-6 + size.sum() / 1e9, rel=1e-12)


def random_traffic(count, load, seed):
    """Poisson arrivals of unequal flows between the 128 hosts of a fat-tree."""
    rng = np.random.default_rng(seed)
    net = simnet.Network(topologies.fat_tree(8, bandwidth=1.25e9, latency=5e-6))
    src = rng.integers(0, 128, count)
    dst = (src + rng.integers(1, 128, count)) % 128
    size = np.maximum(rng.exponential(1e6, count), 1).astype(np.int64)
    start = np.cumsum(rng.exponential(1e6 / (load * 1.25e9 * 128), count))
    return net, simnet.flows(src, dst, size, start)


def look_on(case, instants):
    """Run to each instant: rates are fair, bytes only grow, and no faster than links allow."""
    before, carried = 0.0, np.zeros(case.net.num_links, dtype=np.int64)
    for until in instants:
        case.go_on(until)
        found = case.model.rates()
        if found:
            assert_max_min(found, case.capacity)
        more = case.model.carried(until) - carried
        # Each flow under way is counted in whole bytes.
        active = sum(count for _, count, _ in found)
        assert (more >= 0).all()
        assert (more <= case.net.links.bandwidth * (until - before) * (1 + RTOL) + active).all()
        before, carried = until, carried + more
    case.go_on()
    case.assert_over()


@pytest.mark.parametrize("load", [0.25, 0.6])
def test_thousands_of_flows_looked_at_on_the_way(load):
    net, flows = random_traffic(10_000, load, 7)
    case = Case(net, flows)
    look_on(case, np.random.default_rng(1).uniform(0, flows.start[-1], 20).cumsum() / 20)


@pytest.mark.slow
def test_a_million_flows():
    net, flows = random_traffic(1_000_000, 0.25, 11)
    case = Case(net, flows)
    look_on(case, np.linspace(0, flows.start[-1], 20)[1:])
