"""A run leaves nothing behind, and ranks do not disturb each other or the caller."""

import random
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed import destroy_process_group, init_process_group

import simnet
import topologies

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))


def global_state():
    """What a run changes and has to put back."""
    c10d = dist.distributed_c10d
    return (
        c10d._world,
        c10d._default_pg_init_method,
        init_process_group.__closure__[0].cell_contents,
        sys.excepthook,
        threading.active_count(),
        torch.get_num_threads(),
    )


def generators():
    """The states of the three global generators, comparable."""
    numpy_state = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        (numpy_state[1].tolist(), *numpy_state[2:]),
    )


def draw():
    """Take numbers from every generator; an odd number of normal deviates leaves one over."""
    return (
        torch.rand(1).item(),
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
    )


def fail(rank, world_size):
    draw()
    dist.all_reduce(torch.ones(1))
    raise ZeroDivisionError


def deadlock(rank, world_size):
    draw()
    if rank:
        dist.barrier()


def succeed(rank, world_size):
    draw()
    dist.barrier()


@pytest.mark.parametrize("train", [succeed, fail, deadlock])
def test_everything_is_put_back(train):
    simnet.run(lambda rank, world_size: None, NET)  # torch's own lazy imports are not the run's
    np.random.seed(7)
    draw()
    before, random_before = global_state(), generators()

    try:
        simnet.run(train, NET)
    except (ZeroDivisionError, RuntimeError):
        assert train is not succeed

    assert global_state() == before
    assert generators() == random_before
    assert not dist.is_initialized()
    with pytest.raises(RuntimeError, match="inside a rank"):
        simnet.now()


def test_the_callers_own_process_group_survives(tmp_path):
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        own = dist.group.WORLD
        seen = []

        def train(rank, world_size):
            seen.append(dist.get_world_size())
            dist.barrier()

        simnet.run(train, NET)

        assert seen == [3, 3, 3]
        assert dist.group.WORLD is own
        assert dist.get_backend() == "gloo"
        dist.all_reduce(torch.ones(1))
        # Groups are known to all threads again, and not each to its own only.
        resolved = []
        resolve = dist.distributed_c10d._resolve_process_group
        thread = threading.Thread(target=lambda: resolved.append(resolve(own.group_name)))
        thread.start()
        thread.join()
        assert len(resolved) == 1
    finally:
        dist.destroy_process_group()


def test_the_backend_is_only_for_ranks():
    simnet.run(lambda rank, world_size: None, NET)
    with pytest.raises(RuntimeError, match=r"only inside a rank of simnet\.run"):
        dist.init_process_group("simnet", store=dist.HashStore(), rank=0, world_size=1)
    assert not dist.is_initialized()


@pytest.mark.parametrize("backend", ["gloo", "nccl", "simnet", None, "cpu:gloo,cuda:nccl"])
def test_a_programs_own_init_is_bound_to_the_run(backend):
    def train(rank, world_size):
        # A name imported before the run, as programs do, and an address that nobody listens at.
        init_process_group(
            backend, init_method="tcp://192.0.2.1:1", rank=rank, world_size=world_size
        )
        tensor = torch.tensor([1.0])
        dist.all_reduce(tensor)
        destroy_process_group()
        return tensor.item(), dist.is_initialized()

    assert simnet.run(train, NET).results == ((3.0, False),) * 3


def test_a_group_may_be_made_anew_after_it_was_destroyed():
    def train(rank, world_size):
        dist.destroy_process_group()
        dist.init_process_group("gloo")
        dist.barrier()
        dist.destroy_process_group()
        dist.init_process_group("gloo")
        tensor = torch.tensor([1.0])
        dist.all_reduce(tensor)
        return tensor.item(), dist.get_rank(), dist.get_backend()

    assert simnet.run(train, NET).results == tuple((3.0, rank, "simnet") for rank in range(3))


def test_a_second_init_is_refused_as_torch_does():
    def train(rank, world_size):
        dist.init_process_group("gloo")
        dist.init_process_group("gloo")

    with pytest.raises(ValueError, match="initialize the default process group twice"):
        simnet.run(train, NET)


@pytest.mark.parametrize(("name", "value"), [("rank", 2), ("world_size", 8)])
def test_an_init_for_another_world_is_refused(name, value):
    def train(rank, world_size):
        if rank == 0:
            dist.init_process_group("gloo", **{name: value})

    with pytest.raises(ValueError, match=rf"^init_process_group: {name}={value}, but here it is "):
        simnet.run(train, NET)


def test_ranks_begin_as_fresh_processes_and_do_not_disturb_each_other():
    def train(rank, world_size):
        first = draw()
        dist.barrier()
        torch.manual_seed(rank)
        np.random.seed(rank)
        random.seed(rank)
        drawn = []
        for _ in range(5):
            drawn.append(draw())
            simnet.compute(0.001)
            dist.barrier()
        return first, drawn

    run = simnet.run(train, NET)

    fresh = torch.rand(1, generator=torch.Generator()).item()
    for rank, (first, drawn) in enumerate(run.results):
        assert first[0] == fresh
        torch.manual_seed(rank)
        np.random.seed(rank)
        random.seed(rank)
        assert drawn == [draw() for _ in range(5)]
    assert len({first[1:] for first, _ in run.results}) == 3
    assert simnet.run(train, NET).results == run.results
    assert simnet.run(train, NET, seed=1).results[0][0][1:] != run.results[0][0][1:]


def test_torch_is_imported_when_a_run_begins_and_not_before():
    program = """
        import sys
        import simnet, topologies
        simnet.compute("1ms")
        simnet.Run, simnet.run
        try:
            simnet.now()
        except RuntimeError as error:
            print(error)
        print("torch" in sys.modules, "pandas" in sys.modules)
        net = simnet.Network(topologies.ring(2, bandwidth="1MB/s", latency="1ms"))
        print(simnet.run(lambda rank, world_size: rank, net).results)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "simnet.now(): there is a virtual time only inside a rank of simnet.run",
        "False False",
        "(0, 1)",
    ]
