"""Arrays that are handed out are read-only; small whole numbers are counted without sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE_SHARE, TABLE_FLOOR = 4, 1 << 16
"""Entries of a table, for each number and besides, that are worth no sorting."""


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, made read-only."""
    array.flags.writeable = False
    return array


def distinct(numbers: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different ones of some whole numbers from 0 to below `limit`, and which each is.

    As `numpy.unique` with ``return_inverse``, by a table where that is not too large.
    """
    if limit > TABLE_SHARE * len(numbers) + TABLE_FLOOR:
        values, which = np.unique(numbers, return_inverse=True)
        return values, which.reshape(-1)
    table = np.zeros(limit, dtype=np.int64)
    table[numbers] = 1
    values = np.flatnonzero(table)
    table[values] = np.arange(len(values))
    return values, table[numbers]
