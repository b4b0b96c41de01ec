"""Rank permutations under which schedules are unchanged.

Each is a function of an array of ranks; they are small objects so that they can be pickled and
cost no memory whatever the number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simnet.collectives.collective import IntArray

RankMap = Callable[[IntArray], IntArray]
"""A permutation of group ranks, as a function of an array of ranks."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Translations:
    """The moves of a grid that wraps round: place p is moved by place q to their sum.

    Each moves place 0 to a place of its own, so any place is moved to any other by exactly one.

    Attributes
    ----------
    dims
        Extents of the grid, row-major: ``(N,)`` is a ring, ``(2, 2, ..., 2)`` a hypercube, whose
        sum is XOR.
    ranks
        The group rank at each place; None: its own number.
    """

    dims: tuple[int, ...]
    ranks: IntArray | None = None

    @property
    def num_ranks(self) -> int:
        """How many places there are."""
        return math.prod(self.dims)

    @property
    def generators(self) -> tuple[int, ...]:
        """The steps by one along each dimension, as places."""
        strides = (math.prod(self.dims[dim + 1 :]) for dim in range(len(self.dims)))
        return tuple(
            stride for stride, length in zip(strides, self.dims, strict=True) if length > 1
        )

    def add(self, places: IntArray, by: IntArray) -> IntArray:
        """Move places by places; arrays that broadcast."""
        if len(self.dims) == 1:
            return (places + by) % self.num_ranks
        if set(self.dims) == {2}:
            return places ^ by
        moved, stride = np.zeros_like(places + by), 1
        for length in reversed(self.dims):
            moved += (places // stride + by // stride) % length * stride
            stride *= length
        return moved

    def ranks_at(self, places: IntArray) -> IntArray:
        """Return the group ranks at some places."""
        return places if self.ranks is None else self.ranks[places]


def hypercube(num_ranks: int) -> Translations:
    """Return the translations of a hypercube (a power of two of ranks)."""
    return Translations((2,) * (num_ranks - 1).bit_length())


def bit_flips(num_ranks: int) -> tuple[Exclusive, ...]:
    """Return the generators of a hypercube's translations (a power of two of ranks)."""
    return tuple(Exclusive(1 << bit) for bit in range((num_ranks - 1).bit_length()))
