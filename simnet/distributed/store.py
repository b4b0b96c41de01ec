"""The run's store as torch's c10d knows stores: no sockets, no wall time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from simnet.ranks.errors import WaitTimeoutError
from simnet.ranks.seat import INFINITY, Seat

SPINS = 1_000
"""Questions to the store, with nothing else between, after which each further one is a look."""


class SimStore(dist.distributed_c10d.Store):
    """Keys and values on the run's board; who waits for a key waits in virtual time.

    Parameters
    ----------
    seat : Seat
        Whose store it is.
    prefix : str
        Put before every key: two stores of one program do not see each other's keys.
    """

    def __init__(self, seat: Seat, prefix: str = "") -> None:
        super().__init__()
        self._seat, self._prefix = seat, prefix

    def set(self, key: str, value: Any) -> None:
        """Write a value."""
        self._change("board.set", self._prefix + key, _bytes(value))

    def get(self, key: str) -> bytes:
        """Read a value; waits until it is there."""
        self.wait([key])
        found: bytes = self._spin("board.get", self._prefix + key)
        return found

    def add(self, key: str, value: int) -> int:
        """Add to a number; returns the sum."""
        ask = self._change if value else self._spin
        return int(ask("board.add", self._prefix + key, value))

    def append(self, key: str, value: Any) -> None:
        """Write behind what is there."""
        self._change("board.append", self._prefix + key, _bytes(value))

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there; a look costs a poll interval where they are not."""
        if not self._has(keys):
            self._seat.glance()
        return self._has(keys)

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait in virtual time until all keys are there.

        Raises
        ------
        WaitTimeoutError
            When a timeout given here passes first.
        """
        wanted = [self._prefix + key for key in keys]
        limit = INFINITY if timeout is None else self._seat.time + timeout.total_seconds()
        if not self._seat.lookup(wanted, limit):
            raise WaitTimeoutError(
                f"store: {', '.join(keys)} not there after {timeout} of virtual time"
            )

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """Read several values."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[Any]) -> None:
        """Write several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def compare_set(self, key: str, expected: Any, desired: Any) -> bytes:
        """Write if the value is as expected; returns what is there then."""
        arguments = (self._prefix + key, _bytes(expected), _bytes(desired))
        found: bytes = self._spin("board.compare_set", *arguments)
        if found == arguments[2]:
            self._seat.asked = ()
        return found

    def delete_key(self, key: str) -> bool:
        """Remove a key; returns whether it was there."""
        return bool(self._change("board.delete_key", self._prefix + key))

    def num_keys(self) -> int:
        """How many keys there are, of all stores of the run."""
        return int(self._spin("board.num_keys"))

    def set_timeout(self, timeout: timedelta) -> None:
        """A store's own timeout is for wall time, and counts as none."""

    def _has(self, keys: Sequence[str]) -> bool:
        return bool(self._seat.ask("board.has", [self._prefix + key for key in keys]))

    def _change(self, *request: Any) -> Any:
        """Ask the board for what changes it: no loop that only looks goes on."""
        self._seat.asked = ()
        return self._seat.ask(*request)

    def _spin(self, *question: Any) -> Any:
        """Ask the board what a loop may ask it for ever: after many in a row each is a look."""
        count = self._seat.asked[0] if self._seat.asked else 0
        if count >= SPINS:
            self._seat.glance()
        # Set anew, for a wait forgets it: the row goes on over its own looks.
        self._seat.asked = (count + 1,)
        return self._seat.ask(*question)

    # How torch's C++ calls the same.
    compareSet, deleteKey, getNumKeys = compare_set, delete_key, num_keys  # noqa: N815
    multiGet, multiSet = multi_get, multi_set  # noqa: N815


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
