"""Plain torch scripts of three kinds in one: nothing here knows of simnet."""

import argparse
import os

import task
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def step_on(network, optimizer, step, options):
    rank, world_size = dist.get_rank(), dist.get_world_size()
    inputs, targets = task.batch(step, options.batch)
    optimizer.zero_grad()
    task.loss(network, inputs[rank::world_size], targets[rank::world_size]).backward()
    optimizer.step()


def ddp(options):
    network = DistributedDataParallel(task.model())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(options.steps):
        step_on(network, optimizer, step, options)
    return network.module.state_dict()


def fsdp2(options):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.fsdp import fully_shard

    network = task.model()
    for layer in (network[0], network[2], network):
        fully_shard(layer)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(options.steps):
        step_on(network, optimizer, step, options)
    return get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))


def fedavg(options):
    network = task.model()
    for done in range(options.rounds):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for step in range(done * options.steps, (done + 1) * options.steps):
            step_on(network, optimizer, step, options)
        for parameter in network.parameters():
            dist.all_reduce(parameter.data)
            parameter.data /= dist.get_world_size()
    return network.state_dict()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["ddp", "fsdp2", "fedavg"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)  # a name that simnet run has too
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    dist.init_process_group("gloo")
    assert int(os.environ["LOCAL_RANK"]) == int(os.environ["RANK"]) == dist.get_rank()
    assert dist.get_world_size() == int(os.environ["WORLD_SIZE"])
    trained = {"ddp": ddp, "fsdp2": fsdp2, "fedavg": fedavg}[options.how](options)
    if dist.get_rank() == 0:
        torch.save(trained, options.out)
        print("seed", options.seed)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
