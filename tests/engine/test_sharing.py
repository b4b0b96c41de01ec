"""Many flows that share many links at once: where the kernel mends rates, the reference fills."""

import random

import networkx as nx
import numpy as np
import pytest

import simnet
import topologies

pytestmark = pytest.mark.skipif(simnet.kernel() != "kernel", reason="the kernel was not compiled")

CASES, CASES_A_TEST = 80, 10


def graph_of(rng):
    """A graph in which routes meet; its links alike, in steps, or over twelve orders."""
    latency = rng.choice([0.0, 1e-6, 1e-3])
    graphs = (
        lambda: topologies.fat_tree(4),
        lambda: topologies.star(rng.randrange(4, 20)),
        lambda: topologies.torus((3, 4)),
        lambda: topologies.line(rng.randrange(4, 10)),
        lambda: nx.connected_watts_strogatz_graph(12, 4, 0.4, seed=rng.randrange(1000)),
    )
    bandwidths = rng.choice(
        [
            lambda: 1e9,
            lambda: rng.choice([1e9, 2e9, 3e9]),
            lambda: 10 ** rng.uniform(6, 10),
            lambda: 10 ** rng.uniform(0, 12),
        ]
    )
    graph = rng.choice(graphs)()
    for _, _, edge in graph.edges(data=True):
        edge.update(bandwidth=bandwidths(), latency=latency)
    return graph


def flows_of(rng, hosts):
    """Flows between any hosts or few pairs, at once or one after the other, some alike."""
    draw = np.random.default_rng(rng.randrange(2**32))
    count = rng.choice([30, 100, 300])
    src, step = draw.integers(0, hosts, count), draw.integers(1, hosts, count)
    if rng.random() < 0.3:
        pick = draw.integers(0, rng.randrange(2, 8), count)
        src, step = src[pick], step[pick]
    size = rng.choice(
        [
            draw.integers(1, 10**6, count),
            draw.choice([10**6, 10**5], count),
            (10 ** draw.uniform(0, 12, count)).astype(np.int64),
        ]
    )
    start = draw.random(count) * rng.choice([0.0, 1e-4, 1e-2, 1.0])
    if rng.random() < 0.3:
        start = np.round(start, 5)
    return simnet.flows(src, (src + step) % hosts, size, start)


@pytest.mark.parametrize("first", range(0, CASES, CASES_A_TEST))
def test_equals_the_reference_where_everything_is_coupled(first):
    for seed in range(first, first + CASES_A_TEST):
        rng = random.Random(seed)
        net = simnet.Network(graph_of(rng), seed=seed)
        work = flows_of(rng, net.num_ranks)
        twin, ours = (
            simnet.simulate(net, work, engine=engine) for engine in ("reference", "kernel")
        )
        np.testing.assert_allclose(
            ours.finish_times, twin.finish_times, rtol=1e-9, err_msg=f"seed {seed}"
        )
        assert ours.link_bytes.tolist() == twin.link_bytes.tolist()


def test_where_it_was_stopped_does_not_matter():
    rng = random.Random(3)
    net = simnet.Network(topologies.fat_tree(4, bandwidth=1e9, latency=1e-6))
    work = flows_of(rng, net.num_ranks)

    def stranger(env, fabric):
        for _ in range(50):
            yield env.timeout(3.3e-6)

    once = simnet.simulate(net, work, engine="kernel").finish_times
    often = simnet.simulate(net, work, engine="kernel", processes=[stranger]).finish_times
    assert often.tolist() == once.tolist()


def test_many_that_go_their_own_pace():
    """More ends and beginnings ahead at a time than the agenda keeps as a heap."""
    rng = random.Random(7)
    graph = topologies.star(96, bandwidth=1e9, latency=1e-3)
    for _, _, edge in graph.edges(data=True):
        edge.update(bandwidth=10 ** rng.uniform(8, 9), latency=10 ** rng.uniform(-6, -2))
    net = simnet.Network(graph)
    flow = [(a, (a + step) % 96) for a in range(96) for step in (1, 2, 5)]
    src, dst = np.array(flow).T
    size = np.array([rng.randrange(1, 10**7) for _ in src])
    start = np.array([rng.choice([0.0, 10 ** rng.uniform(-6, -1)]) for _ in src])
    works = [
        simnet.flows(src, dst, size, start),
        simnet.collectives.all_reduce(10**7, algorithm="ring", ranks=range(0, 96, 6)),
    ]
    twin, ours = (simnet.simulate(net, *works, engine=engine) for engine in ("reference", "kernel"))
    for theirs, mine in zip(twin.works, ours.works, strict=True):
        np.testing.assert_allclose(mine.job.end, theirs.job.end, rtol=1e-9)
