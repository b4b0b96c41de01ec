"""Connections as numbers: a kernel knows them by the order in which it first met them."""

from __future__ import annotations

import numpy as np

from simnet.arrays import distinct
from simnet.engine.program import IntArray

Key = tuple[int, int, int]


class Numbering:
    """Numbers connections in the order in which they are met.

    Many are kept as sorted codes, a few at a time in a dictionary.

    Parameters
    ----------
    num_ranks : int
        Sources and destinations are below it.
    """

    def __init__(self, num_ranks: int) -> None:
        self._num_ranks = num_ranks
        self._channels: dict[int, int] = {}
        self._codes = np.empty(0, dtype=np.int64)
        self._numbers = np.empty(0, dtype=np.int64)
        self._few: dict[Key, int] = {}
        self._unsorted: list[tuple[int, int]] = []
        self.count = 0

    def number(self, key: Key) -> tuple[int, bool]:
        """The number of one connection, and whether it is a new one."""
        known = self._few.get(key)
        if known is not None:
            return known, False
        src, dst, channel = key
        index = self._channels.setdefault(channel, len(self._channels))
        code = (index * self._num_ranks + src) * self._num_ranks + dst
        place = int(np.searchsorted(self._codes, code))
        new = place == len(self._codes) or self._codes[place] != code
        number = self.count if new else int(self._numbers[place])
        self._few[key] = number
        if new:
            self._unsorted.append((code, number))
            self.count += 1
        return number, new

    def numbers(self, src: IntArray, dst: IntArray, channel: IntArray) -> tuple[IntArray, IntArray]:
        """The number of every entry, and the first entry of each connection that is new.

        The new ones are numbered in the order of those entries.
        """
        codes, which, first = self._distinct(src, dst, channel)
        self._merge()
        place = np.searchsorted(self._codes, codes)
        known = np.zeros(len(codes), dtype=np.bool_)
        inside = place < len(self._codes)
        known[inside] = self._codes[place[inside]] == codes[inside]
        numbers = np.empty(len(codes), dtype=np.int64)
        numbers[known] = self._numbers[place[known]]
        fresh = np.flatnonzero(~known)
        numbers[fresh] = self.count + np.arange(len(fresh))
        self.count += len(fresh)
        self._codes = np.insert(self._codes, place[fresh], codes[fresh])
        self._numbers = np.insert(self._numbers, place[fresh], numbers[fresh])
        return numbers[which], first[fresh]

    def _distinct(
        self, src: IntArray, dst: IntArray, channel: IntArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Ascending codes, which of them each entry is, and an entry of each."""
        many = self._num_ranks
        codes = (self._indices(channel) * many + src) * many + dst
        values, which = distinct(codes, len(self._channels) * many * many)
        entry = np.empty(len(values), dtype=np.int64)
        entry[which] = np.arange(len(which))
        return values, which, entry

    def _indices(self, channel: IntArray) -> IntArray:
        """Channels in the order in which they were met: their own numbers may be huge."""
        low = int(channel[0])
        if (channel == low).all():
            return np.full(len(channel), self._channels.setdefault(low, len(self._channels)))
        distinct, which = np.unique(channel, return_inverse=True)
        met = [self._channels.setdefault(each, len(self._channels)) for each in distinct.tolist()]
        return np.array(met, dtype=np.int64)[which]

    def _merge(self) -> None:
        """Sort in what came one by one."""
        if self._unsorted:
            added = np.array(self._unsorted, dtype=np.int64)
            added = added[np.argsort(added[:, 0])]
            place = np.searchsorted(self._codes, added[:, 0])
            self._codes = np.insert(self._codes, place, added[:, 0])
            self._numbers = np.insert(self._numbers, place, added[:, 1])
            self._unsorted = []
