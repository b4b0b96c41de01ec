"""A rank that ends in any way but returning ends the others, and the run says how it was."""

import os
import signal
import sys
import time

import pytest
import torch
import torch.distributed as dist
from leftovers import nothing_left

import simnet
import topologies
from simnet.distributed import RankLostError
from simnet.ranks.errors import EndedError

NET = simnet.Network(topologies.star(4, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)
KINDS_SOME_SLOW = pytest.mark.parametrize(
    "kind",
    [simnet.threads, pytest.param(simnet.processes, marks=pytest.mark.slow)],
    ids=["threads", "processes"],
)


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def crash(train, ranks, error):
    """The exception of a run."""
    with pytest.raises(error) as caught:
        simnet.run(train, NET, ranks, quiet=True)
    return caught.value


@KINDS
def test_an_exception_comes_out_as_it_is_and_the_others_clean_up(kind, tmp_path):
    class ModelError(ValueError):
        """One that neither pickle nor its own arguments can rebuild."""

        def __init__(self, layer, *, loss):
            super().__init__(f"{layer}: {loss}")
            self.layer = layer
            self.open_file = (each for each in ())

    def train(rank, world_size):
        simnet.compute("1.5s")
        try:
            if rank == 2:
                raise ModelError("conv", loss=float("nan"))  # here
            if rank == 0:
                dist.all_reduce(torch.ones(1))
            elif rank == 1:
                dist.recv(torch.ones(1), src=0)
            while True:  # rank 3 never calls again
                pass
        finally:
            (tmp_path / f"{rank}").touch()
            if rank < 2:
                dist.barrier()
                (tmp_path / "never").touch()

    error = crash(train, kind(4), ModelError)

    assert type(error) is ModelError
    assert str(error) == "conv: nan"
    assert error.layer == "conv"
    assert "on rank 2 at virtual time 1.5 s" in error.__notes__
    said = "\n".join(error.__notes__)
    if kind is simnet.processes:
        assert 'raise ModelError("conv", loss=float("nan"))  # here' in said
        assert "test_crashes.py" in said
    left = {int(path.name) for path in tmp_path.iterdir()}
    assert left >= {0, 1, 2}


@KINDS_SOME_SLOW
def test_leaving_the_program_ends_the_run(kind):
    def train(rank, world_size):
        if rank == 0:
            sys.exit(3)
        dist.barrier()

    assert crash(train, kind(2), SystemExit).code == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeyError("key"),
        lambda: OSError(2, "No such file", "data.pt"),
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        lambda: ExceptionGroup("two", [ValueError("a"), TypeError("b")]),
        lambda: StopIteration(4),
        lambda: GeneratorExit(),
        lambda: torch.OutOfMemoryError("no memory"),
    ],
)
def test_exceptions_that_are_special_in_python(make):
    def train(rank, world_size):
        if rank == 1:
            raise make()
        dist.barrier()

    error, expected = crash(train, 2, BaseException), make()
    assert type(error) is type(expected)
    assert str(error) == str(expected)
    assert error.args == expected.args or isinstance(error, ExceptionGroup)
    assert error.__notes__ == ["on rank 1 at virtual time 0 s"]


def test_the_error_of_the_lowest_rank_of_the_first_instant_counts():
    def train(rank, world_size):
        simnet.compute(f"{4 - rank // 2}s")
        raise ValueError(rank)

    error = crash(train, 4, ValueError)
    assert error.args == (2,)
    assert error.__notes__ == ["on rank 2 at virtual time 3 s"]


def test_one_exception_object_for_all_runs_is_noted_once_a_place():
    shared = ValueError("shared")

    def train(rank, world_size):
        raise shared

    for _ in range(3):
        assert crash(train, 2, ValueError) is shared
    assert shared.__notes__ == ["on rank 0 at virtual time 0 s"]


def test_a_rank_process_that_ends_without_a_word():
    def train(rank, world_size):
        simnet.compute("2s")
        if rank == 1:
            os._exit(3)
        dist.barrier()

    error = crash(train, simnet.processes(2), RankLostError)
    assert str(error) == "rank 1's process ended without a word (exit code 3)"
    assert error.__notes__ == ["on rank 1 at virtual time 2 s"]


def test_a_rank_process_that_is_killed_in_a_large_message_while_a_child_holds_its_socket(tmp_path):
    """The socket stays open in what the rank has forked: its end is heard of elsewhere."""

    def train(rank, world_size):
        if rank == 0:
            dist.all_reduce(torch.ones(1))
        if os.fork() == 0:
            time.sleep(600)
        large, write = torch.ones(10_000_000), os.write

        def half(descriptor, data):
            write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

        os.write = half
        dist.all_reduce(large)

    error = crash(train, simnet.processes(2), RankLostError)
    assert str(error) == "rank 1's process ended without a word (killed by signal 9)"


@KINDS
def test_what_a_rank_forks_is_no_rank_and_calls_in_vain(kind, tmp_path):
    def train(rank, world_size):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(200):  # as one that tries again and again
                    with pytest.raises(EndedError):
                        dist.barrier()
                (tmp_path / str(rank)).touch()
            finally:
                os._exit(3)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        dist.barrier()
        return ended

    assert simnet.run(train, NET, kind(2), quiet=True, watchdog="20s").results == (3, 3)
    assert {each.name for each in tmp_path.iterdir()} == {"0", "1"}


@pytest.mark.slow
def test_a_rank_process_that_dies_while_it_waits():
    def train(rank, world_size):
        if rank == 1:
            pid = torch.tensor([os.getpid()])
            dist.send(pid, dst=0)
            dist.recv(pid, src=0)
        else:
            pid = torch.zeros(1, dtype=torch.int64)
            dist.recv(pid, src=1)
            os.kill(int(pid), signal.SIGKILL)
            dist.send(pid, dst=1)

    error = crash(train, simnet.processes(2), RankLostError)
    assert str(error) == "rank 1's process ended without a word (killed by signal 9)"


@pytest.mark.slow
def test_the_process_that_forks_is_killed():
    def train(rank, world_size):
        if rank == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        dist.barrier()

    crash(train, simnet.processes(2), RankLostError)


@pytest.mark.slow
def test_what_cannot_travel_is_named():
    def train(rank, world_size):
        return (each for each in ())

    with pytest.raises(TypeError, match=r"^train returned generator on rank 0, which cannot be"):
        simnet.run(train, NET, simnet.processes(2), quiet=True)
    handle = sys._getframe()
    with pytest.raises(TypeError, match=r"^train: cannot be sent to processes: "):
        simnet.run(lambda rank, world_size: handle, NET, simnet.processes(2), quiet=True)


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing():
    """Not even a folder in memory: what forks ranks outlives the run long enough to clean up."""
    program = """
        import os, signal, sys, time
        import simnet, topologies
        from simnet.distributed import gathering

        gathering.MEMORY = sys.argv[1]
        net = simnet.Network(topologies.ring(2, bandwidth="1MB/s", latency="1ms"))
        run = os.getpid()

        def train(rank, world_size):
            if rank == 1:
                os.kill(run, signal.SIGKILL)
            while True:
                pass

        simnet.run(train, net, simnet.processes(2))
    """
    import subprocess
    import textwrap

    from simnet.distributed import gathering

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), gathering.MEMORY],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert "Traceback" not in done.stderr
