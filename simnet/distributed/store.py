"""The run's store as torch's c10d knows stores: no sockets, no wall time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from simnet.ranks.errors import WaitTimeoutError
from simnet.ranks.seat import INFINITY, Seat


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
        self._seat.ask("board.set", self._prefix + key, _bytes(value))

    def get(self, key: str) -> bytes:
        """Read a value; waits until it is there."""
        self.wait([key])
        found: bytes = self._look("board.get", self._prefix + key)
        return found

    def add(self, key: str, value: int) -> int:
        """Add to a number; returns the sum."""
        ask = self._seat.ask if value else self._look
        return int(ask("board.add", self._prefix + key, value))

    def append(self, key: str, value: Any) -> None:
        """Write behind what is there."""
        self._seat.ask("board.append", self._prefix + key, _bytes(value))

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
        if self._has(keys):
            return
        wanted = [self._prefix + key for key in keys]
        limit = INFINITY if timeout is None else self._seat.time + timeout.total_seconds()
        self._seat.lookup(wanted, limit)
        if not self._has(keys):
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
        found: bytes = self._look("board.compare_set", *arguments)
        return found

    def delete_key(self, key: str) -> bool:
        """Remove a key; returns whether it was there."""
        return bool(self._seat.ask("board.delete_key", self._prefix + key))

    def num_keys(self) -> int:
        """How many keys there are, of all stores of the run."""
        return int(self._look("board.num_keys"))

    def set_timeout(self, timeout: timedelta) -> None:
        """A store's own timeout is for wall time, and counts as none."""

    def _has(self, keys: Sequence[str]) -> bool:
        return bool(self._seat.ask("board.has", [self._prefix + key for key in keys]))

    def _look(self, *question: Any) -> Any:
        """Ask the board; the same again with no wait between is a poll, so that loops may end."""
        if self._seat.asked == question:
            self._seat.glance()
        self._seat.asked = question
        return self._seat.ask(*question)

    # How torch's C++ calls the same.
    compareSet, deleteKey, getNumKeys = compare_set, delete_key, num_keys  # noqa: N815
    multiGet, multiSet = multi_get, multi_set  # noqa: N815


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
