"""torch.distributed.checkpoint: state written and read by all ranks together."""

import shutil
import tempfile
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from features.models import mlp, parameters, sgd, steps
from features.registry import feature

saved = partial(feature, group="Distributed checkpoints")


@contextmanager
def shared_folder(rank):
    """A folder that rank 0 makes, tells the others, and removes when all are done."""
    found = [tempfile.mkdtemp(prefix="simnet-feature-") if rank == 0 else None]
    dist.broadcast_object_list(found, src=0)
    try:
        yield found[0]
        dist.barrier()
    finally:
        if rank == 0:
            shutil.rmtree(found[0])


@saved("dcp.save and dcp.load of plain tensors")
def plain(rank, world_size):
    with shared_folder(rank) as folder:
        dcp.save({"a": torch.arange(4.0), "step": 3}, checkpoint_id=folder)
        state = {"a": torch.zeros(4), "step": 0}
        dcp.load(state, checkpoint_id=folder)
    return state


@saved("dcp.save and dcp.load of a DTensor, onto another mesh")
def resharded(rank, world_size):
    whole = torch.arange(24.0).reshape(8, 3)
    first = init_device_mesh("cpu", (world_size,))
    second = init_device_mesh("cpu", (2, 2))
    with shared_folder(rank) as folder:
        dcp.save({"t": distribute_tensor(whole, first, [Shard(0)])}, checkpoint_id=folder)
        state = {"t": distribute_tensor(torch.zeros(8, 3), second, [Shard(0), Shard(1)])}
        dcp.load(state, checkpoint_id=folder)
    return state["t"].to_local(), state["t"].full_tensor()


def sharded(seed=0):
    model = mlp(seed)
    for layer in model:
        if next(layer.parameters(), None) is not None:
            fully_shard(layer)
    return fully_shard(model)


@saved("dcp.save and dcp.load of fully_shard, with the optimizer")
def sharded_training(rank, world_size):
    model = sharded()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps(model, optimizer, rank, 2)
    with shared_folder(rank) as folder:
        state, optimizer_state = get_state_dict(model, optimizer)
        dcp.save({"model": state, "optimizer": optimizer_state}, checkpoint_id=folder)
        other = sharded(seed=9)
        other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.01)
        state, optimizer_state = get_state_dict(other, other_optimizer)
        loaded = {"model": state, "optimizer": optimizer_state}
        dcp.load(loaded, checkpoint_id=folder)
        set_state_dict(
            other,
            other_optimizer,
            model_state_dict=loaded["model"],
            optim_state_dict=loaded["optimizer"],
        )
    losses = steps(model, optimizer, rank, 1), steps(other, other_optimizer, rank, 1)
    return losses[0] == losses[1], [p.full_tensor().detach() for p in other.parameters()]


@saved("a DDP model saved, and loaded into fully_shard")
def across_wrappers(rank, world_size):
    model = DistributedDataParallel(mlp())
    steps(model, sgd(model), rank, 1)
    with shared_folder(rank) as folder:
        dcp.save({"model": get_model_state_dict(model)}, checkpoint_id=folder)
        other = sharded(seed=9)
        state = {"model": get_model_state_dict(other)}
        dcp.load(state, checkpoint_id=folder)
        set_model_state_dict(other, state["model"])
    found = [p.full_tensor().detach() for p in other.parameters()]
    same = all(torch.equal(a, b) for a, b in zip(found, parameters(model), strict=True))
    return found, same


@saved(
    "dcp.async_save",
    processes_only="it saves from a thread of its own, which is no rank where ranks are threads",
)
def in_background(rank, world_size):
    with shared_folder(rank) as folder:
        dcp.async_save({"a": torch.arange(4.0)}, checkpoint_id=folder).result()
        state = {"a": torch.zeros(4)}
        dcp.load(state, checkpoint_id=folder)
    return state


@saved("get_model_state_dict, full, and set_model_state_dict from rank 0")
def full_state(rank, world_size):
    model = sharded()
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    full = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    other = sharded(seed=9)
    set_model_state_dict(other, full if rank == 0 else {}, options=options)
    return full, [p.full_tensor().detach() for p in other.parameters()]
