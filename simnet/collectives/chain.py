"""Chains: the data passes from rank to rank, and with segments it flows like a pipe."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simnet.collectives.collective import Collective
from simnet.collectives.expansion import Step
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import make_schedule, step


def chain(collective: Collective, num_ranks: int) -> Schedule:
    """Broadcast from the root through all ranks in order, or reduce along them to the root.

    With G segments a broadcast takes (N - 2 + G) (latency + S/(G B)), as a segment leaves a rank
    as soon as it is there; on each connection segments go one after the other.

    Parameters
    ----------
    collective
        A broadcast or a reduce.
    num_ranks
        Number of ranks N.

    """
    inward = collective.kind == "reduce"

    def steps() -> Iterator[Step]:
        line = (collective.root + np.arange(num_ranks)) % num_ranks
        if inward:
            line = line[::-1]
        before = np.arange(num_ranks - 1) - 1
        yield step(line[:-1], line[1:], reduces=inward, deps=before)

    return make_schedule(collective, num_ranks, algorithm="chain", steps=steps, count=num_ranks - 1)
