"""Pipeline parallelism: a stage a rank, and several schedules."""

from functools import partial

import torch
from torch import nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleLoopedBFS,
    SplitPoint,
    pipeline,
)

from features.models import WIDTH, batch
from features.registry import feature

pipelined = partial(feature, group="Pipeline parallelism")

MICROBATCHES = 4


def layers(count):
    torch.manual_seed(0)
    made = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(count)]
    return made


def gradients(modules):
    return [p.grad.detach().clone() for module in modules for p in module.parameters()]


def data():
    inputs, _ = batch(0, size=8)
    return inputs, inputs.flip(0)


def loss_of_outputs(outputs, targets):
    return nn.functional.mse_loss(outputs, targets)


def alone(rank, world_size, per_rank=1):
    """Gradients of the rank's layers, in one process."""
    made = layers(per_rank * world_size)
    inputs, targets = data()
    loss_of_outputs(nn.Sequential(*made)(inputs), targets).backward()
    return gradients(made[rank::world_size])


def single(rank, world_size, kind):
    """A stage a rank."""
    inputs, targets = data()
    module = layers(world_size)[rank]
    stage = PipelineStage(module, rank, world_size, torch.device("cpu"))
    schedule = kind(stage, MICROBATCHES, loss_fn=loss_of_outputs)
    args = (inputs,) if rank == 0 else ()
    if rank == world_size - 1:
        schedule.step(*args, target=targets, losses=[])
    else:
        schedule.step(*args)
    return gradients([module])


def several(rank, world_size, kind, per_rank=2):
    """Several stages a rank."""
    inputs, targets = data()
    mine = layers(per_rank * world_size)[rank::world_size]
    stages = [
        PipelineStage(module, rank + i * world_size, per_rank * world_size, torch.device("cpu"))
        for i, module in enumerate(mine)
    ]
    schedule = kind(stages, MICROBATCHES, loss_fn=loss_of_outputs)
    args = (inputs,) if rank == 0 else ()
    if rank == world_size - 1:
        schedule.step(*args, target=targets, losses=[])
    else:
        schedule.step(*args)
    return gradients(mine)


for _kind in (ScheduleGPipe, Schedule1F1B):
    pipelined(_kind.__name__, program=partial(single, kind=_kind), reference=alone)

for _kind in (ScheduleInterleaved1F1B, ScheduleLoopedBFS, ScheduleInterleavedZeroBubble):
    pipelined(
        _kind.__name__,
        program=partial(several, kind=_kind),
        reference=partial(alone, per_rank=2),
    )


@pipelined("ScheduleGPipe, forward only")
def forward_only(rank, world_size):
    inputs, _ = data()
    stage = PipelineStage(layers(world_size)[rank], rank, world_size, torch.device("cpu"))
    schedule = ScheduleGPipe(stage, MICROBATCHES)
    outputs = schedule.eval(*((inputs,) if rank == 0 else ()))
    return outputs.detach() if outputs is not None else None


@pipelined(
    "ScheduleGPipe, a model that torch splits",
    warns=(r"`isinstance\(treespec, LeafSpec\)` is deprecated",),
)
def split_by_torch(rank, world_size):
    inputs, targets = data()
    model = nn.Sequential(*layers(world_size))
    pipe = pipeline(
        model,
        mb_args=(inputs[:2],),
        split_spec={str(i): SplitPoint.BEGINNING for i in range(1, world_size)},
    )
    stage = pipe.build_stage(rank, torch.device("cpu"))
    schedule = ScheduleGPipe(stage, MICROBATCHES, loss_fn=loss_of_outputs)
    if rank == 0:
        schedule.step(inputs)
    elif rank == world_size - 1:
        schedule.step(target=targets, losses=[])
    else:
        schedule.step()
    return gradients([stage.submod])


@pipelined("Schedule1F1B, two pipelines with data parallelism (2 × 2)")
def two_pipelines(rank, world_size):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.nn.parallel import DistributedDataParallel

    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "pipeline"))
    where, group = mesh.get_local_rank("pipeline"), mesh.get_group("pipeline")
    inputs, _ = batch(mesh.get_local_rank("data"), size=8)
    module = DistributedDataParallel(layers(2)[where], process_group=mesh.get_group("data"))
    stage = PipelineStage(module, where, 2, torch.device("cpu"), group=group)
    schedule = Schedule1F1B(stage, MICROBATCHES, loss_fn=loss_of_outputs)
    if where == 0:
        schedule.step(inputs)
    else:
        schedule.step(target=inputs, losses=[])
    return gradients([module])
