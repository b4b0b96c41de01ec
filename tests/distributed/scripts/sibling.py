"""One of several processes that a launcher starts, each patched by itself."""

import sys

import torch
import torch.distributed as dist

from simnet import NetworkSimulator, patch_distributed_functions
from simnet.ranks.seat import current

sim = NetworkSimulator(bandwidth_range=(1, 1), delay_range=(0.1, 0.1))
for world in range(2):
    undo = patch_distributed_functions(sim)
    dist.init_process_group("nccl")
    rank = dist.get_rank()
    if rank == 1 and world == 1:
        raise KeyError("on purpose")
    message = torch.zeros(1 << 18)
    if rank == 0:
        dist.send(message, dst=1)
    else:
        dist.recv(message, src=0)
    print(rank, sim.virtual_time, current()._parcels.folder, flush=True)
    assert undo() == ()
    assert not dist.is_initialized()
    assert sim.virtual_time == 1.1
sys.exit("unreachable")
