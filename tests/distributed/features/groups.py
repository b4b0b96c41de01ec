"""Groups of ranks, making and destroying them, and device meshes."""

from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from features.eager import numbers
from features.registry import feature, raises

groups = partial(feature, group="Groups", exact=True)
meshes = partial(feature, group="DeviceMesh", exact=True)


def total(rank, group=None):
    """The sum over a group of one tensor a rank."""
    tensor = numbers(rank, 3)
    dist.all_reduce(tensor, group=group)
    return tensor


@groups("new_group")
def new_group(rank, world_size):
    group = dist.new_group([0, 2, 3])
    if rank == 1:
        return group == dist.GroupMember.NON_GROUP_MEMBER, dist.get_rank(group)
    return total(rank, group), dist.get_rank(group), dist.get_world_size(group)


@groups("new_group of all ranks")
def new_group_all(rank, world_size):
    group = dist.new_group()
    return total(rank, group), dist.get_world_size(group), group != dist.group.WORLD


@groups("new_group with timeout and description")
def new_group_described(rank, world_size):
    group = dist.new_group([1, 0], timeout=timedelta(seconds=15), group_desc="the pair")
    if rank < 2:
        return total(rank, group), group.group_desc
    return None


@groups("new_group of a single rank")
def group_of_one(rank, world_size):
    group = dist.new_group([2])
    if rank != 2:
        return None
    outputs = [torch.zeros(3)]
    dist.all_gather(outputs, numbers(rank, 3), group=group)
    dist.barrier(group)
    return total(rank, group), outputs


@groups("new_group, ranks in another order")
def reordered(rank, world_size):
    group = dist.new_group([3, 0, 1])
    if rank == 2:
        return None
    outputs = [torch.zeros(1) for _ in range(3)]
    dist.all_gather(outputs, torch.tensor([float(rank)]), group=group)
    return outputs, dist.get_rank(group), dist.get_process_group_ranks(group)


@groups("new_group, sort_ranks=False")
def unsorted(rank, world_size):
    group = dist.new_group([3, 0, 1], sort_ranks=False)
    if rank == 2:
        return None
    outputs = [torch.zeros(1) for _ in range(3)]
    dist.all_gather(outputs, torch.tensor([float(rank)]), group=group)
    tensor = torch.tensor([float(rank)])
    dist.broadcast(tensor, src=3, group=group)
    return outputs, tensor, dist.get_rank(group), dist.get_process_group_ranks(group)


@groups("groups that overlap")
def overlapping(rank, world_size):
    members = [(0, 1, 2), (1, 2, 3), (0, 3)]
    made = [dist.new_group(list(ranks)) for ranks in members]
    mine = [i for i, ranks in enumerate(members) if rank in ranks]
    return [total(rank + i, made[i]) for i in mine], total(rank)


@groups("groups that overlap, calls in flight in all of them")
def overlapping_async(rank, world_size):
    members = [(0, 1, 2), (1, 2, 3), (0, 3)]
    made = [dist.new_group(list(ranks)) for ranks in members]
    mine = [i for i, ranks in enumerate(members) if rank in ranks]
    tensors = [numbers(rank + i, 2) for i in mine]
    works = [
        dist.all_reduce(tensor, group=made[i], async_op=True)
        for i, tensor in zip(mine, tensors, strict=True)
    ]
    for work in reversed(works):
        work.wait()
    return tensors


@groups("every collective in a group that is not the first ranks")
def all_in_group(rank, world_size):
    group = dist.new_group([1, 3])
    if rank % 2 == 0:
        return None
    me = dist.get_rank(group)
    reduced, sent = numbers(rank, 2), numbers(rank, 2)
    dist.reduce(reduced, dst=3, group=group)
    dist.broadcast(sent, src=3, group=group)
    gathered = [torch.zeros(2) for _ in range(2)] if rank == 1 else None
    dist.gather(numbers(rank, 2), gathered, dst=1, group=group)
    part = torch.zeros(2)
    dist.scatter(part, [sent, sent + 1] if rank == 3 else None, src=3, group=group)
    scattered = torch.zeros(1)
    dist.reduce_scatter(scattered, [numbers(rank, 1), numbers(rank + 1, 1)], group=group)
    exchanged = torch.zeros(2)
    dist.all_to_all_single(exchanged, numbers(rank, 2), group=group)
    return me, reduced if rank == 3 else None, sent, gathered, part, scattered, exchanged


@groups("objects in a group")
def objects_in_group(rank, world_size):
    group = dist.new_group([0, 3])
    if rank not in (0, 3):
        return None
    found, received = [None, None], ["from", rank]
    dist.all_gather_object(found, {"rank": rank}, group=group)
    dist.broadcast_object_list(received, src=3, group=group)
    return found, received


@groups("group_src and group_dst")
def by_group_rank(rank, world_size):
    group = dist.new_group([1, 2, 3])
    if rank == 0:
        return None
    tensor, reduced = numbers(rank, 2), numbers(rank, 2)
    dist.broadcast(tensor, group=group, group_src=2)
    dist.reduce(reduced, group=group, group_dst=0)
    gathered = [torch.zeros(2) for _ in range(3)] if rank == 2 else None
    dist.gather(numbers(rank, 2), gathered, group=group, group_dst=1)
    part = torch.zeros(2)
    dist.scatter(
        part, [tensor + i for i in range(3)] if rank == 1 else None, group=group, group_src=0
    )
    return tensor, reduced if rank == 1 else None, gathered, part


@groups("use_local_synchronization: only members make the group")
def local_synchronization(rank, world_size):
    ranks = [0, 1] if rank < 2 else [2, 3]
    group = dist.new_group(ranks, use_local_synchronization=True)
    return total(rank, group)


@groups("use_local_synchronization, groups that overlap")
def local_overlapping(rank, world_size):
    # torch names such a group by its ranks and by how many groups its maker knows, so that all
    # members must know as many.
    found = []
    for ranks in ([rank & 2, rank | 1], [rank & 1, rank | 2]):
        group = dist.new_group(ranks, use_local_synchronization=True)
        found.append(total(rank, group))
    return found


@groups("new_subgroups")
def new_subgroups(rank, world_size):
    mine, every = dist.new_subgroups(group_size=2)
    return total(rank, mine), len(every), dist.get_process_group_ranks(mine)


@groups("new_subgroups_by_enumeration")
def by_enumeration(rank, world_size):
    mine, every = dist.new_subgroups_by_enumeration([[0, 2], [1, 3]])
    return total(rank, mine), len(every), dist.get_process_group_ranks(mine)


@groups("get_group_rank and get_global_rank")
def mapping(rank, world_size):
    group = dist.new_group([1, 3])
    if rank % 2 == 0:
        return raises(ValueError, lambda: dist.get_group_rank(group, rank))
    return (
        [dist.get_group_rank(group, r) for r in (1, 3)],
        [dist.get_global_rank(group, r) for r in (0, 1)],
        dist.get_group_rank(dist.group.WORLD, rank),
    )


@groups("get_process_group_ranks, get_pg_count, rank and size")
def about(rank, world_size):
    before = dist.get_pg_count()
    group = dist.new_group([0, 1, 2])
    made = dist.get_pg_count() - before
    world = dist.group.WORLD
    mine = (group.rank(), group.size()) if rank < 3 else None
    return made, mine, world.rank(), world.size(), dist.get_process_group_ranks(world)


@groups(
    "a call in a group by a rank outside is a no-op with a warning",
    warns=("Running .* on global rank \\d+ which does not belong to the given group",),
)
def outsider(rank, world_size):
    group = dist.new_group([0, 1])
    tensor = numbers(rank, 2)
    dist.all_reduce(tensor, group=group)
    return tensor


@groups("destroy_process_group of a group")
def destroy(rank, world_size):
    group = dist.new_group([0, 1])
    if rank < 2:
        total(rank, group)
        dist.destroy_process_group(group)
    return total(rank)


@groups("a group made again after it was destroyed")
def make_again(rank, world_size):
    found = []
    for _ in range(3):
        group = dist.new_group([0, 1, 3])
        if rank != 2:
            found.append(total(rank, group))
            dist.destroy_process_group(group)
    return found


@groups("destroy_process_group of everything")
def destroy_all(rank, world_size):
    dist.new_group([0, 1])
    found = total(rank)
    dist.barrier()
    dist.destroy_process_group()
    return found, dist.is_initialized()


@groups('new_group(backend="gloo")')
def new_group_gloo(rank, world_size):
    group = dist.new_group([0, 1, 2], backend="gloo")
    return total(rank, group) if rank < 3 else None


def split(rank, world_size):
    group = dist.split_group(split_ranks=[[0, 1], [2, 3]])
    return total(rank, group), dist.get_process_group_ranks(group)


groups(
    "split_group",
    program=split,
    no_gloo="gloo: 'No device associated with the default pg'",
    reference=lambda rank, world_size: (
        sum(numbers(r, 3) for r in ((0, 1) if rank < 2 else (2, 3))),
        [0, 1] if rank < 2 else [2, 3],
    ),
)


@groups(
    "shrink_group", refused="does not support shrinking operations|Cannot access device backend"
)
def shrink(rank, world_size):
    dist.shrink_group([3])


@groups("new_group and collectives by torch.distributed.group.WORLD and GroupMember")
def world_forms(rank, world_size):
    forms = [dist.group.WORLD, dist.GroupMember.WORLD, None]
    return [total(rank, form) for form in forms], dist.is_initialized(), dist.get_rank()


def init_again(rank, world_size, backend):
    """What a program does that starts its own group, as under torchrun."""
    if dist.is_initialized():
        store = dist.distributed_c10d._get_default_store()
        dist.barrier()
        dist.destroy_process_group()
        store = dist.PrefixStore("again", store)
    else:
        store = None
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    group = dist.new_group([1, 2])
    return total(rank), total(rank, group) if rank in (1, 2) else None


groups('init_process_group("gloo") after a destroy', program=partial(init_again, backend="gloo"))
groups(
    'init_process_group("cpu:gloo,cuda:nccl") after a destroy',
    program=partial(init_again, backend="cpu:gloo,cuda:nccl"),
    no_gloo="this torch is built without nccl",
    reference=lambda rank, world_size: (
        sum(numbers(r, 3) for r in range(4)),
        sum(numbers(r, 3) for r in (1, 2)) if rank in (1, 2) else None,
    ),
)


@groups("init_process_group without arguments while one stands is refused")
def init_twice(rank, world_size):
    store = dist.HashStore()
    return raises(
        ValueError,
        lambda: (
            dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size),
            dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size),
        ),
    )


# Meshes


@meshes("init_device_mesh, 1-D")
def mesh_1d(rank, world_size):
    mesh = init_device_mesh("cpu", (world_size,))
    return total(rank, mesh.get_group()), mesh.get_local_rank(), mesh.get_coordinate()


@meshes("init_device_mesh, 2-D with names")
def mesh_2d(rank, world_size):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))
    return (
        total(rank, mesh.get_group("outer")),
        total(rank, mesh.get_group("inner")),
        mesh.get_coordinate(),
        mesh.get_local_rank("outer"),
        [dist.get_process_group_ranks(group) for group in mesh.get_all_groups()],
    )


@meshes("DeviceMesh, slicing")
def mesh_slice(rank, world_size):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))
    inner, outer = mesh["inner"], mesh["outer"]
    return total(rank, inner.get_group()), total(rank, outer.get_group()), inner.mesh, outer.mesh


@meshes("DeviceMesh, flatten")
def mesh_flatten(rank, world_size):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))
    flat = mesh._flatten("all")
    return total(rank, flat.get_group()), flat.mesh, mesh["outer", "inner"].mesh


@meshes("DeviceMesh, slice of a 3-D mesh flattened")
def mesh_3d(rank, world_size):
    mesh = init_device_mesh("cpu", (2, 2, 1), mesh_dim_names=("a", "b", "c"))
    flat = mesh["a", "c"]._flatten("ac")
    return total(rank, flat.get_group()), total(rank, mesh["c"].get_group()), flat.mesh


@meshes("DeviceMesh of given ranks")
def mesh_given(rank, world_size):
    mesh = DeviceMesh("cpu", [[0, 2], [1, 3]])
    return total(rank, mesh.get_group(0)), total(rank, mesh.get_group(1)), mesh.size(0)


@meshes("DeviceMesh.from_group")
def mesh_from_group(rank, world_size):
    mine, _ = dist.new_subgroups(group_size=2)
    mesh = DeviceMesh.from_group(mine, "cpu")
    return total(rank, mesh.get_group()), mesh.mesh


@meshes("DeviceMesh over a part of the ranks")
def mesh_part(rank, world_size):
    mesh = DeviceMesh("cpu", [1, 2])
    if rank not in (1, 2):
        return mesh.get_coordinate()
    return total(rank, mesh.get_group()), mesh.get_coordinate()
