"""Collectives: what they do, the algorithms that do it, and proofs that these are right.

A `Collective` (made by `all_reduce`, `broadcast`, ...) is a pre- and a postcondition on chunks.
An algorithm is a function ``(collective, num_ranks, **options) -> Schedule``; a `Schedule`
expands on demand to `Transfers` and proves itself with ``verify()``.
"""

from __future__ import annotations

from simnet.collectives.choose import Plan, plan
from simnet.collectives.collective import KINDS, Collective, Flows, flows
from simnet.collectives.constructors import (
    all_gather,
    all_reduce,
    all_to_all,
    barrier,
    broadcast,
    gather,
    permutation,
    reduce,
    reduce_scatter,
    scatter,
    send,
)
from simnet.collectives.layout import Layout
from simnet.collectives.schedule import Schedule, Transfers, from_transfers
from simnet.collectives.table import algorithms, build
from simnet.collectives.verify import ScheduleError

__all__ = [
    "KINDS",
    "Collective",
    "Flows",
    "Layout",
    "Plan",
    "Schedule",
    "ScheduleError",
    "Transfers",
    "algorithms",
    "all_gather",
    "all_reduce",
    "all_to_all",
    "barrier",
    "broadcast",
    "build",
    "flows",
    "from_transfers",
    "gather",
    "permutation",
    "plan",
    "reduce",
    "reduce_scatter",
    "scatter",
    "send",
]
