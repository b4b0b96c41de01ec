"""Ctrl-C ends a run at once, whatever it is doing, and leaves nothing behind."""

import _thread
import os
import signal
import subprocess
import textwrap
import threading
import time

import pytest
import torch
import torch.distributed as dist
from leftovers import caller_state, eventually, nothing_left, threads
from strict import STRICT_PYTHON

import simnet
import topologies
from simnet.distributed import exchange, gathering, process_run

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)


def wait_forever():
    """In steps: Python's own interrupt_main does not wake a sleep."""
    while True:
        time.sleep(0.01)


def interrupted(train, ranks, **options):
    """Run, be interrupted, and run again: nothing may be left."""
    with nothing_left():
        before = caller_state()
        with pytest.raises(KeyboardInterrupt):
            simnet.run(train, NET, ranks, quiet=True, **options)
        assert caller_state() == before


@KINDS
def test_while_ranks_compute_in_python(kind, tmp_path):
    run = os.getpid()

    def train(rank, world_size):
        try:
            simnet.compute("1s")
            if rank == 0:
                os.kill(run, signal.SIGINT)
            if rank == 2:
                dist.barrier()
            while True:
                pass
        finally:
            (tmp_path / f"{rank}").touch()

    simnet.run(lambda rank, world_size: None, NET)  # torch's own lazy imports are not the run's
    interrupted(train, kind(3), virtual_time=True)
    ran = {path.name for path in tmp_path.iterdir()}
    assert ran == {"0", "1", "2"}
    assert simnet.run(lambda rank, world_size: rank, NET).results == (0, 1, 2)


@KINDS
def test_in_the_middle_of_a_large_reduction(kind, monkeypatch):
    reduced = exchange._reduced

    def reduce(inputs, op):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(20):
            reduced(inputs, op)
        return reduced(inputs, op)

    def train(rank, world_size):
        dist.all_reduce(torch.ones(1_000_000))
        dist.recv(torch.ones(1), src=rank)

    monkeypatch.setattr(exchange, "_reduced", reduce)
    interrupted(train, kind(2))


@pytest.mark.parametrize("count", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_while_processes_start(monkeypatch, count):
    """While the process that forks ranks imports torch."""
    start = process_run.start_nursery

    def start_and_interrupt(*args):
        nursery = start(*args)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return nursery

    monkeypatch.setattr(process_run, "start_nursery", start_and_interrupt)
    net = simnet.Network(topologies.star(20, bandwidth="1MB/s", latency="10ms"))
    with nothing_left(), pytest.raises(KeyboardInterrupt):
        simnet.run(lambda rank, world_size: None, net, simnet.processes(count), quiet=True)


def test_while_processes_connect(monkeypatch):
    accept, calls = gathering.Gathering.accept, []

    def accept_and_interrupt(self, seconds):
        calls.append(seconds)
        found = accept(self, seconds)
        if found is not None and found[1][0] == "rank":
            _thread.interrupt_main()
        return found

    monkeypatch.setattr(gathering.Gathering, "accept", accept_and_interrupt)
    interrupted(lambda rank, world_size: dist.barrier(), simnet.processes(3))


def test_twice_while_a_thread_is_stuck():
    """The second one does not wait for it, and still ends all the others."""
    lock, run = threading.Lock(), os.getpid()
    lock.acquire()

    def train(rank, world_size):
        if rank == 1:
            os.kill(run, signal.SIGINT)
            threading.Timer(0.2, os.kill, (run, signal.SIGINT)).start()
            lock.acquire()
        dist.barrier()

    with pytest.raises(KeyboardInterrupt) as caught:
        simnet.run(train, NET)
    (note,) = caught.value.__notes__
    assert note.startswith("the thread of rank 1 is stuck at ")
    eventually(lambda: {each.name for each in threads()} == {"simnet-rank-1"})
    assert simnet.run(lambda rank, world_size: rank, NET).results == (0, 1, 2)
    lock.release()
    eventually(lambda: not threads())


@pytest.mark.slow
@pytest.mark.parametrize("ranks", ["simnet.threads(3)", "simnet.processes(3)"])
def test_from_a_terminal(ranks):
    """The whole foreground process group gets the signal, and Python ends as it always does."""
    program = f"""
        import os, sys, time
        import torch, torch.distributed as dist
        import simnet, topologies
        from simnet.distributed import gathering

        gathering.MEMORY = sys.argv[1]
        net = simnet.Network(topologies.ring(3, bandwidth="1MB/s", latency="1ms"))

        def train(rank, world_size):
            if rank == 1:
                print("ready", flush=True)
                while True:
                    pass
            dist.barrier()

        try:
            simnet.run(train, net, {ranks})
        finally:
            print("again", simnet.run(lambda rank, size: rank, net).results, flush=True)
    """
    with (
        nothing_left(),
        subprocess.Popen(
            [*STRICT_PYTHON, "-c", textwrap.dedent(program), gathering.MEMORY],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout.readline() == "[rank 1] ready\n"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert out == "again (0, 1, 2)\n"
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1
    assert process.returncode == -signal.SIGINT


CELLS = """
import torch.distributed as dist
import simnet, topologies
net = simnet.Network(topologies.ring(3, bandwidth="1MB/s", latency="1ms"))

def train(rank, world_size):
    if rank == 1:
        print("ready", flush=True)
        while True:
            pass
    dist.barrier()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", ["threads", "processes"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_from_a_notebook(ranks):
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    with nothing_left(sockets=False):  # the client's stay
        kernel, client = manager.start_new_kernel(kernel_name="python3")
        try:
            assert client.execute_interactive(CELLS)["content"]["status"] == "ok"
            client.execute(f"simnet.run(train, net, simnet.{ranks}(3))")
            while "ready" not in str(client.get_iopub_msg(timeout=60)["content"]):
                pass
            kernel.interrupt_kernel()
            content = client.get_shell_msg(timeout=60)["content"]
            assert content["ename"] == "KeyboardInterrupt"
            again = "assert simnet.run(lambda rank, size: rank, net).results == (0, 1, 2)"
            assert client.execute_interactive(again)["content"]["status"] == "ok"
        finally:
            client.stop_channels()
            kernel.shutdown_kernel(now=True)


def test_an_interrupt_of_a_run_in_another_thread_does_not_reach_it():
    """Python delivers it to the main thread, which is not in the run."""
    results = []

    def train(rank, world_size):
        if rank == 0:
            _thread.interrupt_main()
        dist.barrier()
        return rank

    thread = threading.Thread(target=lambda: results.append(simnet.run(train, NET).results))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wait_forever()
    thread.join()
    assert results == [(0, 1, 2)]
