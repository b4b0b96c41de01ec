"""What the scripts of this folder train: found beside them, as Python finds a script's modules."""

import torch
from torch import nn


def model():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def batch(step, size):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(size, 6, generator=generator)
    return inputs, inputs[:, :2].sin()


def loss(network, inputs, targets):
    return nn.functional.mse_loss(network(inputs), targets)


def reference(steps, size):
    """Trained by one process on whole batches."""
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        loss(network, *batch(step, size)).backward()
        optimizer.step()
    return network.state_dict()


def averaged_reference(rounds, steps, size, world_size):
    """Trained by one process that is every client of FedAvg in turn."""
    start = model().state_dict()
    for done in range(rounds):
        ends = []
        for rank in range(world_size):
            network = model()
            network.load_state_dict(start)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            for step in range(done * steps, (done + 1) * steps):
                optimizer.zero_grad()
                inputs, targets = batch(step, size)
                loss(network, inputs[rank::world_size], targets[rank::world_size]).backward()
                optimizer.step()
            ends.append(network.state_dict())
        start = {name: sum(end[name] for end in ends) / world_size for name in start}
    return start
