"""The flows that share the links now: what is left of each, at which rate, until when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.engine.maxmin import max_min_rates

INFINITY = float("inf")


class FlowTable:
    """Fluid flows over links of fixed capacity.

    A flow's remaining bytes are taken stock of only when its rate changes, so its finish time
    depends on the instants at which flows begin and end and on nothing else: neither on how often
    the table is asked nor on flows that share no link with it.

    Parameters
    ----------
    capacity : (L,) array of float
        Bytes/s of each link.
    max_hops : int
        A first guess of the longest route, links; the table widens when a longer one comes.
    """

    def __init__(self, capacity: NDArray[np.float64], max_hops: int = 4) -> None:
        self.capacity = np.append(capacity, INFINITY)
        self._padding = len(capacity)
        self._routes = np.empty((0, max_hops), dtype=np.int64)
        self._left, self._rate, self._since = np.empty(0), np.empty(0), np.empty(0)
        self._finish = np.empty(0)
        self._active = np.empty(0, dtype=np.bool_)
        self._free: list[int] = []
        self._disturbed = np.zeros(len(self.capacity), dtype=np.bool_)

    def _allocate(self, slots: int, hops: int) -> None:
        """Grow every column to so many slots and hops, keeping what is there."""
        self._free.extend(range(slots - 1, len(self._active) - 1, -1))
        self._routes = _grown(self._routes, (slots, hops), self._padding)
        self._left = _grown(self._left, (slots,), 0.0)
        self._rate = _grown(self._rate, (slots,), 0.0)
        self._since = _grown(self._since, (slots,), 0.0)
        self._finish = _grown(self._finish, (slots,), INFINITY)
        self._active = _grown(self._active, (slots,), False)

    def add(self, route: Sequence[int] | NDArray[np.int64], size: float, time: float) -> int:
        """Let `size` bytes begin to drain over `route` at `time`; returns the flow's slot."""
        slots, hops = self._routes.shape
        if len(route) > hops:
            self._allocate(slots, max(len(route), 2 * hops))
        if not self._free:
            self._allocate(max(16, 2 * slots), self._routes.shape[1])
        slot = self._free.pop()
        self._routes[slot] = self._padding
        self._routes[slot, : len(route)] = route
        self._left[slot], self._rate[slot], self._since[slot] = size, 0.0, time
        self._finish[slot] = INFINITY
        self._active[slot] = True
        self._disturbed[self._routes[slot]] = True
        return slot

    def next_finish(self) -> float:
        """When the next flow ends, seconds; infinity where none is active."""
        return float(self._finish.min(initial=INFINITY))

    def pop_finished(self, time: float) -> list[int]:
        """Take out the flows that end at or before `time`; returns their slots, ascending."""
        if self.next_finish() > time:
            return []
        slots = np.flatnonzero(self._finish <= time)
        self._active[slots] = False
        self._finish[slots] = INFINITY
        self._disturbed[self._routes[slots]] = True
        return [int(slot) for slot in slots]

    def left(self, slot: int, time: float) -> float:
        """Bytes of an active flow that have not drained by `time`."""
        drained = self._rate[slot] * (time - self._since[slot])
        return max(float(self._left[slot] - drained), 0.0)

    def release(self, slot: int) -> None:
        """Give back a slot that `pop_finished` returned."""
        self._free.append(slot)

    def settle(self, time: float) -> bool:
        """Share the links anew where a flow has come or gone; returns whether any has."""
        if not self._disturbed.any():
            return False
        slots = self._component()
        if not len(slots):
            return True
        rates = max_min_rates(self._routes[slots], self.capacity)
        changed = rates != self._rate[slots]
        slots, rates = slots[changed], rates[changed]
        drained = self._rate[slots] * (time - self._since[slots])
        left = np.maximum(self._left[slots] - drained, 0.0)
        self._left[slots], self._rate[slots], self._since[slots] = left, rates, time
        with np.errstate(over="ignore"):  # infinity is never
            self._finish[slots] = time + left / rates
        return True

    def _component(self) -> NDArray[np.int64]:
        """The active flows that share a link with a disturbed one, directly or through others.

        All others keep their rates to the bit: no link of theirs has changed its users.
        """
        slots = np.flatnonzero(self._active)
        routes = self._routes[slots]
        reached, count = self._disturbed, -1
        while True:
            reached[self._padding] = False
            touched = reached[routes].any(axis=1)
            before, count = count, int(np.count_nonzero(touched))
            if count == before:
                break
            reached[routes[touched]] = True
        reached[:] = False
        return slots[touched]

    def link_rates(self) -> NDArray[np.float64]:
        """Bytes/s that every link carries now, shape (L,)."""
        carried = np.zeros(len(self.capacity))
        routes, rates = self.active()
        for hop in routes.T:
            np.add.at(carried, hop, rates)
        return carried[:-1]

    def active(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Padded routes and rates (bytes/s) of the active flows."""
        slots = np.flatnonzero(self._active)
        return self._routes[slots], self._rate[slots]


def _grown(array: NDArray[Any], shape: tuple[int, ...], fill: float) -> NDArray[Any]:
    """A larger array that begins as `array` does and is `fill` elsewhere."""
    larger = np.full(shape, fill, dtype=array.dtype)
    larger[tuple(slice(extent) for extent in array.shape)] = array
    return larger
