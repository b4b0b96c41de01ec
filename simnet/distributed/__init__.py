"""Training programs on the virtual clock: torch.distributed for ranks, as threads or processes.

Everything that knows torch is imported when a run begins.
"""

from __future__ import annotations

from simnet.distributed.charging import compute
from simnet.distributed.kinds import processes, threads
from simnet.distributed.launch import run
from simnet.ranks.api import now, step
from simnet.ranks.errors import (
    DeadlockError,
    MismatchError,
    RankLostError,
    StallError,
    WaitTimeoutError,
)
from simnet.workload.run import Run

__all__ = [
    "DeadlockError",
    "MismatchError",
    "RankLostError",
    "Run",
    "StallError",
    "WaitTimeoutError",
    "compute",
    "now",
    "processes",
    "run",
    "step",
    "threads",
]
