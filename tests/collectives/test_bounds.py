"""Lower bounds against numbers worked out by hand and against the definition of a cut.

That no simulated time is below its bound is a property of the engine's tests.
"""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet import collectives
from simnet.collectives import Collective, bounds
from simnet.collectives.bounds import lower_bound
from simnet.collectives.cost import ALWAYS, FORMS, closed_form
from simnet.collectives.layout import block_sizes, held_after, held_before
from simnet.network import Network

RATE, LATENCY = 1e9, 1e-3
CLOSE = 1e-12


def star(num_ranks, *, rates=None, **host):
    """Hosts around one switch: two cables of half a LATENCY between any two."""
    graph = nx.Graph()
    for rank in range(num_ranks):
        graph.add_node(rank, **host)
    graph.add_node("s", kind="switch")
    for rank in range(num_ranks):
        rate = RATE if rates is None else rates[rank]
        graph.add_edge(rank, "s", bandwidth=rate, latency=LATENCY / 2)
    return graph


def ring(num_ranks, **host):
    graph = nx.cycle_graph(num_ranks)
    nx.set_node_attributes(graph, {node: dict(host) for node in graph})
    nx.set_edge_attributes(graph, RATE, "bandwidth")
    nx.set_edge_attributes(graph, LATENCY, "latency")
    return graph


def leaves(*, uplink, jitter=0.0):
    """Two leaves of four hosts, joined by one spine."""
    graph = nx.Graph()
    graph.add_nodes_from(range(8))
    graph.add_nodes_from(["l0", "l1", "spine"], kind="switch")
    for rank in range(8):
        graph.add_edge(rank, f"l{rank // 4}", bandwidth=RATE, latency=LATENCY, jitter=jitter)
    for leaf in ("l0", "l1"):
        graph.add_edge(leaf, "spine", bandwidth=uplink, latency=LATENCY)
    return graph


def bound(graph, work):
    return lower_bound(work, Network(graph))


@pytest.mark.parametrize(
    ("work", "seconds", "binding"),
    [
        # All of N (N−1) / N … bytes over 8 cards; the first of them pays LATENCY.
        (collectives.all_reduce(8 * 10**9), 14.0, "all hosts send"),
        (collectives.reduce_scatter(8 * 10**9), 7.0, "host 0 sends"),
        (collectives.all_gather(8 * 10**9), 7.0, "all hosts send"),
        (collectives.all_to_all(8 * 10**9), 7.0, "host 0 sends"),
        (collectives.broadcast(8 * 10**9, root=3), 8.0, "host 3 sends"),
        (collectives.reduce(8 * 10**9, root=3), 8.0, "host 0 sends"),
        (collectives.gather(8 * 10**9, root=3), 7.0, "host 3 receives"),
        (collectives.scatter(8 * 10**9, root=3), 7.0, "host 3 sends"),
        (collectives.send(10**9, src=2, dst=5), 1.0, "host 2 sends"),
        (collectives.permutation(10**9, [1, 0, 2, 3, 4, 5, 7, 6]), 1.0, "host 0 sends"),
    ],
)
def test_star_by_hand(work, seconds, binding):
    found = bound(star(8), work)
    assert found.seconds == pytest.approx(seconds + LATENCY, rel=CLOSE)
    assert found.bandwidth == found.seconds
    assert found.latency == pytest.approx(LATENCY, rel=CLOSE)
    assert found.binding == binding


def test_ring_latency_is_the_longest_way_round():
    found = bound(ring(6), collectives.all_reduce(1))
    assert found.latency == pytest.approx(3 * LATENCY, rel=CLOSE)
    assert found.seconds == found.latency
    assert found.binding == "latency 0→3"
    found = bound(ring(6), collectives.gather(1, root=2))
    # The only byte is rank 5's block.
    assert found.seconds == pytest.approx(3 * LATENCY + 1 / RATE, abs=2 / RATE)
    assert found.latency == pytest.approx(3 * LATENCY, rel=CLOSE)
    found = bound(ring(6), collectives.reduce(6, root=2))
    assert found.binding == "latency 5→2"


def test_ring_has_two_cables_a_host():
    found = bound(ring(6), collectives.all_reduce(6 * 10**9))
    assert found.bandwidth == pytest.approx(2 * 5 * 6 / 12 + LATENCY, rel=CLOSE)
    # Two cables join the halves.
    assert found.bisection == pytest.approx(6 / 2 + LATENCY, rel=CLOSE)


def test_network_card_limits_all_cables_of_a_host():
    found = bound(ring(6, egress=0.5 * RATE), collectives.all_reduce(6 * 10**9))
    assert found.bandwidth == pytest.approx(2 * 5 * 6 / (6 * 0.5) + LATENCY, rel=CLOSE)
    assert found.binding == "all hosts send"
    # The halves share four cards at their rims, but only two cables.
    assert found.bisection == pytest.approx(6 / 1 + LATENCY, rel=CLOSE)
    found = bound(star(4, ingress=0.25 * RATE), collectives.all_reduce(10**9))
    assert found.binding == "all hosts receive"
    assert found.seconds == pytest.approx(2 * 3 / 1 + LATENCY, rel=CLOSE)
    assert found.bisection == pytest.approx(1 / 0.5 + LATENCY, rel=CLOSE)


def test_slowest_host_binds():
    rates = [RATE, RATE, RATE / 10, RATE]
    found = bound(star(4, rates=rates), collectives.all_reduce(10**9))
    assert found.binding == "host 2 sends"
    assert found.seconds == pytest.approx(10 + LATENCY, rel=CLOSE)


def test_oversubscribed_leaves_bind_at_the_uplink():
    # Each of 4 ranks has 4 blocks of 1e9 bytes for the other leaf.
    found = bound(leaves(uplink=RATE), collectives.all_to_all(8 * 10**9))
    assert found.seconds == pytest.approx(16 + 4 * LATENCY, rel=CLOSE)
    assert found.bisection == found.seconds
    assert found.binding == "bisection between ranks 0–3 and 4–7"
    found = bound(leaves(uplink=RATE / 100), collectives.all_reduce(10**9))
    assert found.binding == "bisection between ranks 0–3 and 4–7"
    assert found.seconds == pytest.approx(100 + 4 * LATENCY, rel=CLOSE)


def test_leaves_are_cut_whatever_the_order_of_ranks():
    work = collectives.all_reduce(10**9, ranks=[0, 4, 1, 5, 2, 6])
    found = bound(leaves(uplink=RATE / 100), work)
    assert found.seconds == pytest.approx(100 + 4 * LATENCY, rel=CLOSE)
    assert found.binding == "bisection between ranks 0–2 and 4–6"


def test_islands_are_cut():
    graph = star(6)
    for rank in range(6):
        graph.nodes[rank]["island"] = "ab"[rank in (1, 3)]
    works = bounds._cuts(Network(graph), tuple(range(6)))
    assert [np.flatnonzero(side).tolist() for side in works] == [[0, 1, 2], [0, 2, 4, 5]]


def test_jitter_may_shorten_every_cable():
    found = bound(leaves(uplink=RATE, jitter=LATENCY / 4), collectives.barrier())
    assert found.seconds == pytest.approx(2 * 0.75 * LATENCY + 2 * LATENCY, rel=CLOSE)
    found = bound(leaves(uplink=RATE, jitter=5 * LATENCY), collectives.barrier())
    assert found.seconds == pytest.approx(2 * LATENCY, rel=CLOSE)


def test_overhead_is_paid_by_the_sender():
    graph = star(4)
    graph.nodes[1]["overhead"] = 5 * LATENCY
    found = bound(graph, collectives.barrier())
    assert (found.seconds, found.binding) == (6 * LATENCY, "latency 1→0")
    found = bound(graph, collectives.broadcast(10**9, root=1))
    assert found.seconds == pytest.approx(1 + 6 * LATENCY, rel=CLOSE)
    found = bound(graph, collectives.broadcast(10**9, root=0))
    assert found.seconds == pytest.approx(1 + LATENCY, rel=CLOSE)


def test_one_way_cables():
    graph = nx.DiGraph()
    graph.add_nodes_from(range(3))
    nx.add_cycle(graph, range(3), bandwidth=RATE, latency=LATENCY)
    found = bound(graph, collectives.send(10**9, src=0, dst=2))
    assert found.latency == pytest.approx(2 * LATENCY, rel=CLOSE)
    assert bound(graph, collectives.send(10**9, src=2, dst=0)).latency == LATENCY


def test_parallel_cables_add_up():
    graph = nx.MultiGraph()
    graph.add_nodes_from([0, 1])
    for latency in (LATENCY, 2 * LATENCY):
        graph.add_edge(0, 1, bandwidth=RATE, latency=latency)
    found = bound(graph, collectives.send(2 * 10**9, src=0, dst=1))
    assert found.seconds == pytest.approx(1 + LATENCY, rel=CLOSE)


def test_sub_group_counts_its_own_hosts_only():
    rates = [RATE / 1000, RATE, RATE, RATE]
    work = collectives.all_reduce(10**9, ranks=[3, 1])
    found = bound(star(4, rates=rates), work)
    assert found.seconds == pytest.approx(1 + LATENCY, rel=CLOSE)
    assert found.binding == "host 3 sends"


def test_uneven_splits():
    splits = [[5, 10**9, 0], [0, 5, 0], [0, 2 * 10**9, 5]]
    found = bound(star(3), collectives.all_to_all(splits=splits))
    assert found.seconds == pytest.approx(3 + LATENCY, rel=CLOSE)
    assert found.binding == "host 1 receives"


@pytest.mark.parametrize(
    "work",
    [
        collectives.all_reduce(0),
        collectives.broadcast(0),
        collectives.all_to_all(0),
        collectives.all_reduce(10, ranks=[2]),
        collectives.barrier(ranks=[1]),
        collectives.permutation(10, [0, 1, 2, 3]),
        # The only block that is not empty is the root's.
        collectives.gather(1, root=3),
    ],
)
def test_nothing_to_move_takes_no_time(work):
    found = bound(star(4), work)
    assert (found.seconds, found.latency, found.bandwidth, found.bisection) == (0, 0, 0, 0)
    assert found.binding == "nothing to move"


def test_arrivals_change_nothing():
    late = collectives.all_reduce(10**6, arrivals=[0.0, 1.0, 5.0, 2.0])
    assert bound(star(4), late) == bound(star(4), collectives.all_reduce(10**6))


def test_large_graphs_are_sampled_and_still_bound(monkeypatch):
    exact = bound(ring(24), collectives.all_reduce(10**9))
    monkeypatch.setattr(bounds, "LATENCY_BUDGET", 1)
    monkeypatch.setattr(bounds, "CUT_BUDGET", 1)
    found = bound(ring(24), collectives.all_reduce(10**9))
    assert found.latency == exact.latency == pytest.approx(12 * LATENCY)
    assert found.bisection == 0 < exact.bisection
    assert found.seconds <= exact.seconds


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (collectives.all_reduce(8, ranks=[0, 4]), "rank 4 is not in the network"),
        (collectives.broadcast(8, root=4), "root 4 is not a rank of a group of 4"),
        (collectives.all_reduce(8, arrivals=[0.0] * 5), "arrivals has 5 entries"),
    ],
)
def test_what_does_not_fit_the_network_is_one_clear_line(work, message):
    with pytest.raises(ValueError, match=message) as caught:
        bound(star(4), work)
    assert "\n" not in str(caught.value)


KINDS = [kind for kind in collectives.KINDS if kind not in ("send", "permutation")]


@st.composite
def works(draw):
    """(collective, number of ranks)."""
    num_ranks = draw(st.integers(2, 6))
    kind = draw(st.sampled_from(KINDS))
    size = 0 if kind == "barrier" else draw(st.integers(0, 40))
    root = draw(st.integers(0, num_ranks - 1))
    rooted = kind in ("broadcast", "reduce", "gather", "scatter")
    return Collective(kind=kind, size=size, root=root if rooted else 0), num_ranks


def must_cross(work, num_ranks, inside):
    """Bytes of the blocks that someone outside wants and only the inside can help with."""
    sizes, repeats = block_sizes(work, num_ranks)
    total = 0
    for block, size in enumerate(np.tile(sizes, repeats).tolist()):
        held = [held_before(work, num_ranks, rank, block) for rank in range(num_ranks)]
        outside = [rank for rank in range(num_ranks) if not inside[rank]]
        there = 0
        for rank in outside:
            there |= held[rank]
        wanted = [held_after(work, num_ranks, rank, block) or 0 for rank in outside]
        total += size * any(want & ~there for want in wanted)
    return total


@given(works(), st.data())
def test_what_crosses_a_cut_follows_from_the_conditions(case, data):
    work, num_ranks = case
    demand = bounds._demand(work, num_ranks)
    flags = st.lists(st.booleans(), min_size=num_ranks, max_size=num_ranks)
    inside = np.array(data.draw(flags))
    if inside.any() and not inside.all():
        assert demand.crossing(inside) == must_cross(work, num_ranks, inside)
    for rank in range(num_ranks):
        alone = np.arange(num_ranks) == rank
        assert demand.send[rank] == must_cross(work, num_ranks, alone)
        assert demand.receive[rank] == must_cross(work, num_ranks, ~alone)
    assert demand.total >= max(demand.send.sum(), demand.receive.sum())


UNIFORM = sorted(name for name, form in FORMS.items() if form.exact == ALWAYS)


@given(st.sampled_from(UNIFORM), st.integers(1, 9), st.integers(0, 10**7))
def test_no_exact_time_on_a_star_is_below_its_bound(name, num_ranks, size):
    kind, algorithm = name
    if kind in ("send", "permutation"):
        return
    work = Collective(kind=kind, size=0 if kind == "barrier" else size)
    seconds = closed_form(kind, algorithm, num_ranks, work.size, alpha=LATENCY, beta=1 / RATE)
    assert bound(star(num_ranks), work).seconds <= seconds * (1 + 1e-9)


@given(
    st.sampled_from(["all_reduce", "reduce_scatter", "all_gather", "all_to_all"]),
    st.lists(st.floats(1e3, 1e9), min_size=2, max_size=7),
    st.integers(1, 10**6),
)
def test_busbw_at_the_bound_is_at_most_the_mean_outgoing_bandwidth(kind, rates, blocks):
    num_ranks = len(rates)
    size = blocks * num_ranks
    factor = (2 if kind == "all_reduce" else 1) * (num_ranks - 1) / num_ranks
    found = bound(star(num_ranks, rates=rates), Collective(kind=kind, size=size))
    assert size / found.seconds * factor <= math.fsum(rates) / num_ranks * (1 + 1e-9)
