"""What a virtual time means, each rule derived by hand."""

import json

import networkx as nx
import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.simulation import StuckError
from simnet.transport import Round


def cable(bandwidth=100.0, latency=1.0, **node):
    """Hosts 0 and 1 and one cable."""
    graph = nx.Graph()
    graph.add_nodes_from([0, 1], **node)
    graph.add_edge(0, 1, bandwidth=bandwidth, latency=latency)
    return simnet.Network(graph)


def star(ranks, bandwidth=100.0, latency=0.5):
    graph = nx.Graph()
    graph.add_nodes_from(range(ranks))
    graph.add_node("hub", kind="switch")
    graph.add_edges_from(((r, "hub") for r in range(ranks)), bandwidth=bandwidth, latency=latency)
    return simnet.Network(graph)


def test_latency_then_bytes():
    assert simnet.simulate(cable(), simnet.flows(0, 1, 200)).time == 3.0


def test_nothing_takes_the_latency_only():
    assert simnet.simulate(cable(), simnet.flows(0, 1, 0)).time == 1.0


def test_one_rank_takes_no_time():
    graph = nx.Graph()
    graph.add_node(0)
    result = simnet.simulate(simnet.Network(graph), collectives.all_reduce("1GB"))
    assert result.time == 0.0
    assert result.rank_times.tolist() == [0.0]
    assert result.efficiency == 1.0


def test_directions_of_a_cable_do_not_share():
    assert simnet.simulate(cable(), simnet.flows([0, 1], [1, 0], 200)).time == 3.0


def test_flows_share_while_they_overlap():
    # Both drain from 1 s; at 50 B/s each the short one ends at 3 s, the long one at 4 s.
    result = simnet.simulate(cable(), simnet.flows([0, 0], [1, 1], [200, 100]))
    assert result.finish_times.tolist() == [4.0, 3.0]


def test_flows_begin_at_their_starts():
    result = simnet.simulate(cable(), simnet.flows([0, 0], [1, 1], 100, [0.0, 10.0]))
    assert result.finish_times.tolist() == [2.0, 12.0]


def test_a_connection_is_first_in_first_out():
    net = cable()
    sends = [collectives.send(100, src=0, dst=1) for _ in range(3)]
    # Each pays its latency when it starts, after the one before: 2 s apiece.
    result = simnet.simulate(net, *sends)
    assert [work.finish for work in result.works] == [2.0, 4.0, 6.0]


def test_channels_are_connections_of_their_own():
    sends = [collectives.send(100, src=0, dst=1, channel=c) for c in range(2)]
    result = simnet.simulate(cable(), *sends)
    assert [work.finish for work in result.works] == [3.0, 3.0]


def test_in_flight_lets_the_next_one_start():
    sends = [collectives.send(100, src=0, dst=1, in_flight=2) for _ in range(2)]
    result = simnet.simulate(cable(), *sends)
    assert [work.finish for work in result.works] == [3.0, 3.0]


def test_ring_all_reduce_on_a_star():
    # 4 ranks, 400 B: 6 steps of 1 s latency and 100 B at 100 B/s.
    result = simnet.simulate(star(4), collectives.all_reduce(400, algorithm="ring"))
    assert result.time == 12.0
    assert result.rank_times.tolist() == [12.0] * 4
    assert result.algbw == 400 / 12
    assert result.busbw == 400 / 12 * 1.5
    assert result.bytes_on_wire == 2 * 2 * 3 * 400


def test_transfers_wait_for_their_own_ends_only():
    # Ring all-gather of 2 × 100 B on a cable; rank 1 comes at 5 s, so both messages start then.
    work = collectives.all_gather(200, algorithm="ring", arrivals=[0.0, 5.0])
    assert simnet.simulate(cable(), work).rank_times.tolist() == [7.0, 7.0]


def test_a_rank_leaves_when_its_own_part_is_done():
    # Flat broadcast over a star: three flows share the root's link, 1 s + 300 B / 100 B/s.
    # Rank 3 comes at 10 s, so the others share among two and leave at 3 s.
    work = collectives.broadcast(100, algorithm="flat", arrivals=[0.0, 0.0, 0.0, 10.0])
    result = simnet.simulate(star(4), work)
    assert result.rank_times.tolist() == [12.0, 3.0, 3.0, 12.0]


def test_binomial_broadcast_sends_to_the_largest_subtree_first():
    # T = ⌈log2 N⌉ (latency + S/B): 8 ranks, 3 rounds of 2 s.
    work = collectives.broadcast(100, algorithm="binomial")
    assert simnet.simulate(star(8), work).time == 6.0


def test_the_card_is_shared_by_all_cables():
    graph = nx.complete_graph(3)
    nx.set_edge_attributes(graph, 100.0, "bandwidth")
    nx.set_edge_attributes(graph, 1.0, "latency")
    work = simnet.flows([0, 0], [1, 2], 100)
    assert simnet.simulate(simnet.Network(graph), work).time == 2.0
    graph.nodes[0]["egress"] = 100.0
    assert simnet.simulate(simnet.Network(graph), work).time == 3.0
    graph.nodes[0]["egress"] = 1000.0
    graph.nodes[2]["ingress"] = 50.0
    result = simnet.simulate(simnet.Network(graph), work)
    assert result.finish_times.tolist() == [2.0, 3.0]


def test_overhead_is_paid_before_a_message_leaves():
    net = cable(overhead=0.25)
    assert simnet.simulate(net, simnet.flows(0, 1, 100)).time == 2.25


def test_reduction_follows_arrival():
    net = cable(reduce_bandwidth=50.0)
    # 100 B arrive at 2 s and are reduced in 2 s; a broadcast reduces nothing.
    assert simnet.simulate(net, collectives.reduce(100, algorithm="flat")).time == 4.0
    assert simnet.simulate(net, collectives.broadcast(100, algorithm="flat")).time == 2.0


def test_reductions_share_the_receiver():
    graph = star(3).graph.copy()
    graph.nodes[0]["reduce_bandwidth"] = 50.0
    # Two messages share the root's link until 1 + 200/100 = 3 s, then reduce 200 B at 50 B/s.
    result = simnet.simulate(simnet.Network(graph), collectives.reduce(100, algorithm="flat"))
    assert result.time == 7.0


class TwoRounds:
    """Loses half of every message once."""

    name, draws = "two rounds", False

    def rounds(self, size, *, latency, loss, rng):
        return (Round(0.0, size), Round(10.0, size // 2))


def test_a_later_round_follows_its_wait():
    # 1 s + 100 B, 10 s, 50 B: 12.5 s, and 150 B crossed the cable.
    result = simnet.simulate(cable(), simnet.flows(0, 1, 100), transport=TwoRounds())
    assert result.time == 12.5
    assert result.bytes_on_wire == 150
    assert result.retransmitted_bytes == 50
    assert result.transport == "two rounds"


def test_jitter_stays_within_its_bounds_and_moves_every_message():
    graph = cable().graph.copy()
    graph.edges[0, 1]["jitter"] = 0.25
    net = simnet.Network(graph)
    times = simnet.simulate(net, simnet.flows([0] * 200, [1] * 200, 0)).finish_times
    assert times.min() >= 0.75
    assert times.max() <= 1.25
    assert len(set(times)) == 200
    # Uniform ± 0.25: mean 1, standard error 0.25 / √3 / √200 ≈ 0.0102.
    assert abs(times.mean() - 1.0) < 4 * 0.0102


def test_processes_share_the_clock_with_work():
    log = []

    def trainer(env, fabric):
        yield env.timeout(5.0)
        log.append((yield fabric.send(0, 1, 100)))
        operation = fabric.submit(collectives.all_reduce(0, algorithm="ring"))
        log.append((yield operation.done))
        log.append(env.now)

    result = simnet.simulate(cable(), simnet.flows(0, 1, 500), processes=[trainer])
    # The flow drains from 1 s to 6 s; the process's message enters at 6 s, as it ends.
    assert result.finish_times.tolist() == [6.0, 7.0]
    assert log == [7.0, 9.0, 9.0]
    assert [work.kind for work in result.works] == ["flows", "flows", "all_reduce"]


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_what_has_passed_when_a_run_is_cut_is_counted_to_the_nearest_byte(engine):
    # At 500 s each flow has had a third of 3 bytes/s for 499.8 s: 499.8 bytes.
    star = simnet.Network(topologies.star(4, bandwidth=3.0, latency=0.1))
    work = simnet.flows([0, 1, 2], [3, 3, 3], [1000, 1000, 1000])
    links = simnet.simulate(star, work, until=500, engine=engine).links
    assert links["bytes"].tolist() == [500, 0, 500, 0, 500, 0, 0, 1500]


def test_until_leaves_the_rest_unfinished():
    result = simnet.simulate(cable(), simnet.flows([0, 1], [1, 0], [100, 900]), until="4s")
    assert result.finish_times[0] == 2.0
    assert np.isnan(result.finish_times[1])


def test_what_ends_at_the_last_instant_has_ended():
    assert simnet.simulate(cable(), simnet.flows(0, 1, 100), until=2.0).time == 2.0
    assert np.isnan(simnet.simulate(cable(), simnet.flows(0, 1, 100), until=1.99).time)


def test_a_process_that_fails_fails_the_run():
    def broken(env, fabric):
        yield env.timeout(1.0)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        simnet.simulate(cable(), processes=[broken])


class OddError(Exception):
    """Its arguments are not those that made it."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def test_what_a_process_of_a_process_raises_comes_out_as_it_is():
    def child(env):
        yield env.timeout(1.0)
        raise OddError(1, 2)

    def parent(env, fabric):
        env.process(child(env))
        yield env.timeout(5.0)

    with pytest.raises(OddError, match="1 and 2"):
        simnet.simulate(cable(), processes=[parent])


def test_results_are_json_whatever_is_infinite_or_unfinished():
    graph = nx.Graph()
    graph.add_node(0)
    alone = simnet.simulate(simnet.Network(graph), collectives.all_reduce(8))
    cut = simnet.simulate(cable(), simnet.flows([0, 1], [1, 0], [100, 900]), until=4)
    for result in (alone, cut):
        json.dumps(result.to_dict(), allow_nan=False)
    assert alone.to_dict()["works"][0]["algbw"] is None
    assert cut.to_dict()["time"] is None
    # At 100 B/s from 1 s on: the first flow was over after 1 s, the second took the other 3 s.
    assert cut.utilisation.tolist() == [0.25, 0.75]


def test_who_waits_for_ever_is_named():
    def half(env, fabric):
        operation = fabric.post(collectives.all_reduce(8, algorithm="ring"))
        operation.arrive(0)
        yield operation.done

    with pytest.raises(StuckError, match=r"all_reduce: ranks \[0\] wait, ranks \[1\] have not"):
        simnet.simulate(cable(), processes=[half])


def test_nobody_triggers():
    def waits(env, fabric):
        yield env.event()

    with pytest.raises(StuckError, match="event nobody triggers"):
        simnet.simulate(cable(), processes=[waits])


def test_no_work_no_time():
    result = simnet.simulate(cable())
    assert (result.time, result.bytes_on_wire, result.bottleneck) == (0.0, 0, None)


def test_seed_none_is_drawn_and_recorded():
    result = simnet.simulate(cable(), simnet.flows(0, 1, 1), seed=None)
    assert isinstance(result.seed, int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: simnet.simulate(n.graph), TypeError, "simnet.Network"),
        (lambda n: simnet.simulate(n, "all_reduce"), TypeError, "work 'all_reduce'"),
        (lambda n: simnet.simulate(n, fabric="packets"), ValueError, "fabric='packets'"),
        (lambda n: simnet.simulate(n, protocol="gloo"), ValueError, "protocol='gloo'"),
        (lambda n: simnet.simulate(n, transport="tcp"), ValueError, "transport='tcp'"),
        (lambda n: simnet.simulate(n, transport=3), TypeError, "transport=3"),
        (lambda n: simnet.simulate(n, processes=[3]), TypeError, "process 3"),
        (lambda n: simnet.simulate(n, processes=[lambda e, f: 1]), TypeError, "not a generator"),
        (lambda n: simnet.simulate(n, simnet.flows(0, 5, 1)), ValueError, "dst=5"),
        (lambda n: simnet.simulate(n, until="4 parsecs"), ValueError, "parsecs"),
        (lambda n: simnet.simulate(n, seed=-1), ValueError, "seed=-1"),
        (lambda n: simnet.simulate(n, seed="x"), TypeError, "seed='x'"),
        (
            lambda n: simnet.simulate(n, collectives.all_reduce(8, ranks=[0, 9])),
            ValueError,
            "9",
        ),
    ],
)
def test_misuse_is_told_in_one_line(call, error, message):
    with pytest.raises(error) as caught:
        call(cable())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_process_posts_and_leaves_is_carried_to_its_end():
    def posts(env, fabric):
        fabric.send(0, 1, 10_000)
        yield env.timeout(1.0)

    result = simnet.simulate(cable(), processes=[posts])
    assert result.time == 101.0
    assert result.bytes_on_wire == 10_000


def test_a_rank_arrives_once():
    def twice(env, fabric):
        operation = fabric.post(collectives.send(100, src=0, dst=1))
        operation.arrive(0)
        yield env.timeout(1.0)
        operation.arrive(0)

    with pytest.raises(ValueError, match="rank 0 has arrived"):
        simnet.simulate(cable(), processes=[twice])


def test_ranks_may_come_after_a_flow_could_have_started():
    def late(env, fabric):
        operation = fabric.post(simnet.flows(0, 1, 100, start=1))
        yield env.timeout(5.0)
        operation.arrive(0)
        operation.arrive(1)
        yield operation.done

    assert simnet.simulate(cable(), processes=[late]).finish_times.tolist() == [7.0]


def test_no_flows_take_no_time():
    result = simnet.simulate(cable(), simnet.flows([], [], []))
    assert result.time == 0.0
    json.dumps(result.to_dict(), allow_nan=False)


def test_flows_begin_with_the_first():
    work = simnet.simulate(cable(), simnet.flows([0, 0], [1, 1], 100, [5, 9])).works[0]
    assert (work.start, work.time, work.algbw) == (5.0, 6.0, 200 / 6.0)


def test_what_is_under_way_at_the_end_is_counted():
    result = simnet.simulate(cable(), simnet.flows(0, 1, 10**6), until=5001.0)
    assert result.bytes_on_wire == 500_000
    assert result.utilisation[0] == pytest.approx(5000 / 5001)
    assert np.isnan(result.rank_times).all()


def test_a_rank_that_has_not_left_everything_has_no_time():
    works = simnet.flows(0, 1, 100), simnet.flows(0, 1, 1000, start=3)
    assert np.isnan(simnet.simulate(cable(), *works, until=5).rank_times).all()


def test_works_that_differ_in_options_only_do_not_depend_on_posting():
    graph = nx.complete_graph(4)
    nx.set_edge_attributes(graph, 100.0, "bandwidth")
    nx.set_edge_attributes(graph, 1.0, "latency")
    net = simnet.Network(graph)
    works = [
        collectives.broadcast(400, algorithm="binomial", concurrent=flag) for flag in (True, False)
    ]
    forward = [work.finish for work in simnet.simulate(net, *works).works]
    backward = [work.finish for work in simnet.simulate(net, *works[::-1]).works]
    assert forward == backward[::-1]


def test_jitter_does_not_depend_on_posting():
    graph = cable().graph.copy()
    graph.edges[0, 1]["jitter"] = 0.5
    net = simnet.Network(graph)
    works = [simnet.flows(0, 1, size) for size in (100, 200)]
    forward = [work.finish for work in simnet.simulate(net, *works).works]
    backward = [work.finish for work in simnet.simulate(net, *works[::-1]).works]
    assert forward == backward[::-1]
    both = simnet.simulate(net, simnet.flows([0, 0], [1, 1], [100, 200])).finish_times
    swapped = simnet.simulate(net, simnet.flows([0, 0], [1, 1], [200, 100])).finish_times
    assert both.tolist() == swapped[::-1].tolist()


def test_a_rank_can_be_waited_for_before_and_after_it_has_left():
    seen = []

    def program(env, fabric):
        operation = fabric.submit(collectives.all_reduce(600, algorithm="ring"))
        assert list(operation.left) == list(range(6))
        assert 6 not in operation.left
        seen.append((yield operation.left[2]))
        yield env.timeout(5.0)
        seen.append((yield operation.left[2]))
        seen.append((yield operation.left[3]))  # for whom nobody has asked until now
        seen.append(env.now)
        with pytest.raises(KeyError):
            operation.left[6]

    time = simnet.simulate(star(6), processes=[program]).works[0].finish
    assert seen == [time, time, time, time + 5.0]


def test_ranks_that_leave_at_one_instant_go_on_in_their_order():
    order = []

    def waits(rank, operation):
        yield operation.left[rank]
        order.append(rank)

    def program(env, fabric):
        operation = fabric.submit(collectives.all_reduce(600, algorithm="ring"))
        yield env.all_of([env.process(waits(rank, operation)) for rank in reversed(range(6))])

    simnet.simulate(star(6), processes=[program])
    assert order == list(range(6))


def test_uneven_splits_count_what_leaves_a_rank():
    # Each rank keeps 1,000,000 B and sends 1 B: 1 s of latency and 0.01 s.
    work = collectives.all_to_all(splits=[[10**6, 1], [1, 10**6]], algorithm="direct")
    result = simnet.simulate(cable(), work)
    assert result.busbw == pytest.approx(1 / 1.01)


def test_options_may_be_arrays():
    works = [
        collectives.all_reduce(40, algorithm="hierarchical", islands=np.array([[0, 1], [2, 3]]))
        for _ in range(2)
    ]
    assert len(simnet.simulate(star(4), *works).works) == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"src": [-1]}, "does not have"),
        ({"dst": [7]}, "does not have"),
        ({"size": [-5]}, "negative size"),
        ({"dep_offsets": [0, 1], "deps": [0]}, "not before it"),
    ],
)
def test_a_schedule_of_ones_own_is_checked(columns, message):
    given = {"src": [0], "dst": [1], "size": [5], "reduces": [False], "channel": [0],
             "chunk_offsets": [0, 0], "chunks": [], "dep_offsets": [0, 0], "deps": []}  # fmt: skip
    given |= columns
    arrays = {
        name: np.array(values, dtype=bool if name == "reduces" else np.int64)
        for name, values in given.items()
    }

    def mine(collective, num_ranks):
        return collectives.from_transfers(collective, num_ranks, collectives.Transfers(**arrays))

    with pytest.raises(ValueError, match=message):
        simnet.simulate(cable(), collectives.all_reduce(5, algorithm=mine))


def test_the_cause_of_an_error_is_kept():
    def broken(env, fabric):
        yield env.timeout(1.0)
        try:
            {}["key"]
        except KeyError as error:
            raise ValueError("mine") from error

    with pytest.raises(ValueError, match="mine") as caught:
        simnet.simulate(cable(), processes=[broken])
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_result_is_a_line():
    result = simnet.simulate(star(4), collectives.all_reduce(400, algorithm="ring"))
    assert repr(result.works[0]) == (
        f"<all_reduce of 400 B by ring over 4 ranks: 12 s, busbw 50 B/s, by {result.tier}>"
    )
    assert "\n" not in repr(result)
    assert len(repr(result)) < 200
