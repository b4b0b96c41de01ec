"""What goes wrong between ranks ends in one clear error, and never in a hang."""

import _thread
import re
import threading

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.distributed import DeadlockError, MismatchError

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))


class ModelError(Exception):
    """An exception that cannot be rebuilt from its arguments."""

    def __init__(self, layer, *, loss):
        super().__init__(f"{layer}: {loss}")
        self.layer = layer


def test_a_ranks_exception_comes_out_as_it_is_with_a_note():
    def train(rank, world_size):
        simnet.compute("1.5s")
        if rank == 1:
            raise ModelError("conv", loss=float("nan"))
        dist.barrier()

    with pytest.raises(ModelError, match="conv: nan") as caught:
        simnet.run(train, NET)

    assert caught.value.layer == "conv"
    assert caught.value.__notes__ == ["on rank 1 at virtual time 1.5 s"]
    assert any(entry.name == "train" for entry in caught.traceback)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes])
def test_who_asks_for_cuda_in_vain_is_told_what_to_write(kind):
    def train(rank, world_size):
        return torch.ones(2, device="cuda")

    with pytest.raises((AssertionError, RuntimeError)) as caught:
        simnet.run(train, NET, ranks=kind(2), quiet=True)

    assert any("choose the device by availability" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes])
def test_a_compute_model_that_fails_for_one_rank_ends_the_run(kind):
    class Broken:
        name = "broken"

        def meter(self, rank, seed):
            if rank == 1:
                raise LookupError("no such device")

    with pytest.raises(LookupError, match="no such device") as caught:
        simnet.run(lambda rank, world_size: rank, NET, kind(3), compute=Broken(), quiet=True)

    assert caught.value.__notes__[-1] == "on rank 1 at virtual time 0 s"


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes])
def test_a_rank_may_catch_what_the_store_refuses(kind):
    def train(rank, world_size):
        store = dist.distributed_c10d._get_default_store()
        if rank == 0:
            store.set("name", "no number")
            with pytest.raises(ValueError, match="no number"):
                store.add("name", 1)
        dist.barrier()
        return store.get("name")

    assert simnet.run(train, NET, kind(2), quiet=True).results == (b"no number",) * 2


def test_the_other_ranks_are_ended_and_their_cleanup_runs():
    ended = []

    def train(rank, world_size):
        try:
            if rank == 2:
                raise ZeroDivisionError
            dist.all_reduce(torch.ones(1))
        finally:
            ended.append(rank)

    with pytest.raises(ZeroDivisionError):
        simnet.run(train, NET)
    assert sorted(ended) == [0, 1, 2]


def test_a_rank_that_swallows_everything_cannot_keep_the_run_alive():
    def train(rank, world_size):
        if rank == 2:
            raise ZeroDivisionError
        for _ in range(3):
            try:
                dist.barrier()
            except BaseException:
                name = threading.current_thread().name
                assert name == f"simnet-rank-{rank}"

    before = threading.enumerate()
    with pytest.raises(ZeroDivisionError):
        simnet.run(train, NET)
    assert set(threading.enumerate()) <= set(before)


def test_leaving_the_program_ends_the_run():
    def train(rank, world_size):
        if rank == 0:
            raise SystemExit(3)
        dist.barrier()

    with pytest.raises(SystemExit) as caught:
        simnet.run(train, NET)
    assert caught.value.code == 3


def test_an_interrupt_ends_the_run():
    ended = []

    def train(rank, world_size):
        try:
            simnet.compute("1s")
            if rank == 1:
                _thread.interrupt_main()
            while True:
                simnet.compute("1s")
        finally:
            ended.append(rank)

    with pytest.raises(KeyboardInterrupt):
        simnet.run(train, NET)
    assert sorted(ended) == [0, 1, 2]
    assert simnet.run(lambda rank, world_size: rank, NET).results == (0, 1, 2)


def test_a_rank_that_does_not_come_is_named():
    def train(rank, world_size):
        simnet.compute(0.25)
        if rank != 1:
            dist.all_reduce(torch.ones(10))

    with pytest.raises(DeadlockError) as caught:
        simnet.run(train, NET)

    call = (
        "waits in all_reduce of 10 float32 (SUM), call 0 of the default group, "
        "which rank 1 has not called"
    )
    said = re.sub(r", at \S*test_rank_errors\.py:\d+", "", str(caught.value))
    assert said.endswith(f": rank 0 {call}; rank 1 has ended; rank 2 {call}")
    assert len(re.findall(r", at \S*test_rank_errors\.py:\d+", str(caught.value))) == 2
    assert str(caught.value).startswith("deadlock at virtual time 0.2")


def test_ranks_that_wait_for_each_other_in_two_groups():
    def train(rank, world_size):
        pair = dist.new_group([0, 1])
        order = [None, pair] if rank == 0 else [pair, None]
        for group in order[: 1 if rank == 2 else 2]:
            if rank < 2 or group is None:
                dist.barrier(group=group)

    with pytest.raises(
        DeadlockError, match=r"rank 0 waits in barrier, call 0 of the default group"
    ):
        simnet.run(train, NET)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dist.barrier(), "called barrier, but"),
        (lambda: dist.all_reduce(torch.ones(5)), "called all_reduce of 5 float32 (SUM), but"),
        (lambda: dist.all_reduce(torch.ones(4).int()), "called all_reduce of 4 int32 (SUM), but"),
        (
            lambda: dist.all_reduce(torch.ones(4), op=dist.ReduceOp.MAX),
            "called all_reduce of 4 float32 (MAX), but",
        ),
        (
            lambda: dist.broadcast(torch.ones(4), src=1),
            "called broadcast of 4 float32 from rank 1, but",
        ),
    ],
)
def test_a_mismatch_names_both_sides(call, words):
    def train(rank, world_size):
        dist.barrier()
        if rank == 2:
            call()
        else:
            dist.all_reduce(torch.ones(4))

    with pytest.raises(MismatchError) as caught:
        simnet.run(train, NET)

    said = re.sub(r" at \S*test_rank_errors\.py:\d+", "", str(caught.value))
    assert said == (
        f"rank 2 {words} rank 0 called all_reduce of 4 float32 (SUM) as call 1 of the default group"
    )
    assert isinstance(caught.value, ValueError)


def test_roots_must_agree():
    def train(rank, world_size):
        dist.broadcast(torch.ones(2), src=rank)

    with pytest.raises(
        MismatchError, match=r"from rank 1 at .*, but rank 0 .* from rank 0 at .* as call 0"
    ):
        simnet.run(train, NET)


def test_runs_do_not_nest():
    def train(rank, world_size):
        simnet.run(lambda rank, world_size: None, NET)

    with pytest.raises(RuntimeError, match=r"^simnet\.run: called inside a rank .* do not nest\n"):
        simnet.run(train, NET)


def test_runs_do_not_overlap():
    refused = []

    def other():
        try:
            simnet.run(lambda rank, world_size: None, NET)
        except RuntimeError as error:
            refused.append(str(error))

    def train(rank, world_size):
        if rank == 0:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    simnet.run(train, NET)
    assert refused == ["simnet.run: a run is under way in this process; runs do not nest"]
    other()
    assert len(refused) == 1


def test_no_route_is_an_error_of_the_call():
    graph = topologies.line(3, bandwidth="1MB/s", latency="1ms")
    net = simnet.Network(graph, forward=False)

    def train(rank, world_size):
        dist.broadcast(torch.ones(1), src=0)

    with pytest.raises(ValueError, match="no route"):
        simnet.run(train, net, algorithm={"broadcast": "flat"})
