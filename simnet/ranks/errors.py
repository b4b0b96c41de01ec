"""What can go wrong between ranks."""

from __future__ import annotations

from simnet.simulation import StuckError


class MismatchError(ValueError):
    """Two ranks of a group made different calls where they must make the same."""


class DeadlockError(StuckError):
    """Every rank that has not ended waits, and nothing will happen any more."""


class WaitTimeoutError(RuntimeError):
    """A timeout that the program itself gave has passed in virtual time."""


class StallError(RuntimeError):
    """A rank's code has neither come back nor computed for long, in wall time."""


class RankLostError(RuntimeError):
    """A rank's process has ended without a word."""


class EndedError(SystemExit):
    """Raised inside a rank whose run has ended without it; not for programs to catch.

    Where nobody does, its process ends with exit code 1.
    """

    def __init__(self) -> None:
        super().__init__("simnet: the run has ended, and this rank with it")
