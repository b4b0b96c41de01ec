"""Programs for a few ranks, from a numbered seed: all that takes part in the order of an instant.

Spans and sizes come from few values, so that much happens at the same instant.
"""

import random
from datetime import timedelta

import torch
import torch.distributed as dist

import simnet
from simnet.distributed import WaitTimeoutError

SIZES = (0, 1, 8, 100, 1000, 5000)
SPANS = (0, 0, 0, 0.001, 0.01, 0.02)
COLLECTIVES = {
    "all_reduce": lambda own, root, each: (own, dist.all_reduce(own, async_op=True)),
    "broadcast": lambda own, root, each: (own, dist.broadcast(own, root, async_op=True)),
    "reduce": lambda own, root, each: (own, dist.reduce(own, root, async_op=True)),
    "barrier": lambda own, root, each: (own, dist.barrier(async_op=True)),
    "all_gather": lambda own, root, each: (each[0], dist.all_gather(each, own, async_op=True)),
    "reduce_scatter": lambda own, root, each: (
        own,
        dist.reduce_scatter(own, each, async_op=True),
    ),
}


def make_program(seed, ranks, names):
    """A training function of steps with some names; it returns what each rank saw, and when."""
    rng = random.Random(seed)
    steps = [
        (rng.choice(sorted(names)), rng.randrange(2**30)) for _ in range(rng.choice([10, 40, 120]))
    ]

    def train(rank, world_size):
        own = Program(rank, ranks)
        for number, (step, seed) in enumerate(steps):
            STEPS[step](own, random.Random(seed), number)
        for work, _ in own.works:
            work.wait()
        own.note("end")
        return own.seen

    return train


class Program:
    """What a rank of such a program has under way, and what it has seen."""

    def __init__(self, rank, ranks):
        self.rank, self.ranks = rank, ranks
        self.works, self.seen, self.futures = [], [], []

    def note(self, *what):
        self.seen.append((*what, simnet.now()))

    def mine(self, rng, odds):
        """Whether a draw for each rank says so for this one."""
        return [rng.random() < odds for _ in range(self.ranks)][self.rank]

    def go_on(self, work, tensor, *, at_once):
        """Keep a call under way, or wait for it."""
        if at_once:
            work.wait()
            self.note("came", float(tensor.sum()))
        else:
            self.works.append((work, tensor))


def compute(own, rng, number):
    spans = [rng.choice([*SPANS, rng.random() * 0.05]) for _ in range(own.ranks)]
    simnet.compute(spans[own.rank])


def collective(own, rng, number):
    kind, size, root = rng.choice(sorted(COLLECTIVES)), rng.choice(SIZES), rng.randrange(own.ranks)
    each = [torch.full((size,), float(own.rank + other)) for other in range(own.ranks)]
    tensor, work = COLLECTIVES[kind](torch.full((size,), float(own.rank)), root, each)
    own.go_on(work, tensor, at_once=rng.random() < 0.5)


def in_group(own, rng, number):
    members = sorted(rng.sample(range(own.ranks), rng.randint(1, own.ranks)))
    size, at_once = rng.choice(SIZES), rng.random() < 0.5
    group = dist.new_group(members)
    if own.rank in members:
        tensor = torch.ones(size)
        own.go_on(dist.all_reduce(tensor, group=group, async_op=True), tensor, at_once=at_once)


def uneven(own, rng, number):
    """Each pair exchanges as many elements as its own two draws say."""
    sizes = [[rng.choice(SIZES) for _ in range(own.ranks)] for _ in range(own.ranks)]
    sends, takes = sizes[own.rank], [row[own.rank] for row in sizes]
    taken, sent = torch.empty(sum(takes)), torch.full((sum(sends),), float(own.rank))
    work = dist.all_to_all_single(taken, sent, takes, sends, async_op=True)
    own.go_on(work, taken, at_once=rng.random() < 0.5)


def parts(own, rng, number):
    """An all_gather of parts that differ in size."""
    each = [torch.empty(rng.choice(SIZES)) for _ in range(own.ranks)]
    dist.all_gather(each, torch.full_like(each[own.rank], float(own.rank)))
    own.note("parts", *map(len, each))


def objects(own, rng, number):
    found = [None] * own.ranks
    dist.all_gather_object(found, "x" * rng.choice(SIZES) + str(own.rank))
    own.note("objects", *map(len, found))


def step(own, rng, number):
    simnet.step()


def message(own, rng, number):
    source, target = rng.sample(range(own.ranks), 2)
    size, at_once = rng.choice(SIZES), rng.random() < 0.5
    tensor = torch.full((size,), float(number))
    if own.rank == source:
        own.works.append((dist.isend(tensor, target), None))
    if own.rank == target:
        own.go_on(dist.irecv(tensor, source), tensor, at_once=at_once)


def from_any(own, rng, number):
    target, *others = rng.sample(range(own.ranks), own.ranks)
    senders, size = sorted(others[: rng.randint(1, len(others))]), rng.choice(SIZES)
    tensor = torch.full((size,), float(own.rank))
    if own.rank in senders:
        own.works.append((dist.isend(tensor, target, tag=1 + number), None))
    if own.rank == target:
        for _ in senders:
            own.note("from", dist.recv(tensor, tag=1 + number))


def future(own, rng, number):
    tensor = torch.ones(rng.choice(SIZES))
    work = dist.all_reduce(tensor, async_op=True)
    own.futures.append(work.get_future().then(lambda _: own.note("future", number)))
    own.works.append((work, tensor))


def busy_future(own, rng, number):
    """A future whose callback computes."""
    tensor, span = torch.ones(rng.choice(SIZES)), rng.choice([0.001, 0.01, 0.05])
    work = dist.all_reduce(tensor, async_op=True)
    own.futures.append(work.get_future().then(lambda _: simnet.compute(span)))
    own.works.append((work, tensor))


def store(own, rng, number):
    keys = dist.distributed_c10d._get_default_store()
    if own.rank == rng.randrange(own.ranks):
        keys.set(f"{number}", "there")
    elif own.mine(rng, 0.5):
        own.note(keys.get(f"{number}"))


def look(own, rng, number):
    if own.mine(rng, 0.5) and own.works:
        looks = 0
        while not own.works[0][0].is_completed() and looks < 3:
            looks += 1
        own.note("looked", looks)


def wait(own, rng, number):
    # Not for a send, which might wait for a recv behind its own wait.
    if own.mine(rng, 0.6) and own.works and own.works[0][1] is not None:
        own.go_on(*own.works.pop(0), at_once=True)


def wait_a_while(own, rng, number):
    limit = timedelta(seconds=rng.choice([0.001, 0.02]))
    if own.mine(rng, 0.5) and own.works:
        try:
            own.works[-1][0].wait(limit)
            own.note("in time")
        except WaitTimeoutError:
            own.note("too late")


STEPS = {
    step.__name__: step
    for step in (
        compute,
        collective,
        in_group,
        uneven,
        parts,
        objects,
        step,
        message,
        from_any,
        future,
        busy_future,
        store,
        look,
        wait,
        wait_a_while,
    )
}
