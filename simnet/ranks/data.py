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


FROM_ROOT = ("broadcast", "scatter")
TO_ROOT = ("reduce", "gather")


class NoData:
    """Shapes only: ranks are complete when they would be with data, and nothing is copied.

    Parameters
    ----------
    call : Call
        What the first rank called.
    """

    def __init__(self, call: Call) -> None:
        self._kind, self._root = call.kind, call.root
        self._missing = set(range(len(call.ranks)))
        self._waiting: list[int] = []

    def join(self, position: int, tensors: Sequence[Any]) -> Sequence[int]:
        """Who is complete now: see `simnet.distributed.exchange`."""
        self._missing.discard(position)
        if self._kind in TO_ROOT and position != self._root:
            own = [position]
        else:
            own = []
            self._waiting.append(position)
        there = self._root not in self._missing if self._kind in FROM_ROOT else not self._missing
        freed, self._waiting = (self._waiting, []) if there else ([], self._waiting)
        return [*own, *freed]

    def outputs(self, position: int) -> Sequence[Any]:
        """Nothing."""
        return ()


class Alone(NoData):
    """A barrier, or a call of no bytes: nothing moves, and nobody's data wait for another's."""

    def join(self, position: int, tensors: Sequence[Any]) -> Sequence[int]:
        """Complete."""
        return [position]


def no_data(call: Call) -> Exchange:
    """What stands for an operation's data where there are none."""
    return Alone(call) if call.empty or call.kind == "barrier" else NoData(call)
