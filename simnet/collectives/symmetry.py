"""Rank permutations under which schedules are unchanged.

Each is a function of an array of ranks; they are small objects so that they can be pickled and
cost no memory whatever the number of ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simnet.collectives.collective import IntArray


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rank r becomes r + 1, modulo the number of ranks."""

    num_ranks: int

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        return (np.asarray(ranks, dtype=np.int64) + 1) % self.num_ranks


@dataclass(frozen=True, slots=True)
class Reflection:
    """Rank r becomes -r, modulo the number of ranks."""

    num_ranks: int

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        return -np.asarray(ranks, dtype=np.int64) % self.num_ranks


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Rank r becomes r XOR mask."""

    mask: int

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        return np.asarray(ranks, dtype=np.int64) ^ self.mask


@dataclass(frozen=True, slots=True)
class Swap:
    """Two ranks change places."""

    first: int
    second: int

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        mapped = np.array(ranks, dtype=np.int64)
        mapped[ranks == self.first] = self.second
        mapped[ranks == self.second] = self.first
        return mapped


@dataclass(frozen=True, slots=True)
class GridRotation:
    """Ranks on a grid in row-major order move on by one along one dimension, wrapping round."""

    dims: tuple[int, ...]
    dim: int

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        stride = math.prod(self.dims[self.dim + 1 :])
        length = self.dims[self.dim]
        ranks = np.asarray(ranks, dtype=np.int64)
        coordinate = ranks // stride % length
        return ranks + ((coordinate + 1) % length - coordinate) * stride


@dataclass(frozen=True, slots=True, eq=False)
class Relabelled:
    """A permutation of places, where rank ``ranks[i]`` is at place i."""

    ranks: IntArray
    places: Rotation | GridRotation

    def __call__(self, ranks: IntArray) -> IntArray:
        """Map an array of ranks."""
        mapped: IntArray = self.ranks[self.places(np.argsort(self.ranks)[ranks])]
        return mapped


def bit_flips(num_ranks: int) -> tuple[Exclusive, ...]:
    """Return the generators of a hypercube's translations (a power of two of ranks)."""
    return tuple(Exclusive(1 << bit) for bit in range((num_ranks - 1).bit_length()))
