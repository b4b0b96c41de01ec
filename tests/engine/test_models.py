"""Which engine a run gets, and what is said where the kernel is missing or broken."""

import gc
import warnings
import weakref

import pytest

import simnet
import topologies
from simnet import collectives
from simnet.engine import models
from simnet.engine.kernel import load_core

NET = simnet.Network(topologies.star(3, bandwidth=100.0))
FLOW = simnet.flows(0, 1, 100)


@pytest.fixture
def without_kernel(monkeypatch):
    """A function that makes the kernel fail to load with a given error."""

    def forget():
        models._lack.cache_clear()
        models._say_slow.cache_clear()

    def fail_with(error):
        def load_core():
            raise error

        monkeypatch.setattr(models, "load_core", load_core)
        forget()

    yield fail_with
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named core"), "was not compiled when simnet was installed"),
        (ImportError("undefined symbol: x"), r"cannot be loaded \(undefined symbol: x\)"),
    ],
)
def test_the_reference_serves_and_says_why_once(without_kernel, error, said):
    without_kernel(error)
    assert simnet.kernel() == "reference"
    with pytest.warns(RuntimeWarning, match=f"^simnet's kernel {said}") as caught:
        engines = [simnet.simulate(NET, FLOW).engine for _ in range(2)]
    assert (engines, len(caught)) == (["reference"] * 2, 1)
    with pytest.raises(RuntimeError, match=f"^engine='kernel': the kernel {said}"):
        simnet.simulate(NET, FLOW, engine="kernel")


@pytest.mark.kernel
def test_a_kernel_compiled_from_other_sources_does_not_serve(monkeypatch):
    monkeypatch.setattr(load_core(), "INTERFACE", 0)
    with pytest.raises(ImportError, match="compiled from other sources: install simnet again"):
        load_core()


def test_who_asks_for_the_reference_is_not_warned(without_kernel):
    without_kernel(ModuleNotFoundError("No module named core"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simnet.simulate(NET, FLOW, engine="reference").engine == "reference"


@pytest.mark.kernel
def test_the_kernel_serves_where_it_was_compiled():
    assert simnet.kernel() == "kernel"
    assert simnet.simulate(NET, FLOW).engine == "kernel"


@pytest.mark.kernel
@pytest.mark.parametrize("engine", ["auto", "events", "reference"])
@pytest.mark.parametrize(
    "work",
    [
        collectives.all_reduce(8001, algorithm="ring"),
        simnet.flows([0, 1] * 50, [2, 3] * 50, [1000] * 100),
    ],
    ids=["collective", "flows"],
)
def test_what_a_run_held_goes_with_its_result(engine, work):
    """Not when a collector of cycles comes by: a sweep would hold the memory of many runs."""
    net = simnet.Network(topologies.star(8, bandwidth=1e9, latency=1e-5))
    gc.collect()
    gc.disable()
    try:
        result = simnet.simulate(net, work, engine=engine)
        job = weakref.ref(result.works[0].job)
        assert result.time > 0.0
        del result
        assert job() is None
    finally:
        gc.enable()
