"""Flops and bytes of torch's operations, derived by hand."""

import pytest
import torch
from metering import (
    COUNTS_BYTES,
    COUNTS_FLOPS,
    LEFT,
    NO_LIMIT,
    PRODUCT,
    RIGHT,
    assert_nothing_is_left,
    counted,
)
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import conv2d, cross_entropy, embedding, scaled_dot_product_attention
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.flop_counter import FlopCounterMode

from simnet.workload.compute import Device
from simnet.workload.models import small_cnn


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = is_in_torch_dispatch_mode()
    yield
    assert_nothing_is_left(before)


# Flops


def test_a_product_takes_two_flops_for_each_multiplication():
    assert counted(COUNTS_FLOPS, lambda: LEFT @ RIGHT) == pytest.approx(PRODUCT)


def test_backward_takes_twice_as_much_again():
    left, right = LEFT.clone().requires_grad_(), RIGHT.clone().requires_grad_()
    both = counted(COUNTS_FLOPS, lambda: (left @ right).sum().backward())
    assert both == pytest.approx(3 * PRODUCT)
    assert left.grad is not None


@pytest.mark.parametrize(
    ("dtype", "peak"),
    [
        (torch.float32, 2.0),
        (torch.float64, 1.0),
        (torch.float16, 8.0),
        (torch.bfloat16, 2.0),  # not given: float32's
    ],
)
def test_every_format_has_its_peak(dtype, peak):
    device = Device(
        name="mine",
        flops={"float32": 2.0, torch.float64: 1.0, "float16": 8.0},
        memory_bandwidth=NO_LIMIT,
    )
    left, right = LEFT.to(dtype), RIGHT.to(dtype)
    assert counted(device, lambda: left @ right) == pytest.approx(PRODUCT / peak)


def test_what_runs_on_the_cpu_under_other_names_is_counted():
    query, key, value = torch.ones(3, 2, 4, 7, 8).unbind()
    scores = 2 * 2 * 4 * 7 * 7 * 8  # 8 heads in all, 7 × 7 scores, 8 wide
    attention = counted(COUNTS_FLOPS, lambda: scaled_dot_product_attention(query, key, value))
    assert attention == pytest.approx(2 * scores)
    query.requires_grad_()
    out = scaled_dot_product_attention(query, key, value).sum()
    assert counted(COUNTS_FLOPS, out.backward) == pytest.approx(5 * scores)

    lstm, steps = nn.LSTM(3, 4), torch.ones(6, 2, 3)
    layer = 2 * 6 * 2 * (4 * 4) * (3 + 4)  # 4 gates of 4 units, from 3 inputs and 4 units
    results = []
    assert counted(COUNTS_FLOPS, lambda: results.append(lstm(steps)[0])) == pytest.approx(layer)
    assert counted(COUNTS_FLOPS, results[0].sum().backward) == pytest.approx(2 * layer)


def test_a_depthwise_convolution_is_three_times_its_forward_pass():
    image, kernels = torch.ones(2, 6, 8, 8, requires_grad=True), torch.ones(6, 1, 3, 3)
    forward = 2 * (2 * 6 * 6 * 6) * 9  # outputs × taps
    results = []
    work = lambda: results.append(conv2d(image, kernels.requires_grad_(), groups=6))  # noqa: E731
    assert counted(COUNTS_FLOPS, work) == pytest.approx(forward)
    assert counted(COUNTS_FLOPS, results[0].sum().backward) == pytest.approx(2 * forward)


def test_a_network_takes_what_torch_counts():
    model, images = small_cnn(), torch.ones(3, 1, 8, 8)
    labels = torch.tensor([0, 1, 2])

    def work():
        cross_entropy(model(images), labels).backward()

    with FlopCounterMode(display=False) as counter:
        work()
    assert counted(COUNTS_FLOPS, work) == pytest.approx(counter.get_total_flops())


def test_inference_mode_is_seen_through():
    layer, rows = nn.Linear(5, 6), torch.ones(4, 5)

    def work():
        with torch.inference_mode():
            layer(rows)

    assert counted(COUNTS_FLOPS, work) == pytest.approx(PRODUCT)


# Bytes

X = torch.ones(10, 3)  # 120 bytes
TABLE = torch.ones(100, 3)
ROWS = torch.tensor([4, 7])  # 16 bytes


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda: X + X, 3 * 120),
        (lambda: X.relu(), 2 * 120),
        (lambda: X + X[0], 2 * 120 + 12),
        (lambda: X.clone().mul_(2), 2 * 120 + 2 * 120),
        (lambda: torch.empty(10, 3).copy_(X), 2 * 120),
        (lambda: torch.empty(10, 3).zero_(), 120),
        (lambda: torch.add(X, X, out=torch.empty(10, 3)), 3 * 120),
        (lambda: torch._foreach_add([X, X], 1.0), 2 * 2 * 120),
        (lambda: torch._foreach_mul_([torch.empty(10, 3)], 1.0), 2 * 120),
        (lambda: torch.cat([X, X]), 4 * 120),
        (lambda: X.expand(5, 10, 3).sum(), 120 + 4),
        (lambda: X.t().contiguous(), 2 * 120),
        (lambda: X.view(30).unflatten(0, (5, 6)).t()[1:].detach(), 0),
        (lambda: torch.empty(5).unsqueeze_(0), 0),
        (lambda: embedding(ROWS, TABLE), 16 + 24 + 24),
        (lambda: TABLE[ROWS], 16 + 24 + 24),
        (lambda: TABLE.index_add_(0, ROWS, X[:2]), 16 + 24 + 2 * 24),
        (lambda: X.to(torch.float16), 120 + 60),
    ],
)
def test_bytes_read_and_written(work, expected):
    assert counted(COUNTS_BYTES, work) == expected


def test_sparse_gradients_are_as_large_as_what_they_hold():
    table = nn.Embedding(1000, 3, sparse=True)
    loss = table(ROWS).sum()
    assert counted(COUNTS_BYTES, loss.backward) < 1000


def test_the_longer_of_arithmetic_and_traffic_counts():
    size = 4 * (4 * 5 + 5 * 6 + 4 * 6)  # 296 bytes, 240 flops
    for flops, bandwidth in ((2.0, 3.0), (3.0, 2.0)):
        device = Device(name="both", flops={"float32": flops}, memory_bandwidth=bandwidth)
        expected = max(PRODUCT / flops, size / bandwidth)
        assert counted(device, lambda: LEFT @ RIGHT) == pytest.approx(expected)
        half = counted(device, lambda: LEFT @ RIGHT, efficiency=0.5)
        assert half == pytest.approx(2 * expected)


# Tensors without data, tensors in tensors, modes


def test_tensors_without_data_cost_the_same():
    def work():
        left = torch.empty(4, 5, requires_grad=True)
        (left @ torch.empty(5, 6)).sum().backward()

    real = counted(COUNTS_FLOPS, work)
    assert real == pytest.approx(2 * PRODUCT)

    def fake():
        with FakeTensorMode():
            work()

    def meta():
        with torch.device("meta"):
            work()

    assert counted(COUNTS_FLOPS, fake) == pytest.approx(real)
    assert counted(COUNTS_FLOPS, meta) == pytest.approx(real)


def test_tensors_that_hold_tensors_cost_what_they_do_inside():
    from torch.testing._internal.two_tensor import TwoTensor

    left = TwoTensor(LEFT, LEFT.clone())
    right = TwoTensor(RIGHT, RIGHT.clone())
    assert counted(COUNTS_FLOPS, lambda: left @ right) == pytest.approx(2 * PRODUCT)


def test_the_programs_own_modes_work_inside():
    flops = []

    def work():
        with FlopCounterMode(display=False) as counter:
            LEFT @ RIGHT
        flops.append(counter.get_total_flops())

    assert counted(COUNTS_FLOPS, work) == pytest.approx(PRODUCT)
    assert flops == [PRODUCT]
