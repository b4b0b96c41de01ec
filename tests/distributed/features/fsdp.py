"""Fully sharded training: FullyShardedDataParallel (FSDP1) and fully_shard (FSDP2)."""

from functools import partial
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FullStateDictConfig,
    FullyShardedDataParallel,
    MixedPrecision,
    MixedPrecisionPolicy,
    ShardingStrategy,
    StateDictType,
    fully_shard,
)
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor import DTensor

from features.models import batch, loss_of, mlp, parameters, sgd, steps, trained_alone
from features.registry import feature

fsdp1 = partial(feature, group="FSDP1 (FullyShardedDataParallel)")
fsdp2 = partial(feature, group="FSDP2 (fully_shard)")

OLD = (
    "The `NO_SHARD` sharding strategy is deprecated",
    r"FSDP\.state_dict_type\(\) and FSDP\.set_state_dict_type\(\) are being deprecated",
)


# FSDP1


def one(module=None, **options):
    return FullyShardedDataParallel(
        module or mlp(),
        auto_wrap_policy=ModuleWrapPolicy({nn.Linear}),
        device_id=torch.device("cpu"),
        use_orig_params=True,
        **options,
    )


def whole(model):
    """The full parameters of an FSDP1 model."""
    with FullyShardedDataParallel.summon_full_params(model):
        return parameters(model)


def trained_one(rank, world_size, **options):
    model = one(**options)
    steps(model, sgd(model), rank)
    return whole(model)


for _strategy in (
    ShardingStrategy.FULL_SHARD,
    ShardingStrategy.SHARD_GRAD_OP,
    ShardingStrategy.NO_SHARD,
):
    fsdp1(
        f"FSDP1, {_strategy.name}",
        program=partial(trained_one, sharding_strategy=_strategy),
        reference=trained_alone,
        warns=OLD,
    )


def hybrid(rank, world_size, strategy):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    return trained_one(rank, world_size, sharding_strategy=strategy, device_mesh=mesh)


for _strategy in (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2):
    fsdp1(
        f"FSDP1, {_strategy.name}",
        program=partial(hybrid, strategy=_strategy),
        reference=trained_alone,
    )


@fsdp1("FSDP1, flat parameters (use_orig_params=False)", reference=trained_alone)
def flat_parameters(rank, world_size):
    model = FullyShardedDataParallel(
        mlp(),
        auto_wrap_policy=ModuleWrapPolicy({nn.Linear}),
        device_id=torch.device("cpu"),
    )
    steps(model, sgd(model), rank)
    return whole(model)


@fsdp1("FSDP1, sync_module_states", refused="requires them to be on GPU")
def sync_states(rank, world_size):
    return whole(one(mlp(seed=rank), sync_module_states=True))


@fsdp1("FSDP1, mixed precision")
def mixed_one(rank, world_size):
    policy = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = one(mixed_precision=policy)
    inputs, targets = batch(rank)
    nn.functional.mse_loss(model(inputs).float(), targets).backward()
    sgd(model, lr=0.01).step()
    return [p.to(torch.bfloat16) for p in whole(model)]


@fsdp1("FSDP1, clip_grad_norm_")
def clip_one(rank, world_size):
    model = one()
    optimizer = sgd(model)
    loss_of(model, *batch(rank)).backward()
    norm = model.clip_grad_norm_(0.5)
    optimizer.step()
    return norm, whole(model)


@fsdp1("FSDP1, no_sync accumulates")
def no_sync_one(rank, world_size):
    model = one()
    optimizer = sgd(model)
    with model.no_sync():
        loss_of(model, *batch(rank, 0)).backward()
    loss_of(model, *batch(rank, 1)).backward()
    optimizer.step()
    return whole(model)


@fsdp1("FSDP1, full state dict on rank 0", warns=OLD)
def full_state(rank, world_size):
    model = one()
    steps(model, sgd(model), rank, 1)
    # With offload_to_cpu torch reads memory that it has freed, where that is on the CPU already.
    config = FullStateDictConfig(rank0_only=True, offload_to_cpu=False)
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT, config):
        return dict(model.state_dict())


@fsdp1(
    "FSDP1, optimizer state dict",
    processes_only="torch's SimpleProfiler in it is one for the whole process",
)
def optimizer_state(rank, world_size):
    model = one()
    optimizer = sgd(model)
    steps(model, optimizer, rank, 2)
    found = FullyShardedDataParallel.optim_state_dict(model, optimizer)
    return {name: state["momentum_buffer"] for name, state in sorted(found["state"].items())}


@fsdp1("FSDP1, a communication hook")
def hook_one(rank, world_size):
    seen = []

    def hook(state, gradient, output=None):
        seen.append(gradient.numel())
        if output is None:
            dist.all_reduce(gradient, op=dist.ReduceOp.AVG)
        else:
            dist.reduce_scatter_single(output, gradient, op=dist.ReduceOp.AVG)

    model = one()
    model.register_comm_hook(None, hook)
    steps(model, sgd(model), rank)
    return whole(model), seen


# FSDP2


def two(mesh_shape=(4,), **options):
    """The layers sharded one by one, and what is left of the model."""
    names = ("shard",) if len(mesh_shape) == 1 else ("replicate", "shard")
    mesh = init_device_mesh("cpu", mesh_shape, mesh_dim_names=names)
    model = mlp()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def gathered(tensors):
    return [t.full_tensor().detach().clone() for t in tensors]


def trained_two(rank, world_size, mesh_shape=(4,), **options):
    model = two(mesh_shape, **options)
    steps(model, sgd(model), rank)
    return gathered(model.parameters())


fsdp2("fully_shard", program=trained_two, reference=trained_alone)
fsdp2(
    "fully_shard, reshard_after_forward=False",
    program=partial(trained_two, reshard_after_forward=False),
    reference=trained_alone,
)
fsdp2(
    "fully_shard, reshard_after_forward=2",
    program=partial(trained_two, reshard_after_forward=2),
    reference=trained_alone,
)
fsdp2(
    "fully_shard, HSDP on a 2 × 2 mesh",
    program=partial(trained_two, mesh_shape=(2, 2)),
    reference=trained_alone,
)


@fsdp2("fully_shard, CPUOffloadPolicy", refused="Cannot access accelerator device")
def offload(rank, world_size):
    return trained_two(rank, world_size, offload_policy=CPUOffloadPolicy())


@fsdp2("fully_shard, mixed precision")
def mixed_two(rank, world_size):
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = two(mp_policy=policy)
    inputs, targets = batch(rank)
    nn.functional.mse_loss(model(inputs).float(), targets).backward()
    sgd(model, lr=0.01).step()
    return [p.to(torch.bfloat16) for p in gathered(model.parameters())]


@fsdp2("fully_shard, clip_grad_norm_")
def clip_two(rank, world_size):
    model = two()
    optimizer = sgd(model)
    loss_of(model, *batch(rank)).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return norm.full_tensor(), gathered(model.parameters())


@fsdp2("fully_shard, clip_grad_norm_ on a 2 × 2 mesh")
def clip_hybrid(rank, world_size):
    model = two((2, 2))
    loss_of(model, *batch(rank)).backward()
    return nn.utils.clip_grad_norm_(model.parameters(), 0.5).full_tensor()


@fsdp2("fully_shard, gradient accumulation without synchronization")
def accumulate(rank, world_size):
    model = two()
    optimizer = sgd(model)
    for step in range(2):
        model.set_requires_gradient_sync(step == 1)
        loss_of(model, *batch(rank, step)).backward()
    optimizer.step()
    return gathered(model.parameters())


@fsdp2("fully_shard, the shards that each rank holds")
def shards(rank, world_size):
    model = two()
    return [p.to_local().detach().clone() for p in model.parameters()]


@fsdp2("fully_shard, state dict of DTensors")
def state_two(rank, world_size):
    model = two()
    steps(model, sgd(model), rank, 1)
    state = model.state_dict()
    assert all(isinstance(value, DTensor) for value in state.values())
    return {name: value.full_tensor() for name, value in state.items()}


@fsdp2("fully_shard, unshard and reshard by hand")
def by_hand(rank, world_size):
    model = two()
    handle = model.unshard(async_op=True)
    handle.wait()
    model.reshard()
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.unshard()
    found = [p.detach().clone() for p in model.parameters()]
    return found


@fsdp2("fully_shard, prefetching set by hand")
def prefetch(rank, world_size):
    model = two()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer, following in pairwise(layers):
        layer.set_modules_to_forward_prefetch([following])
        following.set_modules_to_backward_prefetch([layer])
    steps(model, sgd(model), rank)
    return gathered(model.parameters())


@fsdp2("fully_shard, the optimizer's state is sharded")
def sharded_adam(rank, world_size):
    model = two()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps(model, optimizer, rank)
    moments = [optimizer.state[p]["exp_avg"].full_tensor() for p in model.parameters()]
    return gathered(model.parameters()), moments


def summed_gradients(rank, world_size):
    """Half the sum of what the ranks would have alone."""
    model = mlp()
    for other in range(world_size):
        (loss_of(model, *batch(other)) / 2).backward()
    return [p.grad for p in model.parameters()]


@fsdp2(
    "fully_shard, set_gradient_divide_factor",
    no_gloo="gloo: 'Cannot use ReduceOp.PREMUL_SUM with Gloo'",
    reference=summed_gradients,
)
def divide_factor(rank, world_size):
    model = two()
    for module in model.modules():
        if hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(2.0)
    loss_of(model, *batch(rank)).backward()
    return gathered(p.grad for p in model.parameters())


@fsdp2("fully_shard made on the meta device")
def from_meta(rank, world_size):
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 1))
    mesh = init_device_mesh("cpu", (world_size,))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    steps(model, sgd(model, lr=0.01), rank, 2)
    return gathered(model.parameters())
