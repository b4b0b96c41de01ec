"""What can go wrong between ranks."""

from __future__ import annotations

from simnet.simulation import StuckError


class MismatchError(ValueError):
    """Two ranks of a group made different calls where they must make the same."""


class DeadlockError(StuckError):
    """Every rank that has not ended waits, and nothing will happen any more."""
