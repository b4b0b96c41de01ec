"""`simnet.study.compare`: every row is what `simulate` says, and the best one is the best."""

from dataclasses import replace

import networkx as nx
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.study.compare import (
    ALL,
    AS_GIVEN,
    AS_ISSUED,
    AUTO,
    PER_CABLE,
    PER_NIC,
    Comparison,
    Workload,
    compare,
    is_open,
)

SMALL = Workload(name="small", sizes=(1_000_000,))


def comparison(**changes):
    settings = {
        "workloads": (SMALL,),
        "topologies": {"ring": topologies.ring(4), "star": topologies.star(4)},
        "profiles": ("datacenter",),
        "make": collectives.all_reduce,
    }
    return Comparison(**(settings | changes))


def network(row, *, seed=0):
    graph = {"ring": topologies.ring(4), "star": topologies.star(4)}[row["topology"]]
    return simnet.Network(graph, profile=row["profile"], seed=seed, nic=row["reading"] == PER_NIC)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_row_is_what_simulate_says(seed):
    for row in compare(comparison(seed=seed)):
        work = collectives.all_reduce(1_000_000, algorithm=row["algorithm"])
        result = simnet.simulate(network(row, seed=seed), work, seed=seed)
        assert row["time"] == result.time
        assert row["algbw"] == result.algbw
        assert row["busbw"] == pytest.approx(result.busbw, rel=1e-14)
        assert row["bytes_on_wire"] == result.bytes_on_wire
        assert row["retransmitted_bytes"] == result.retransmitted_bytes
        assert row["bottleneck"] == result.bottleneck
        assert row["transport"] == result.transport == "retransmit"
        assert row["bound"] == result.bound.seconds
        assert row["binding"] == result.bound.binding


def test_every_cell_has_a_row_in_order():
    loads = (SMALL, Workload(name="other", sizes=(10, 20)))
    rows = compare(comparison(workloads=loads, profiles=("lan", "wan")))
    cells = [(row["model"], row["profile"], row["topology"], row["reading"]) for row in rows]
    assert cells == [
        (model, profile, topology, reading)
        for model in ("small", "other")
        for profile in ("lan", "wan")
        for topology in ("ring", "star")
        for reading in (PER_CABLE, PER_NIC)
    ]
    assert [row["size"] for row in rows] == [1_000_000] * 8 + [30] * 8
    assert [row["tensors"] for row in rows] == [1] * 8 + [2] * 8


def test_the_best_is_the_fastest_of_those_simulated():
    for row in compare(comparison()):
        assert len(row["tried"]) > 1
        assert set(row["simulated"]) <= set(row["tried"])
        assert row["time"] == min(row["simulated"].values())
        assert row["simulated"][row["algorithm"]] == row["time"]
        assert row["auto"] in row["simulated"]


def test_all_has_a_row_per_algorithm_and_none_beats_its_bound():
    rows = compare(comparison(algorithm=ALL, topologies={"ring": topologies.ring(4)}))
    per_cable = [row for row in rows if row["reading"] == PER_CABLE]
    applicable = set(collectives.algorithms("all_reduce")) - {"hierarchical", "torus"}
    assert {row["algorithm"] for row in per_cable} == applicable
    assert [row["time"] for row in per_cable] == sorted(row["time"] for row in per_cable)
    for row in rows:
        assert 0 < row["efficiency"] <= 1
        assert row["efficiency"] == row["bound"] / row["time"]


def test_no_more_is_on_the_wire_than_was_sent_and_sent_again():
    graph = topologies.ring(4)
    (row, _) = compare(comparison(topologies={"ring": graph}, algorithm="ring"))
    # 2 (N - 1) steps of S / N by each of N ranks, each over one cable, and what was lost.
    assert row["bytes_on_wire"] == 2 * 3 * 1_000_000 + row["retransmitted_bytes"]


def test_auto_and_a_name_are_simulated_alone():
    (auto,) = compare(comparison(algorithm=AUTO, profiles=(None,), topologies={"g": two_hosts()}))
    assert list(auto["simulated"]) == [auto["auto"]] == [auto["algorithm"]]
    rows = compare(comparison(algorithm="binomial"))
    assert {row["algorithm"] for row in rows} == {"binomial"}


def two_hosts(bandwidth=1e6, latency=0.5):
    graph = nx.Graph()
    graph.add_edge("a", "b", bandwidth=bandwidth, latency=latency)
    return graph


def test_a_graph_as_given_by_hand():
    # Ring over two ranks: two steps of half the buffer, each 0.5 s + 500 kB / 1 MB/s = 1 s.
    (row,) = compare(
        comparison(algorithm="ring", profiles=(None,), topologies={"pair": two_hosts()})
    )
    assert row["time"] == pytest.approx(2.0, rel=1e-12)
    assert row["algbw"] == pytest.approx(5e5, rel=1e-12)
    assert row["busbw"] == pytest.approx(5e5, rel=1e-12)
    assert row["bytes_on_wire"] == 2_000_000
    assert (row["profile"], row["reading"]) == (AS_GIVEN, AS_GIVEN)
    assert row["transport"] == "ideal"


def test_tensors_as_issued_follow_one_another_by_hand():
    # Each tensor of S bytes takes two steps of 0.5 s + (S / 2) / 1 MB/s, after the one before.
    load = Workload(name="three", sizes=(1_000_000, 500_000, 2))
    (row,) = compare(
        comparison(
            workloads=(load,), algorithm="ring", profiles=(None,), bucket=AS_ISSUED,
            topologies={"pair": two_hosts()},
        )
    )  # fmt: skip
    assert row["time"] == pytest.approx(3 * 2 * 0.5 + 1_500_002 / 1e6, rel=1e-12)
    assert row["size"] == 1_500_002
    assert row["bytes_on_wire"] == 2 * 1_500_002


def test_a_rank_enters_the_next_tensor_when_it_has_left_the_last_not_when_all_have():
    # A chain 0-1-2-3, a second a hop. First tensor: 0→1 in [0, 1], 1→2 in [1, 2], 2→3 in [2, 3].
    # Rank 1 leaves it at 2 s, when rank 0 waits already: 0→1 in [2, 3], 1→2 in [3, 4], 2→3 in
    # [4, 5]. Had all waited for the last to leave, it would be 6 s.
    load = Workload(name="two", sizes=(1_000_000, 1_000_000))
    (row,) = compare(
        comparison(
            workloads=(load,), profiles=(None,), make=broadcast, algorithm="chain",
            bucket=AS_ISSUED, topologies={"line": topologies.line(4, bandwidth=1e6, latency=0.0)},
        )
    )  # fmt: skip
    assert row["time"] == pytest.approx(5.0, rel=1e-12)


def broadcast(size):
    return collectives.broadcast(size)


def test_one_buffer_is_not_slower_than_its_tensors_one_by_one():
    load = Workload(name="many", sizes=(1000,) * 10)
    fused, issued = (
        compare(comparison(workloads=(load,), bucket=bucket, profiles=("lan",), algorithm="ring"))
        for bucket in ("fused", AS_ISSUED)
    )
    for one, many in zip(fused, issued, strict=True):
        assert one["time"] < many["time"]
        assert one["bound"] == many["bound"]


def test_only_the_first_ranks_take_part_where_fewer_are_asked_for():
    rows = compare(comparison(ranks=2, topologies={"ring": topologies.ring(6)}, algorithm="ring"))
    net = simnet.Network(topologies.ring(6), profile="datacenter")
    work = collectives.all_reduce(1_000_000, algorithm="ring", ranks=[0, 1])
    assert rows[0]["ranks"] == 2
    assert rows[0]["time"] == simnet.simulate(net, work).time


def test_mid_points_make_every_cable_alike_whatever_the_seed():
    graphs = {"star": topologies.star(4)}  # one route only: the seed decides nothing else
    settings = {"profiles": ("lan",), "topologies": graphs}
    first, second = (compare(comparison(draw=False, seed=s, **settings)) for s in (0, 1))
    drawn = compare(comparison(seed=1, **settings))
    assert [row["time"] for row in first] == [row["time"] for row in second]
    assert [row["time"] for row in first] != [row["time"] for row in drawn]


def test_the_same_question_has_the_same_answer():
    assert compare(comparison()) == compare(comparison())
    assert compare(comparison()) != compare(comparison(seed=1))


@pytest.mark.parametrize(
    "kind",
    ["all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "gather", "scatter"],
)
def test_other_collectives(kind):
    rows = compare(comparison(make=getattr(collectives, kind), profiles=("lan",)))
    for row in rows:
        assert row["collective"] == kind
        assert 0 < row["efficiency"] <= 1


def test_progress_is_told_of_every_cell():
    told = []
    question = comparison(profiles=("lan", "wan"), algorithm="ring")
    compare(question, told.append)
    assert len(told) == len(question) == 8
    assert told[0] == "small, ring, lan"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranks": 5}, r"5 ranks, but ring\(4\) has 4 hosts"),
        ({"algorithm": "rign"}, "algorithm 'rign': not one of best, all, auto, ring"),
        ({"algorithm": "torus"}, "all_reduce by torus"),
        ({"profiles": ("moblie",)}, "profile 'moblie' is unknown"),
        ({"profiles": (None,)}, "bandwidth is missing"),
    ],
)
def test_a_mistake_comes_up_before_anything_is_simulated(changes, message, monkeypatch):
    monkeypatch.setattr("simnet.study.compare.simulate", lambda *_, **__: pytest.fail("simulated"))
    with pytest.raises(ValueError, match=message):
        compare(comparison(**changes))


def test_one_rank_has_nothing_to_send():
    (row, _) = compare(comparison(topologies={"ring": topologies.ring(1)}))
    assert row["time"] == 0
    assert row["algbw"] == row["busbw"] == 0
    assert row["efficiency"] == 1
    assert row["bottleneck"] is None


def test_an_open_graph_leaves_a_bandwidth_to_the_profile():
    assert is_open(topologies.ring(3))
    assert not is_open(topologies.ring(3, bandwidth="1Gbit/s"))


def test_a_comparison_can_be_changed():
    question = replace(comparison(), algorithm="ring")
    assert {row["algorithm"] for row in compare(question)} == {"ring"}


def test_giving_up_the_slower_ones_changes_no_winner():
    place = ("topology", "profile", "reading")
    every = {tuple(row[key] for key in place): row for row in compare(comparison(algorithm="all"))}
    for row in compare(comparison()):
        whole = every[tuple(row[key] for key in place)]["simulated"]
        assert row["time"] == min(whole[name] for name in row["tried"])
