"""Handles and futures of calls in flight, barriers, and the store."""

import re
import time
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist

from features.eager import numbers
from features.registry import feature, raises

handle = partial(feature, group="Handles and futures", exact=True)
barrier = partial(feature, group="Barriers and the store", exact=True)


@handle("Work.wait twice")
def wait_twice(rank, world_size):
    tensor = numbers(rank, 4)
    work = dist.all_reduce(tensor, async_op=True)
    first = work.wait()
    kept = tensor.clone()
    tensor += 1
    second = work.wait()  # must not copy the output again
    return first, second, kept, tensor


@handle("Work.wait twice, reduce_scatter")
def wait_twice_scatter(rank, world_size):
    output = torch.zeros(2)
    work = dist.reduce_scatter(output, list(numbers(rank, 4, 2).unbind()), async_op=True)
    work.wait()
    output += 1
    work.wait()
    return output


@handle("Work.wait with a timeout")
def wait_timeout(rank, world_size):
    tensor = numbers(rank, 4)
    return dist.all_reduce(tensor, async_op=True).wait(timedelta(seconds=10)), tensor


@handle("Work.is_completed, is_success, exception and result")
def states(rank, world_size):
    tensor = numbers(rank, 4)
    work = dist.all_reduce(tensor, async_op=True)
    work.wait()
    return work.is_completed(), work.is_success(), work.exception() is None, work.result()


@handle("Work.is_completed becomes true without a wait")
def polled(rank, world_size):
    tensor = numbers(rank, 4)
    work = dist.all_reduce(tensor, async_op=True)
    while not work.is_completed():
        pass
    return tensor


@handle("Work.source_rank")
def source_rank(rank, world_size):
    if rank == 0:
        dist.send(torch.ones(1), 1)
        return None
    if rank == 1:
        work = dist.irecv(torch.zeros(1), 0)
        work.wait()
        return work._source_rank()
    return None


@handle("Work.get_future, wait and value")
def future(rank, world_size):
    tensor = numbers(rank, 4)
    found = dist.all_reduce(tensor, async_op=True).get_future()
    waited = found.wait()
    return waited, found.value(), found.done(), tensor


@handle("Work.get_future of a broadcast and of an all_gather")
def futures_of_others(rank, world_size):
    tensor = numbers(rank, 2)
    dist.broadcast(tensor, src=1, async_op=True).get_future().wait()
    outputs = [torch.zeros(2) for _ in range(world_size)]
    dist.all_gather(outputs, numbers(rank, 2), async_op=True).get_future().wait()
    return tensor, outputs


@handle("Future.then, a chain")
def then(rank, world_size):
    tensor = numbers(rank, 4)
    found = dist.all_reduce(tensor, async_op=True).get_future()
    halved = found.then(lambda f: f.value()[0] / 2)
    return halved.then(lambda f: f.value() + rank).wait()


@handle("Future.then which starts the next collective")
def then_collective(rank, world_size):
    tensor = numbers(rank, 4)

    def gather(future):
        total = future.value()[0].sum().reshape(1) + rank
        outputs = torch.zeros(world_size)
        work = dist.all_gather_single(outputs, total, async_op=True)
        return work, outputs

    work, outputs = dist.all_reduce(tensor, async_op=True).get_future().then(gather).wait()
    work.wait()
    return outputs


@handle("Future.add_done_callback")
def done_callback(rank, world_size):
    tensor, seen = numbers(rank, 4), []
    future = dist.all_reduce(tensor, async_op=True).get_future()
    future.add_done_callback(lambda f: seen.append(f.value()[0].sum().item()))
    future.wait()
    while not seen:  # gloo calls back on a thread of its own
        time.sleep(0.001)
    return seen


@handle("Future.then on one that is done")
def then_late(rank, world_size):
    work = dist.all_reduce(tensor := numbers(rank, 4), async_op=True)
    work.wait()
    return work.get_future().then(lambda f: f.value()[0] * 2).wait(), tensor


@handle("an error in a Future.then is raised by its wait")
def then_fails(rank, world_size):
    def fail(future):
        raise ValueError("the callback's own")

    found = dist.all_reduce(numbers(rank, 4), async_op=True).get_future().then(fail)
    return raises((ValueError, RuntimeError), found.wait) in ("ValueError", "RuntimeError")


@handle("torch.futures.wait_all")
def wait_all(rank, world_size):
    tensors = [numbers(rank + i, 3) for i in range(3)]
    futures = [dist.all_reduce(t, async_op=True).get_future() for t in tensors]
    return torch.futures.wait_all(futures), tensors


@handle("torch.futures.collect_all")
def collect_all(rank, world_size):
    tensors = [numbers(rank + i, 3) for i in range(3)]
    futures = [dist.all_reduce(t, async_op=True).get_future() for t in tensors]
    done = torch.futures.collect_all(futures).wait()
    return [future.value() for future in done], tensors


@handle(
    "get_future of isend and irecv",
    no_gloo="gloo: 'getFuture not implemented'",
    reference=(lambda rank, world_size: numbers((rank - 1) % world_size, 2)),
)
def message_future(rank, world_size):
    received = torch.zeros(2)
    works = [
        dist.isend(numbers(rank, 2), (rank + 1) % world_size),
        dist.irecv(received, (rank - 1) % world_size),
    ]
    torch.futures.wait_all([work.get_future() for work in works])
    return received


@handle("handles are given up without a wait")
def abandoned(rank, world_size):
    for i in range(3):
        dist.all_reduce(numbers(rank + i, 3), async_op=True)
    tensor = numbers(rank, 3)
    dist.all_reduce(tensor)
    return tensor


# Barriers


@barrier("barrier")
def plain_barrier(rank, world_size):
    return dist.barrier()


@barrier("barrier, async")
def async_barrier(rank, world_size):
    work = dist.barrier(async_op=True)
    return work.wait(), work.is_completed()


@barrier("barrier of a group")
def group_barrier(rank, world_size):
    group = dist.new_group([0, 2])
    if rank in (0, 2):
        dist.barrier(group)
    dist.barrier()
    return rank


@barrier("monitored_barrier, all are there")
def monitored(rank, world_size):
    return dist.monitored_barrier(timeout=timedelta(seconds=10))


@barrier("monitored_barrier, wait_all_ranks")
def monitored_all(rank, world_size):
    return dist.monitored_barrier(timeout=timedelta(seconds=10), wait_all_ranks=True)


def missing(rank, world_size, absent, wait_all_ranks):
    """Whom rank 0 names when some do not come."""
    group = dist.new_group(timeout=timedelta(seconds=20))
    message = None
    if rank not in absent:
        try:
            dist.monitored_barrier(
                group, timeout=timedelta(seconds=0.5), wait_all_ranks=wait_all_ranks
            )
        except RuntimeError as error:
            message = str(error)
    if rank:
        return rank in absent or message is not None
    assert message is not None, "nobody was missed"
    named = re.search(r"[Rr]anks? ([\d, ]+)(failed to pass|did not come)", message)
    assert named is not None, message
    return [int(number) for number in named[1].split(",")]


barrier(
    "monitored_barrier names the rank that is missing",
    program=partial(missing, absent=(2,), wait_all_ranks=False),
)
barrier(
    "monitored_barrier, wait_all_ranks, names all that are missing",
    program=partial(missing, absent=(1, 3), wait_all_ranks=True),
)


# The store


def default_store():
    return dist.distributed_c10d._get_default_store()


@barrier("the default store: set and get")
def store_get(rank, world_size):
    store = default_store()
    store.set(f"feature/{rank}", f"value {rank}")
    return [store.get(f"feature/{r}") for r in range(world_size)]


@barrier("the default store: wait, check, add and delete")
def store_more(rank, world_size):
    store = default_store()
    store.add("feature/count", rank + 1)
    store.set(f"feature/here/{rank}", "")
    store.wait([f"feature/here/{r}" for r in range(world_size)], timedelta(seconds=10))
    dist.barrier()
    total = store.add("feature/count", 0)
    return total, store.check(["feature/here/0"]), store.check(["feature/nobody"])


@barrier("the default store: compare_set")
def store_compare_set(rank, world_size):
    store = default_store()
    if rank == 0:
        store.set("feature/cas", "old")
    dist.barrier()
    if rank == 1:
        store.compare_set("feature/cas", "old", "new")
    dist.barrier()
    return store.get("feature/cas")


@barrier("the default store: a wait that nobody answers ends")
def store_timeout(rank, world_size):
    name = raises(
        RuntimeError,
        lambda: default_store().wait(["feature/nobody"], timedelta(milliseconds=50)),
    )
    return name != ""  # errors of the store are RuntimeErrors of several kinds


@barrier("PrefixStore over the default store")
def prefix_store(rank, world_size):
    store = dist.PrefixStore(f"rank{rank % 2}", default_store())
    store.set(f"key{rank}", str(rank))
    dist.barrier()
    return store.get(f"key{rank}"), store.get(f"key{(rank + 2) % world_size}")


@barrier("a TCPStore of the program's own")
def tcp_store(rank, world_size):
    ports = [None]
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        ports = [store.port]
    dist.broadcast_object_list(ports, src=0)
    if rank:
        store = dist.TCPStore("127.0.0.1", ports[0], is_master=False, wait_for_workers=False)
    store.set(str(rank), f"rank {rank}")
    dist.barrier()
    found = [store.get(str(r)) for r in range(world_size)]
    dist.barrier()
    return found


# Objects

objects = partial(feature, group="Objects", exact=True)


def thing(rank):
    return {"rank": rank, "text": "x" * (3 * rank), "tensor": torch.arange(rank + 1)}


@objects("all_gather_object")
def all_gather_object(rank, world_size):
    found = [None] * world_size
    dist.all_gather_object(found, thing(rank))
    return found


@objects("broadcast_object_list")
def broadcast_object_list(rank, world_size):
    found = [thing(rank), rank]
    dist.broadcast_object_list(found, src=2)
    return found


@objects("broadcast_object_list, device and group_src")
def broadcast_object_group(rank, world_size):
    group = dist.new_group([1, 2])
    found = [thing(rank)]
    if rank in (1, 2):
        dist.broadcast_object_list(found, group=group, group_src=1, device=torch.device("cpu"))
    return found


@objects("gather_object")
def gather_object(rank, world_size):
    found = [None] * world_size if rank == 1 else None
    dist.gather_object(thing(rank), found, dst=1)
    return found


@objects("scatter_object_list")
def scatter_object_list(rank, world_size):
    found = [None]
    things = [thing(r) for r in range(world_size)] if rank == 3 else None
    dist.scatter_object_list(found, things, src=3)
    return found


@objects("objects that cannot be pickled are refused")
def not_picklable(rank, world_size):
    found = [None] * world_size
    return raises((TypeError, AttributeError), lambda: dist.all_gather_object(found, lambda: rank))
