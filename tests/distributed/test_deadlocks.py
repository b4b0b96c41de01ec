"""Ranks that wait for what will never come: every one is named, with its call and its line."""

import re
from datetime import timedelta
from functools import partial

import pytest
import torch
import torch.distributed as dist
from leftovers import line, nothing_left

import simnet
import topologies
from simnet.distributed import DeadlockError, WaitTimeoutError

here = partial(line, __file__)
STAR = simnet.Network(topologies.star(6, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def deadlock(train, ranks):
    """What a deadlock says, by rank, without the folder of this file."""
    with pytest.raises(DeadlockError) as caught:
        simnet.run(train, STAR, ranks, quiet=True)
    head, _, states = str(caught.value).partition(" s: ")
    assert head.startswith("deadlock at virtual time ")
    states = re.sub(r"at \S*?([^/\s]+\.py:\d+)", r"at \1", states).replace("0//", "")
    return states.split("; ")


@KINDS
def test_one_of_each_kind(kind):
    def train(rank, world_size):
        odd = dist.new_group([1, 3, 5])
        store = dist.distributed_c10d._get_default_store()
        work = dist.barrier(group=odd, async_op=True) if rank % 2 else None
        if rank == 0:
            dist.all_reduce(torch.ones(2, 3))  # all_reduce
        elif rank == 1:
            simnet.compute("2s")
        elif rank == 2:
            dist.recv(torch.ones(4), src=3, tag=7)  # recv
        elif rank == 3:
            dist.send(torch.ones(2), dst=0)  # send
        elif rank == 4:
            store.wait(["never", "also never"])  # store
        else:
            work.wait()
            again = dist.broadcast(torch.ones(1), src=3, group=odd, async_op=True)
            while not again.is_completed():  # poll
                pass

    states = [re.sub(r"group \w+", "group odd", each) for each in deadlock(train, kind(6))]

    assert states == [
        "rank 0 waits in all_reduce of 2×3 float32 (SUM), call 0 of the default group, which ranks "
        f"1, 2, 3, 4, 5 have not called, at {here('all_reduce')}",
        "rank 1 has ended",
        "rank 2 waits in recv of 4 float32 from rank 3 with tag 7 in the default group, which no "
        f"send has met, at {here('recv')}",
        "rank 3 waits in send of 2 float32 to rank 0 in the default group, which no recv there "
        f"has taken, at {here('send')}",
        f"rank 4 waits for never, also never in the store, at {here('store')}",
        "rank 5 polls with broadcast of 1 float32 from rank 3, call 1 of group odd of ranks 1, 3, "
        f"5, which ranks 1, 3 have not called, and nothing is left that could happen, at "
        f"{here('poll')}",
    ]


def test_a_rank_that_takes_another_branch():
    def train(rank, world_size):
        for _ in range(3):
            dist.barrier()
        if rank == 1:
            dist.recv(torch.ones(1), src=0)  # other branch
        else:
            dist.all_gather_single(torch.ones(2), torch.ones(1))  # branch

    first, second = deadlock(train, 2)
    assert first == (
        "rank 0 waits in all_gather of 1 float32, call 3 of the default group, which rank 1 has "
        f"not called, at {here('branch')}"
    )
    assert second.endswith(f"which no send has met, at {here('other branch')}")


def test_two_groups_crossed():
    def train(rank, world_size):
        pair, both = dist.new_group([0, 1]), dist.new_group([1, 0, 2])
        for group in [pair, both] if rank == 0 else [both, pair]:
            if rank < 2:
                dist.reduce(torch.ones(3), dst=1, group=group)  # crossed

    zero, one, two = deadlock(train, 3)
    assert re.fullmatch(
        r"rank 0 waits in reduce of 3 float32 \(SUM\) to rank 1, call 0 of group \w+ of ranks 0, 1,"
        rf" which rank 1 has not called, at {here('crossed')}",
        zero,
    )
    assert re.fullmatch(
        r"rank 1 waits in reduce of 3 float32 \(SUM\) to rank 1, call 0 of group \w+ of ranks 0, 1"
        rf", 2, which ranks 0, 2 have not called, at {here('crossed')}",
        one,
    )
    assert two == "rank 2 has ended"


@pytest.mark.parametrize("order", [("recv", "send"), ("send", "recv")])
def test_messages_that_block_each_other(order):
    def train(rank, world_size):
        other = 1 - rank
        for action in order:
            if action == "recv":
                dist.recv(torch.ones(1), src=other)
            else:
                dist.send(torch.ones(1), dst=other)

    assert all(f"waits in {order[0]} of 1 float32" in state for state in deadlock(train, 2))


def test_a_recv_from_anyone_and_one_with_another_tag():
    def train(rank, world_size):
        if rank == 0:
            dist.send(torch.ones(1), dst=1, tag=1)
            dist.send(torch.ones(1), dst=1, tag=2)
        else:
            dist.recv(torch.ones(1), tag=3 - rank)
            dist.recv(torch.ones(1))

    said = "; ".join(deadlock(train, 3))
    assert "send of 1 float32 to rank 1 with tag 1 in the default group, which no recv" in said
    assert "rank 2 waits in recv of 1 float32 from any rank with tag 1" in said


def test_a_wait_names_the_call_that_it_is_for():
    def train(rank, world_size):
        if rank == 0:
            dist.all_reduce(torch.ones(1), async_op=True).get_future()
            dist.all_reduce(torch.ones(2))

    said = "; ".join(deadlock(train, 2))
    assert "call 0" not in said
    assert "all_reduce of 2 float32 (SUM), call 1" in said


def test_a_wait_for_several_calls_names_them_all():
    def train(rank, world_size):
        if rank == 0:
            works = [dist.all_reduce(torch.ones(n), async_op=True) for n in (1, 2)]
            torch.futures.wait_all([work.get_future() for work in works])

    said = "; ".join(deadlock(train, 2))
    assert "all_reduce of 1 float32 (SUM), call 0" in said
    assert "all_reduce of 2 float32 (SUM), call 1" in said


def test_all_ranks_poll():
    def train(rank, world_size):
        work = dist.irecv(torch.ones(1), src=1 - rank)
        while not work.is_completed():
            pass

    assert all("polls with recv of 1 float32 from rank" in state for state in deadlock(train, 2))


LOOPS = {
    "is_completed": lambda store, work: work.is_completed(),
    "check": lambda store, work: store.check(["key"]),
    "get": lambda store, work: store.get("word") == b"there",
    "add": lambda store, work: store.add("count", 0) >= 3,
    "compare_set": lambda store, work: store.compare_set("key", "none", "mine") == b"there",
}


@pytest.mark.parametrize("look", LOOPS.values(), ids=LOOPS)
def test_a_loop_that_looks_sees_what_others_do_and_ends_where_nobody_does(look):
    def train(rank, world_size, comes):
        store = dist.distributed_c10d._get_default_store()
        work = dist.irecv(torch.ones(1), src=1) if rank == 0 else None
        if rank == 0:
            store.set("word", b"not yet")
        if rank == 1 and comes:
            for _ in range(3):
                simnet.compute("1s")
                store.add("count", 1)
            store.set("key", b"there")
            store.set("word", b"there")
            dist.send(torch.ones(1), dst=0)
        while rank == 0 and not look(store, work):
            pass
        return simnet.now()

    seen, _ = simnet.run(lambda rank, size: train(rank, size, True), STAR, 2).results
    assert 3 <= seen < 3.1
    state, _ = deadlock(lambda rank, size: train(rank, size, False), 2)
    assert state.startswith("rank 0 polls with recv of 1 float32 from rank 1")


def test_a_future_that_never_comes():
    def train(rank, world_size):
        if rank == 0:
            dist.all_reduce(torch.ones(1), async_op=True).get_future().wait()  # future

    state, _ = deadlock(train, 2)
    assert state.startswith("rank 0 waits in all_reduce of 1 float32 (SUM), call 0")
    assert state.endswith(here("future"))


def test_a_deadlock_inside_a_backward_pass():
    def train(rank, world_size):
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
        if rank == 0:
            model(torch.ones(1, 2)).sum().backward()  # backward

    state, _ = deadlock(train, 2)
    assert state.startswith("rank 0 waits in all_reduce of 6 float32 (SUM)")
    assert state.endswith(here("backward"))


def test_a_deadlock_while_a_long_timeout_runs_is_a_timeout():
    def train(rank, world_size):
        if rank == 0:
            dist.barrier(async_op=True).wait(timedelta(hours=3))
        else:
            dist.recv(torch.ones(1), src=0)

    with pytest.raises(WaitTimeoutError, match=r"^barrier in the default group: timed out"):
        simnet.run(train, STAR, 2)


def test_a_deadlock_of_many_ranks_is_one_line():
    net = simnet.Network(topologies.star(64, bandwidth="1MB/s", latency="10ms"))

    def train(rank, world_size):
        if rank != 13:
            dist.barrier()

    with pytest.raises(DeadlockError) as caught:
        simnet.run(train, net)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("which rank 13 has not called") == 63
