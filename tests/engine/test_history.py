"""A job that is over leaves next to nothing behind, and its transfers can still be asked for."""

import gc
import importlib
import pickle
from functools import partial

import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.engine import Clock, Fabric, History, Job, KernelModel, make_model
from simnet.engine.history import PastJob
from simnet.simulation import collect
from simnet.transport import Ideal, Retransmit

RANKS, STEPS = 4, 200
WORKS = [collectives.all_reduce("64kB", algorithm="ring"), collectives.all_gather("64kB")]


def star(**links):
    return simnet.Network(topologies.star(RANKS, bandwidth="10Gbit/s", latency="10us", **links))


def live(net, model, history, *, steps=STEPS, overlap=1):
    """Every rank goes through all steps at its own pace, `overlap` works at a time."""
    clock = Clock()
    fabric = Fabric(clock, net, model, history=history)
    pauses = np.random.default_rng(0).uniform(0, 1e-3, (steps, RANKS))

    def rank(number):
        posted = []
        for step in range(steps):
            yield clock.timeout(pauses[step, number])
            if len(fabric.operations) == step:
                fabric.post(WORKS[step % len(WORKS)], sequence=step)
            operation = fabric.operations[step]
            operation.arrive(number)
            posted.append(operation.left[number])
            if len(posted) == overlap:
                yield clock.all_of(posted)
                posted.clear()

    for number in range(RANKS):
        clock.process(rank(number))
    clock.run()
    return fabric


def of(net, *, transport=None, engine="auto", repeats=True):
    """What makes a network's models, the live one first."""
    make = partial(make_model, net, transport or Ideal(), 0)
    again = "reference" if engine == "reference" else "events"
    return make(engine=engine, repeats=repeats), History(partial(make, engine=again))


def jobs_alive(kinds):
    gc.collect()
    return sum(issubclass(type(each), kinds) for each in gc.get_objects())


@pytest.mark.kernel
@pytest.mark.parametrize("overlap", [1, 3, 1000])
@pytest.mark.parametrize("links", [{}, {"jitter": "1us"}], ids=["remembered", "drawn"])
def test_the_kernel_forgets_what_is_over(links, overlap):
    net = star(**links)
    model, history = of(net)
    kernel = model if isinstance(model, KernelModel) else model._kernel
    fabric = live(net, model, history, overlap=overlap)
    assert all(each.done.processed for each in fabric.operations)
    # What nobody holds any more is forgotten when the kernel goes on.
    fabric.submit(WORKS[0])
    fabric.env.run()
    assert kernel._core.kept() <= 2
    assert not kernel._jobs


@pytest.mark.parametrize("engine", [pytest.param("auto", marks=pytest.mark.kernel), "reference"])
def test_no_model_holds_a_job_that_is_over(engine):
    net = star()
    before, kept_before = jobs_alive(Job), jobs_alive(PastJob)
    fabric = live(net, *of(net, engine=engine))
    assert all(type(each.job) is PastJob for each in fabric.operations)
    assert jobs_alive(PastJob) - kept_before == STEPS
    assert jobs_alive(Job) - before <= STEPS + 4
    assert not fabric._operation_of


@pytest.mark.parametrize("engine", [pytest.param("auto", marks=pytest.mark.kernel), "reference"])
def test_who_comes_after_a_question_is_in_the_next_answer(engine):
    net = star()
    model, history = of(net, engine=engine)
    fabric = Fabric(Clock(), net, model, history=history)
    halves = [range(RANKS // 2), range(RANKS // 2, RANKS)]
    work = [collectives.all_reduce("1MB", ranks=list(ranks)) for ranks in halves]
    first, second = map(fabric.post, work)
    for operation, ranks in zip((first, second), halves, strict=True):
        for rank in ranks:
            operation.arrive(rank)
        fabric.env.run()
        assert operation.job.ends.max() == pytest.approx(max(operation.job.left.values()))


@pytest.mark.kernel
def test_the_core_refuses_to_forget_what_is_not_over():
    model = KernelModel(star(), Ideal(), 0)
    clock = Clock()
    fabric = Fabric(clock, star(), model)
    operation = fabric.post(WORKS[0])
    with pytest.raises(ValueError, match="job 0 is not over"):
        model._core.forget(0)
    for rank in range(RANKS):
        operation.arrive(rank)
    clock.run()
    model._core.forget(0)
    assert model._core.kept() == 0
    for refused in (
        lambda: model._core.forget(0),
        lambda: model._core.arrive(0, 0, clock.now),
        lambda: model._core.arrived(0),
        lambda: operation.job.starts,
    ):
        with pytest.raises(ValueError, match="no job 0"):
            refused()


KERNEL = pytest.mark.kernel
CASES = {
    "remembered": ({}, Ideal(), "auto", 1e-9),
    "jitter": ({"jitter": "1us"}, Ideal(), "auto", 0),
    "loss": ({"loss": 0.02}, Retransmit(), "auto", 0),
    "reference": ({"jitter": "1us", "loss": 0.02}, Retransmit(), "reference", 0),
}


@pytest.mark.parametrize("overlap", [1, 3])
@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each == "reference" else KERNEL) for each in CASES]
)
def test_what_is_carried_out_again_is_what_was(name, overlap):
    links, transport, engine, rtol = CASES[name]
    net = star(**links)
    model, history = of(net, transport=transport, engine=engine)
    ours = live(net, model, history, steps=20, overlap=overlap)
    model, _ = of(net, transport=transport, engine=engine)
    theirs = live(net, model, None, steps=20, overlap=overlap)
    assert ours.env.now == theirs.env.now
    mine, other = (collect(each, transport.name, 0) for each in (ours, theirs))
    assert mine.to_dict() == other.to_dict()
    assert (mine.retransmitted_bytes > 0) == ("loss" in links)
    on_wire = [each.bytes_on_wire for each in ours.operations]
    assert on_wire == [each.bytes_on_wire for each in theirs.operations]
    assert sum(on_wire) == mine.bytes_on_wire
    jobs = [each.job for each in mine.works]
    for again in (jobs, pickle.loads(pickle.dumps(jobs))):
        for job, work in zip(again, other.works, strict=True):
            np.testing.assert_allclose(job.start, work.job.start, rtol=rtol)
            np.testing.assert_allclose(job.end, work.job.end, rtol=rtol)
            assert job.retransmitted == work.job.retransmitted
            assert job.arrived == work.job.arrived
    assert len(mine.transfers) == len(other.transfers)


@pytest.mark.kernel
def test_only_the_programs_posted_last_stay_compiled(monkeypatch):
    monkeypatch.setattr(importlib.import_module("simnet.engine.kernel"), "MOST_TRANSFERS", 100)
    net = star()
    model = KernelModel(net, Ideal(), 0)
    clock = Clock()
    fabric = Fabric(clock, net, model)
    works = [collectives.all_reduce(1000 * size, algorithm="ring") for size in range(1, 21)]
    for work in [*works, works[-1], works[0], works[-1]]:
        operation = fabric.submit(work)
        clock.run()
        (alone,) = simnet.simulate(net, work, engine="events").works
        assert operation.job.end[-1] - operation.start == pytest.approx(alone.time, rel=1e-9)
    kept = [len(program) for program in model._programs]
    assert sum(kept) == model._compiled <= 100 < sum(kept) + kept[0]
    last, first = (fabric.operations[at].job.program for at in (-1, 0))
    assert list(model._programs)[-2:] == [first, last]
