"""Schedules of any kind and algorithm, made alike for all tests here."""

import pytest

from simnet import collectives

ROOTED = ("broadcast", "reduce", "gather", "scatter")


def options_of(algorithm, num_ranks):
    if algorithm == "torus":
        rows = max(d for d in range(1, num_ranks + 1) if num_ranks % d == 0 and d * d <= num_ranks)
        return {"dims": (rows, num_ranks // rows)}
    if algorithm == "hierarchical":
        width = 4 if num_ranks % 4 == 0 else 3
        every = list(range(num_ranks))
        return {"islands": [every[i : i + width] for i in range(0, num_ranks, width)]}
    return {}


def describe(kind, num_ranks, size=1000, root=0, **common):
    if kind == "send":
        return collectives.send(size, src=0, dst=num_ranks - 1, **common)
    if kind == "permutation":
        swapped = [rank ^ 1 if rank ^ 1 < num_ranks else rank for rank in range(num_ranks)]
        return collectives.permutation(size, swapped, **common)
    if kind == "barrier":
        return collectives.barrier(**common)
    if kind in ROOTED:
        common["root"] = root
    return getattr(collectives, kind)(size, **common)


def schedule_of(kind, num_ranks, algorithm, size=1000, root=0, **common):
    work = describe(kind, num_ranks, size, root, **common)
    options = {
        name: value
        for name, value in options_of(algorithm, num_ranks).items()
        if name not in work.options
    }
    return collectives.build(work, num_ranks, algorithm, **options)


@pytest.fixture(name="schedule_of")
def _schedule_of():
    """Return a function (kind, num_ranks, algorithm, size, root, **common) -> Schedule."""
    return schedule_of
