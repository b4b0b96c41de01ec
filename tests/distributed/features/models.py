"""Small models and data which the training features share."""

import torch
from torch import nn

WIDTH = 6


def mlp(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)
    )


def batch(rank, step=0, size=4):
    """The rank's part of a step's data: inputs and targets."""
    generator = torch.Generator().manual_seed(100 * step + rank)
    inputs = torch.randn(size, WIDTH, generator=generator)
    return inputs, inputs.sum(dim=1, keepdim=True)


def whole_batch(world_size, step=0, size=4):
    """What all ranks have together."""
    parts = [batch(rank, step, size) for rank in range(world_size)]
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def loss_of(model, inputs, targets):
    return nn.functional.mse_loss(model(inputs), targets)


def steps(model, optimizer, rank, number=3):
    """Train; returns the rank's own losses."""
    losses = []
    for step in range(number):
        optimizer.zero_grad()
        loss = loss_of(model, *batch(rank, step))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def sgd(model, lr=0.1, momentum=0.9):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def parameters(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def trained_alone(rank, world_size, make=mlp, optimizer=sgd, first=0, number=3):
    """The parameters after training in one process on everybody's data."""
    model = make()
    chosen = optimizer(model)
    for step in range(first, first + number):
        chosen.zero_grad()
        loss_of(model, *whole_batch(world_size, step)).backward()
        chosen.step()
    return parameters(model)
