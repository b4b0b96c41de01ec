"""What would end later than any number of seconds is an error that names it, in any engine."""

import networkx as nx
import numpy as np
import pytest

import simnet
from simnet import collectives
from simnet.engine import models

ENGINES = models.ENGINES if models.kernel() == "kernel" else ("auto", "reference")


def line(bandwidth=1.0, latency=0.0):
    """Three ranks: 0 — 1 as given, 1 — 2 of 1 byte/s."""
    graph = nx.Graph()
    graph.add_edge(0, 1, bandwidth=bandwidth, latency=latency)
    graph.add_edge(1, 2, bandwidth=1.0, latency=0.0)
    return simnet.Network(graph)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, 100])
def test_a_flow_that_never_ends(engine, count):
    """The last of `count` that end, one that does not, and one that comes after it."""
    src, dst = [1] * count + [0, 1], [2] * count + [1, 2]
    work = simnet.flows(src, dst, [1] * count + [10**15, 1], [0.0] * (count + 1) + [5.0])
    named = (
        rf"^transfer {count}: {10**15} bytes from rank 0 to rank 1 after 0\.0 s, at most "
        r"1e-300 bytes/s over 0→1: ends later than any number of seconds$"
    )
    with pytest.raises(ValueError, match=named):
        simnet.simulate(line(1e-300), work, engine=engine)
    with pytest.raises(ValueError, match=r"^scenario 1: ends later .* 1e-300 bytes/s over 0→1 and"):
        simnet.simulate_many(line(), work, {"bandwidth": [[1.0] * 4, [1e-300, *[1.0] * 3]]})


@pytest.mark.parametrize("engine", ENGINES)
def test_a_latency_that_never_ends(engine):
    work = simnet.flows([0] * 70, [1] * 70, 1, 1.7e308)
    with pytest.raises(ValueError, match=r"^transfer 0: 1 bytes .* after 1\.7e\+308 s"):
        simnet.simulate(line(latency=1.7e308), work, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("algorithm", ["ring", "direct"])
def test_a_collective_that_never_ends(engine, algorithm):
    graph = nx.complete_graph(4)
    nx.set_edge_attributes(graph, 1e-300, "bandwidth")
    work = collectives.all_gather("1GB", algorithm=algorithm)
    with pytest.raises(ValueError, match=r"^transfer \d+: 250000000 bytes from rank"):
        simnet.simulate(simnet.Network(graph), work, engine=engine)


def test_what_ends_is_told_though_another_does_not():
    def process(env, fabric):
        yield fabric.send(1, 2, 7)
        return env.now

    result = simnet.simulate(
        line(1e-300), simnet.flows(0, 1, 10**15), processes=[process], until=10.0
    )
    never, told = (work.job.ends for work in result.works)
    assert np.isnan(never).all()
    assert told.tolist() == [7.0]


def test_nothing_arrives_at_infinity():
    with pytest.raises(ValueError, match="rank 0 arrives at inf s"):
        simnet.simulate(line(), processes=[_arrives_never])


def _arrives_never(env, fabric):
    fabric.post(collectives.barrier()).arrive(0, float("inf"))
    yield env.timeout(1.0)
