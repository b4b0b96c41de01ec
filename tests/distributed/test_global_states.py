"""What a process has one of, and ranks that are threads share; and what is shared of messages."""

import functools
import gc
import os
import random
import sys
import time
import weakref
from time import sleep

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.utils._python_dispatch import TorchDispatchMode

import simnet
import topologies
from simnet.distributed import generators
from simnet.distributed.generators import (
    NumpyAsked,
    NumpyInPlace,
    RandomByCall,
    RandomInPlace,
    TorchAsked,
    TorchInPlace,
    numpy_pair,
    torch_stand,
)
from simnet.distributed.random_states import NUMPY, RANDOM, TORCH, RandomStates
from simnet.workload import dispatch_notes

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="1ms"))


def run(train, **about):
    return simnet.run(train, NET, quiet=True, **about).results


def test_a_default_dtype_is_the_ranks_own():
    def train(rank, world_size):
        if rank == 1:
            torch.set_default_dtype(torch.float64)
        dist.barrier()
        return torch.ones(1).dtype

    assert run(train) == (torch.float32, torch.float64, torch.float32)
    assert torch.get_default_dtype() is torch.float32


def of_the_process():
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "threads": torch.get_num_threads(),
        "products": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "mkldnn": torch.backends.mkldnn.enabled,
        "printed": str(torch.tensor(1 / 3)) + str(np.float64(1 / 3)) + str(np.ones(1) / 3),
        "anomalies": torch.is_anomaly_enabled(),
        "numpy errors": np.geterr(),
        "recursion": sys.getrecursionlimit(),
        "gc": gc.isenabled(),
        "folder": os.getcwd(),
        "umask": umask,
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize("fails", [False, True])
def test_settings_of_the_process_are_put_back(fails, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMNET_KEPT", "before")
    monkeypatch.setenv("SIMNET_DELETED", "before")
    before = of_the_process()

    def train(rank, world_size):
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_num_threads(before["threads"] + 1)
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = True
        torch.backends.mkldnn.enabled = False
        torch.set_printoptions(precision=2)
        torch.autograd.set_detect_anomaly(True)
        np.set_printoptions(precision=2)
        np.seterr(all="raise")
        sys.setrecursionlimit(before["recursion"] + 100)
        gc.disable()
        os.chdir(tmp_path)
        os.umask(0o077)
        os.environ["SIMNET_KEPT"] = os.environ["SIMNET_NEW"] = "after"
        os.environ.pop("SIMNET_DELETED", None)
        if fails:
            raise KeyError(rank)

    if fails:
        with pytest.raises(KeyError):
            run(train)
    else:
        run(train)
    assert of_the_process() == before


def test_modes_that_ranks_left_in_another_order_than_entered_are_not_kept_in_mind():
    class Passing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    def train(rank, world_size):
        with Passing():
            dist.barrier()

    before = dispatch_notes.present()
    run(train)
    assert dispatch_notes.present() == before


def test_a_kept_gaussian_survives_where_the_words_come_round():
    seed, count = _comes_round()
    states = RandomStates(2, 0)
    try:
        states.switch_to(0)
        np.random.seed(seed)
        _turn(states)
        drawn = np.random.randn(count).tolist()
        _turn(states)
        drawn.append(np.random.randn())
    finally:
        states.restore()
    assert drawn == np.random.RandomState(seed).randn(count + 1).tolist()


def _turn(states):
    """Let the other rank have a turn."""
    states.switch_to(1)
    states.switch_to(0)


def _comes_round():
    """A seed, and after how many draws numpy is at the same word and keeps a gaussian."""
    for seed in range(1000):
        generator = np.random.RandomState(seed)
        first = generator.get_state()[2]
        for count in range(1, 300):
            generator.randn()
            _, _, word, keeps, _ = generator.get_state()
            if word == first and keeps:
                return seed, count
    raise AssertionError("no seed comes round")


def waits(rank, world_size, seconds=2.0):
    sleep(seconds)
    return simnet.now()


class Waits:
    """Calls what it holds; and is a bound method's object."""

    def __call__(self, rank, world_size):
        sleep(2.0)
        return simnet.now()

    def method(self, rank, world_size):
        sleep(2.0)
        return simnet.now()


@pytest.mark.parametrize(
    "train",
    [
        functools.partial(waits, seconds=2.0),
        functools.partial(functools.partial(waits), seconds=2.0),
        functools.lru_cache(waits),
        torch.no_grad()(waits),
        Waits(),
        Waits().method,
    ],
    ids=["partial", "partials", "cached", "decorated", "object", "method"],
)
def test_virtual_sleep_is_found_behind_other_callables(train):
    assert run(train, virtual_time=True) == (2.0, 2.0, 2.0)
    assert sleep is time.sleep


def imported(rank, world_size):
    import sys

    return "torch._dynamo" in sys.modules


def test_processes_begin_with_what_the_first_optimizer_imports():
    assert run(imported, ranks=simnet.processes(2)) == (True, True)


def test_messages_with_many_tags_meet_whatever_their_order():
    tags = 300

    def train(rank, world_size):
        if rank == 0:
            data = [torch.empty(1) for _ in range(tags)]
            works = [dist.irecv(each, 1, tag=tag) for tag, each in enumerate(data)]
            for work in works:
                work.wait()
            return [int(each) for each in data]
        if rank == 1:
            for tag in reversed(range(tags)):
                dist.isend(torch.full((1,), float(tag)), 0, tag=tag)
            simnet.compute(60.0)
        return None

    assert run(train)[0] == list(range(tags))


def test_the_next_message_begins_when_another_recv_has_taken_the_first():
    """One from rank 1 takes the message that one from any rank has let begin."""

    def train(rank, world_size):
        data = torch.zeros(1000)
        if rank == 1:
            works = [dist.isend(data, 0) for _ in range(2)]
            for work in works:
                work.wait()
        if rank == 0:
            simnet.compute(1.0)
            works = [dist.irecv(data), dist.irecv(torch.zeros(1000), 1)]
            for work in reversed(works):
                work.wait()
            return [work.source_rank() for work in works]
        return None

    assert run(train)[0] == [1, 1]


def test_a_message_that_has_been_taken_leaves_no_data_behind(monkeypatch):
    from simnet.ranks import mailbox

    messages, kept = [], []
    take = mailbox.Message.take

    def watched(self, ticket):
        messages.append(self)
        kept.extend(weakref.ref(each) for each in self.tensors)
        take(self, ticket)

    monkeypatch.setattr(mailbox.Message, "take", watched)

    def train(rank, world_size):
        if rank == 1:
            dist.send(torch.ones(10), 0)
        if rank == 0:
            dist.recv(torch.empty(10), 1)
        dist.barrier()
        gc.collect()
        return [each() is None for each in kept]

    results = run(train)
    assert len(messages) == 1
    assert kept
    assert results == ([True],) * 3


@pytest.mark.parametrize("kind", [RandomByCall, RandomInPlace])
def test_the_state_of_random_comes_back_in_the_middle_of_a_pair_of_normal_deviates(kind):
    before, own = random.getstate(), kind()
    try:
        random.seed(3)
        random.gauss(0, 1)
        state = own.get()
        ahead = [random.gauss(0, 1), random.random(), random.getrandbits(40)]
        random.seed(9)
        own.put(state)
        assert [random.gauss(0, 1), random.random(), random.getrandbits(40)] == ahead
        own.put(own.of(random.Random(5)))
        assert [random.random() for _ in range(700)] == [
            each.random() for each in [random.Random(5)] for _ in range(700)
        ]
    finally:
        random.setstate(before)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="another layout of objects")
def test_generators_are_laid_out_as_they_are_read():
    assert isinstance(RANDOM, RandomInPlace)
    assert isinstance(TORCH, TorchInPlace)
    assert isinstance(NUMPY, NumpyInPlace)


def test_that_torch_has_drawn_is_seen_also_where_no_word_changes():
    before = torch.get_rng_state()
    try:
        stood = [TORCH.now()]
        for draw in (torch.rand, torch.randn, torch.randn, torch.randperm):
            draw(3)
            assert TORCH.now() not in stood
            stood.append(TORCH.now())
        torch.manual_seed(4)
        assert TORCH.now() not in stood
        assert TORCH.now() == TORCH.now()
    finally:
        torch.set_rng_state(before)


def test_a_torch_that_keeps_its_state_elsewhere_is_asked_each_time(monkeypatch):
    monkeypatch.setattr(TorchInPlace, "WORDS_AT", 24)
    assert TorchInPlace.find() == -1
    assert isinstance(torch_stand(), TorchAsked)
    monkeypatch.undo()
    monkeypatch.setattr(TorchInPlace, "SIZE", TorchInPlace.SIZE - 16)
    assert isinstance(torch_stand(), TorchAsked)
    assert TorchAsked().now() != TorchAsked().now()


def test_a_numpy_that_keeps_a_deviate_elsewhere_is_asked_each_time(monkeypatch):
    monkeypatch.setattr(generators.struct, "pack", lambda *_: b"found nowhere")
    assert NumpyInPlace.find() == -1
    assert isinstance(numpy_pair(), NumpyAsked)
    assert NumpyAsked().may_keep()


@pytest.mark.parametrize("default", ["meta", "fake"])
def test_generators_are_looked_into_whatever_makes_tensors(default):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() if default == "fake" else torch.device("meta"):
        found = torch_stand()
    assert isinstance(found, TorchAsked if default == "fake" else TorchInPlace)


def test_a_state_of_numpy_put_back_in_the_middle_of_a_pair_is_kept():
    def train(rank, world_size):
        np.random.standard_normal()
        state = np.random.get_state()
        ahead = np.random.standard_normal()
        dist.barrier()
        np.random.set_state(state)
        dist.barrier()
        return np.random.standard_normal() == ahead

    assert run(train) == (True,) * 3


@pytest.mark.parametrize(
    "kind", [simnet.threads(3), simnet.processes(3)], ids=["threads", "processes"]
)
def test_what_a_root_gathers_of_itself_is_data_alone(kind):
    def train(rank, world_size):
        given = torch.full((2,), float(rank), requires_grad=True)
        room = list(torch.empty(3, 2).unbind(0)) if rank == 0 else None
        dist.gather(given, room)
        return room and [(each.requires_grad, each.tolist()) for each in room]

    found = simnet.run(train, NET, ranks=kind, quiet=True).results[0]
    assert found == [(False, [float(rank)] * 2) for rank in range(3)]


@pytest.mark.parametrize(
    "kind", [simnet.threads(3), simnet.processes(3)], ids=["threads", "processes"]
)
def test_a_tensor_of_inference_is_filled_outside_of_it(kind):
    def train(rank, world_size):
        with torch.inference_mode():
            tensor = torch.ones(2)
        dist.all_reduce(tensor)
        return tensor.tolist()

    assert simnet.run(train, NET, ranks=kind, quiet=True).results == ([3.0, 3.0],) * 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no such call")
def test_ranks_run_and_leave_others_where_they_may():
    before = os.sched_getaffinity(0)

    def train(rank, world_size):
        found = []
        for _ in range(3):
            dist.barrier()
            found.append(os.sched_getaffinity(0) == before)
        return all(found)

    assert run(train) == (True, True, True)
    assert os.sched_getaffinity(0) == before
    with pytest.raises(KeyError):
        run(lambda rank, world_size: {}[rank])
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system has no such policy")
@pytest.mark.parametrize("name", ["SCHED_OTHER", "SCHED_BATCH"])
def test_the_caller_is_scheduled_as_before(name):
    policy = getattr(os, name)
    os.sched_setscheduler(0, policy, os.sched_param(0))
    try:
        inside = run(lambda rank, world_size: os.sched_getscheduler(0))
        with pytest.raises(KeyError):
            run(lambda rank, world_size: {}[rank])
        assert os.sched_getscheduler(0) == policy
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    assert inside == (os.SCHED_BATCH,) * 3
