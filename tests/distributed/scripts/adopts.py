"""A program that knows of simnet, and of a trainer that starts processes of its own."""

import json

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import simnet
import topologies
from simnet.distributed.adopt import adopted
from simnet.distributed.kinds import Processes
from simnet.distributed.launch import make_plan


def worker(rank, size, port, fails):
    for attempt in range(2):  # as a trainer that looks for a free port
        try:
            dist.init_process_group(
                "gloo",
                init_method=f"tcp://127.0.0.1:{port + attempt}",
                rank=rank,
                world_size=size + 7 * (attempt == 0),
            )
            break
        except ValueError:
            pass
    dist.all_reduce(torch.ones(1))
    if fails and rank == 1:
        raise KeyError("on purpose")
    dist.destroy_process_group()


def plan(world_size):
    graph = topologies.star(4, bandwidth="1MB/s", latency="10ms")
    return make_plan(simnet.Network(graph), Processes(world_size))


def main():
    caught = None
    with adopted(plan) as adoption:
        mp.spawn(worker, (2, 29700, False), nprocs=2)
        try:
            mp.start_processes(worker, (3, 29800, True), nprocs=3, start_method="fork")
        except mp.ProcessRaisedException as error:
            caught = str(error)
    outcomes = [
        each.time if isinstance(each, simnet.Run) else repr(each) for each in adoption.outcomes
    ]
    notes = adoption.outcomes[-1].__notes__
    print(json.dumps({"outcomes": outcomes, "caught": caught, "notes": notes}))


if __name__ == "__main__":
    main()
