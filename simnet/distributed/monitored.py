"""torch.distributed.monitored_barrier: a barrier that names who does not come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from simnet.distributed.work import SimWork
from simnet.ranks.errors import WaitTimeoutError

if TYPE_CHECKING:
    from simnet.distributed.process_group import SimProcessGroup

COME, GO = 2**31 - 2, 2**31 - 3  # tags that no program uses


def monitored_barrier(
    group: SimProcessGroup, timeout: float, ranks: tuple[int, ...], *, wait_all_ranks: bool
) -> None:
    """Every rank reports to rank 0 of the group and goes on when rank 0 says so.

    Parameters
    ----------
    group : SimProcessGroup
        The group.
    timeout : float
        Virtual seconds.
    ranks : tuple of int
        Global ranks of the group, for words.
    wait_all_ranks : bool
        Name all that do not come, not only the first.

    Raises
    ------
    WaitTimeoutError
        On rank 0, naming who has not come; on the others when rank 0 does not answer.
    """
    nothing = torch.empty(0, dtype=torch.uint8)
    others = range(1, group.size())
    if group.rank() != 0:
        group.send([nothing], 0, COME)
        _within(group.recv([nothing], 0, GO), timeout, f"rank {ranks[0]} did not answer")
        return
    waiting = {other: group.recv([nothing.clone()], other, COME) for other in others}
    missing = []
    for other, work in waiting.items():
        if not work.over_within(timeout):
            missing.append(ranks[other])
            if not wait_all_ranks:
                break
    if missing:
        names = ", ".join(map(str, missing))
        few = "rank" if len(missing) == 1 else "ranks"
        raise WaitTimeoutError(
            f"monitored_barrier: {few} {names} did not come within {timeout:g} s of virtual time"
        )
    for work in [group.send([nothing], other, GO) for other in others]:
        work.wait()


def _within(work: SimWork, timeout: float, what: str) -> None:
    if not work.over_within(timeout):
        raise WaitTimeoutError(f"monitored_barrier: {what} within {timeout:g} s of virtual time")
