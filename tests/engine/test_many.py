"""Many scenarios at once: each is what `simulate` finds in it, whoever worked it out."""

import re
import subprocess
import sys
import threading
import time
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from alone import alone_case
from border import columns, make_program
from cases import graphs, works
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
import topologies
from simnet import collectives, progress, scenarios
from simnet.engine import many
from simnet.engine.program import compile_flows

compiled = pytest.mark.skipif(simnet.kernel() != "kernel", reason="the kernel was not compiled")

CASES, CASES_A_TEST = 600, 100


def check(net, work, table, rtol=1e-12):
    """Every scenario against a simulation of its own; returns the result."""
    result = simnet.simulate_many(net, work, table)
    assert len(result) == len(result.time) == len(result.tier) == len(table)
    if result.plan is not None:
        schedule = result.plan.schedule
        work = replace(work, algorithm=lambda *_: schedule, options={})
    for scenario in range(len(table)):
        alone = simnet.simulate(table.network(net, scenario), work, engine="reference")
        mine = result.rank_times[scenario]
        np.testing.assert_allclose(mine, alone.rank_times, rtol=rtol, err_msg=f"{scenario}")
        np.testing.assert_allclose(result.time[scenario], alone.time, rtol=rtol)
    return result


@compiled
@pytest.mark.parametrize("first", range(0, CASES, CASES_A_TEST))
def test_each_scenario_is_a_simulation(first):
    tiers = set()
    for seed in range(first, first + CASES_A_TEST):
        net, work = alone_case(seed)
        try:
            found = check(net, work, scenarios.draw(net, 3, spread=0.5, seed=seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None
        tiers.update(found.tier.tolist())
    assert tiers == {"max-plus", "events"}


@given(st.data())
@settings(max_examples=50)
def test_any_work_on_any_graph(data):
    net = simnet.Network(data.draw(graphs()))
    work = data.draw(works(net.num_ranks))
    factors = st.lists(st.floats(0.01, 100.0), min_size=2, max_size=2)
    table = scenarios.scale(net, bandwidth=data.draw(factors), latency=data.draw(factors))
    check(net, work, table, rtol=1e-9)


def two_flows(net):
    """0 → 2 from 0 s on and 1 → 2 from 10 s on: they meet if the first takes longer."""
    return simnet.flows([0, 1], [2, 2], 1000, [0.0, 10.0])


@compiled
def test_scenarios_that_share_a_link_go_event_by_event():
    """1,000 B at 100 B/s are over when the second flow comes; at 80 B/s they are not.

    Then 200 B are left at 10 s, which drain at 40 B/s until 15 s, when 800 B of the second are
    left: it ends at 25 s.
    """
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    result = check(net, two_flows(net), scenarios.scale(net, bandwidth=[1.0, 0.8, 2.0]))
    assert result.tier.tolist() == ["max-plus", "events", "max-plus"]
    assert result.time.tolist() == [20.0, 25.0, 15.0]


@compiled
@pytest.mark.parametrize("algorithm", ["ring", "direct", "binomial"])
def test_the_number_of_threads_does_not_matter(algorithm, monkeypatch):
    monkeypatch.setattr(many, "SIDE_BY_SIDE", 10)
    net = simnet.Network(topologies.ring(5, bandwidth="1Gbit/s", latency="1ms"))
    work = collectives.all_reduce("1MB", algorithm=algorithm)
    table = scenarios.draw(net, 101, spread=0.5)
    alone = simnet.simulate_many(net, work, table, threads=1)
    for threads in (2, 3, 8):
        other = simnet.simulate_many(net, work, table, threads=threads)
        assert other.rank_times.tolist() == alone.rank_times.tolist()
        assert other.tier.tolist() == alone.tier.tolist()


@compiled
def test_a_scenario_does_not_depend_on_its_neighbours():
    """Whatever else is in the block, and wherever in it a scenario stands."""
    net = simnet.Network(topologies.star(6, bandwidth="1Gbit/s", latency="1ms"))
    work = collectives.all_reduce("1MB", algorithm="recursive_halving_doubling")
    table = scenarios.draw(net, 100, spread=0.9)
    whole = simnet.simulate_many(net, work, table)
    for scenario in (0, 31, 32, 99):
        one = scenarios.Scenarios(
            bandwidth=table.bandwidth[scenario : scenario + 1],
            latency=table.latency[scenario : scenario + 1],
        )
        single = simnet.simulate_many(net, work, one)
        assert single.rank_times.tolist() == whole.rank_times[scenario : scenario + 1].tolist()


@compiled
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_waits_for_no_more_than_the_blocks_under_way(threads, monkeypatch):
    monkeypatch.setattr(many, "BLOCK", 1)  # a scenario a block, with or without company
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    program = compile_flows(simnet.flows([0, 1], [2, 2], [100, 100]), 3)  # they share a link
    bandwidth = scenarios.draw(net, 1000, spread=0.1).bandwidth
    known = []

    def on_step(count):
        known.append(count)
        if count == 10:
            raise KeyboardInterrupt

    begun = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        many.work_out_many(
            net,
            program,
            np.zeros(len(program.ranks)),
            bandwidth,
            net.links.latency[None, :],
            threads=threads,
            on_step=on_step,
        )
    assert [count for count in known if count] == list(range(1, 11))
    assert threading.active_count() == begun


def test_what_has_not_begun_when_an_interrupt_comes_is_not_done():
    begun = []

    def work(first, last):
        begun.append(first)
        time.sleep(0.005)

    def interrupted():
        for done in many._shared(work, 1000, threads=2, most=1):
            if done == 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert 10 <= len(begun) < 1000


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_long_work_shows_how_far_it_is(engine, monkeypatch, capsys):
    if engine == "reference":
        monkeypatch.setattr("simnet.many.kernel", lambda: "reference")
    monkeypatch.setattr(progress, "FIRST_AFTER_S", 0.0)
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    work, table = two_flows(net), scenarios.scale(net, bandwidth=[1.0, 0.8])
    simnet.simulate_many(net, work, table, quiet=True)
    assert capsys.readouterr().err == ""
    simnet.simulate_many(net, work, table)
    assert re.match(r"simnet: \d of 2 scenarios, \d s\n", capsys.readouterr().err)


def test_without_the_kernel(monkeypatch):
    monkeypatch.setattr("simnet.many.kernel", lambda: "reference")
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    result = check(net, two_flows(net), scenarios.scale(net, bandwidth=[1.0, 0.8]))
    assert result.tier.tolist() == ["reference"] * 2


def test_what_is_drawn_is_drawn_as_in_a_simulation():
    graph = topologies.star(3, bandwidth=1e6, latency=1e-3)
    nx.set_edge_attributes(graph, 0.1, "loss")
    nx.set_edge_attributes(graph, 1e-4, "jitter")
    net = simnet.Network(graph)
    work = collectives.all_reduce("100kB", algorithm="ring")
    table = scenarios.draw(net, 4, spread=0.2)
    result = simnet.simulate_many(net, work, table, seed=7)
    assert result.transport == "retransmit"
    assert "max-plus" not in result.tier
    for scenario in range(4):
        alone = simnet.simulate(table.network(net, scenario), work, seed=7)
        np.testing.assert_allclose(result.rank_times[scenario], alone.rank_times, rtol=1e-9)


def test_a_group_and_its_arrivals():
    net = simnet.Network(topologies.star(4, bandwidth=100.0))
    work = collectives.broadcast(100, ranks=[3, 1], root=1, arrivals=[1.0, 2.0])
    result = check(net, work, scenarios.scale(net, bandwidth=[1.0, 0.5]))
    assert result.rank_times[:, [1, 3]].tolist() == [[3.0, 3.0], [4.0, 4.0]]
    assert np.isnan(result.rank_times[:, [0, 2]]).all()


def test_nothing_to_send():
    net = simnet.Network(topologies.star(2, bandwidth=100.0))
    table = scenarios.scale(net, latency=[1.0, 2.0])
    for work in (simnet.flows([], [], []), collectives.barrier(ranks=[0])):
        assert simnet.simulate_many(net, work, table).time.tolist() == [0.0, 0.0]


def test_what_the_result_says():
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    work = collectives.reduce(1000, root=2, algorithm="chain")
    result = simnet.simulate_many(net, work, scenarios.scale(net, bandwidth=[1.0, 0.5, 0.25]))
    assert result.time.tolist() == [20.0, 40.0, 80.0]
    assert result.algorithm == "chain"
    assert result.quantile(0.5) == 40.0
    assert result.quantile([0.0, 1.0]).tolist() == [20.0, 80.0]
    table = result.to_dataframe()
    assert table["time"].tolist() == [20.0, 40.0, 80.0]
    assert list(table) == ["time", "slowest_rank", "tier"]
    assert repr(result).startswith("<3 scenarios of reduce of 1 kB by chain: median 40 s, 5 to 95")
    for array in (result.time, result.rank_times, result.tier):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"net": nx.path_graph(3)}, TypeError, "a simnet.Network"),
        ({"work": 5}, TypeError, "work 5"),
        ({"work": [simnet.flows(0, 1, 1)]}, TypeError, "one simnet.collectives"),
        ({"scenarios": None}, TypeError, "scenarios=None"),
        ({"scenarios": {"jitter": [[0.0]]}}, ValueError, "'jitter'"),
        ({"scenarios": {"latency": [[0.0]]}}, ValueError, "1 links, but the network has 6"),
        ({"scenarios": {"latency": [[-1.0] * 6]}}, ValueError, r"latency\[0, 0\] = -1.0"),
        ({"threads": 0}, ValueError, "threads=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"transport": "tcp"}, ValueError, "transport='tcp'"),
    ],
    ids=repr,
)
def test_misuse_is_one_clear_line(changes, error, message):
    net = simnet.Network(topologies.star(3, bandwidth=100.0))
    given = {
        "net": net,
        "work": simnet.flows(0, 1, 1),
        "scenarios": scenarios.scale(net, latency=[1.0]),
    } | changes
    with pytest.raises(error, match=message) as caught:
        simnet.simulate_many(**given)
    assert "\n" not in str(caught.value)


def made(**changes):
    from simnet.engine._kernel import core

    one = np.array([0])
    columns = {
        "src": one,
        "dst": one + 1,
        "connection": one,
        "size": one + 5,
        "reduces": np.array([False]),
        "dep_offsets": np.array([0, 0]),
        "deps": np.empty(0, dtype=np.int64),
        "floor": np.zeros(1),
        "arrival": np.zeros(2),
        "route_offsets": np.array([0, 1]),
        "route_links": one,
        "overhead": np.zeros(1),
        "receiver": one + 1,
        "reduction": np.full(2, np.inf),
        "num_links": 1,
        "queues": True,
    } | changes
    return core.Many(*columns.values())


@compiled
@pytest.mark.parametrize(
    "changes",
    [
        {"src": np.array([2])},
        {"src": np.array([-1])},
        {"src": np.array([1])},
        {"src": np.array([0, 0])},
        {"connection": np.array([1])},
        {"connection": np.array([-1])},
        {"size": np.array([-5])},
        {"dep_offsets": np.array([0, 1])},
        {"dep_offsets": np.array([1, 0])},
        {"dep_offsets": np.array([0, 1]), "deps": np.array([0])},
        {"floor": np.array([np.nan])},
        {"floor": np.array([-1.0])},
        {"arrival": np.array([0.0, np.inf])},
        {"arrival": np.array([0.0])},
        {"route_offsets": np.array([0, 2])},
        {"route_offsets": np.array([0, 0])},
        {"route_offsets": np.array([1, 1])},
        {"route_links": np.array([1])},
        {"route_links": np.array([-1])},
        {"overhead": np.array([np.nan])},
        {"receiver": np.array([2])},
        {"receiver": np.array([-1])},
        {"num_links": -1},
        {"num_links": 0},
    ],
    ids=repr,
)
def test_malformed_plans_are_refused(changes):
    made()
    with pytest.raises(ValueError, match=r"\S"):
        made(**changes)


@compiled
def test_no_route_reaches_past_the_links():
    two = {"overhead": np.zeros(2), "receiver": np.array([1, 1]), "route_links": np.array([0, 0])}
    made(**two, route_offsets=np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="connection 0 has no route"):
        made(**two, route_offsets=np.array([0, 10**10, 2]))


@compiled
@pytest.mark.parametrize(
    "arguments",
    [
        (np.ones(3), np.zeros(1), 0, 2, np.zeros(4), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(3), 0, 2, np.zeros(4), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(1), 0, 3, np.zeros(4), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(1), 2, 1, np.zeros(4), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(1), -1, 1, np.zeros(4), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(1), 0, 2, np.zeros(3), np.zeros(2, dtype=np.bool_)),
        (np.ones(2), np.zeros(1), 0, 2, bytes(32), np.zeros(2, dtype=np.bool_)),
        (np.ones((2, 1)), np.zeros(1), 0, 2, np.zeros(4), np.zeros(2, dtype=np.bool_)),
    ],
)
def test_malformed_scenarios_are_refused(arguments):
    with pytest.raises(ValueError, match=r"\S"):
        made().run(*arguments)


def posted(**changes):
    """A plan of one transfer, and the program that the event loop takes for it."""
    from simnet.engine._kernel import core

    return made(), make_program(core, columns() | changes)


@compiled
def test_events_of_chosen_scenarios():
    plan, program = posted()
    left = np.zeros(6)
    plan.events(program, np.array([1.0, 5.0, 2.0]), np.zeros(1), np.array([2, 0]), left)
    assert left.tolist() == [5.0, 5.0, 0.0, 0.0, 2.5, 2.5]


@compiled
@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"connection": np.array([1]), "connections": 2}, {}),
        ({"ranks": np.array([0, 2]), "network_ranks": 3}, {}),
        ({"ranks": np.array([0, 1, 1])}, {}),
        ({}, {"program": None}),
        ({}, {"bandwidth": np.ones(3)}),
        ({}, {"latency": np.ones(3)}),
        ({}, {"bandwidth": np.zeros(2)}),
        ({}, {"latency": np.full(2, -1.0)}),
        ({}, {"scenarios": np.array([2])}),
        ({}, {"scenarios": np.array([-1])}),
        ({}, {"left": np.zeros(3)}),
        ({}, {"left": bytes(32)}),
    ],
    ids=repr,
)
def test_malformed_events_are_refused(changes, arguments):
    plan, program = posted(**changes)
    given = {
        "program": program,
        "bandwidth": np.ones(2),
        "latency": np.zeros(2),
        "scenarios": np.array([0, 1]),
        "left": np.zeros(4),
    } | arguments
    with pytest.raises(ValueError, match=r"\S"):
        plan.events(*given.values())


@compiled
@pytest.mark.skipif(sys.platform != "linux", reason="counts peak memory as Linux does")
def test_memory_does_not_grow_with_transfers_times_scenarios():
    """8,064 transfers in 3,000 scenarios are 190 MB a column; arguments and result are 8 MB."""
    program = """
import resource, simnet, topologies
net = simnet.Network(topologies.ring(64, bandwidth="1Gbit/s", latency="1ms"))
work = simnet.collectives.all_reduce("1MB", algorithm="ring")
peaks = []
for count in (10, 3000):
    table = simnet.scenarios.draw(net, count, spread=0.5)
    assert "events" not in simnet.simulate_many(net, work, table).tier
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64 * 1024  # KiB
