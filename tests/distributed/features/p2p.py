"""Messages between two ranks."""

from functools import partial

import torch
import torch.distributed as dist

from features.eager import numbers
from features.registry import feature, raises

p2p = partial(feature, group="Point to point", exact=True)


def neighbours(rank, world_size):
    return (rank + 1) % world_size, (rank - 1) % world_size


@p2p("send and recv")
def send_recv(rank, world_size):
    tensor = numbers(rank, 2, 3)
    if rank == 0:
        dist.send(tensor, dst=1)
        return tensor
    if rank == 1:
        return tensor, dist.recv(tensor, src=0)
    return None


@p2p("send and recv along a chain and back")
def chain(rank, world_size):
    tensor = numbers(rank, 4)
    if rank > 0:
        dist.recv(tensor, src=rank - 1)
    tensor += 1
    if rank < world_size - 1:
        dist.send(tensor, dst=rank + 1)
        dist.recv(tensor, src=rank + 1)
    if rank > 0:
        dist.send(tensor, dst=rank - 1)
    return tensor


@p2p("isend and irecv round a ring")
def ring(rank, world_size):
    right, left = neighbours(rank, world_size)
    received = torch.zeros(3)
    works = [dist.isend(numbers(rank, 3), right), dist.irecv(received, left)]
    for work in works:
        work.wait()
    return received


@p2p("irecv before the isend that it gets")
def early_receive(rank, world_size):
    received = torch.zeros(3)
    if rank == 0:
        work = dist.irecv(received, 1)
        dist.barrier()
        work.wait()
    else:
        dist.barrier()
        if rank == 1:
            dist.isend(numbers(1, 3), 0).wait()
    return received


@p2p("isend before the recv that takes it")
def early_send(rank, world_size):
    received = torch.zeros(3)
    if rank == 1:
        work = dist.isend(numbers(1, 3), 0)
        dist.barrier()
        work.wait()
    else:
        dist.barrier()
        if rank == 0:
            dist.recv(received, 1)
    return received


@p2p("messages between two ranks keep their order")
def ordered(rank, world_size):
    if rank == 2:
        works = [dist.isend(torch.full((2,), float(i)), 3) for i in range(5)]
    elif rank == 3:
        received = [torch.zeros(2) for _ in range(5)]
        works = [dist.irecv(tensor, 2) for tensor in received]
    else:
        return None
    for work in works:
        work.wait()
    return received if rank == 3 else None


@p2p("tags out of order")
def tags(rank, world_size):
    received = [torch.zeros(2) for _ in range(3)]
    if rank == 0:
        works = [dist.isend(torch.full((2,), 10.0 + tag), 1, tag=tag) for tag in range(3)]
    elif rank == 1:
        works = [dist.irecv(received[tag], 0, tag=tag) for tag in (2, 0, 1)]
    else:
        return None
    for work in works:
        work.wait()
    return received


@p2p("recv from any source")
def any_source(rank, world_size):
    if rank:
        dist.send(torch.full((2,), float(rank)), dst=0)
        return None
    found = {}
    for _ in range(world_size - 1):
        tensor = torch.zeros(2)
        found[dist.recv(tensor)] = tensor
    return dict(sorted(found.items()))


@p2p("irecv from any source tells who sent")
def any_source_async(rank, world_size):
    if rank:
        dist.isend(torch.full((2,), float(rank)), dst=0).wait()
        return None
    works = [(dist.irecv(tensor), tensor) for tensor in torch.zeros(world_size - 1, 2)]
    for work, _ in works:
        work.wait()
    return sorted((work._source_rank(), tensor.tolist()) for work, tensor in works)


@p2p("any source and tag")
def any_source_tag(rank, world_size):
    if rank in (1, 2):
        dist.send(torch.full((1,), float(rank)), dst=0, tag=rank)
    if rank:
        return None
    tensors = torch.zeros(2, 1)
    return [dist.recv(tensors[tag - 1], tag=tag) for tag in (2, 1)], tensors


@p2p("both at once: two ranks exchange with isend and recv")
def exchange(rank, world_size):
    other, received = rank ^ 1, torch.zeros(3)
    work = dist.isend(numbers(rank, 3), other)
    dist.recv(received, other)
    work.wait()
    return received


@p2p("batch_isend_irecv, a ring of P2POp")
def batch_ring(rank, world_size):
    right, left = neighbours(rank, world_size)
    received = torch.zeros(4)
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, numbers(rank, 4), right),
            dist.P2POp(dist.irecv, received, left),
        ]
    )
    for work in works:
        work.wait()
    return received


@p2p("batch_isend_irecv, both neighbours with tags")
def batch_halo(rank, world_size):
    right, left = neighbours(rank, world_size)
    halo = torch.zeros(2, 3)
    works = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.irecv, halo[0], left, tag=1),
            dist.P2POp(dist.irecv, halo[1], right, tag=2),
            dist.P2POp(dist.isend, numbers(rank, 3), right, tag=1),
            dist.P2POp(dist.isend, -numbers(rank, 3), left, tag=2),
        ]
    )
    for work in works:
        work.wait()
    return halo


@p2p("batch_isend_irecv, all to all")
def batch_all(rank, world_size):
    received = torch.zeros(world_size, 2)
    others = [r for r in range(world_size) if r != rank]
    operations = [dist.P2POp(dist.isend, numbers(rank + 3 * r, 2), r) for r in others]
    operations += [dist.P2POp(dist.irecv, received[r], r) for r in others]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return received


@p2p("P2POp in a group, by the peer's rank in it")
def batch_in_group(rank, world_size):
    group = dist.new_group([1, 3])
    received = torch.zeros(2)
    if rank in (1, 3):
        peer = 1 - group.rank()
        operations = [
            dist.P2POp(dist.isend, numbers(rank, 2), group=group, group_peer=peer),
            dist.P2POp(dist.irecv, received, group=group, group_peer=peer),
        ]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
    return received


@p2p("send and recv in a group")
def in_group(rank, world_size):
    group = dist.new_group([3, 1])
    received = torch.zeros(2)
    if rank == 3:
        dist.send(numbers(rank, 2), dst=1, group=group)
    elif rank == 1:
        return received, dist.recv(received, src=3, group=group)
    return received


@p2p("groups do not take each other's messages")
def groups_apart(rank, world_size):
    group = dist.new_group([0, 1])
    received = torch.zeros(2, 1)
    if rank == 0:
        works = [
            dist.isend(torch.tensor([1.0]), 1),
            dist.isend(torch.tensor([2.0]), 1, group=group),
        ]
    elif rank == 1:
        works = [dist.irecv(received[1], 0, group=group), dist.irecv(received[0], 0)]
    else:
        works = []
    for work in works:
        work.wait()
    return received


@p2p("messages between collectives")
def between_collectives(rank, world_size):
    tensor, received = numbers(rank, 3), torch.zeros(3)
    reduction = dist.all_reduce(tensor, async_op=True)
    right, left = neighbours(rank, world_size)
    works = [dist.isend(numbers(rank, 3), right), dist.irecv(received, left)]
    dist.broadcast(again := numbers(rank, 2), src=3)
    for work in (*works, reduction):
        work.wait()
    return tensor, received, again


@p2p("a message of no element")
def empty_message(rank, world_size):
    tensor = torch.zeros(0)
    if rank == 0:
        dist.send(tensor, 1)
    elif rank == 1:
        return dist.recv(tensor, 0)
    return None


@p2p("a large message")
def large_message(rank, world_size):
    tensor = numbers(rank, 400_000)
    if rank == 2:
        dist.send(tensor, 0)
    elif rank == 0:
        dist.recv(tensor, 2)
    return tensor.sum()


@p2p("the sender may change its tensor after wait")
def reused(rank, world_size):
    tensor = torch.zeros(3)
    if rank == 0:
        for i in range(4):
            tensor.fill_(float(i))
            dist.isend(tensor, 1).wait()
    elif rank == 1:
        found = []
        for _ in range(4):
            dist.recv(tensor, 0)
            found.append(tensor.clone())
        return found
    return None


@p2p("send to oneself is refused")
def to_oneself(rank, world_size):
    return raises(ValueError, lambda: dist.send(torch.ones(1), dst=rank))


@p2p("P2POp with another function is refused")
def wrong_operation(rank, world_size):
    return raises(ValueError, lambda: dist.P2POp(dist.broadcast, torch.ones(1), 0))


@p2p("send_object_list and recv_object_list")
def objects(rank, world_size):
    found = [{"rank": rank, "text": "x" * rank}, rank, torch.arange(rank)]
    if rank == 2:
        dist.send_object_list(found, dst=1)
    elif rank == 1:
        source = dist.recv_object_list(found, src=2)
        return source, found
    return None


@p2p("send_object_list and recv_object_list, use_batch")
def objects_batched(rank, world_size):
    found = [{"rank": rank}, "y" * rank]
    if rank == 3:
        dist.send_object_list(found, dst=0, use_batch=True)
    elif rank == 0:
        return dist.recv_object_list(found, src=3, use_batch=True), found
    return None
