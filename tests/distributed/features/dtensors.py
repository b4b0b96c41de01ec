"""DTensor: tensors spread over a mesh, and tensor parallelism made of them."""

from functools import partial

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)
from torch.distributed.tensor import ones as dtensor_ones
from torch.distributed.tensor import rand as dtensor_rand
from torch.distributed.tensor import randn as dtensor_randn
from torch.distributed.tensor import zeros as dtensor_zeros
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.experimental import implicit_replication, local_map
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)

from features.eager import numbers
from features.models import WIDTH, batch, loss_of, parameters, sgd
from features.registry import feature

spread = partial(feature, group="DTensor", exact=True)
tensor_parallel = partial(feature, group="Tensor parallelism")


def line(world_size):
    return init_device_mesh("cpu", (world_size,))


def square():
    return init_device_mesh("cpu", (2, 2), mesh_dim_names=("rows", "columns"))


WHOLE = numbers(0, 8, 6)


@spread("distribute_tensor, Shard and Replicate")
def distribute(rank, world_size):
    mesh = line(world_size)
    placed = [distribute_tensor(WHOLE, mesh, [p]) for p in (Shard(0), Shard(1), Replicate())]
    return [t.to_local() for t in placed], [t.full_tensor() for t in placed]


@spread("distribute_tensor takes rank 0's data")
def distribute_from_0(rank, world_size):
    return distribute_tensor(numbers(rank, 8, 2), line(world_size), [Shard(0)]).full_tensor()


@spread("distribute_tensor, sizes that do not divide")
def uneven(rank, world_size):
    placed = distribute_tensor(numbers(0, 5, 3), line(world_size), [Shard(0)])
    return placed.to_local(), placed.full_tensor()


def redistribute(rank, world_size, before, after):
    mesh = line(world_size)
    if before.is_partial():
        start = DTensor.from_local(numbers(rank, 8, 6), mesh, [before])
    else:
        start = distribute_tensor(WHOLE, mesh, [before])
    return start.redistribute(mesh, [after]).to_local()


for _before, _after in [
    (Shard(0), Replicate()),
    (Shard(1), Replicate()),
    (Shard(0), Shard(1)),
    (Replicate(), Shard(1)),
    (Partial(), Replicate()),
    (Partial(), Shard(0)),
    (Partial("max"), Replicate()),
    (Partial("avg"), Shard(1)),
]:
    spread(
        f"redistribute, {_before} to {_after}",
        program=partial(redistribute, before=_before, after=_after),
    )


@spread("redistribute, async")
def redistribute_async(rank, world_size):
    mesh = line(world_size)
    found = distribute_tensor(WHOLE, mesh, [Shard(0)]).redistribute(
        mesh, [Replicate()], async_op=True
    )
    return found.to_local() + 0


@spread("DTensor on a 2 × 2 mesh")
def two_dimensions(rank, world_size):
    placed = distribute_tensor(WHOLE, square(), [Shard(0), Shard(1)])
    turned = placed.redistribute(placements=[Shard(1), Replicate()])
    return placed.to_local(), turned.to_local(), placed.full_tensor()


@spread("DTensor sharded twice along one dimension")
def twice_sharded(rank, world_size):
    placed = distribute_tensor(WHOLE, square(), [Shard(0), Shard(0)])
    return placed.to_local(), placed.redistribute(placements=[Replicate(), Shard(0)]).to_local()


@spread("DTensor.from_local and full_tensor")
def from_local(rank, world_size):
    mesh = line(world_size)
    whole = DTensor.from_local(numbers(rank, 2, 3), mesh, [Shard(0)])
    summed = DTensor.from_local(numbers(rank, 2, 3), mesh, [Partial()])
    return whole.full_tensor(), summed.full_tensor(), whole.shape


@spread("matrix products of DTensors")
def products(rank, world_size):
    mesh = line(world_size)
    left, right = numbers(0, 4, 8), numbers(1, 8, 4)
    found = []
    for a, b in [(Shard(0), Replicate()), (Replicate(), Shard(1)), (Shard(1), Shard(0))]:
        product = distribute_tensor(left, mesh, [a]) @ distribute_tensor(right, mesh, [b])
        found.append(product.full_tensor())
    return found


@spread("elementwise operations, reductions and views of DTensors")
def operations(rank, world_size):
    mesh = line(world_size)
    tensor = distribute_tensor(WHOLE, mesh, [Shard(0)])
    results = [
        tensor * 2 + tensor,
        tensor.sum(),
        tensor.mean(dim=0),
        tensor.amax(dim=1),
        tensor.t(),
        tensor.reshape(4, 12),
        torch.cat([tensor, tensor], dim=1),
        tensor.softmax(dim=0).round(decimals=3),
    ]
    return [result.full_tensor() for result in results]


@spread("DTensor with implicit replication of plain tensors")
def implicit(rank, world_size):
    tensor = distribute_tensor(WHOLE, line(world_size), [Shard(0)])
    with implicit_replication():
        return (tensor + torch.ones(6)).full_tensor()


@spread("gradients of DTensors")
def gradients(rank, world_size):
    mesh = line(world_size)
    weight = distribute_tensor(numbers(0, 6, 4), mesh, [Shard(1)]).requires_grad_()
    inputs = distribute_tensor(numbers(1, 8, 6), mesh, [Shard(0)])
    (inputs @ weight).full_tensor().sum().backward()
    return weight.grad.full_tensor()


@spread("to_local and redistribute with gradients")
def local_gradients(rank, world_size):
    mesh = line(world_size)
    tensor = distribute_tensor(WHOLE, mesh, [Shard(0)]).requires_grad_()
    local = tensor.redistribute(mesh, [Replicate()]).to_local(grad_placements=[Partial()])
    (local * (rank + 1)).sum().backward()
    return tensor.grad.to_local()


@spread("DTensor factories: ones and zeros")
def factories(rank, world_size):
    mesh = line(world_size)
    made = [
        dtensor_ones(5, 2, device_mesh=mesh, placements=[Shard(0)]),
        dtensor_zeros(4, device_mesh=mesh, placements=[Replicate()]),
    ]
    return [tensor.to_local() for tensor in made]


def random_tensor(rank, world_size, make):
    torch.manual_seed(7)
    return make(8, 2, device_mesh=line(world_size), placements=[Shard(0)]).full_tensor()


for _name, _make in (("rand", dtensor_rand), ("randn", dtensor_randn)):
    spread(
        f"distributed.tensor.{_name}",
        program=partial(random_tensor, make=_make),
        warns=("DTensor random operators may not have complete support on cpu",),
        refused="AssertionError",  # torch has no generator for a mesh of CPUs
    )


@spread("distribute_module")
def whole_module(rank, world_size):
    mesh = line(world_size)
    torch.manual_seed(0)
    module = distribute_module(nn.Linear(6, 4), mesh)
    found = module(distribute_tensor(WHOLE, mesh, [Shard(0)]))
    return [p.full_tensor().detach() for p in module.parameters()], found.shape


@spread("DTensor pickled shards and __repr__")
def representation(rank, world_size):
    tensor = distribute_tensor(WHOLE, line(world_size), [Shard(0)])
    return "Shard(dim=0)" in repr(tensor), tensor.placements, tensor.stride()


@spread("CommDebugMode counts collectives")
def counted(rank, world_size):
    tensor = distribute_tensor(WHOLE, line(world_size), [Shard(0)])
    with CommDebugMode() as mode:
        tensor.redistribute(placements=[Replicate()]).to_local().sum()
        tensor.sum().full_tensor()
    return mode.get_total_counts(), sorted(map(str, mode.get_comm_counts()))


@spread("local_map")
def mapped(rank, world_size):
    mesh = line(world_size)
    run = local_map(
        lambda rows: rows.sum(dim=0, keepdim=True) + rank,
        out_placements=[Shard(0)],
        in_placements=([Shard(0)],),
        device_mesh=mesh,
    )
    return run(distribute_tensor(WHOLE, mesh, [Shard(0)])).full_tensor()


# Tensor parallelism


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 8), nn.Linear(8, 1)

    def forward(self, inputs):
        return self.down(self.up(self.norm(inputs)).relu())


def trained_block(rank, world_size, parallelize, size=4):
    """Train on the same data everywhere."""
    model = parallelize(Block(), line(world_size))
    optimizer = sgd(model)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        loss = loss_of(model, *batch(0, step, size))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    whole = [p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters()]
    return losses, [p.detach().clone() for p in whole]


def alone(rank, world_size, size=4):
    model = Block()
    optimizer = sgd(model)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        loss = loss_of(model, *batch(0, step, size))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, parameters(model)


def megatron(model, mesh):
    return parallelize_module(model, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})


def sequence(model, mesh):
    plan = {
        "norm": SequenceParallel(sequence_dim=0),
        "up": ColwiseParallel(input_layouts=Shard(0)),
        "down": RowwiseParallel(output_layouts=Replicate()),
    }
    inputs = PrepareModuleInput(
        input_layouts=Replicate(), desired_input_layouts=Shard(0), use_local_output=True
    )
    return parallelize_module(parallelize_module(model, mesh, plan), mesh, {"": inputs})


tensor_parallel(
    "ColwiseParallel and RowwiseParallel",
    program=partial(trained_block, parallelize=megatron),
    reference=alone,
)
tensor_parallel(
    "SequenceParallel",
    program=partial(trained_block, parallelize=sequence),
    reference=alone,
)


@tensor_parallel("ColwiseParallel of an embedding")
def embedding(rank, world_size):
    mesh = line(world_size)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))
    plan = {
        "0": RowwiseParallel(input_layouts=Replicate()),
        "1": ColwiseParallel(output_layouts=Replicate()),
    }
    return parallelize_module(model, mesh, plan)(torch.tensor([[1, 7], [3, 9]])).detach()


@tensor_parallel(
    "loss_parallel",
    processes_only="it exchanges DTensor's operators for the whole process",
)
def parallel_loss(rank, world_size):
    mesh = line(world_size)
    torch.manual_seed(0)
    head = parallelize_module(
        nn.Linear(6, 8), mesh, ColwiseParallel(output_layouts=Shard(-1), use_local_output=False)
    )
    inputs = batch(0)[0]
    with loss_parallel():
        loss = nn.functional.cross_entropy(head(inputs), torch.tensor([1, 7, 0, 4]))
        loss.backward()
    return loss.full_tensor().detach(), head.weight.grad.full_tensor()


@tensor_parallel(
    "tensor parallelism within, fully_shard across (2 × 2)",
    warns=("FSDP2-wrapped module .* returned a view tensor",),
)
def two_ways(rank, world_size):
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "model"))
    model = megatron(Block(), mesh["model"])
    fully_shard(model, mesh=mesh["data"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        loss_of(model, *batch(rank // 2, step)).backward()
        optimizer.step()
    return [p.full_tensor().detach() for p in model.parameters()]
