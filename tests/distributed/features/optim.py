"""Optimizers and averaging for distributed training, and memory saved by checkpointing."""

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook
from torch.distributed.algorithms.join import Join, Joinable, JoinHook
from torch.distributed.algorithms.model_averaging import averagers, hierarchical_model_averager
from torch.distributed.algorithms.model_averaging.utils import average_parameters
from torch.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from features.models import batch, loss_of, mlp, parameters, sgd, steps, trained_alone
from features.registry import feature

optimizers = partial(feature, group="Optimizers and averaging")
memory = partial(feature, group="Activation checkpointing")


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


def zero(rank, world_size, **options):
    model = DistributedDataParallel(mlp())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01, **options)
    steps(model, optimizer, rank)
    return parameters(model)


optimizers(
    "ZeroRedundancyOptimizer",
    program=zero,
    reference=partial(trained_alone, optimizer=adam),
)
optimizers(
    "ZeroRedundancyOptimizer, parameters_as_bucket_view",
    program=partial(zero, parameters_as_bucket_view=True),
    reference=partial(trained_alone, optimizer=adam),
)


@optimizers("ZeroRedundancyOptimizer, consolidate_state_dict")
def zero_state(rank, world_size):
    model = DistributedDataParallel(mlp())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
    steps(model, optimizer, rank, 2)
    optimizer.consolidate_state_dict(to=1)
    if rank != 1:
        return None
    state = optimizer.state_dict()["state"]
    return [state[number]["exp_avg"] for number in sorted(state)]


@optimizers("ZeroRedundancyOptimizer, parameter groups and a closure")
def zero_groups(rank, world_size):
    model = DistributedDataParallel(mlp())
    every = list(model.parameters())
    optimizer = ZeroRedundancyOptimizer(every[:2], torch.optim.SGD, lr=0.1)
    optimizer.add_param_group({"params": every[2:], "lr": 0.01})

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, *batch(rank))
        loss.backward()
        return loss

    return optimizer.step(closure).detach(), parameters(model)


def averaging(model, averager, rank, number=4):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(number):
        optimizer.zero_grad()
        loss_of(model, *batch(rank, step)).backward()
        optimizer.step()
        averager.average_parameters(model.parameters())
    return parameters(model)


@optimizers("PeriodicModelAverager")
def periodic(rank, world_size):
    return averaging(mlp(), averagers.PeriodicModelAverager(period=2, warmup_steps=1), rank)


@optimizers("HierarchicalModelAverager")
def hierarchical(rank, world_size):
    from collections import OrderedDict

    averager = hierarchical_model_averager.HierarchicalModelAverager(
        period_group_size_dict=OrderedDict([(1, 2), (2, 4)]), warmup_steps=0
    )
    return averaging(mlp(), averager, rank)


@optimizers("average_parameters in a group")
def average_in_group(rank, world_size):
    mine, _ = dist.new_subgroups(group_size=2)
    model = mlp(seed=rank)
    average_parameters(model.parameters(), mine)
    return parameters(model)


@optimizers("PostLocalSGDOptimizer")
def post_local(rank, world_size):
    model = DistributedDataParallel(mlp())
    subgroup, _ = dist.new_subgroups(group_size=2)
    state = post_localSGD_hook.PostLocalSGDState(None, subgroup, start_localSGD_iter=2)
    model.register_comm_hook(state, post_localSGD_hook.post_localSGD_hook)
    optimizer = PostLocalSGDOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.1),
        averagers.PeriodicModelAverager(period=2, warmup_steps=2),
    )
    steps(model, optimizer, rank, 5)
    return parameters(model)


@optimizers("training without a wrapper: gradients averaged by hand", reference=trained_alone)
def by_hand(rank, world_size):
    model = mlp()
    optimizer = sgd(model)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(model, *batch(rank, step)).backward()
        works = [
            dist.all_reduce(p.grad, op=dist.ReduceOp.AVG, async_op=True) for p in model.parameters()
        ]
        for work in works:
            work.wait()
        optimizer.step()
    return parameters(model)


@optimizers("gradients averaged by hooks after accumulation", reference=trained_alone)
def by_hooks(rank, world_size):
    model = mlp()
    works = []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda p: works.append(dist.all_reduce(p.grad, op=dist.ReduceOp.AVG, async_op=True))
        )
    optimizer = sgd(model)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(model, *batch(rank, step)).backward()
        while works:
            works.pop().wait()
        optimizer.step()
    return parameters(model)


@optimizers("local training and outer steps (DiLoCo)")
def outer_steps(rank, world_size):
    model, anchor = mlp(), mlp()
    inner, outer = sgd(model, lr=0.05), torch.optim.SGD(anchor.parameters(), lr=0.7)
    for round_ in range(2):
        for step in range(2):
            inner.zero_grad()
            loss_of(model, *batch(rank, 2 * round_ + step)).backward()
            inner.step()
        for mine, kept in zip(model.parameters(), anchor.parameters(), strict=True):
            kept.grad = kept.detach() - mine.detach()
            dist.all_reduce(kept.grad, op=dist.ReduceOp.AVG)
        outer.step()
        model.load_state_dict(anchor.state_dict())
    return parameters(model)


class Counter(Joinable):
    """Counts how many inputs all ranks have, although they have different numbers."""

    class Hook(JoinHook):
        def __init__(self, counter):
            self.counter = counter

        def main_hook(self):
            self.counter.add(0.0)

    def __init__(self):
        super().__init__()
        self.total = torch.zeros(1)

    def add(self, amount):
        count = torch.tensor([amount])
        dist.all_reduce(count)
        self.total += count

    def __call__(self):
        Join.notify_join_context(self)
        self.add(1.0)

    def join_hook(self, **kwargs):
        return Counter.Hook(self)

    @property
    def join_device(self):
        return torch.device("cpu")

    @property
    def join_process_group(self):
        return dist.group.WORLD


@optimizers("algorithms.Join of a Joinable of the program's own")
def joinable(rank, world_size):
    counter = Counter()
    with Join([counter]):
        for _ in range(1 + 2 * rank):
            counter()
    return counter.total


# Activation checkpointing


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.layers, self.reentrant = mlp(), reentrant

    def forward(self, inputs):
        first, second = self.layers[:2], self.layers[2:]
        hidden = checkpoint(first, inputs, use_reentrant=self.reentrant)
        return checkpoint(second, hidden, use_reentrant=self.reentrant)


@memory("activation checkpointing in DDP", reference=trained_alone)
def checkpoint_ddp(rank, world_size):
    model = DistributedDataParallel(Checkpointed(reentrant=False))
    steps(model, sgd(model), rank)
    return parameters(model)


@memory(
    "activation checkpointing in DDP, reentrant, static_graph",
    warns=("None of the inputs have requires_grad=True",),
)
def checkpoint_reentrant(rank, world_size):
    model = DistributedDataParallel(Checkpointed(reentrant=True), static_graph=True)
    inputs, targets = batch(rank)
    nn.functional.mse_loss(model(inputs.requires_grad_()), targets).backward()
    return [p.grad for p in model.parameters()]


@memory("activation checkpointing in fully_shard", reference=trained_alone)
def checkpoint_fsdp(rank, world_size):
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        apply_activation_checkpointing,
    )
    from torch.distributed.fsdp import fully_shard

    model = mlp()
    apply_activation_checkpointing(model, check_fn=lambda m: isinstance(m, nn.Linear))
    for layer in model:
        if next(layer.parameters(), None) is not None:
            fully_shard(layer)
    fully_shard(model)
    steps(model, sgd(model), rank)
    return [p.full_tensor().detach() for p in model.parameters()]
