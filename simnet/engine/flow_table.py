"""The flows that share the links now: what is left of each, at which rate, until when."""

from __future__ import annotations

from collections.abc import Sequence

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
        self._free: list[int] = []
        self._slots = 0
        self._allocate(16, max_hops)
        self._settled = True

    def _allocate(self, slots: int, hops: int) -> None:
        """Grow every column to so many slots and hops, keeping what is there."""
        routes = np.full((slots, hops), self._padding, dtype=np.int64)
        columns = {name: np.zeros(slots) for name in ("left", "rate", "since", "finish")}
        if self._slots:
            old = self._slots
            routes[:old, : self._routes.shape[1]] = self._routes
            for name, column in columns.items():
                column[:old] = getattr(self, f"_{name}")
        self._routes = routes
        self._left, self._rate = columns["left"], columns["rate"]
        self._since, self._finish = columns["since"], columns["finish"]
        active = np.zeros(slots, dtype=bool)
        active[: self._slots] = getattr(self, "_active", active)[: self._slots]
        self._active = active
        self._free.extend(range(slots - 1, self._slots - 1, -1))
        self._slots = slots

    def add(self, route: Sequence[int] | NDArray[np.int64], size: float, time: float) -> int:
        """Let `size` bytes begin to drain over `route` at `time`; returns the flow's slot."""
        if len(route) > self._routes.shape[1]:
            self._allocate(self._slots, max(len(route), 2 * self._routes.shape[1]))
        if not self._free:
            self._allocate(2 * self._slots, self._routes.shape[1])
        slot = self._free.pop()
        self._routes[slot] = self._padding
        self._routes[slot, : len(route)] = route
        self._left[slot], self._rate[slot], self._since[slot] = size, 0.0, time
        self._finish[slot] = INFINITY
        self._active[slot] = True
        self._settled = False
        return slot

    def next_finish(self) -> float:
        """When the next flow ends, seconds; infinity where none is active."""
        active = self._active
        return float(self._finish[active].min()) if active.any() else INFINITY

    def pop_finished(self, time: float) -> list[int]:
        """Take out the flows that end at or before `time`; returns their slots, ascending."""
        slots = np.flatnonzero(self._active & (self._finish <= time))
        if len(slots):
            self._active[slots] = False
            self._settled = False
        return [int(slot) for slot in slots]

    def release(self, slot: int) -> None:
        """Give back a slot that `pop_finished` returned."""
        self._free.append(slot)

    def settle(self, time: float) -> bool:
        """Share the links anew if a flow has come or gone; returns whether anything was shared."""
        if self._settled:
            return False
        self._settled = True
        slots = np.flatnonzero(self._active)
        rates = max_min_rates(self._routes[slots], self.capacity)
        changed = rates != self._rate[slots]
        slots, rates = slots[changed], rates[changed]
        drained = self._rate[slots] * (time - self._since[slots])
        left = np.maximum(self._left[slots] - drained, 0.0)
        self._left[slots], self._rate[slots], self._since[slots] = left, rates, time
        self._finish[slots] = time + left / rates
        return True

    def link_rates(self) -> NDArray[np.float64]:
        """Bytes/s that every link carries now, shape (L,)."""
        rates = np.zeros(len(self.capacity))
        slots = np.flatnonzero(self._active)
        for hop in self._routes[slots].T:
            np.add.at(rates, hop, self._rate[slots])
        return rates[:-1]

    def active(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Slots, padded routes and rates (bytes/s) of the active flows."""
        slots = np.flatnonzero(self._active)
        return slots, self._routes[slots], self._rate[slots]
