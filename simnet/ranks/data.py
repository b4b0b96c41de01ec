"""How ranks' data move, as far as the time plane has to know: when whose are complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from simnet.ranks.call import Call


class Exchange(Protocol):
    """How the data of one operation move; positions are those in the group."""

    def join(self, position: int, tensors: Sequence[Any]) -> Sequence[int]:
        """Take in a rank's tensors; returns the positions whose data have become complete."""

    def outputs(self, position: int) -> Sequence[Any]:
        """What a rank has to copy into its own tensors; its data must be complete."""


MakeExchange = Callable[[Call], Exchange]


class NoData:
    """Shapes only: every rank is complete by itself, and nothing is copied."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def join(self, position: int, tensors: Sequence[Any]) -> Sequence[int]:
        """Complete at once."""
        return (position,)

    def outputs(self, position: int) -> Sequence[Any]:
        """Nothing."""
        return ()
