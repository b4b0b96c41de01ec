"""A replay is the run, on whichever network."""

import warnings
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
import topologies
from simnet.distributed import WaitTimeoutError
from simnet.workload.replay import ReplayWarning

STAR = simnet.Network(topologies.star(4, bandwidth="1MB/s", latency="10ms"))
MOBILE = simnet.Network(topologies.ring(4), profile="mobile", seed=2)


def step(rank, world_size):
    """A little of everything whose control flow does not look at time."""
    simnet.compute(0.01 * (rank + 1))
    works = [dist.all_reduce(torch.ones(500 * (i + 1)), async_op=True) for i in range(3)]
    simnet.compute("30ms")
    for work in works:
        work.wait()
    gathered = [torch.empty(10 * (i + 1)) for i in range(world_size)]
    dist.all_gather(gathered, torch.ones(10 * (rank + 1)))
    reqs = [dist.isend(torch.ones(99), (rank + 1) % world_size)]
    reqs += [dist.irecv(torch.ones(99), (rank - 1) % world_size)]
    for req in reqs:
        req.wait()
    store = dist.distributed_c10d._get_default_store()
    store.add("count", 1)
    if rank == 3:
        simnet.compute(0.5)
        store.set("done", "yes")
    store.wait(["done"])
    dist.all_to_all_single(torch.ones(10 * world_size), torch.ones(10 * world_size))


def same(replayed, run):
    assert replayed.rank_times.tolist() == run.rank_times.tolist()
    assert replayed.spent.tolist() == run.spent.tolist()
    assert replayed.records == run.records
    assert replayed.bytes_on_wire == run.bytes_on_wire
    assert replayed.trace.entries == run.trace.entries


@pytest.mark.parametrize("net", [STAR, MOBILE], ids=["star", "mobile"])
def test_on_its_own_network_a_replay_gives_the_same_times_to_the_bit(net):
    run = simnet.run(step, net, seed=3, quiet=True)
    replayed = simnet.replay(run.trace, net)
    same(replayed, run)
    assert replayed.results == (None,) * 4
    same(simnet.replay(replayed.trace, net), run)


def test_on_another_network_it_gives_the_times_that_the_run_has_there():
    trace = simnet.run(step, STAR, seed=3, quiet=True).trace
    replayed, live = simnet.replay(trace, MOBILE), simnet.run(step, MOBILE, seed=3, quiet=True)
    assert replayed.rank_times.tolist() == live.rank_times.tolist()
    assert replayed.records == live.records
    assert replayed.bytes_on_wire == live.bytes_on_wire


def test_it_can_be_given_other_algorithms_and_hosts():
    trace = simnet.run(step, STAR, quiet=True).trace
    ring = simnet.replay(trace, STAR, algorithm="ring")
    live = simnet.run(step, STAR, algorithm="ring", quiet=True)
    assert ring.rank_times.tolist() == live.rank_times.tolist()

    line = simnet.Network(topologies.line(6, bandwidth="1MB/s", latency="10ms"))
    hosts = [5, 0, 3, 1]
    placed = simnet.replay(trace, line, hosts=hosts)
    assert placed.time == simnet.run(step, line, hosts=hosts, quiet=True).time
    assert placed.time != simnet.replay(trace, line).time


def test_a_network_with_too_few_hosts_is_refused():
    trace = simnet.run(step, STAR, quiet=True).trace
    small = simnet.Network(topologies.star(2, bandwidth="1MB/s"))
    with pytest.raises(ValueError, match=r"^ranks=4: the network has hosts for 1 to 2$"):
        simnet.replay(trace, small)


def overlapped(rank, world_size):
    """Waits that are over at once on a fast network, and not on a slow one."""
    work = dist.all_reduce(torch.ones(100_000), async_op=True)
    simnet.compute(0.1)
    work.wait()
    simnet.compute(0.1)
    futures = [dist.all_reduce(torch.ones(50_000), async_op=True).get_future() for _ in range(2)]
    simnet.compute(0.2)
    for future in futures:
        future.wait()
    receive = dist.irecv(torch.ones(50_000), (rank - 1) % world_size)
    dist.isend(torch.ones(50_000), (rank + 1) % world_size)
    simnet.compute(0.3)
    receive.wait()


def data_parallel(rank, world_size):
    """DDP whose buckets interrupt the computation of what is behind them."""
    model = torch.nn.Sequential(*(Charged(200, 200) for _ in range(4)))
    parallel = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.1)
    for _ in range(2):
        parallel(torch.ones(2, 200)).sum().backward()


class Charged(torch.nn.Linear):
    """A layer whose backward takes 0.1 s."""

    def forward(self, inputs):
        outputs = super().forward(inputs)
        outputs.register_hook(lambda gradient: simnet.compute(0.1))
        return outputs


def store(rank, world_size):
    """A key that is there when it is asked for, on a fast network."""
    board = dist.distributed_c10d._get_default_store()
    if rank == 0:
        dist.send(torch.ones(100_000), 2)
        board.set("key", "value")
    if rank == 2:
        dist.recv(torch.ones(100_000), 0)
    if rank == 1:
        simnet.compute(0.2)
        board.get("key")


FAST = simnet.Network(topologies.star(4, bandwidth="10Gbit/s", latency="10us"))


@pytest.mark.parametrize("train", [overlapped, data_parallel, store])
@pytest.mark.parametrize(("here", "there"), [(FAST, STAR), (STAR, FAST)], ids=["slower", "faster"])
def test_what_was_hidden_here_is_exposed_there(train, here, there):
    run = simnet.run(train, here, quiet=True)
    live = simnet.run(train, there, quiet=True)
    assert not run.trace.approximate
    replayed = simnet.replay(run.trace, there)
    assert replayed.rank_times.tolist() == live.rank_times.tolist()
    assert replayed.records == live.records


def test_recorded_hosts_and_transport_are_kept():
    line = simnet.Network(topologies.line(5, bandwidth="1MB/s", latency="10ms"))
    placed = simnet.run(step, line, hosts=[4, 0, 3, 1], quiet=True)
    same(simnet.replay(placed.trace, line), placed)
    with pytest.warns(UserWarning, match="the loss is ignored"):
        ideal = simnet.run(step, MOBILE, transport="ideal", quiet=True)
    with pytest.warns(UserWarning, match="the loss is ignored"):
        replayed = simnet.replay(ideal.trace, MOBILE)
    same(replayed, ideal)
    usual = simnet.run(step, STAR, quiet=True)
    assert simnet.replay(usual.trace, MOBILE).network.transport == "retransmit"


def test_calls_made_in_callbacks_are_marked():
    def train(rank, world_size):
        first = dist.all_reduce(torch.ones(10), async_op=True).get_future()
        second = first.then(lambda _: dist.all_reduce(torch.ones(10), async_op=True))
        simnet.compute(1)
        second.wait().wait()

    run = simnet.run(train, STAR, quiet=True)
    assert run.trace.approximate
    with pytest.warns(ReplayWarning, match="calls in callbacks"):
        same(simnet.replay(run.trace, STAR), run)


def polls(rank, world_size):
    work = dist.all_reduce(torch.ones(1000), async_op=True)
    while not work.is_completed():
        pass
    simnet.compute(0.001)


def test_a_program_that_looked_at_time_is_marked():
    run = simnet.run(polls, STAR, quiet=True)
    assert run.trace.approximate
    with pytest.warns(ReplayWarning, match="looked at time"):
        replayed = simnet.replay(run.trace, STAR)
    same(replayed, run)
    with pytest.warns(ReplayWarning):
        elsewhere = simnet.replay(run.trace, MOBILE)
    assert elsewhere.time == pytest.approx(simnet.run(polls, MOBILE, quiet=True).time, rel=1e-3)


def test_who_has_waited_too_long_goes_on_at_the_end_of_the_instant():
    """Rank 0 gives up at 1 s, when rank 1 has computed; rank 1 goes first, as it did."""

    def train(rank, world_size):
        if rank == 0:
            never = dist.irecv(torch.empty(1), 1)
            with pytest.raises(WaitTimeoutError):
                never.wait(timedelta(seconds=1))
            dist.send(torch.ones(100), 2)
            never.wait()
        if rank == 1:
            simnet.compute(1.0)
            dist.send(torch.ones(200), 3)
            dist.send(torch.ones(1), 0)
        if rank > 1:
            dist.recv(torch.empty(100 * (rank - 1)), rank - 2)

    run = simnet.run(train, STAR, quiet=True)
    assert [each.ranks for each in run.records] == [(1, 3), (0, 2), (1, 0)]
    with pytest.warns(ReplayWarning):
        same(simnet.replay(run.trace, STAR), run)


def test_an_exchange_in_which_nobody_sends_is_no_operation():
    def train(rank, world_size):
        own = [int(other == rank) for other in range(world_size)]
        dist.all_to_all_single(torch.empty(1), torch.ones(1), own, own)

    run = simnet.run(train, STAR, quiet=True)
    assert (run.time, run.records) == (0.0, ())
    same(simnet.replay(run.trace, STAR), run)


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5),
    pauses=st.lists(st.floats(0, 0.1), min_size=4, max_size=4),
)
@settings(max_examples=25)
def test_any_program_replays_to_the_bit(seed, sizes, pauses):
    def train(rank, world_size):
        works = []
        for size in sizes:
            simnet.compute(pauses[rank])
            works.append(dist.all_reduce(torch.ones(size), async_op=size % 2 == 1))
        for work in works:
            if work is not None:
                work.wait()
            simnet.compute(pauses[-rank])

    run = simnet.run(train, MOBILE, seed=seed, quiet=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(simnet.replay(run.trace, MOBILE), run)
        elsewhere = simnet.replay(run.trace, FAST)
    assert elsewhere.rank_times.tolist() == simnet.run(train, FAST, quiet=True).rank_times.tolist()
