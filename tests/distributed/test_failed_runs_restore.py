"""However a run ends, the caller finds everything as it was, and runs do not nest."""

import os
import random
import signal
import sys
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from leftovers import caller_state, nothing_left

import simnet
import topologies
from simnet.distributed import (
    DeadlockError,
    MismatchError,
    RankLostError,
    StallError,
    WaitTimeoutError,
)

NET = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="10ms"))


def leave_traces(rank):
    """What a program may do to its process."""
    torch.manual_seed(rank)
    random.seed(rank)
    np.random.seed(rank)
    np.random.randn()
    time.sleep(0)
    dist.init_process_group("gloo")
    dist.new_group([0, 1])
    print("a line", end="")


def succeed(rank, world_size):
    leave_traces(rank)


def fail(rank, world_size):
    leave_traces(rank)
    raise ZeroDivisionError


def deadlock(rank, world_size):
    leave_traces(rank)
    dist.recv(torch.ones(1), src=1 - rank)


def mismatch(rank, world_size):
    leave_traces(rank)
    dist.all_reduce(torch.ones(1 + rank))


def time_out(rank, world_size):
    leave_traces(rank)
    dist.irecv(torch.ones(1), src=1 - rank).wait(timedelta(seconds=5))


def leave(rank, world_size):
    leave_traces(rank)
    sys.exit("enough")


def interrupt(rank, world_size):
    leave_traces(rank)
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        dist.barrier()


def stall(rank, world_size):
    leave_traces(rank)
    for _ in range(100):
        threading.Event().wait(0.1)


ENDS = {
    succeed: None,
    fail: ZeroDivisionError,
    deadlock: DeadlockError,
    mismatch: MismatchError,
    time_out: WaitTimeoutError,
    leave: SystemExit,
    interrupt: KeyboardInterrupt,
    stall: StallError,
}


def carry_out(train, error, ranks, **options):
    """Run a program that ends in some way."""
    if error is None:
        simnet.run(train, NET, ranks, quiet=True, **options)
        return
    with pytest.raises(error):
        simnet.run(train, NET, ranks, quiet=True, **options)


@pytest.mark.parametrize(("train", "error"), ENDS.items(), ids=[each.__name__ for each in ENDS])
def test_threads_restore_everything(train, error, capsys):
    simnet.run(lambda rank, world_size: None, NET)  # torch's own lazy imports are not the run's
    before = caller_state()
    with nothing_left():
        carry_out(train, error, 2, virtual_time=True, watchdog="0.5s")
        assert caller_state() == before
    assert capsys.readouterr().out.count("a line\n") >= 1
    assert simnet.run(lambda rank, world_size: rank, NET, 2).results == (0, 1)


def exit_at_once(rank, world_size):
    """End the process without a word."""
    os._exit(7)


@pytest.mark.parametrize(
    ("train", "error"),
    [
        (exit_at_once, RankLostError),
        pytest.param(succeed, None, marks=pytest.mark.slow),
        pytest.param(deadlock, DeadlockError, marks=pytest.mark.slow),
    ],
)
def test_processes_restore_everything(train, error, tmp_path):
    """The caller's own group stands throughout, and goes on being used."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        group = dist.new_group([0])
        before = caller_state()
        with nothing_left():
            carry_out(train, error, simnet.processes(2), virtual_time=True)
            assert caller_state() == before
        dist.all_reduce(torch.ones(1), group=group)
        carry_out(deadlock, DeadlockError, 2)
        assert caller_state() == before
        dist.all_reduce(torch.ones(1), group=group)
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    "options",
    [
        {"ranks": 5},
        {"algorithm": "no such"},
        {"seed": -1},
        {"compute": 3},
        {"ranks": "processes"},
        {"watchdog": 0},
    ],
)
def test_misuse_starts_nothing(options):
    before = caller_state()
    with nothing_left(), pytest.raises((ValueError, TypeError)):
        simnet.run(succeed, NET, **options)
    assert caller_state() == before


def test_a_closed_stdout_is_no_trouble(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert simnet.run(lambda rank, world_size: rank, NET, 2).results == (0, 1)
    assert sys.stdout is None


def nested(rank, world_size):
    """What a rank hears that starts a run, itself and in a thread of its own."""
    heard = []

    def start():
        try:
            simnet.run(lambda rank, world_size: None, NET, 2)
        except RuntimeError as error:
            heard.append(str(error))

    start()
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    return heard


def test_runs_do_not_nest_in_threads():
    inside = "simnet.run: called inside a rank of a run; runs do not nest"
    elsewhere = "simnet.run: a run is under way in this process; runs do not nest"
    assert simnet.run(nested, NET, 2).results == ([inside, elsewhere],) * 2


def test_runs_do_not_nest_in_processes_nor_beside_each_other(tmp_path):
    def train(rank, world_size):
        (tmp_path / f"{rank}").touch()
        while not (tmp_path / "over").exists():
            time.sleep(0.01)
        return nested(rank, world_size)

    def first():
        results.extend(simnet.run(train, NET, simnet.processes(2), quiet=True).results)

    results = []
    thread = threading.Thread(target=first)
    thread.start()
    while not (tmp_path / "0").exists():
        assert thread.is_alive()
        time.sleep(0.01)
    for ranks in (2, simnet.processes(2)):
        with pytest.raises(RuntimeError, match="a run is under way in this process; runs do not"):
            simnet.run(lambda rank, world_size: None, NET, ranks, quiet=True)
    (tmp_path / "over").touch()
    thread.join()
    inside = "simnet.run: called inside a rank of a run; runs do not nest"
    assert results == [[inside, inside]] * 2
