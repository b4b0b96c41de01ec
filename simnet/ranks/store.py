"""The key-value store of a run: it costs no time, and who waits in it waits in virtual time."""

from __future__ import annotations

from collections.abc import Iterable

import simpy


class Board:
    """What ranks write down for each other (torch's c10d store), on the run's clock.

    Parameters
    ----------
    env : simpy.Environment
        The run's clock.

    Attributes
    ----------
    writes : int
        How often a key has been written or removed.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self.writes = 0
        self._values: dict[str, bytes] = {}
        self._waiting: dict[int, tuple[frozenset[str], simpy.Event]] = {}

    def has(self, keys: Iterable[str]) -> bool:
        """Whether all keys are there."""
        return all(key in self._values for key in keys)

    def await_keys(self, rank: int, keys: Iterable[str]) -> simpy.Event:
        """An event for when all keys are there, in place of what the rank waited for before."""
        wanted, event = frozenset(keys), self._env.event()
        self._waiting.pop(rank, None)
        if self.has(wanted):
            event.succeed()
        else:
            self._waiting[rank] = wanted, event
        return event

    def set(self, key: str, value: bytes) -> None:
        """Write a value."""
        self._values[key] = value
        self.writes += 1
        self._announce()

    def get(self, key: str) -> bytes:
        """Read a value that is there."""
        return self._values[key]

    def add(self, key: str, amount: int) -> int:
        """Add to a number, from 0; returns the sum."""
        total = int(self._values.get(key, b"0")) + amount
        if amount or key not in self._values:
            self.set(key, str(total).encode())
        return total

    def append(self, key: str, value: bytes) -> None:
        """Write behind what is there."""
        self.set(key, self._values.get(key, b"") + value)

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """Write if the value is as expected, or expected is empty and none is there.

        Returns what is there afterwards, or `expected` where nothing is.
        """
        present = self._values.get(key)
        if present == expected or (present is None and not expected):
            self.set(key, desired)
            return desired
        return expected if present is None else present

    def delete_key(self, key: str) -> bool:
        """Remove a key; returns whether it was there."""
        found = self._values.pop(key, None) is not None
        self.writes += found
        return found

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._values)

    def list_keys(self) -> list[str]:
        """All keys."""
        return list(self._values)

    def _announce(self) -> None:
        for rank, (wanted, event) in list(self._waiting.items()):
            if self.has(wanted):
                del self._waiting[rank]
                event.succeed()
