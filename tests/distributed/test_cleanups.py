"""What programs do while a run ends, and errors in code that torch calls back."""

import contextlib
import subprocess
import textwrap
import warnings

import pytest
import torch
import torch.distributed as dist
from leftovers import eventually, nothing_left, threads
from strict import STRICT_PYTHON
from torch.nn.parallel import DistributedDataParallel

import simnet
import topologies
from simnet.distributed import DeadlockError

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)


@KINDS
def test_cleaning_up_may_call_anything_and_swallow_everything(kind, tmp_path):
    def train(rank, world_size):
        pair = dist.new_group([0, 1])
        store = dist.distributed_c10d._get_default_store()
        work = dist.irecv(torch.ones(1), src=2)
        if rank == 2:
            raise ZeroDivisionError
        try:
            dist.barrier()
        finally:
            for call in (
                lambda: dist.all_reduce(torch.ones(1), group=pair),
                lambda: dist.all_reduce(torch.ones(1), async_op=True),
                lambda: work.wait(),
                lambda: work.get_future().wait(),
                lambda: store.get("key"),
                lambda: dist.monitored_barrier(),
                lambda: simnet.now(),
                lambda: simnet.compute("1s"),
            ):
                try:
                    call()
                except BaseException:
                    continue
            (tmp_path / f"{rank}").touch()
            if rank == 0:
                raise ValueError("in the cleanup itself")
            while kind is simnet.processes:
                with contextlib.suppress(BaseException):
                    dist.barrier()

    with nothing_left(), pytest.raises(ZeroDivisionError):
        simnet.run(train, NET, kind(3), quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


def test_a_thread_that_never_gives_in_is_put_to_sleep():
    def train(rank, world_size):
        while True:
            with contextlib.suppress(BaseException):
                dist.all_reduce(torch.ones(1 + rank))

    def ends(rank, world_size):
        if rank == 1:
            raise ZeroDivisionError
        train(rank, world_size)

    with pytest.raises(ZeroDivisionError) as caught:
        simnet.run(ends, NET, 2)
    (_, note) = caught.value.__notes__
    assert note.startswith("the thread of rank 0 is stuck at ")
    eventually(lambda: not threads())  # which leaves out those that sleep for good
    assert simnet.run(lambda rank, world_size: rank, NET).results == (0, 1, 2)


def callbacks(rank, world_size):
    """What comes of errors in functions that torch calls when a future is complete."""
    heard = []

    def fail(future):
        raise ZeroDivisionError("in a callback")

    work = dist.all_reduce(torch.ones(1), async_op=True)
    chained = work.get_future().then(fail)
    try:
        chained.wait()
    except RuntimeError as error:
        heard.append("ZeroDivisionError: in a callback" in str(error))
    other = dist.all_reduce(torch.ones(1), async_op=True)
    other.get_future().add_done_callback(fail)
    other.wait()
    over = dist.all_reduce(torch.ones(1), async_op=True)
    over.wait()
    try:
        over.get_future().then(fail).wait()
    except RuntimeError as error:
        heard.append("ZeroDivisionError: in a callback" in str(error))

    def meet(future):
        dist.all_reduce(future.value()[0])
        return future.value()[0]

    again = dist.all_reduce(torch.ones(1), async_op=True).get_future().then(meet)
    heard.append(again.wait().item())
    return heard


@pytest.mark.parametrize(
    "kind",
    [simnet.threads, pytest.param(simnet.processes, marks=pytest.mark.slow)],
    ids=["threads", "processes"],
)
def test_errors_in_callbacks_are_errors_of_the_future(kind):
    run = simnet.run(callbacks, NET, kind(3), quiet=True)
    assert run.results == ([True, True, 9.0],) * 3


@pytest.mark.parametrize("when", ["at once", "in the future"])
def test_an_error_in_a_communication_hook_ends_the_run(when):
    def hook(state, bucket):
        if when == "at once":
            raise ArithmeticError("in the hook")
        future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()

        def finish(future):
            raise ArithmeticError("in the hook")

        return future.then(finish)

    def train(rank, world_size):
        model = DistributedDataParallel(torch.nn.Linear(2, 2))
        if rank == 1:
            model.register_comm_hook(None, hook)
        model(torch.ones(1, 2)).sum().backward()
        dist.barrier()

    with nothing_left(), pytest.raises((ArithmeticError, RuntimeError), match="in the hook") as e:
        simnet.run(train, NET)
    assert any(note.startswith("on rank 1 at virtual time ") for note in e.value.__notes__)


def test_a_run_that_ends_while_others_are_in_a_backward_pass():
    ended = []

    def train(rank, world_size):
        model = DistributedDataParallel(torch.nn.Linear(2, 2))
        try:
            if rank == 2:
                simnet.compute("1s")
                raise ZeroDivisionError
            model(torch.ones(1, 2)).sum().backward()
        finally:
            ended.append(rank)

    with nothing_left(), pytest.raises(ZeroDivisionError):
        simnet.run(train, NET)
    assert sorted(ended) == [0, 1, 2]


def test_warnings_that_are_errors():
    """A warning of the program is its error; simnet gives none, whatever happens."""

    def train(rank, world_size):
        if rank == 1:
            warnings.warn("careful", UserWarning, stacklevel=1)
        dist.barrier()

    with nothing_left(), pytest.raises(UserWarning, match="careful"):
        simnet.run(train, NET)


@pytest.mark.slow
def test_development_mode_with_warnings_as_errors_is_silent():
    program = """
        import os, threading
        import torch, torch.distributed as dist
        import simnet, topologies

        net = simnet.Network(topologies.ring(2, bandwidth="1MB/s", latency="1ms"))

        def train(rank, world_size):
            if rank == 0:
                dist.barrier()
            elif os.getpid() != parent:
                os._exit(3)

        parent = os.getpid()
        for ranks in (simnet.threads(2), simnet.processes(2)):
            try:
                simnet.run(train, net, ranks, quiet=True)
            except RuntimeError as error:
                print(type(error).__name__)
        print(simnet.run(lambda rank, size: rank, net, simnet.processes(2), quiet=True).results)
    """
    done = subprocess.run(
        [*STRICT_PYTHON, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "DeadlockError\nRankLostError\n(0, 1)\n"


def test_a_deadlock_after_errors_were_caught_is_still_reported():
    def train(rank, world_size):
        for _ in range(3):
            with contextlib.suppress(TypeError):
                dist.all_reduce(torch.ones(1), op=dist.ReduceOp.BXOR)
        dist.recv(torch.ones(1), src=(rank + 1) % world_size)

    with nothing_left(), pytest.raises(DeadlockError):
        simnet.run(train, NET)
