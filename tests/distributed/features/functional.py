"""Functional collectives, which return new tensors, and those that autograd flows through."""

from functools import partial

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as funcol
import torch.distributed.nn.functional as dist_nn
from torch.distributed.device_mesh import init_device_mesh

from features.eager import numbers
from features.registry import feature

functional = partial(feature, group="Functional collectives", exact=True)
differentiable = partial(feature, group="Collectives with autograd", exact=True)


def world():
    return dist.group.WORLD


@functional("functional all_reduce")
def all_reduce(rank, world_size):
    tensor = numbers(rank, 3)
    found = funcol.all_reduce(tensor, "sum", world())
    return funcol.wait_tensor(found), tensor


@functional("functional all_reduce, avg, max, min, product")
def all_reduce_operators(rank, world_size):
    return [
        funcol.wait_tensor(funcol.all_reduce(numbers(rank, 3), op, world()))
        for op in ("avg", "max", "min", "product")
    ]


@functional("functional all_reduce, waited for by its first use")
def waited_by_use(rank, world_size):
    found = funcol.all_reduce(numbers(rank, 3), "sum", world())
    return found * 2 + 1


@functional("functional all_reduce, a view of a result in flight")
def view_in_flight(rank, world_size):
    found = funcol.all_reduce(numbers(rank, 2, 3), "sum", world())
    return found.view(3, 2) + 0


@functional(
    "functional all_reduce over ranks, a mesh and a group's name",
    warns=("The combination of ranks . tag as process group identifier has been deprecated",),
)
def group_forms(rank, world_size):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b"))
    forms = [list(range(world_size)), (mesh, 0), mesh["b"], world().group_name]
    return [funcol.wait_tensor(funcol.all_reduce(numbers(rank, 2), "sum", f)) for f in forms]


@functional("functional all_reduce_coalesced")
def all_reduce_coalesced(rank, world_size):
    found = funcol.all_reduce_coalesced([numbers(rank, 3), numbers(rank, 2, 2)], "sum", world())
    return [funcol.wait_tensor(tensor) for tensor in found]


@functional("functional broadcast")
def broadcast(rank, world_size):
    return funcol.wait_tensor(funcol.broadcast(numbers(rank, 3), 2, world()))


@functional("functional all_gather_single, along both dimensions")
def all_gather_single(rank, world_size):
    return [
        funcol.wait_tensor(
            funcol.all_gather_single(numbers(rank, 2, 3), gather_dim=d, group=world())
        )
        for d in (0, 1)
    ]


@functional(
    "functional all_gather_tensor and reduce_scatter_tensor, the older names",
    warns=(".torch.distributed._functional_collectives.\\w+. is deprecated",),
)
def older_names(rank, world_size):
    gathered = funcol.all_gather_tensor(numbers(rank, 2), gather_dim=0, group=world())
    scattered = funcol.reduce_scatter_tensor(numbers(rank, 4), "sum", 0, world())
    return funcol.wait_tensor(gathered), funcol.wait_tensor(scattered)


@functional("functional all_gather_single_coalesced")
def all_gather_coalesced(rank, world_size):
    found = funcol.all_gather_single_coalesced([numbers(rank, 2), numbers(rank, 1, 3)], world())
    return [funcol.wait_tensor(tensor) for tensor in found]


@functional("functional reduce_scatter_single, sum and avg, along both dimensions")
def reduce_scatter_tensor(rank, world_size):
    return [
        funcol.wait_tensor(
            funcol.reduce_scatter_single(numbers(rank, 4, 4), op, scatter_dim=d, group=world())
        )
        for op, d in (("sum", 0), ("avg", 1))
    ]


@functional("functional reduce_scatter_single_coalesced")
def reduce_scatter_coalesced(rank, world_size):
    found = funcol.reduce_scatter_single_coalesced(
        [numbers(rank, 4), numbers(rank, 8, 2)], "sum", [0, 0], world()
    )
    return [funcol.wait_tensor(tensor) for tensor in found]


@functional("functional all_to_all_single")
def all_to_all_single(rank, world_size):
    even = funcol.all_to_all_single(numbers(rank, 4, 2), None, None, world())
    splits = [(rank + r) % 3 for r in range(world_size)]
    uneven = funcol.all_to_all_single(numbers(rank, sum(splits)), splits, splits, world())
    return funcol.wait_tensor(even), funcol.wait_tensor(uneven)


@functional("functional permute_tensor")
def permute_tensor(rank, world_size):
    found = funcol.permute_tensor(numbers(rank, 3), [1, 2, 3, 0], world())
    return funcol.wait_tensor(found)


@functional("functional collectives in place (the traceable forms)")
def in_place(rank, world_size):
    reduced, gathered, scattered = numbers(rank, 4), torch.zeros(16), torch.zeros(1)
    funcol.all_reduce_inplace(reduced, "sum", world())
    funcol.all_gather_tensor_inplace(gathered, numbers(rank, 4), world())
    funcol.reduce_scatter_tensor_inplace(scattered, numbers(rank, 4), "sum", world())
    parts = [torch.zeros(2) for _ in range(world_size)]
    funcol.all_gather_inplace(parts, numbers(rank, 2), world())
    return reduced, gathered, scattered, parts


@functional("torch.ops._c10d_functional called directly")
def raw_operators(rank, world_size):
    name = world().group_name
    ops = torch.ops._c10d_functional
    reduced = ops.wait_tensor(ops.all_reduce(numbers(rank, 3), "sum", name))
    again = ops.wait_tensor(ops.all_reduce_(numbers(rank, 3), "max", name))
    sent = ops.wait_tensor(ops.broadcast(numbers(rank, 3), 1, name))
    return reduced, again, sent


# Autograd


def with_gradient(rank, *shape):
    return numbers(rank, *shape).requires_grad_()


@differentiable("all_reduce with autograd")
def all_reduce_gradient(rank, world_size):
    tensor = with_gradient(rank, 3)
    found = funcol.all_reduce(tensor, "sum", world())
    (found * (rank + 1)).sum().backward()
    return found.detach(), tensor.grad


@differentiable("all_gather_single_autograd")
def all_gather_gradient(rank, world_size):
    tensor = with_gradient(rank, 2, 3)
    found = funcol.all_gather_single_autograd(tensor, gather_dim=0, group=world())
    (found * numbers(rank, 8, 3)).sum().backward()
    return found.detach(), tensor.grad


@differentiable("reduce_scatter_single_autograd")
def reduce_scatter_gradient(rank, world_size):
    tensor = with_gradient(rank, 4, 3)
    found = funcol.reduce_scatter_single_autograd(tensor, "sum", scatter_dim=0, group=world())
    (found * (rank + 1)).sum().backward()
    return found.detach(), tensor.grad


@differentiable("all_to_all_single_autograd")
def all_to_all_gradient(rank, world_size):
    tensor = with_gradient(rank, 4, 2)
    found = funcol.all_to_all_single_autograd(tensor, None, None, world())
    (found * (rank + 1)).sum().backward()
    return found.detach(), tensor.grad


OLD_NN = (
    "torch.distributed.nn.functional.\\w+ is deprecated",
    ".torch.distributed._all_gather_base. is a private function",
)


def through_nn(name, call, shape=(3,), **marks):
    differentiable(
        f"distributed.nn.functional.{name}",
        program=partial(nn_program, call=call, shape=shape),
        warns=OLD_NN,
        **marks,
    )


def nn_program(rank, world_size, call, shape):
    tensor = with_gradient(rank, *shape)
    found = call(tensor, rank, world_size)
    parts = found if isinstance(found, tuple | list) else [found]
    sum((part * (rank + i + 1)).sum() for i, part in enumerate(parts)).backward()
    return [part.detach() for part in parts], tensor.grad


def nn_all_reduce(tensor, rank, world_size):
    return dist_nn.all_reduce(tensor)


def nn_broadcast(tensor, rank, world_size):
    return dist_nn.broadcast(tensor, src=1)


def nn_reduce(tensor, rank, world_size):
    # What the others get is not defined.
    found = dist_nn.reduce(tensor, dst=2)
    return found if rank == 2 else found * 0


def nn_all_gather(tensor, rank, world_size):
    return dist_nn.all_gather(tensor)


def nn_gather(tensor, rank, world_size):
    return dist_nn.gather(tensor, dst=1)


def nn_scatter(tensor, rank, world_size):
    return dist_nn.scatter([tensor * (i + 1) for i in range(world_size)], src=3)


def nn_reduce_scatter(tensor, rank, world_size):
    inputs = [tensor * (i + 1) for i in range(world_size)]
    return dist_nn.reduce_scatter(torch.zeros(3), inputs)


def nn_all_to_all(tensor, rank, world_size):
    inputs = [tensor * (i + 1) for i in range(world_size)]
    return dist_nn.all_to_all([torch.zeros(3) for _ in range(world_size)], inputs)


def nn_all_to_all_single(tensor, rank, world_size):
    return dist_nn.all_to_all_single(torch.zeros(4, 2), tensor)


def nn_all_gather_base(tensor, rank, world_size):
    return dist_nn._all_gather_base(torch.zeros(4, 3), tensor)


through_nn("all_reduce", nn_all_reduce)
through_nn("broadcast", nn_broadcast)
through_nn("reduce", nn_reduce)
through_nn("all_gather", nn_all_gather)
through_nn("gather", nn_gather)
through_nn("scatter", nn_scatter)
through_nn("reduce_scatter", nn_reduce_scatter)
through_nn("all_to_all", nn_all_to_all)
through_nn("all_to_all_single", nn_all_to_all_single, shape=(4, 2))
through_nn("_all_gather_base", nn_all_gather_base, shape=(1, 3), refused="Backend not supported!")
