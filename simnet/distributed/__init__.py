"""Training programs on the virtual clock: ranks, their clock, and torch.distributed for them.

`rank` and `launch` are imported without torch; everything that knows torch is imported when a
run begins.
"""

from __future__ import annotations

from simnet.distributed.errors import DeadlockError, MismatchError
from simnet.distributed.launch import Run, run
from simnet.distributed.rank import compute, now

__all__ = ["DeadlockError", "MismatchError", "Run", "compute", "now", "run"]
