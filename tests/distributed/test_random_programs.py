"""Whatever a program does: threads, processes and a replay do it at the same instants, in the
same order within each."""

import random
import warnings

import pytest
from programs import STEPS, make_program

import simnet
import topologies
from simnet.workload.replay import ReplayWarning


def case(seed, steps=STEPS):
    """A program, its network, and how it is run."""
    rng = random.Random(seed)
    ranks = rng.choice([2, 3, 4])
    graph = rng.choice([topologies.star, topologies.ring])(ranks, bandwidth=1e6, latency=0.01)
    about = {"algorithm": rng.choice(["auto", "ring"]), "bucket": rng.choice([None, 4000])}
    if rng.random() < 0.4:
        about["poll_interval"] = 0.003  # as long as other things here
    if rng.random() < 0.4:
        about["compute"] = simnet.compute.Fixed("10ms", speed=[1, 2, 1, 0.5][:ranks])
    return (
        make_program(seed, ranks, steps),
        simnet.Network(graph),
        about | {"seed": seed, "quiet": True},
    )


TIMELY = ("look", "wait_a_while", "from_any", "busy_future")
"""Steps after which a program might do other things on another network."""


def check_replay(run, net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplayWarning)
        replayed = simnet.replay(run.trace, net)
    assert replayed.rank_times.tolist() == run.rank_times.tolist()
    assert replayed.spent.tolist() == run.spent.tolist()
    assert replayed.records == run.records
    assert replayed.trace.entries == run.trace.entries


@pytest.mark.parametrize("seed", range(60))
def test_a_replay_does_the_same(seed):
    train, net, about = case(seed)
    check_replay(simnet.run(train, net, **about), net)


@pytest.mark.parametrize("seed", range(200, 240))
def test_a_replay_elsewhere_does_what_the_run_does_there(seed):
    train, net, about = case(seed, [step for step in STEPS if step not in TIMELY])
    rng = random.Random(seed)
    graph = rng.choice([topologies.line, topologies.ring, topologies.fully_connected])
    bandwidth, latency = rng.choice([1e5, 1e6, 1e7]), rng.choice([0.001, 0.01, 0.05])
    other = simnet.Network(graph(net.num_ranks, bandwidth=bandwidth, latency=latency))
    run, there = (simnet.run(train, each, **about) for each in (net, other))
    replayed = simnet.replay(run.trace, other)
    assert replayed.rank_times.tolist() == there.rank_times.tolist()
    assert replayed.spent == pytest.approx(there.spent, abs=1e-12)
    assert replayed.records == there.records


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_threads_and_processes_do_the_same(seed):
    train, net, about = case(seed)
    threads = simnet.run(train, net, simnet.threads(net.num_ranks), **about)
    processes = simnet.run(train, net, simnet.processes(net.num_ranks), **about)
    assert processes.results == threads.results
    assert processes.rank_times.tolist() == threads.rank_times.tolist()
    assert processes.spent.tolist() == threads.spent.tolist()
    assert processes.records == threads.records
    assert processes.trace.entries == threads.trace.entries
