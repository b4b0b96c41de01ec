"""Timeouts that a program gives count in virtual time, and torch's own default counts as none."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from leftovers import nothing_left

import simnet
import topologies
from simnet.distributed import WaitTimeoutError

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def every_timeout(rank, world_size):
    """What rank 0 hears of each wait that times out, and when; all go on after each."""
    heard = {}
    seconds = [timedelta(seconds=each) for each in range(20)]
    first, second = dist.new_group(timeout=seconds[3]), dist.new_group(timeout=seconds[9])
    store = dist.distributed_c10d._get_default_store()

    def own_part(name, wait):
        start = simnet.now()
        try:
            wait()
        except RuntimeError as error:
            heard[name] = type(error).__name__, simnet.now() - start, str(error)

    def late_wait():
        work = dist.barrier(async_op=True)
        simnet.compute("1s")
        work.wait(seconds[2])

    for name, wait in (
        ("wait", lambda: dist.barrier(async_op=True).wait(seconds[2])),
        ("wait after a second", late_wait),
        ("group", lambda: dist.all_reduce(torch.ones(2, 3), group=first)),
        ("shorter wait in a group", lambda: dist.barrier(second, async_op=True).wait(seconds[4])),
        ("longer wait in a group", lambda: dist.barrier(first, async_op=True).wait(seconds[9])),
        ("recv", lambda: dist.irecv(torch.ones(1), src=1, tag=5).wait(seconds[6])),
        ("store", lambda: store.wait(["never"], seconds[7])),
    ):
        if rank == 0:
            own_part(name, wait)
            simnet.compute(100 - simnet.now() % 100)
        else:
            simnet.compute("100s")
            if name in ("wait", "wait after a second"):
                dist.barrier()
            elif name == "group":
                dist.all_reduce(torch.ones(2, 3), group=first)
            elif "group" in name:
                dist.barrier(second if "shorter" in name else first)
    limits = (lambda: dist.monitored_barrier(timeout=seconds[8]),
              lambda: dist.monitored_barrier(timeout=5, wait_all_ranks=True))  # fmt: skip
    for number, wait in enumerate(limits):
        start = simnet.now()
        if rank == 0:
            own_part(f"monitored {number}", wait)
        simnet.compute(50 - (simnet.now() - start))
    dist.monitored_barrier()
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    return heard, tensor.item()


@KINDS
def test_every_timeout_is_exact_and_the_program_goes_on(kind):
    heard, total = simnet.run(every_timeout, NET, kind(3), quiet=True).results[0]

    assert total == 3.0
    assert {name: round(seconds, 9) for name, (_, seconds, _) in heard.items()} == {
        "wait": 2,
        "wait after a second": 3,
        "group": 3,
        "shorter wait in a group": 4,
        "longer wait in a group": 3,
        "recv": 6,
        "store": 7,
        "monitored 0": 8,
        "monitored 1": 5,
    }
    assert {kind for kind, _, _ in heard.values()} == {"WaitTimeoutError"}
    assert heard["wait"][2] == (
        "barrier in the default group: timed out at virtual time 2 s, issued at 0 s"
    )
    assert heard["group"][2].startswith("all_reduce of 2×3 float32 (SUM) in group ")
    assert heard["group"][2].endswith(": timed out at virtual time 203 s, issued at 200 s")
    assert "recv of 1 float32 from rank 1 with tag 5" in heard["recv"][2]
    assert (
        heard["store"][2].replace("0//", "")
        == "store: never not there after 0:00:07 of virtual time"
    )
    assert heard["monitored 0"][2] == (
        "monitored_barrier: rank 1 did not come within 8 s of virtual time"
    )
    assert heard["monitored 1"][2] == (
        "monitored_barrier: ranks 1, 2 did not come within 5 s of virtual time"
    )


def test_a_timeout_that_nobody_catches_ends_the_run():
    def train(rank, world_size):
        if rank == 1:
            simnet.compute("3s")
        dist.init_process_group("gloo", timeout=timedelta(seconds=2))
        simnet.compute("1s")
        dist.all_reduce(torch.ones(1))

    with pytest.raises(WaitTimeoutError) as caught:
        simnet.run(train, NET)
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.__notes__ == ["on rank 0 at virtual time 3 s"]


def test_the_default_timeout_counts_as_none():
    """Half an hour for gloo: here ten hours are as good as ten seconds."""

    def train(rank, world_size):
        pair = dist.new_group([0, 1])
        store = dist.distributed_c10d._get_default_store()
        if rank == 1:
            simnet.compute("10h")
            store.set("key", b"value")
        elif rank == 0:
            store.wait(["key"])
        dist.all_reduce(torch.ones(1))
        if rank < 2:
            if rank == 1:
                simnet.compute("10h")
            dist.broadcast(torch.ones(1), src=1, group=pair)
        if rank == 2:
            simnet.compute("20h")
        dist.new_group([0, 2], use_local_synchronization=False)
        dist.monitored_barrier()
        return simnet.now()

    assert min(simnet.run(train, NET).results) > 30 * 3600


def test_a_slow_network_alone_runs_into_the_timeout():
    """40 MB take 40 s on each link of the star, in whatever way: more than 30 s, less than 300."""
    slow = torch.ones(10_000_000)

    def train(rank, world_size, limit):
        dist.broadcast(slow, src=0, async_op=True).wait(timedelta(seconds=limit))

    with pytest.raises(WaitTimeoutError, match=r"timed out at virtual time 30 s, issued at 0 s"):
        simnet.run(lambda rank, size: train(rank, size, 30), NET)
    assert 40 < simnet.run(lambda rank, size: train(rank, size, 300), NET).time < 300


def test_a_call_that_is_over_at_the_very_instant_is_in_time():
    def train(rank, world_size):
        start = simnet.now()
        dist.barrier()
        took = simnet.now() - start
        start = simnet.now()
        dist.barrier(async_op=True).wait(timedelta(seconds=took))
        return simnet.now() - start

    took = simnet.run(train, NET).results
    assert max(took) > 0


def test_a_result_after_a_timeout_still_comes():
    def train(rank, world_size):
        tensor = torch.tensor([float(rank)])
        if rank == 2:
            simnet.compute("10s")
        work = dist.all_reduce(tensor, async_op=True)
        try:
            work.wait(timedelta(seconds=1))
        except WaitTimeoutError:
            assert rank != 2
            assert not work.is_completed()
            work.wait()
        return tensor.item()

    assert simnet.run(train, NET).results == (3.0, 3.0, 3.0)


def test_monitored_barrier_names_the_missing_of_a_group_by_their_own_ranks():
    def train(rank, world_size):
        group = dist.new_group([2, 1])
        if rank == 2:
            dist.monitored_barrier(group, timeout=timedelta(seconds=4))

    with pytest.raises(WaitTimeoutError, match=r"rank 1 did not answer|rank 1 did not come"):
        simnet.run(train, NET)


def test_ranks_that_wait_for_one_that_did_not_pass_the_monitored_barrier():
    """Rank 0 names it; rank 1 hears that rank 0 does not answer."""

    def train(rank, world_size):
        if rank < 2:
            try:
                dist.monitored_barrier(timeout=timedelta(seconds=4))
            except WaitTimeoutError as error:
                return str(error), simnet.now()

    zero, one, two = simnet.run(train, NET).results
    assert zero == ("monitored_barrier: rank 2 did not come within 4 s of virtual time", 4.0)
    assert one == ("monitored_barrier: rank 0 did not answer within 4 s of virtual time", 4.0)
    assert two is None
