"""Patched where it is imported, so that processes that it spawns execute the patch again."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from simnet import NetworkSimulator, patch_distributed_functions

SIM = NetworkSimulator(bandwidth_range=(1, 1), delay_range=(0.1, 0.1))
patch_distributed_functions(SIM)


def rank_of(rank):
    patch_distributed_functions(SIM)
    dist.init_process_group(
        "gloo", init_method="tcp://192.0.2.1:1", rank=rank, world_size=2
    )  # an address that nobody listens at
    message = torch.zeros(1 << 18)
    if rank == 0:
        dist.send(message, dst=1)
    else:
        dist.recv(message, src=0)
    assert SIM.virtual_time == 1.1, SIM.virtual_time


if __name__ == "__main__":
    mp.spawn(rank_of, nprocs=2)
    print(SIM.virtual_time)
