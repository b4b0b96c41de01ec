"""When ranks go on: times of a star derived by hand.

Every host hangs on one switch by a cable of 10 ms and 1 MB/s, so a message of S bytes on an idle
path takes ALPHA + S / BETA with ALPHA = 20 ms, BETA = 1e6 bytes/s.
"""

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies

ALPHA, BETA = 0.020, 1e6
ELEMENTS = 1000
SIZE = 4 * ELEMENTS
RING = {"all_reduce": "ring"}
# Ring: 2 (N − 1) steps, each a message of S / N to the right neighbour.
RING_4 = 6 * (ALPHA + SIZE / 4 / BETA)


def star(hosts=4):
    return simnet.Network(topologies.star(hosts, bandwidth=BETA, latency=ALPHA / 2))


def ones():
    return torch.ones(ELEMENTS)


def test_time_is_zero_at_first_and_compute_moves_it():
    def train(rank, world_size):
        begin = simnet.now()
        simnet.compute("20ms")
        simnet.compute(0.5 * rank)
        return begin, simnet.now()

    run = simnet.run(train, star())

    assert run.results == tuple((0.0, 0.02 + 0.5 * rank) for rank in range(4))
    assert run.rank_times.tolist() == [0.02, 0.52, 1.02, 1.52]
    assert run.time == 1.52
    assert run.bytes_on_wire == 0
    assert isinstance(run.results[0][0], float)


def test_ring_all_reduce():
    def train(rank, world_size):
        dist.all_reduce(ones())
        return simnet.now()

    run = simnet.run(train, star(), algorithm="ring")

    assert run.results == pytest.approx([RING_4] * 4, rel=1e-12)
    (record,) = run.records
    assert (record.kind, record.size, record.algorithm) == ("all_reduce", SIZE, "ring")
    assert (record.start, record.ranks) == (0.0, (0, 1, 2, 3))
    assert record.finish == pytest.approx(RING_4, rel=1e-12)
    # 2 (N − 1) messages of S / N a rank, each over two cables.
    assert record.bytes_on_wire == run.bytes_on_wire == 4 * 6 * SIZE // 4 * 2


def test_binomial_broadcast_from_rank_1_releases_each_rank_when_its_part_is_done():
    def train(rank, world_size):
        dist.broadcast(ones(), src=1)
        return simnet.now()

    run = simnet.run(train, star(), algorithm={"broadcast": "binomial"})

    # Counted from the root, rank 1 + 2 first, which sends to 1 + 3; then the root to 1 + 1.
    step = ALPHA + SIZE / BETA
    assert run.results == pytest.approx([2 * step] * 4, rel=1e-12)


def test_dissemination_barrier():
    def train(rank, world_size):
        dist.barrier()
        return simnet.now()

    # log2(4) rounds of empty messages.
    assert simnet.run(train, star()).results == pytest.approx([2 * ALPHA] * 4, rel=1e-12)


def test_a_straggler_holds_up_a_ring():
    def train(rank, world_size):
        if rank == 2:
            simnet.compute("1s")
        dist.all_reduce(ones())
        return simnet.now()

    run = simnet.run(train, star(), algorithm=RING)

    # Rank 2 has all of its steps before it when it comes, and nobody is done without its chunk.
    assert max(run.results) == pytest.approx(1 + RING_4, rel=1e-12)
    assert run.records[0].start == 0.0
    assert min(run.results) > 1.0


def test_communication_overlaps_compute_between_issue_and_wait():
    def train(rank, world_size):
        hidden = dist.all_reduce(ones(), async_op=True)
        simnet.compute("1s")
        hidden.wait()
        after_hidden = simnet.now()
        exposed = dist.all_reduce(ones(), async_op=True)
        simnet.compute("50ms")
        exposed.wait()
        exposed.wait()
        return after_hidden, simnet.now()

    run = simnet.run(train, star(), algorithm=RING)

    assert RING_4 < 1.0
    for after_hidden, end in run.results:
        assert after_hidden == 1.0
        assert end == pytest.approx(1.0 + RING_4, rel=1e-12)


def test_two_async_all_reduces_run_one_after_the_other_on_the_same_connections():
    def train(rank, world_size):
        works = [dist.all_reduce(ones(), async_op=True) for _ in range(2)]
        times = []
        for work in works:
            work.wait()
            times.append(simnet.now())
        return times

    run = simnet.run(train, star(2), algorithm=RING)

    # Two ranks: each connection carries one message of S / 2 at a time. The second all-reduce's
    # first message is queued at the start, so it goes between the first one's two messages.
    step = ALPHA + SIZE / 2 / BETA
    assert run.results[0] == pytest.approx([3 * step, 4 * step], rel=1e-12)
    assert run.results[1] == pytest.approx([3 * step, 4 * step], rel=1e-12)


def test_waiting_out_of_order_does_not_move_the_clock_back():
    def train(rank, world_size):
        first = dist.all_reduce(ones(), async_op=True)
        second = dist.all_reduce(ones(), async_op=True)
        second.wait()
        late = simnet.now()
        first.wait()
        return simnet.now() - late

    assert simnet.run(train, star(), algorithm=RING).results == (0.0,) * 4


def test_a_broadcast_root_does_not_wait_for_ranks_it_does_not_send_to():
    def train(rank, world_size):
        if rank == 3:
            simnet.compute("1s")
        tensor = torch.full((ELEMENTS,), float(rank))
        dist.broadcast(tensor, src=0)
        left = simnet.now()
        tensor.fill_(-1.0 if rank == 0 else tensor[0].item())
        simnet.compute("2s")
        return left, tensor[0].item()

    run = simnet.run(train, star(), algorithm={"broadcast": "binomial"})

    # Binomial from 0: 0 → 2, then 0 → 1 and 2 → 3. Rank 3 comes at 1 s and gets what the root had
    # at 0 s, although the root has left long before and changed its tensor.
    step = ALPHA + SIZE / BETA
    assert [left for left, _ in run.results] == pytest.approx(
        [2 * step, 2 * step, 1 + step, 1 + step], rel=1e-12
    )
    assert [value for _, value in run.results] == [-1.0, 0.0, 0.0, 0.0]


def test_ranks_take_their_turns_in_order_of_time_then_rank():
    turns = []

    def train(rank, world_size):
        for delay in (3, 1, 1):
            turns.append((simnet.now(), rank))
            simnet.compute(delay if rank != 1 else 1)
        turns.append((simnet.now(), rank))

    simnet.run(train, star())

    assert turns == sorted(turns)
    assert len(turns) == 16


def test_a_sub_world_is_the_first_hosts():
    def train(rank, world_size):
        tensor = torch.tensor([float(rank)])
        dist.all_reduce(tensor)
        return world_size, dist.get_world_size(), tensor.item()

    run = simnet.run(train, star(5), ranks=3)

    assert run.results == ((3, 3, 3.0),) * 3
    assert run.records[0].ranks == (0, 1, 2)
    carried = run.links.set_index("link")["bytes"]
    assert carried["0→switch"] > 0
    assert carried["3→switch"] == carried["4→switch"] == 0


def test_one_rank_alone_waits_for_nobody():
    def train(rank, world_size):
        tensor = torch.tensor([2.0])
        dist.all_reduce(tensor)
        dist.broadcast(tensor, src=0)
        dist.barrier()
        return tensor.item(), simnet.now()

    assert simnet.run(train, star(3), ranks=1).results == ((2.0, 0.0),)


def test_the_network_decides_times_and_never_results():
    def train(rank, world_size):
        torch.manual_seed(rank)
        tensor = torch.randn(1001)
        dist.all_reduce(tensor, op=dist.ReduceOp.AVG)
        return tensor

    runs = [
        simnet.run(train, simnet.Network(graph), algorithm=algorithm)
        for graph, algorithm in (
            (topologies.star(4, bandwidth="1kB/s", latency="1s"), "ring"),
            (topologies.ring(4, bandwidth="10Gbit/s", latency="1us"), "recursive_doubling"),
        )
    ]

    assert runs[0].time > 1000 * runs[1].time
    for tensor in (*runs[0].results, *runs[1].results):
        assert torch.equal(tensor, runs[0].results[0])


def test_five_runs_agree_to_the_bit():
    def train(rank, world_size):
        tensor = torch.rand(500)
        for _ in range(3):
            simnet.compute(0.001 * (rank + 1))
            work = dist.all_reduce(tensor, async_op=True)
            simnet.compute("1ms")
            work.wait()
            dist.broadcast(tensor, src=2)
        return simnet.now(), tensor.tolist()

    net = simnet.Network(topologies.star(4), profile="mobile", seed=3)
    runs = [simnet.run(train, net, seed=5) for _ in range(5)]

    assert all(run.results == runs[0].results for run in runs)
    assert all(run.records == runs[0].records for run in runs)
    assert all(run.bytes_on_wire == runs[0].bytes_on_wire for run in runs)
    assert simnet.run(train, net, seed=6).time != runs[0].time


def test_records_add_up_to_the_bytes_on_the_wire_with_loss():
    def train(rank, world_size):
        dist.broadcast(torch.ones(200_000), src=0)
        dist.all_reduce(torch.ones(200_000))

    net = simnet.Network(topologies.ring(4), profile="mobile", seed=1)
    run = simnet.run(train, net)

    assert run.network.retransmitted_bytes > 0
    assert sum(record.bytes_on_wire for record in run.records) == run.bytes_on_wire


def test_operations_are_a_table_with_a_row_each():
    def train(rank, world_size):
        dist.broadcast(torch.ones(200), src=0)
        dist.all_reduce(torch.ones(300))

    run = simnet.run(train, star(), algorithm=RING)

    assert run.operations["kind"].tolist() == ["broadcast", "all_reduce"]
    assert run.operations["size"].tolist() == [800, 1200]
    assert run.operations["ranks"].tolist() == [(0, 1, 2, 3)] * 2
    assert run.operations["finish"].tolist() == [each.finish for each in run.records]
    nothing = simnet.run(lambda rank, world_size: None, star()).operations
    assert list(nothing) == list(run.operations)
    assert len(nothing) == 0


def test_a_call_that_nobody_waits_for_still_ends():
    def train(rank, world_size):
        dist.all_reduce(ones(), async_op=True)

    run = simnet.run(train, star(), algorithm=RING)

    assert run.time == 0.0
    assert run.records[0].finish == pytest.approx(RING_4, rel=1e-12)


def test_a_sub_group_of_its_own():
    def train(rank, world_size):
        group = dist.new_group([1, 3])
        tensor = torch.tensor([float(rank)])
        if rank in (1, 3):
            dist.all_reduce(tensor, group=group)
        return tensor.item(), simnet.now()

    run = simnet.run(train, star(), algorithm=RING)

    took = 2 * (ALPHA + 4 / BETA)  # one element is one chunk: it goes there and back
    assert [value for value, _ in run.results] == [0.0, 4.0, 2.0, 4.0]
    assert [time for _, time in run.results] == pytest.approx([0, took, 0, took], rel=1e-3)
    assert run.records[0].ranks == (1, 3)
