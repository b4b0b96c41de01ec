"""When a rank that does not come back has stalled: it neither waits nor computes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from simnet.ranks.errors import StallError
from simnet.ranks.member import Member

LOOK_EVERY_S = 1.0
BUSY_SHARE = 0.01  # of one processor: a thread that uses less only waits


class Watchdog:
    """Waits for a rank in wall time, as long as it computes.

    Parameters
    ----------
    patience_s : float
        Wall seconds without computation after which a rank has stalled.
    on_wait : callable
        Called about once a second meanwhile, to show progress.
    """

    def __init__(self, patience_s: float, on_wait: Callable[[], None] = lambda: None) -> None:
        self._patience_s, self._on_wait = patience_s, on_wait

    def follow(
        self,
        member: Member,
        is_back: Callable[[float], bool],
        task: str,
    ) -> None:
        """Wait until the rank is back.

        Parameters
        ----------
        member : Member
            The rank.
        is_back : callable
            ``is_back(seconds)`` waits at most so long; returns whether it is.
        task : str
            The process, or ``"process/task/thread"``: its computing time tells whether the rank
            is busy.

        Raises
        ------
        StallError
            When it has used no processor for the watchdog's patience; names the rank and where.
        """
        if is_back(LOOK_EVERY_S):
            return
        used = _used(task)
        idle_since = time.monotonic()
        while not is_back(LOOK_EVERY_S):
            self._on_wait()
            before, used = used, _used(task)
            if used is None or before is None or used - before > BUSY_SHARE * LOOK_EVERY_S:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > self._patience_s:
                where = member.driver.where(member)
                raise StallError(
                    f"rank {member.number} stalled{f' at {where}' if where else ''}: for "
                    f"{self._patience_s:g} s of wall time it has neither computed nor called "
                    f"torch.distributed, at virtual time {member.now:.9g} s"
                )


def _used(task: str) -> float | None:
    """Processor seconds that a task of the system has used; None where nobody can tell."""
    try:
        fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
