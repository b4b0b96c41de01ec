"""The watchdog in wall time: a rank that neither comes back nor computes has stalled."""

import threading
import time
from functools import partial

import pytest
import torch
import torch.distributed as dist
from leftovers import eventually, line, nothing_left, threads

import simnet
import topologies
from simnet.distributed import StallError

here = partial(line, __file__)
NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)


def stall(train, ranks, **options):
    """The error of a run that stalls."""
    with pytest.raises(StallError) as caught:
        simnet.run(train, NET, ranks, watchdog="1s", quiet=True, **options)
    return caught.value


@KINDS
def test_a_rank_that_sleeps_has_stalled_and_one_that_computes_has_not(kind, tmp_path):
    def train(rank, world_size):
        simnet.compute("2s")
        if rank == 0:
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                torch.ones(100).sum()
            try:
                while not (tmp_path / "released").exists():
                    time.sleep(0.5)  # sleep
            finally:
                (tmp_path / "cleaned up").touch()
        dist.barrier()

    with nothing_left():
        error = stall(train, kind(3))
        (tmp_path / "released").touch()
    said = str(error)
    assert said.startswith("rank 0 stalled at ")
    assert f"{here('sleep')}: for 1 s of wall time it has neither computed nor called" in said
    assert said.endswith("at virtual time 2 s")
    assert (tmp_path / "cleaned up").exists()
    assert not getattr(error, "__notes__", ())  # it was ended between two sleeps


def test_a_thread_that_is_stuck_in_a_lock_is_left_behind_and_cannot_touch_later_runs():
    lock, refused, returned = threading.Lock(), [], []
    lock.acquire()

    def train(rank, world_size):
        if rank == 1:
            group = dist.new_group([1])
            tensor = torch.ones(1)
            work = dist.irecv(tensor, src=0)
            try:
                lock.acquire()  # lock
            finally:
                for call in (
                    dist.barrier,
                    lambda: dist.all_reduce(tensor),
                    lambda: dist.all_reduce(tensor, group=group),
                    lambda: dist.all_reduce(tensor, group=dist.new_group([0, 1])),
                    work.wait,
                    work.is_completed,
                    simnet.now,
                    lambda: simnet.compute(1),
                ):
                    try:
                        call()
                        returned.append(call)
                    except BaseException as raised:
                        refused.append(type(raised).__name__)
        elif rank == 0:
            dist.recv(torch.ones(1), src=1)

    error = stall(train, 2)
    assert f"rank 1 stalled at {here('lock')}" in str(error).replace("tests/distributed/", "")
    (note,) = error.__notes__
    assert note.startswith("the thread of rank 1 is stuck at ")
    assert note.endswith("is left behind: what it calls from now on only raises")
    assert len(threads()) == 1

    def later(rank, world_size):
        if rank == 0:
            lock.release()
            eventually(lambda: not [each for each in threads() if each.ident in stuck])
        tensor = torch.tensor([float(rank)])
        dist.all_reduce(tensor)
        return tensor.item(), dist.get_world_size()

    stuck = {each.ident for each in threads()}
    run = simnet.run(later, NET)
    assert run.results == ((3.0, 3),) * 3
    assert not returned
    assert refused == ["EndedError"] * 8
    assert not dist.is_initialized()
    assert not threads()


def test_what_a_stuck_thread_does_later_does_not_reach_the_callers_own_group(tmp_path):
    """Its first call on the default group is refused, although the caller's group is gloo's."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    lock, heard = threading.Lock(), []
    lock.acquire()

    def train(rank, world_size):
        if rank == 0:
            tensor = torch.ones(1)
            try:
                lock.acquire()
            finally:
                try:
                    dist.all_reduce(tensor)
                except BaseException as error:
                    heard.append(type(error).__name__)

    try:
        own = dist.group.WORLD
        world = dist.distributed_c10d._world
        stall(train, 2)
        assert dist.group.WORLD is own
        lock.release()
        eventually(lambda: not threads())
        assert heard == ["EndedError"]
        assert dist.distributed_c10d._world is world
        dist.all_reduce(torch.ones(1))
        assert simnet.run(lambda rank, world_size: rank, NET, 2).results == (0, 1)
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_that_wait_for_each_other_outside_of_the_run():
    """A thread rank that waits for another in wall time waits for one whose turn never comes."""
    event = threading.Event()

    def train(rank, world_size):
        if rank == 0:
            event.wait()  # event
        event.set()

    try:
        error = stall(train, 2)
    finally:
        event.set()
    assert f"{here('event')}" in str(error)
    eventually(lambda: not threads())
