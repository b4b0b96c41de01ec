"""Programs that look: what counts as a look, loops that end by themselves, loops that never do."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.distributed import DeadlockError
from simnet.ranks import polls
from simnet.workload.replay import ReplayWarning

STAR = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))


def run(train, ranks=2):
    return simnet.run(train, STAR, ranks, quiet=True)


def default_store():
    return dist.distributed_c10d._get_default_store()


READS = {
    "get": lambda store: store.get("k"),
    "check": lambda store: store.check(["k"]),
    "add": lambda store: store.add("n", 0),
    "compare_set": lambda store: store.compare_set("k", "other", "mine"),
    "num_keys": lambda store: store.num_keys(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reads_of_the_store_are_free_and_no_looks(read):
    def train(rank, world_size):
        store = default_store()
        if rank == 0:
            store.set("k", "v")
            for _ in range(20):
                read(store)
        now = simnet.now()
        dist.barrier()
        return now

    result = run(train)
    assert list(result.results) == [0, 0]
    assert not result.trace.approximate


def test_many_reads_with_writes_between_are_no_looks():
    def train(rank, world_size):
        store = default_store()
        for number in range(1500):
            store.num_keys()
            store.set(f"{rank}", f"{number}")
            assert store.compare_set(f"{rank}", f"{number}", "x") == b"x"
            assert store.get(f"{rank}") == b"x"
        return simnet.now()

    assert list(run(train).results) == [0, 0]


def test_a_loop_over_several_questions_is_a_spin():
    def train(rank, world_size):
        store = default_store()
        if rank == 1:
            simnet.compute("1s")
            store.add("n", 3)
        while store.add("n", 0) < 3 and store.num_keys() >= 0:
            pass
        return simnet.now()

    assert all(1 <= now < 1.001 for now in run(train).results)


def bounded(looks):
    """A program that looks some times for what only its own next call lets happen."""

    def train(rank, world_size):
        work = dist.irecv(torch.ones(1), src=1 - rank)
        for _ in range(looks if rank == 0 else 0):
            if work.is_completed():
                break
        now = simnet.now()
        if rank == 0:
            dist.send(torch.ones(1), dst=1)
            work.wait()
        else:
            work.wait()
            dist.send(torch.ones(1), dst=0)
        return now

    return train


@pytest.mark.parametrize("looks", [1, 3, 900])
def test_bounded_looks_cost_their_interval_and_go_on(looks):
    result = run(bounded(looks))
    assert result.results[0] == pytest.approx(looks * 1e-6, rel=1e-9)
    with pytest.warns(ReplayWarning):
        assert simnet.replay(result.trace, STAR).time == result.time


def test_looks_without_an_event_are_bounded():
    with pytest.raises(DeadlockError, match=r": rank 0 polls with recv .* could happen, at .*; r"):
        run(bounded(polls.IDLE_LOOKS + 10))


def test_bounded_looks_of_several_ranks_and_one_that_looks_for_ever():
    def train(rank, world_size):
        simnet.compute(rank * 3.3e-7)
        work = dist.irecv(torch.ones(1), src=(rank + 1) % 3)
        for _ in range((10**9, 5, 800)[rank]):
            if work.is_completed():
                break
        now = simnet.now()
        dist.send(torch.ones(1), dst=(rank - 1) % 3)
        work.wait()
        return now

    first, second, third = run(train, 3).results
    assert second == pytest.approx(5.33e-6, rel=1e-9)
    # Its send is an event: the other two jump to what comes of it.
    assert 0.01 < first < third


def looking(ranks, seconds="1ms", others=lambda rank: None):
    def train(rank, world_size):
        if rank not in ranks:
            return others(rank)
        work = dist.irecv(torch.ones(1), src=2)
        while not work.is_completed():
            simnet.compute(seconds)
        return simnet.now()

    return train


@pytest.mark.parametrize("ranks", [[0], [0, 1]])
def test_looks_with_spans_between_end_where_nothing_can_come(ranks, monkeypatch):
    monkeypatch.setattr(polls, "LONE_LOOKS", 200)

    def others(rank):
        if rank == 1:
            dist.barrier()

    with pytest.raises(DeadlockError) as caught:
        run(looking(ranks, others=others), 3)
    assert "rank 0 polls with recv of 1 float32 from rank 2" in str(caught.value)
    assert "rank 2 has ended" in str(caught.value)


def computes(rank):
    if rank == 2:
        simnet.compute("1s")
        for dst in (0, 1):
            dist.send(torch.ones(1), dst=dst)


def transfers(rank):
    tensor = torch.ones(300_000)
    if rank == 1:
        dist.recv(tensor, src=2)
        default_store().set("received", "")
    else:
        dist.send(tensor, dst=1)
        dist.send(torch.ones(1), dst=0)


def beats(rank):
    store = default_store()
    for _ in range(1000 if rank == 1 else 0):
        store.check(["never"])
        simnet.compute("1ms")
        store.add("beat", 1)
    if rank == 1:
        store.set("done", "")
    store.wait(["done"])
    if rank == 2:
        dist.send(torch.ones(1), dst=0)


@pytest.mark.parametrize(("ranks", "others"), [([0], transfers), ([0], beats), ([0, 1], computes)])
def test_looks_with_spans_between_go_on_while_anything_happens(ranks, others, monkeypatch):
    monkeypatch.setattr(polls, "LONE_LOOKS", 200)
    assert run(looking(ranks, others=others), 3).results[0] > 1


def test_the_store_spin_of_a_rank_that_computes_ends_too(monkeypatch):
    monkeypatch.setattr(polls, "LONE_LOOKS", 200)

    def train(rank, world_size):
        while rank == 0 and not default_store().check(["never"]):
            simnet.compute("1ms")

    with pytest.raises(DeadlockError, match="rank 0 polls, and nothing is left"):
        run(train)


def test_a_look_tells_of_calls_that_were_not_known_to_be_over():
    def train(rank, world_size):
        for _ in range(3):
            dist.all_reduce(torch.ones(1))
        work = dist.all_reduce(torch.ones(1), async_op=True)
        while not work.is_completed():
            pass

    for entries in run(train).trace.entries:
        news = [each.tickets for each in entries if each.action == "poll" and each.tickets]
        assert news == [(3,)]


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes], ids=["threads", "processes"])
def test_a_call_of_no_bytes_is_known_to_be_over_after_a_look(kind):
    """It is over at once, but a rank knows of its calls what was so when it last went on."""

    def train(rank, world_size):
        work = dist.all_reduce(torch.empty(0), async_op=True)
        looks = 1
        while not work.is_completed():
            looks += 1
        return looks, simnet.now()

    results = simnet.run(train, STAR, kind(2), poll_interval=0.5, quiet=True).results
    assert results == ((1, 0.5), (1, 0.5))


def test_a_timeout_that_does_not_pass_is_nothing_to_look_for():
    """Rank 0 would wait until 1 s for what is over long before; rank 1 looks from then on."""

    def train(rank, world_size):
        work = dist.all_reduce(torch.ones(250), async_op=True)
        work.wait(timedelta(seconds=1))
        if rank == 0:
            simnet.compute(5.0)
            dist.send(torch.ones(1), 1)
            return None
        recv, looks = dist.irecv(torch.empty(1), 0), 1
        while not recv.is_completed():
            looks += 1
        return looks

    # After an interval, when rank 0 has computed, when the message's bytes set out, when it is in.
    assert run(train).results[1] == 4
