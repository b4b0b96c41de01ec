"""Charge some work to a meter, and see that meters leave nothing behind."""

import torch
from torch.optim import optimizer as torch_optimizer
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from simnet.workload.compute import Device, Roofline

NO_LIMIT = 1e30
# A second a flop and a second a byte, the other one free: what is charged is what was counted.
COUNTS_FLOPS = Device(name="flops", flops={"float32": 1.0}, memory_bandwidth=NO_LIMIT)
COUNTS_BYTES = Device(name="bytes", flops={"float32": NO_LIMIT}, memory_bandwidth=1.0)

LEFT, RIGHT = torch.ones(4, 5), torch.ones(5, 6)
PRODUCT = 2 * 4 * 5 * 6  # flops of their product: two for each multiplication


def charged(meter, work):
    """What the rank's clock would be told of some work."""
    meter.begin()
    try:
        work()
    finally:
        meter.end()
    return meter.take()


def counted(device, work, **options):
    """What a roofline charges for some work."""
    return charged(Roofline(device, **options).meter(0, 0), work)


def assert_nothing_is_left(was_in_a_mode):
    """Torch is as it was before any meter began; other tests may have left it in a mode."""
    assert is_in_torch_dispatch_mode() == was_in_a_mode
    assert not torch_optimizer._global_optimizer_pre_hooks
    assert not torch_optimizer._global_optimizer_post_hooks
