"""What `simnet.run` lets one choose: hosts, algorithms, buckets, compute models, clocks, data."""

import time

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies

ALPHA, BETA = 0.020, 1e6
STAR = simnet.Network(topologies.star(4, bandwidth=BETA, latency=ALPHA / 2))


def ring(size, ranks=4):
    return 2 * (ranks - 1) * (ALPHA + size / ranks / BETA)


def tensors():
    return [torch.full((250,), float(i)) for i in range(4)]


def averaged(rank, world_size):
    """Average four tensors of 1 kB, one by one."""
    own = [tensor + rank for tensor in tensors()]
    for tensor in own:
        dist.all_reduce(tensor)
        tensor /= world_size
    return own, simnet.now()


def check_average(results):
    for own, _ in results:
        for tensor, start in zip(own, tensors(), strict=True):
            assert torch.equal(tensor, start + 1.5)


# Buckets


@pytest.mark.parametrize("bucket", [None, "1MB", "2kB", 500])
def test_buckets_change_times_and_never_results(bucket):
    run = simnet.run(averaged, STAR, algorithm="ring", bucket=bucket, quiet=True)
    check_average(run.results)
    sent = {None: [1000] * 4, "1MB": [4000], "2kB": [2000] * 2, 500: [1000] * 4}[bucket]
    assert [each.size for each in run.records] == sent
    assert run.time == pytest.approx(sum(map(ring, sent)), rel=1e-12)
    assert simnet.replay(run.trace, STAR).rank_times.tolist() == run.rank_times.tolist()


@pytest.mark.parametrize("written", [False, True], ids=["not there yet", "there"])
def test_a_wait_in_the_store_ends_a_bucket(written):
    """Whether the key is there or not depends on the network, and the bucket must not."""

    def train(rank, world_size):
        store = dist.distributed_c10d._get_default_store()
        if rank == 1 and written:
            store.set("key", "value")
        simnet.compute(1.0)
        dist.all_reduce(torch.ones(10))
        if rank == 0:
            store.wait(["key"])
        if rank == 1 and not written:
            store.set("key", "value")
        now = simnet.now()
        dist.all_reduce(torch.ones(20))
        return now

    run = simnet.run(train, STAR, algorithm="ring", bucket="1MB", quiet=True)
    assert [each.size for each in run.records] == [40, 80]
    assert run.results[0] == run.records[0].finish > 1.0


def test_calls_of_no_bytes_go_past_buckets():
    def train(rank, world_size):
        dist.all_reduce(torch.ones(10))
        dist.all_reduce(torch.empty(0))
        dist.all_reduce(torch.ones(20))

    run = simnet.run(train, STAR, algorithm="ring", bucket="1MB", quiet=True)
    assert [each.size for each in run.records] == [120]
    empty = simnet.run(lambda *_: dist.all_reduce(torch.empty(0)), STAR, bucket="1MB", quiet=True)
    assert (empty.time, empty.records) == (0.0, ())


def test_a_bucket_is_sent_before_anything_else_happens():
    def train(rank, world_size):
        tensor = torch.ones(250)
        dist.all_reduce(tensor)
        gathered = simnet.now()
        simnet.compute("1s")
        dist.all_reduce(tensor)
        dist.barrier()
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        dist.all_reduce(tensor)
        optimizer.step()
        return gathered, simnet.now()

    run = simnet.run(train, STAR, algorithm="ring", bucket="1MB", quiet=True)
    assert [each.kind for each in run.records] == [
        "all_reduce", "all_reduce", "barrier", "all_reduce",
    ]  # fmt: skip
    for gathered, end in run.results:
        assert gathered == 0.0
        assert end == pytest.approx(1 + 3 * ring(1000) + 2 * ALPHA, rel=1e-12)


def uneven_deeds(rank, world_size):
    """Rank 1 computes between two all_reduces, rank 2 before the first, rank 3 sends to rank 0."""
    tensor = torch.ones(250)
    if rank == 2:
        simnet.compute("2s")
    dist.all_reduce(tensor)
    if rank == 1:
        simnet.compute("1s")
    gathered = simnet.now()
    dist.all_reduce(tensor)
    if rank == 3:
        dist.send(tensor, 0)
    elif rank == 0:
        dist.recv(tensor, 3)
    dist.all_reduce(tensor)
    return gathered, simnet.now()


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes])
def test_buckets_end_with_the_same_calls_whatever_else_single_ranks_do(kind):
    run = simnet.run(uneven_deeds, STAR, ranks=kind(4), algorithm="ring", bucket="1MB", quiet=True)
    # Rank 1 ends the first bucket when it computes, at 2 s, when the data of all are there.
    first = 2 + ring(1000)
    second = first + 1  # the others have made the second call; it waits for rank 1's data
    message = second + ring(1000) + ALPHA + 1000 / 1e6
    sizes = [(each.kind, each.size) for each in run.records]
    assert sorted(sizes) == [("all_reduce", 1000)] * 3 + [("send", 1000)]
    gathered, ends = zip(*run.results, strict=True)
    assert gathered == pytest.approx((2.0, second, 2.0, 2.0), rel=1e-12)
    assert run.time == pytest.approx(message + ring(1000), rel=1e-12)
    assert ends == pytest.approx((message,) * 4, rel=1e-12)  # the third is sent at the end
    assert simnet.replay(run.trace, STAR).rank_times.tolist() == run.rank_times.tolist()


# Algorithms


def test_a_function_chooses_for_each_operation():
    asked = []

    def choose(kind, size, ranks):
        asked.append((kind, size, ranks))
        return "ring" if size > 10 else "recursive_doubling"

    def train(rank, world_size):
        dist.all_reduce(torch.ones(1))
        dist.all_reduce(torch.ones(100))

    run = simnet.run(train, STAR, algorithm={"all_reduce": choose}, quiet=True)
    assert [each.algorithm for each in run.records] == ["recursive_doubling", "ring"]
    assert ("all_reduce", 400, (0, 1, 2, 3)) in asked
    # A replay takes what was chosen.
    assert simnet.replay(run.trace, STAR).records == run.records


# Engines


def test_the_engine_is_chosen_and_recorded_and_replay_warns_of_another():
    reference = simnet.run(averaged, STAR, engine="reference", quiet=True)
    assert reference.trace.header.engine == reference.network.engine == "reference"
    default = simnet.run(averaged, STAR, quiet=True)
    assert default.network.engine == simnet.kernel()
    assert default.rank_times.tolist() == pytest.approx(reference.rank_times.tolist(), rel=1e-9)
    if simnet.kernel() == "kernel":
        with pytest.warns(UserWarning, match="recorded by the engine 'reference'"):
            simnet.replay(reference.trace, STAR)
    same = simnet.replay(reference.trace, STAR, engine="reference")
    assert same.rank_times.tolist() == reference.rank_times.tolist()
    with pytest.raises(ValueError, match=r"^engine='fast': one of"):
        simnet.run(averaged, STAR, engine="fast")


def test_departures_that_rounding_moves_over_a_call_are_played_back_once():
    sizes = (2304, -10, 16, -1, 16, 2304, -1, 16, 2304)  # bytes of a broadcast, or − of floats

    def train(rank, world_size):
        for size in sizes:
            if size > 0:
                dist.broadcast(torch.zeros(size, dtype=torch.bool), src=0)
            else:
                dist.all_reduce(torch.zeros(-size))

    net = simnet.Network(topologies.ring(4, bandwidth="100Mbit/s", latency="50ms"))
    default, reference = (
        simnet.run(train, net, engine=engine, quiet=True) for engine in ("auto", "reference")
    )
    assert default.rank_times.tolist() == pytest.approx(reference.rank_times.tolist(), rel=1e-12)


# Hosts


def test_ranks_are_placed_on_named_hosts():
    def train(rank, world_size):
        if rank == 0:
            dist.send(torch.ones(250), 1)
        if rank == 1:
            dist.recv(torch.ones(250), 0)
        return simnet.now()

    line = simnet.Network(topologies.line(4, bandwidth=BETA, latency=ALPHA))
    run = simnet.run(train, line, hosts=[3, 0], quiet=True)
    assert run.results == pytest.approx((3 * ALPHA + 1e-3,) * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"hosts": ["x"]}, r"^hosts: 'x' is no host of the network$"),
        ({"hosts": [0, 0]}, r"^hosts: 0 is there twice"),
        ({"hosts": []}, r"^hosts: an empty list"),
        ({"hosts": [0, 1], "ranks": 3}, r"^ranks=3: hosts names 2$"),
        ({"poll_interval": 0}, r"^poll_interval=0: a time above zero$"),
        ({"watchdog": "-1s"}, "-1"),
        ({"bucket": "many"}, "many"),
    ],
)
def test_options_are_checked(about, words):
    with pytest.raises(ValueError, match=words):
        simnet.run(averaged, STAR, **about)


def test_more_than_256_threads_are_refused_and_the_alternative_named():
    net = simnet.Network(topologies.star(300, bandwidth=BETA))
    with pytest.raises(ValueError, match=r"^ranks=300: at most 256 as threads; .*processes\(300\)"):
        simnet.run(averaged, net)


# Compute


def test_fixed_compute_is_charged_at_each_step():
    def train(rank, world_size):
        parameter = torch.nn.Parameter(torch.ones(250))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        for _ in range(3):
            parameter.grad = torch.ones(250)
            dist.all_reduce(parameter.grad)
            optimizer.step()
        return simnet.now()

    model = simnet.compute.Fixed("100ms", speed=[1, 1, 0.5, 1])
    run = simnet.run(train, STAR, algorithm="ring", compute=model, quiet=True)
    assert run.ranks["compute"].tolist() == pytest.approx([0.3, 0.3, 0.6, 0.3])
    assert "100 ms" in run.compute
    assert run.time > 0.6 + ring(1000)


def test_roofline_overlaps_communication_with_what_comes_before_the_wait():
    device = simnet.compute.Device(
        name="toy", flops={"float32": 2e6}, memory_bandwidth=1e12, source="made up"
    )

    def train(rank, world_size):
        work = dist.all_reduce(torch.ones(250), async_op=True)
        torch.ones(100, 100) @ torch.ones(100, 100)  # 2 Mflop: a second
        work.wait()
        return simnet.now()

    model = simnet.compute.Roofline(device)
    run = simnet.run(train, STAR, algorithm="ring", compute=model, quiet=True)
    assert run.results == pytest.approx((1.0,) * 4, rel=1e-3)
    assert run.ranks["hidden"].tolist() == pytest.approx([ring(1000)] * 4, rel=1e-9)


def test_measured_compute_is_the_ranks_own():
    def train(rank, world_size):
        if rank == 0:
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
        return simnet.now()

    run = simnet.run(train, STAR, compute=simnet.compute.Measured(10), quiet=True)
    assert run.results[0] >= 0.5
    assert max(run.results[1:]) < run.results[0]


def test_a_summary_says_how_compute_was_charged():
    assert "compute not charged" in repr(simnet.run(averaged, STAR, quiet=True))


# Clocks


def test_time_is_virtual_where_it_is_asked_to_be():
    def train(rank, world_size):
        begin, begin_ns = time.time(), time.monotonic_ns()
        time.sleep(3600 * (rank + 1))
        return begin, time.perf_counter(), time.monotonic_ns() - begin_ns, simnet.now()

    before = time.time, time.sleep
    run = simnet.run(train, STAR, virtual_time=True, quiet=True)
    assert (time.time, time.sleep) == before
    for rank, found in enumerate(run.results):
        hours = 3600.0 * (rank + 1)
        assert found == (0.0, hours, round(hours * 1e9), hours)
    assert run.ranks["idle"].tolist() == [3600.0, 7200.0, 10800.0, 14400.0]


def test_time_is_wall_time_otherwise():
    def train(rank, world_size):
        return time.time()

    assert min(simnet.run(train, STAR, quiet=True).results) > 1e9


# Data


def test_ranks_without_data_take_the_same_time():
    def train(rank, world_size):
        tensor = torch.full((250,), float(rank))
        dist.all_reduce(tensor)
        dist.all_reduce(torch.empty(10**9, device="meta"))
        return tensor[0].item(), simnet.now()

    run = simnet.run(train, STAR, ranks=simnet.threads(4, data=False), algorithm="ring", quiet=True)
    assert [value for value, _ in run.results] == [0.0, 1.0, 2.0, 3.0]
    assert run.time == pytest.approx(ring(1000) + ring(4 * 10**9), rel=1e-12)


# What is printed


def test_lines_carry_the_ranks_number(capsys):
    def train(rank, world_size):
        print("one", end=" ")
        dist.barrier()
        print("line")
        return None

    simnet.run(train, STAR, quiet=True)
    out = capsys.readouterr().out
    assert out == "".join(f"[rank {rank}] one line\n" for rank in range(4))
