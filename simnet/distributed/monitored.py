"""torch.distributed.monitored_barrier: a barrier that names who does not come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from simnet.distributed.work import SimWork
from simnet.ranks.api import now
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
    until = now() + timeout
    others = range(1, group.size())
    if group.rank() != 0:
        _message(group.send, group, 0, COME)
        answer = _message(group.recv, group, 0, GO)
        if not answer.over_by(until):
            raise WaitTimeoutError(
                f"monitored_barrier: rank {ranks[0]} did not answer within {timeout:g} s of "
                "virtual time"
            )
        return
    waiting = {other: _message(group.recv, group, other, COME) for other in others}
    missing = []
    for other, work in waiting.items():
        if not work.over_by(until):
            missing.append(ranks[other])
            if not wait_all_ranks:
                break
    if missing:
        names = ", ".join(map(str, missing))
        few = "rank" if len(missing) == 1 else "ranks"
        raise WaitTimeoutError(
            f"monitored_barrier: {few} {names} did not come within {timeout:g} s of virtual time"
        )
    for work in [_message(group.send, group, other, GO) for other in others]:
        work.wait()


def _message(make: Callable[..., SimWork], group: SimProcessGroup, peer: int, tag: int) -> SimWork:
    """A message of a barrier; what is left of one that timed out is taken, for it still stands."""
    work = group.monitored.get((peer, tag))
    if work is None or work.known:
        nothing = torch.empty(0, dtype=torch.uint8)
        work = group.monitored[peer, tag] = make([nothing], peer, tag)
    return work
