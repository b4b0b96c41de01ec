"""torch.compile: collectives and wrappers inside compiled code."""

import contextlib
from functools import partial

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as funcol
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from features.eager import numbers
from features.models import mlp, parameters, sgd, steps, trained_alone
from features.registry import feature

ONE_COMPILER = "torch.compile keeps its state for the whole process, not for each thread"
INDUCTOR = {"slow": True, "warns": (r"`torch\.jit\.\w+` is deprecated",)}  # it compiles C++
compiled = partial(feature, group="torch.compile", processes_only=ONE_COMPILER)


def whole_graph(backend="aot_eager"):
    return partial(torch.compile, backend=backend, fullgraph=True)


@contextlib.contextmanager
def fresh():
    torch._dynamo.reset()
    try:
        yield
    finally:
        torch._dynamo.reset()


def functional(rank, world_size, backend):
    @whole_graph(backend)
    def step(tensor):
        summed = funcol.all_reduce(tensor * 2, "sum", dist.group.WORLD)
        gathered = funcol.all_gather_single(summed + 1, 0, dist.group.WORLD)
        return funcol.reduce_scatter_single(gathered, "sum", 0, dist.group.WORLD) + rank

    with fresh():
        return step(numbers(rank, 3)), step(numbers(rank + 1, 3))


def eager_names(rank, world_size, backend):
    """dist.all_reduce and others, which the compiler replaces by functional ones."""

    @whole_graph(backend)
    def step(tensor, gathered, scattered):
        dist.all_reduce(tensor)
        dist.all_gather_single(gathered, tensor)
        dist.reduce_scatter_single(scattered, gathered)
        return tensor + 1

    with fresh():
        outputs = torch.zeros(12), torch.zeros(3)
        return step(numbers(rank, 3), *outputs), outputs


def data_parallel(rank, world_size, backend, inner=False):
    with fresh():
        if inner:
            model = DistributedDataParallel(torch.compile(mlp(), backend=backend))
        else:
            model = torch.compile(DistributedDataParallel(mlp()), backend=backend)
        steps(model, sgd(model), rank)
        return parameters(model)


for _backend in ("eager", "aot_eager", "inductor"):
    compiled(
        f"torch.compile, functional collectives, {_backend}",
        program=partial(functional, backend=_backend),
        **(INDUCTOR if _backend == "inductor" else {}),
    )
    compiled(
        f"torch.compile of DDP, {_backend}",
        program=partial(data_parallel, backend=_backend),
        **(INDUCTOR if _backend == "inductor" else {}),
        reference=trained_alone,
    )

compiled(
    "torch.compile, dist.all_reduce and others rewritten",
    program=partial(eager_names, backend="aot_eager"),
)
compiled(
    "DDP of a compiled module",
    program=partial(data_parallel, backend="aot_eager", inner=True),
    reference=trained_alone,
)


@compiled("torch.compile with a graph break at an async collective")
def graph_break(rank, world_size):
    @partial(torch.compile, backend="aot_eager")
    def step(tensor):
        doubled = tensor * 2
        work = dist.all_reduce(doubled, async_op=True)
        work.wait()
        return doubled + 1

    with fresh():
        return step(numbers(rank, 3))


@compiled("torch.compile of DTensor operations")
def spread(rank, world_size):
    mesh = init_device_mesh("cpu", (world_size,))

    @whole_graph()
    def step(tensor):
        return (tensor * 2).redistribute(placements=[Replicate()]).to_local() + 1

    with fresh():
        return step(distribute_tensor(numbers(0, 8, 2), mesh, [Shard(0)]))


@compiled("torch.compile of a fully_shard model", reference=trained_alone)
def sharded(rank, world_size):
    from torch.distributed.fsdp import fully_shard

    with fresh():
        model = mlp()
        for layer in model:
            if next(layer.parameters(), None) is not None:
                fully_shard(layer)
        fully_shard(model)
        compiled_model = torch.compile(model, backend="aot_eager")
        steps(compiled_model, sgd(model), rank)
        return [p.full_tensor().detach() for p in model.parameters()]
