"""Whose computation is charged, when, and how it varies; what is refused."""

import pickle
import subprocess
import sys
import threading
import time
from math import sqrt
from statistics import fmean, pstdev

import pytest
import torch
from metering import (
    COUNTS_BYTES,
    COUNTS_FLOPS,
    LEFT,
    PRODUCT,
    RIGHT,
    assert_nothing_is_left,
    charged,
)
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from simnet.workload.compute import (
    DEVICES,
    ComputeModel,
    Device,
    Fixed,
    Measured,
    Roofline,
    Straggler,
)
from simnet.workload.devices import find_device
from simnet.workload.pace import Pace


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = is_in_torch_dispatch_mode()
    yield
    assert_nothing_is_left(before)


# Whose work it is


def test_what_is_done_while_paused_is_not_counted():
    meter = Roofline(COUNTS_FLOPS).meter(0, 0)
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    fixed = Fixed(1.0).meter(0, 0)

    def work():
        LEFT @ RIGHT
        meter.pause()
        LEFT @ RIGHT
        assert meter.take() == pytest.approx(PRODUCT)
        meter.resume()
        LEFT @ RIGHT

    assert charged(meter, work) == pytest.approx(PRODUCT)

    def paused_update():
        fixed.pause()
        torch.optim.SGD([parameter], lr=0.1).step()

    assert charged(fixed, paused_update) == 0.0


def in_turn(*bodies):
    """Threads that all begin, then all go on, then end in the order in which they began."""
    barrier = threading.Barrier(len(bodies), timeout=10)
    errors = []

    def thread(index, begin, work, end):
        try:
            begin()
            barrier.wait()
            work()
            for turn in range(len(bodies)):
                barrier.wait()
                if turn == index:
                    end()
        except BaseException as error:
            barrier.abort()
            errors.append(error)

    threads = [
        threading.Thread(target=thread, args=(index, *body)) for index, body in enumerate(bodies)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors


def test_threads_are_independent():
    meters = [Roofline(COUNTS_FLOPS).meter(rank, 0) for rank in range(3)]

    def products(count):
        def work():
            left = LEFT.clone().requires_grad_()
            for _ in range(count):
                (left @ RIGHT).sum().backward()

        return work

    in_turn(*((m.begin, products(rank + 1), m.end) for rank, m in enumerate(meters)))
    taken = [meter.take() for meter in meters]
    assert taken == pytest.approx([2 * PRODUCT * (rank + 1) for rank in range(3)])


def test_an_optimizer_counts_for_the_thread_it_steps_in():
    meters = [Fixed(1.0).meter(rank, 0) for rank in range(3)]

    def updates(count):
        optimizer = sgd()
        return lambda: [optimizer.step() for _ in range(count)]

    outside = sgd()
    meters[0].begin()
    outside.step()
    meters[0].end()
    in_turn(*((m.begin, updates(rank), m.end) for rank, m in enumerate(meters)))
    outside.step()
    assert [meter.take() for meter in meters] == [1.0, 1.0, 2.0]


# Steps


def sgd():
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    return torch.optim.SGD([parameter], lr=0.1)


def test_a_fixed_time_is_charged_once_a_step():
    meter = Fixed("20ms").meter(0, 0)
    assert charged(meter, lambda: [meter.step() for _ in range(3)]) == pytest.approx(0.06)
    assert meter.take() == 0.0


def test_a_fixed_time_is_charged_before_the_update():
    meter, optimizer = Fixed(1.0).meter(0, 0), sgd()
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(meter.take()))
    charged(meter, optimizer.step)
    assert seen == [1.0]


def test_once_steps_are_reported_optimizers_do_not_count():
    meter, optimizers = Fixed(1.0).meter(0, 0), [sgd(), sgd()]

    def iteration():
        for optimizer in optimizers:
            optimizer.step()
        meter.step()

    assert charged(meter, lambda: [iteration() for _ in range(4)]) == 4.0


def test_an_optimizer_inside_another_does_not_count():
    class Outer(torch.optim.SGD):
        def step(self, closure=None):
            inner.step()

    inner, outer = sgd(), Outer([nn.Parameter(torch.ones(3))], lr=0.1)
    meter = Fixed(1.0).meter(0, 0)
    assert charged(meter, lambda: (outer.step(), outer.step())) == 2.0


def test_an_update_that_fails_does_not_silence_the_next():
    def fail():
        raise KeyError("no loss")

    meter, optimizer = Fixed(1.0).meter(0, 0), sgd()

    def work():
        with pytest.raises(KeyError):
            optimizer.step(fail)
        meter.pause()
        meter.take()
        meter.resume()
        optimizer.step()

    assert charged(meter, work) == 1.0


def test_measured_time_is_that_of_the_thread(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "thread_time", lambda: clock[0])
    meter = Measured(0.5, speed=2.0).meter(0, 0)

    def work():
        clock[0] += 3.0
        meter.pause()
        clock[0] += 10.0
        meter.step()
        assert meter.take() == 3.0 * 0.5 / 2
        meter.resume()
        clock[0] += 4.0

    assert charged(meter, work) == 4.0 * 0.5 / 2


# How it varies

MODELS = [Fixed(1.0, jitter=0.3), Measured(jitter=0.3), Roofline(COUNTS_FLOPS, jitter=0.3)]


def step_times(model, rank, seed, steps):
    meter = model.meter(rank, seed)
    times = []
    for _ in range(steps):
        meter.step()
        times.append(meter.take())
    return times


def test_speeds():
    assert step_times(Fixed(1.0, speed=2.0), 5, 0, 1) == [0.5]
    by_rank = Fixed(1.0, speed=[1.0, 4.0])
    assert [step_times(by_rank, rank, 0, 1) for rank in (0, 1)] == [[1.0], [0.25]]


def test_jitter_is_lognormal_with_mean_one():
    times = step_times(Fixed(1.0, jitter=0.3), 0, 0, 4000)
    assert fmean(times) == pytest.approx(1.0, abs=4 * 0.3 / sqrt(4000))
    assert pstdev(times) == pytest.approx(0.3, rel=0.1)
    assert min(times) > 0


def test_stragglers_are_as_many_and_as_slow_as_said():
    straggler = Straggler(probability=0.1, slowdown=5.0)
    times = step_times(Fixed(1.0, straggler=straggler), 0, 0, 2000)
    assert set(times) == {1.0, 5.0}
    assert times.count(5.0) == pytest.approx(200, abs=4 * sqrt(2000 * 0.1 * 0.9))


def test_jitter_is_the_same_with_stragglers_or_without():
    straggler = Straggler(probability=0.5, slowdown=2.0)
    without = step_times(Fixed(1.0, jitter=0.3), 1, 7, 20)
    both = step_times(Fixed(1.0, jitter=0.3, straggler=straggler), 1, 7, 20)
    ratios = {round(slow / usual, 9) for slow, usual in zip(both, without, strict=True)}
    assert ratios == {1.0, 2.0}


def test_draws_depend_on_seed_rank_and_step_alone():
    model = Fixed(1.0, jitter=0.3)
    times = step_times(model, 1, 7, 5)
    assert step_times(model, 1, 7, 5) == times
    assert not set(times) & set(step_times(model, 2, 7, 5))
    assert not set(times) & set(step_times(model, 1, 8, 5))
    factor = Pace(jitter=0.3).factors(1, 7)
    assert [factor(step) for step in (4, 0, 2)] == [times[4], times[0], times[2]]


def test_a_steps_factor_does_not_depend_on_the_number_of_charges():
    model = Roofline(COUNTS_FLOPS, jitter=0.3)
    factor = Pace(jitter=0.3).factors(0, 7)
    for charges in (1, 5):
        meter = model.meter(0, 7)
        taken = []

        def work(meter=meter, taken=taken, charges=charges):
            for _ in range(2):
                for _ in range(charges):
                    LEFT @ RIGHT
                    taken.append(meter.take())
                meter.step()

        charged(meter, work)
        expected = [PRODUCT * factor(step) for step in (0, 1) for _ in range(charges)]
        assert taken == pytest.approx(expected)


def test_an_optimizers_update_belongs_to_the_step_that_it_ends():
    meter, optimizer = Roofline(COUNTS_BYTES, jitter=0.3).meter(0, 7), sgd()
    factor = Pace(jitter=0.3).factors(0, 7)
    update = 12 * 3  # parameters are read and written, gradients read
    assert charged(meter, lambda: (optimizer.step(), optimizer.step())) == pytest.approx(
        update * (factor(0) + factor(1))
    )


# Descriptions


@pytest.mark.parametrize("model", MODELS)
def test_models_are_models_and_can_be_sent_to_processes(model):
    assert isinstance(model, ComputeModel)
    assert pickle.loads(pickle.dumps(model)) == model
    assert hash(model) == hash(pickle.loads(pickle.dumps(model)))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Fixed("20ms"), "20 ms a step"),
        (Fixed(0.02, speed=[1, 2]), "20 ms a step, speed by rank"),
        (Measured(0.5, jitter=0.1), "measured × 0.5, jitter 0.1"),
        (Roofline("H100"), "roofline of H100 (bfloat16 989.4 Tflop/s, 3.35 TB/s)"),
        (
            Roofline("M2", efficiency=0.4, straggler=Straggler(probability=0.01, slowdown=10)),
            "roofline of M2 (float32 3.579 Tflop/s, 100 GB/s) × 0.4, 0.01 of steps × 10",
        ),
    ],
)
def test_names(model, name):
    assert model.name == name


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_every_device_has_a_source_and_narrower_formats_are_no_slower(device):
    assert "https://" in device.source
    assert find_device(device.name) is device
    order = [f for f in ("float64", "float32", "float16", "float8") if f in device.flops]
    peaks = [device.flops[number_format] for number_format in order]
    assert peaks == sorted(peaks)


def test_torch_is_loaded_when_a_meter_begins():
    code = (
        "import sys; from simnet.workload.compute import Fixed, Measured, Roofline\n"
        "for model in (Fixed('1s'), Measured(), Roofline('H100')): model.meter(0, 0)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Fixed("20"), ValueError, "per_step: time '20' has no unit: write '20s' or '20ms'"),
        (lambda: Fixed(-1), ValueError, "per_step: time -1 is negative"),
        (lambda: Fixed(1, speed=0), ValueError, "speed 0.0: needs a positive number"),
        (lambda: Fixed(1, speed="2"), TypeError, "speed '2': give a number"),
        (
            lambda: Fixed(1, speed=[1, -2]),
            ValueError,
            "speed of rank 1 -2.0: needs a positive number",
        ),
        (
            lambda: Fixed(1, speed=[1, 2]).meter(3, 0),
            ValueError,
            "speed: no value for rank 3: 2 given, one a rank is needed",
        ),
        (lambda: Measured(jitter=-0.1), ValueError, "jitter -0.1: needs a finite number, zero or"),
        (lambda: Measured(0), ValueError, "scale 0.0: needs a positive number"),
        (lambda: Measured(straggler=0.1), TypeError, "straggler 0.1: give None or Straggler(prob"),
        (
            lambda: Straggler(probability=2, slowdown=3),
            ValueError,
            "straggler: probability 2.0: must be in [0, 1]",
        ),
        (
            lambda: Straggler(probability=0.1, slowdown=0.5),
            ValueError,
            "straggler: slowdown 0.5: needs a finite number, at least 1",
        ),
        (
            lambda: Roofline("H200"),
            ValueError,
            "device 'H200' is unknown: choose H100, A100, RTX 4090, M2, phone or a Device",
        ),
        (lambda: Roofline(3), TypeError, "device 3: give H100, A100, RTX 4090, M2, phone or a De"),
        (lambda: Roofline("M2", efficiency=2), ValueError, "efficiency 2.0: must be in (0, 1]"),
        (
            lambda: Device(name="d", flops={"bf16": 1}, memory_bandwidth=1),
            ValueError,
            "device 'd': flops of 'bf16': choose from float64, float32, float16, bfloat16, float8",
        ),
        (
            lambda: Device(name="d", flops={"float16": 1}, memory_bandwidth=1),
            ValueError,
            "device 'd': flops: float32 is missing",
        ),
        (
            lambda: Device(name="d", flops={"float32": 0}, memory_bandwidth=1),
            ValueError,
            "device 'd': flops of float32 0.0: needs a positive number",
        ),
        (
            lambda: Device(name="d", flops=1e12, memory_bandwidth=1),
            TypeError,
            "device 'd': flops 1000000000000.0: give a mapping such as {'float32': 1e12}",
        ),
        (
            lambda: Device(name="d", flops={"float32": 1}, memory_bandwidth="5ms"),
            ValueError,
            "device 'd': memory_bandwidth: bandwidth '5ms' is a time, not a bandwidth",
        ),
        (
            lambda: Device(name="d", flops={"float32": 1}, memory_bandwidth=0),
            ValueError,
            "device 'd': memory_bandwidth 0.0: not positive",
        ),
    ],
)
def test_what_is_refused_says_why_in_one_line(build, error, message):
    with pytest.raises(error) as caught:
        build()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
