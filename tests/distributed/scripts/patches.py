"""The guide's program: FedAvg between three processes, patched in each of the possible places.

`python patches.py FOLDER PLACE ...` writes FOLDER/PLACE.json for each place.
"""

import contextlib
import importlib
import json
import sys
import warnings
from pathlib import Path

import task
import torch
import torch._dynamo  # which optimizers import at their first step: once for all processes
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed import all_reduce, init_process_group  # before any patch

from simnet import NetworkSimulator, NetworkTopology, patch_distributed_functions
from simnet.ranks.seat import current

SIZE = 3
CONDITIONS = {
    "bandwidth_range": (1, 5),
    "delay_range": (0.1, 0.5),
    "packet_loss_prob": 0.02,
    "jitter": 0.3,
}
SIM = NetworkSimulator(**CONDITIONS)
TOPOLOGY = NetworkTopology(SIZE, "ring")


def fedavg(rank, size):
    """Local steps and averages, then a message, an object and a step of DDP."""
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


def rank_of(rank, folder, place):
    """What each process does."""
    torch.set_num_threads(1)
    sim = NetworkSimulator(**CONDITIONS)
    if place in ("before", "parent"):
        patch_distributed_functions(sim, TOPOLOGY)
    store = dist.FileStore(str(Path(folder, f"store-{place}")), SIZE)
    init_process_group("gloo", store=store, rank=rank, world_size=SIZE)
    if place == "stuck":
        dist.recv(torch.empty(1), src=(rank + 1) % SIZE)
    elif place == "after":
        said = in_its_place(rank, sim)
    else:
        said = trained(rank, sim)
        dist.destroy_process_group()
    Path(folder, f"{place}-{rank}.json").write_text(json.dumps(said))


def trained(rank, sim):
    seat = current()
    return {
        "trained": fedavg(rank, SIZE),
        "time": sim.virtual_time,
        "backend": dist.get_backend(),
        "folder": None if seat is None else seat._parcels.folder,
    }


def in_its_place(rank, sim):
    """Train on a simulated group in the place of a real one that stands already."""
    real, others = dist.group.WORLD, dist.new_group([0, 1])
    functional = importlib.import_module("torch.distributed.nn.functional")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        undo = patch_distributed_functions(sim, TOPOLOGY)
    said = trained(rank, sim) | {"warned": [str(each.message) for each in caught]}
    functional.all_reduce(torch.ones(1))
    dist.new_group([1, 2])
    assert dist.get_process_group_ranks(real) == [0, 1, 2]
    assert sim.virtual_time > said["time"]
    assert patch_distributed_functions(sim, TOPOLOGY) == undo
    undo()
    assert sim.virtual_time > said["time"]
    assert dist.group.WORLD is real
    assert dist.distributed_c10d._resolve_process_group(real.group_name) is real
    total = functional.all_reduce(torch.ones(1))
    if rank < 2:
        dist.broadcast(total, src=1, group=others)
    said["again"] = [dist.get_backend(), total.item()]
    # What the program destroys meanwhile stays so.
    undo = patch_distributed_functions(sim)
    dist.barrier()
    dist.destroy_process_group()
    undo()
    assert not dist.is_initialized()
    return said


def run(folder, place):
    in_parent = place in ("parent", "stuck")
    undo = patch_distributed_functions(SIM, TOPOLOGY) if in_parent else tuple
    failed = mp.ProcessExitedException if place == "stuck" else ()
    with contextlib.suppress(failed):
        mp.start_processes(rank_of, (folder, place), nprocs=SIZE, start_method="fork")
    at_end = SIM.virtual_time
    times = [each.time for each in undo()]
    said = {"times": [at_end, SIM.virtual_time, *times]}
    if place != "stuck":
        files = [Path(folder, f"{place}-{rank}.json") for rank in range(SIZE)]
        said["ranks"] = [json.loads(file.read_text()) for file in files]
    Path(folder, f"{place}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    for each in sys.argv[2:]:
        run(sys.argv[1], each)
