"""The guide's program: FedAvg between three processes, patched in each of the possible places.

`python patches.py FOLDER WHERE ...` writes FOLDER/WHERE.json for each place.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import task
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed import all_reduce, init_process_group  # before any patch

from simnet import NetworkSimulator, NetworkTopology, patch_distributed_functions

SIZE = 3
SIM = NetworkSimulator(
    bandwidth_range=(1, 5), delay_range=(0.1, 0.5), packet_loss_prob=0.02, jitter=0.3
)
TOPOLOGY = NetworkTopology(SIZE, "ring")


def fedavg(rank, size):
    """Local steps and averages, then one message, an object and a step of DDP."""
    network = task.model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for done in range(2):
        for step in range(done * 3, done * 3 + 3):
            optimizer.zero_grad()
            inputs, targets = task.batch(step, 12)
            task.loss(network, inputs[rank::size], targets[rank::size]).backward()
            optimizer.step()
        for parameter in network.parameters():
            all_reduce(parameter.data)
            parameter.data /= size
    if rank == 0:
        dist.send(torch.ones(1000), dst=1)
    elif rank == 1:
        dist.recv(torch.empty(1000), src=0)
    gathered = [None] * size
    dist.all_gather_object(gathered, {"rank": rank})
    assert [each["rank"] for each in gathered] == list(range(size))
    shared = nn.parallel.DistributedDataParallel(network)
    task.loss(shared, *task.batch(rank, 4)).backward()
    optimizer.step()
    return [parameter.tolist() for parameter in network.parameters()]


def init(folder, where, rank):
    store = dist.FileStore(str(Path(folder, f"store-{where}")), SIZE)
    init_process_group("gloo", store=store, rank=rank, world_size=SIZE)


def rank_of(rank, folder, where):
    """What each process does."""
    torch.set_num_threads(1)
    sim = NetworkSimulator(*SIM.__reduce__()[1])
    said = {}
    if where in ("before", "parent"):
        patch_distributed_functions(sim, TOPOLOGY)
    init(folder, where, rank)
    if where == "after":
        said |= replaced_group(sim)
    else:
        said["trained"] = fedavg(rank, SIZE)
        said["time"] = sim.virtual_time
        said["backend"] = dist.get_backend()
        dist.destroy_process_group()
    Path(folder, f"{where}-{rank}.json").write_text(json.dumps(said))


def replaced_group(sim):
    """Train on a simulated group in the place of a real one that stands already."""
    real = dist.group.WORLD
    others = dist.new_group([0, 1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        undo = patch_distributed_functions(sim, TOPOLOGY)
    rank = dist.get_rank()
    said = {
        "warned": [str(each.message) for each in caught],
        "trained": fedavg(rank, SIZE),
        "backend": dist.get_backend(),
    }
    assert dist.get_process_group_ranks(others if rank < 2 else real) == [0, 1, 2][: 2 + rank // 2]
    assert dist.get_world_size(dist.new_group([1, 2])) in (2, -1)
    said["time"] = sim.virtual_time
    assert patch_distributed_functions(sim, TOPOLOGY) == undo
    undo()
    assert sim.virtual_time >= said["time"]
    assert dist.group.WORLD is real
    dist.distributed_c10d._resolve_process_group(real.group_name)
    total = torch.ones(1)
    all_reduce(total)
    if rank < 2:
        dist.broadcast(total, src=1, group=others)
    said["again"] = [dist.get_backend(), total.item()]
    patch_distributed_functions(sim)
    dist.barrier()
    dist.destroy_process_group()
    return said


def run(folder, where):
    undo = patch_distributed_functions(SIM, TOPOLOGY) if where == "parent" else tuple
    mp.start_processes(rank_of, (folder, where), nprocs=SIZE, start_method="fork")
    ranks = [json.loads(Path(folder, f"{where}-{rank}.json").read_text()) for rank in range(SIZE)]
    at_end = SIM.virtual_time
    runs = undo()
    said = {"ranks": ranks, "times": [at_end, SIM.virtual_time, *(run.time for run in runs)]}
    Path(folder, f"{where}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    folder, *places = sys.argv[1:]
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    for where in places:
        run(folder, where)
