"""Plans and estimates: exact where steps are taken together, sensible choices, clear refusals."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import topologies
from simnet import collectives
from simnet.collectives import Collective, Schedule, bounds, build, choose
from simnet.collectives.choose import estimate, plan
from simnet.collectives.cost import ALWAYS, FORMS, closed_form
from simnet.collectives.rings import ring as ring_algorithm
from simnet.network import Network

RATE, LATENCY = 1e9, 1e-3
CLOSE = 1e-12


def conditions(graph, **host):
    nx.set_node_attributes(graph, {node: dict(host) for node in graph})
    nx.set_edge_attributes(graph, RATE, "bandwidth")
    nx.set_edge_attributes(graph, LATENCY, "latency")
    return graph


def star_net(num_ranks, **host):
    graph = conditions(nx.empty_graph(num_ranks), **host)
    graph.add_node("s", kind="switch")
    for rank in range(num_ranks):
        graph.add_edge(rank, "s", bandwidth=RATE, latency=LATENCY / 2)
    return Network(graph)


def ring_net(num_ranks, **host):
    return Network(conditions(nx.cycle_graph(num_ranks), **host))


def pods_net(*, slow=1000.0):
    """Four pods of four hosts on a fast switch each, joined by slow cables; ranks are mixed."""
    graph = nx.Graph()
    for rank in range(16):
        graph.add_node(rank, island=(rank + rank // 4) % 4)
    graph.add_nodes_from(["s0", "s1", "s2", "s3", "core"], kind="switch")
    for rank in range(16):
        graph.add_edge(rank, f"s{(rank + rank // 4) % 4}", bandwidth=RATE, latency=1e-6)
    for pod in range(4):
        graph.add_edge(f"s{pod}", "core", bandwidth=RATE / slow, latency=LATENCY)
    return Network(graph)


def grid_net(*dims):
    graph = nx.convert_node_labels_to_integers(nx.grid_graph(dims[::-1], periodic=True))
    conditions(graph)
    graph.graph["dims"] = dims
    return Network(graph)


ESTIMATED = sorted(
    name
    for name, form in FORMS.items()
    if form.exact == ALWAYS and name[0] not in ("send", "permutation")
)


@given(st.sampled_from(ESTIMATED), st.integers(1, 9), st.integers(0, 10**7))
def test_estimates_equal_the_closed_forms_on_a_star(name, num_ranks, blocks):
    kind, algorithm = name
    size = 0 if kind == "barrier" else blocks * num_ranks
    net = star_net(num_ranks, reduce_bandwidth=4 * RATE, overhead=LATENCY)
    schedule = build(Collective(kind=kind, size=size), num_ranks, algorithm)
    expected = closed_form(
        kind, algorithm, num_ranks, size, alpha=2 * LATENCY, beta=1 / RATE, gamma=0.25 / RATE
    )
    assert estimate(schedule, net) == pytest.approx(expected, rel=1e-9)


def test_segments_of_a_chain_queue_on_their_connection():
    schedule = build(collectives.broadcast(12 * 10**6, segment=10**6), 5, "chain")
    expected = (5 - 2 + 12) * (LATENCY + 10**6 / RATE)
    assert estimate(schedule, star_net(5)) == pytest.approx(expected, rel=CLOSE)
    twice = build(collectives.broadcast(12 * 10**6, segment=10**6, in_flight=2), 5, "chain")
    assert estimate(twice, star_net(5)) < expected


def test_shared_links_slow_an_estimate_down():
    # Halves of a ring swap over 4 hops: every cable of a way carries 4 messages.
    work = collectives.permutation(10**9, [(rank + 4) % 8 for rank in range(8)])
    net = ring_net(8)
    schedule = build(work, 8, "direct")
    load = np.zeros(net.num_links)
    for rank in range(8):
        load[net.route(rank, (rank + 4) % 8)] += 1
    expected = 4 * LATENCY + load.max() * 10**9 / RATE
    assert estimate(schedule, net) == pytest.approx(expected, rel=CLOSE)
    assert load.max() > 1


def test_a_slow_host_slows_every_step_of_a_ring():
    graph = star_net(4).graph.copy()
    graph.edges[2, "s"]["bandwidth"] = RATE / 10
    schedule = build(collectives.all_reduce(4 * 10**9), 4, "ring")
    assert estimate(schedule, Network(graph)) == pytest.approx(6 * (LATENCY + 10), rel=CLOSE)


def test_latency_decides_small_sizes_and_bandwidth_large_ones():
    net = ring_net(8)
    small = plan(collectives.all_reduce(8), net)
    assert small.algorithm == "recursive_doubling"
    # Partners at distance 1, 2 and 4.
    assert small.estimate == pytest.approx(7 * LATENCY, rel=1e-3)
    large = plan(collectives.all_reduce(8 * 10**9), net)
    assert large.algorithm == "bidirectional_ring"
    assert large.estimate == pytest.approx(14 * (LATENCY + 0.5), rel=CLOSE)
    assert large.candidates["ring"] == pytest.approx(14 * (LATENCY + 1.0), rel=CLOSE)


def test_a_plan_says_what_it_compared():
    found = plan(collectives.all_reduce(10**6), star_net(8))
    assert set(found.candidates) == set(collectives.algorithms("all_reduce")) - {
        "hierarchical",
        "torus",
    }
    assert found.estimate == found.candidates[found.algorithm] == min(found.candidates.values())
    second = sorted(found.candidates.values())[1]
    assert found.reason.startswith(f"auto: {found.algorithm} estimated ")
    runner_up = found.reason.split(", next ")[1].split()[0]
    assert found.candidates[runner_up] == second
    assert found.schedule.algorithm == found.algorithm
    with pytest.raises(TypeError):
        found.candidates["ring"] = 0.0


def test_the_first_of_equals_wins():
    # One block each way between two ranks: ring, recursive and direct are the same.
    found = plan(collectives.all_gather(10**6), star_net(2))
    assert found.algorithm == "ring"


def test_islands_come_from_the_network():
    found = plan(collectives.all_reduce(16 * 10**6), pods_net())
    assert found.algorithm == "hierarchical"
    assert found.candidates["hierarchical"] < 0.5 * found.candidates["ring"]
    named = plan(collectives.all_reduce(1600, algorithm="hierarchical"), pods_net())
    assert named.schedule.collective.options["islands"] == [
        [0, 7, 10, 13],
        [1, 4, 11, 14],
        [2, 5, 8, 15],
        [3, 6, 9, 12],
    ]
    named.schedule.verify()
    assert (named.estimate, dict(named.candidates)) == (None, {})


def test_islands_of_a_sub_group_are_positions_in_it():
    work = collectives.all_reduce(1600, algorithm="hierarchical", ranks=[9, 4, 11, 3])
    found = plan(work, pods_net())
    assert found.schedule.collective.options["islands"] == [[1, 2], [3, 0]]
    found.schedule.verify()


def test_islands_that_change_nothing_are_no_candidate():
    for ranks in ([0, 7, 10], [0, 1, 2]):
        found = plan(collectives.all_reduce(1600, ranks=ranks), pods_net())
        assert "hierarchical" not in found.candidates


def test_dims_come_from_the_network():
    found = plan(collectives.all_reduce(10**3), grid_net(3, 4))
    assert "torus" in found.candidates
    named = plan(collectives.all_reduce(1200, algorithm="torus"), grid_net(3, 4))
    assert named.schedule.collective.options["dims"] == (3, 4)
    # Rings along neighbours: 2 (3 − 1) steps of a third, 2 (4 − 1) of a twelfth.
    work = collectives.all_reduce(12 * 10**8, algorithm="torus")
    expected = 4 * (LATENCY + 0.4) + 6 * (LATENCY + 0.1)
    seconds = estimate(plan(work, grid_net(3, 4)).schedule, grid_net(3, 4))
    assert seconds == pytest.approx(expected, rel=CLOSE)


def test_options_reach_the_algorithm_they_are_for():
    work = collectives.all_reduce(1200, dims=(2, 4))
    found = plan(work, star_net(8))
    assert "torus" in found.candidates
    work = collectives.all_reduce(1200, algorithm="torus", dims=(2, 2), ranks=[0, 1, 4, 5])
    assert plan(work, grid_net(3, 4)).schedule.collective.options["dims"] == (2, 2)
    work = collectives.broadcast(10**6, algorithm="binomial", concurrent=True)
    assert plan(work, star_net(4)).schedule.collective.options == {"concurrent": True}


def test_a_sub_group_is_where_its_ranks_are():
    graph = star_net(6).graph.copy()
    graph.edges[1, "s"]["bandwidth"] = RATE / 10
    net = Network(graph)
    slow = plan(collectives.broadcast(10**9, ranks=[0, 1]), net)
    fast = plan(collectives.broadcast(10**9, ranks=[0, 4]), net)
    assert (slow.schedule.num_ranks, fast.schedule.num_ranks) == (2, 2)
    assert slow.estimate == pytest.approx(10 + LATENCY, rel=CLOSE)
    assert fast.estimate == pytest.approx(1 + LATENCY, rel=CLOSE)


def test_one_candidate_or_one_rank_needs_no_estimate():
    assert plan(collectives.barrier(), star_net(4)).reason == "auto: the only algorithm here"
    found = plan(collectives.all_reduce(100), star_net(1))
    assert found.reason == "auto: one rank, nothing to send"
    assert found.schedule.num_transfers == 0


def test_a_function_of_your_own():
    calls = []

    def mine(collective: Collective, num_ranks: int) -> Schedule:
        calls.append(num_ranks)
        return ring_algorithm(collective, num_ranks)

    found = plan(collectives.all_reduce(100, algorithm=mine, ranks=[2, 0, 1]), star_net(4))
    assert calls == [3]
    assert found.reason == "a function was given"
    found.schedule.verify()


def test_big_schedules_are_estimated_by_closed_forms(monkeypatch):
    net, size = star_net(8), 8 * 10**7
    walked = plan(collectives.all_reduce(size), net)
    monkeypatch.setattr(choose, "MAX_TRANSFERS", 0)
    formed = plan(collectives.all_reduce(size), net)
    assert set(formed.candidates) == set(walked.candidates)
    for name, seconds in walked.candidates.items():
        assert formed.candidates[name] == pytest.approx(seconds, rel=1e-6), name
    monkeypatch.setattr(choose, "MAX_TRANSFERS", 10**6)
    monkeypatch.setattr(choose, "ROUTE_WORK", 0)
    assert plan(collectives.all_reduce(size), net).candidates == formed.candidates


def test_closed_forms_take_options_and_all_cables_of_a_host(monkeypatch):
    monkeypatch.setattr(choose, "MAX_TRANSFERS", 0)
    work = collectives.all_reduce(1200, dims=(2, 4), islands=[[0, 1, 2, 3], [4, 5, 6, 7]])
    found = plan(work, star_net(8, reduce_bandwidth=RATE))
    costs = {"alpha": LATENCY, "beta": 1 / RATE, "gamma": 1 / RATE}
    for name, options in (("torus", {"dims": (2, 4)}), ("hierarchical", {"islands": [4, 4]})):
        expected = closed_form("all_reduce", name, 8, 1200, **costs, **options)
        assert found.candidates[name] == pytest.approx(expected, rel=CLOSE)
    full = Network(conditions(nx.complete_graph(8)))
    direct = plan(collectives.all_to_all(8 * 10**9), full)
    assert direct.candidates["direct"] == pytest.approx(1 + LATENCY, rel=CLOSE)


def test_closed_forms_are_not_below_the_bound(monkeypatch):
    monkeypatch.setattr(choose, "MAX_TRANSFERS", 0)
    net = ring_net(12)
    found = plan(collectives.all_to_all(12 * 10**9), net)
    # 36 blocks of 1e9 bytes cross from half to half, over two cables.
    assert bounds.lower_bound(collectives.all_to_all(12 * 10**9), net).bisection > 18
    assert min(found.candidates.values()) > 18
    reduced = plan(collectives.all_reduce(12 * 10**9), net)
    assert reduced.candidates["direct"] > 36
    assert reduced.algorithm in ("ring", "bidirectional_ring")


def test_too_small_a_segment_drops_what_cannot_take_it():
    found = plan(collectives.all_to_all(10**3, segment=3), star_net(8))
    assert set(found.candidates) == {"direct", "pairwise"}


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (collectives.all_reduce(8, ranks=[0, 7]), "rank 7 is not in the network"),
        (collectives.all_reduce(8, ranks=range(5)), "rank 4 is not in the network"),
        (collectives.broadcast(8, root=4), "root 4 is not a rank of a group of 4"),
        (collectives.send(8, src=0, dst=4), "receiver 4 is not a rank"),
        (collectives.all_reduce(8, arrivals=[0.0, 1.0]), "arrivals has 2 entries"),
        (collectives.all_reduce(8, algorithm="hierarchical"), "no attribute 'island'"),
        (collectives.all_reduce(8, algorithm="torus"), "tells no dims"),
        (collectives.all_reduce(8, algorithm="torus", dims=(3, 2)), "hold 6 ranks"),
        (collectives.all_reduce(8, dims=(3, 2)), "hold 6 ranks"),
        (collectives.all_reduce(8, algorithm="hierarchical", islands=[[0, 1]]), "exactly once"),
    ],
)
def test_misuse_is_one_clear_line(work, message):
    with pytest.raises(ValueError, match=message) as caught:
        plan(work, star_net(4))
    assert "\n" not in str(caught.value)


def test_a_torus_over_some_ranks_needs_dims():
    work = collectives.all_reduce(8, algorithm="torus", ranks=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="give dims="):
        plan(work, grid_net(3, 4))
    assert "torus" not in plan(collectives.all_reduce(8, ranks=[0, 1]), grid_net(3, 4)).candidates


def test_a_function_must_return_a_schedule():
    work = collectives.all_reduce(8, algorithm=lambda collective, num_ranks: None)
    with pytest.raises(TypeError, match="instead of a Schedule"):
        plan(work, star_net(4))


def test_auto_leaves_out_what_has_no_route():
    graph = topologies.ring(4, bandwidth=1e9, latency=1e-6)
    net = Network(graph, forward=False)
    assert plan(collectives.all_reduce("1MB"), net).algorithm in (
        "ring",
        "bidirectional_ring",
    )
    with pytest.raises(ValueError, match="no algorithm can run here: no route"):
        plan(collectives.all_to_all("1MB", ranks=[0, 2]), net)


# One rank for all


@pytest.mark.parametrize("net", [star_net(8), ring_net(8), grid_net(2, 4)], ids=repr)
def test_estimates_by_one_rank_are_those_of_all(net):
    alike = 0
    for kind, names in FORMS:
        if kind in ("send", "permutation"):
            continue
        options = {
            "torus": {"dims": (2, 4)},
            "hierarchical": {"islands": [[0, 1, 2, 3], [4, 5, 6, 7]]},
        }
        for cut in ({}, {"channels": 2, "in_flight": 2}):
            cut = {} if kind == "barrier" else cut
            work = Collective(
                kind=kind,
                size=0 if kind == "barrier" else 2**16,
                algorithm=names,
                options=options.get(names, {}),
                **cut,
            )
            schedule = build(work, 8)
            alone = replace(schedule, representative=None)
            assert estimate(schedule, net) == pytest.approx(estimate(alone, net), rel=CLOSE)
            alike += schedule.representative is not None
    assert alike > 20
