"""How fast each rank computes, and how that varies from step to step."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Pace", "Straggler", "as_number"]

_STREAM = int.from_bytes(b"pace")  # keeps the draws apart from others of the same seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """Now and then a step takes much longer.

    Parameters
    ----------
    probability : float
        Of a step, independently on every rank, in [0, 1].
    slowdown : float
        How many times as long such a step takes, at least 1.
    """

    probability: float
    slowdown: float

    def __post_init__(self) -> None:
        probability = as_number(self.probability, "straggler: probability")
        slowdown = as_number(self.slowdown, "straggler: slowdown")
        if not 0 <= probability <= 1:
            raise ValueError(f"straggler: probability {probability}: must be in [0, 1]")
        if not 1 <= slowdown < math.inf:
            raise ValueError(f"straggler: slowdown {slowdown}: needs a finite number, at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What every compute model takes besides its own: who is slower, and when.

    Parameters
    ----------
    speed : float or sequence of float
        How many times as fast ranks are, all alike or by rank; positive.
    jitter : float
        Relative standard deviation of a step's time: a lognormal factor of mean 1.
    straggler : Straggler or None
        Steps that take much longer.
    """

    speed: float | Sequence[float] = 1.0
    jitter: float = 0.0
    straggler: Straggler | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "speed", _checked_speed(self.speed))
        jitter = as_number(self.jitter, "jitter")
        if not 0 <= jitter < math.inf:
            raise ValueError(f"jitter {jitter}: needs a finite number, zero or more")
        object.__setattr__(self, "jitter", jitter)
        if not isinstance(self.straggler, Straggler | None):
            raise TypeError(
                f"straggler {self.straggler!r}: give None or "
                "Straggler(probability=..., slowdown=...)"
            )

    def speed_of(self, rank: int) -> float:
        """How many times as fast this rank is.

        Raises
        ------
        ValueError
            If speeds are given by rank, but not that far.
        """
        if not isinstance(self.speed, Sequence):
            return self.speed
        if not 0 <= rank < len(self.speed):
            raise ValueError(
                f"speed: no value for rank {rank}: {len(self.speed)} given, one a rank is needed"
            )
        return self.speed[rank]

    def factors(self, rank: int, seed: int) -> Callable[[int], float]:
        """How many times as long each step takes on this rank, by the number of the step.

        A step's factor depends on seed, rank and number alone, not on what was asked before;
        jitter does not change because there are stragglers, nor they because of it.
        """
        slowness = 1.0 / self.speed_of(rank)
        if not self.jitter and self.straggler is None:
            return lambda step: slowness
        sigma = math.sqrt(math.log1p(self.jitter**2))
        straggler = self.straggler or Straggler(probability=0.0, slowdown=1.0)

        def factor(step: int) -> float:
            stream = np.random.SeedSequence(seed, spawn_key=(_STREAM, rank, step))
            rng = np.random.Generator(np.random.PCG64(stream))
            straggles = rng.random() < straggler.probability
            jitter = math.exp(sigma * rng.standard_normal() - sigma**2 / 2)
            return slowness * jitter * (straggler.slowdown if straggles else 1.0)

        return factor

    def describe(self) -> str:
        """What is not as usual, to be put behind a model's name."""
        told = ""
        if isinstance(self.speed, Sequence):
            told += ", speed by rank"
        elif self.speed != 1:
            told += f", speed {self.speed:g}"
        if self.jitter:
            told += f", jitter {self.jitter:.3g}"
        if self.straggler is not None:
            told += f", {self.straggler.probability:.3g} of steps × {self.straggler.slowdown:g}"
        return told


def as_number(value: Any, place: str) -> float:
    """The value as a float, or a TypeError that gives the place; a bool is no number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{place} {value!r}: give a number")
    return float(value)


def _checked_speed(speed: Any) -> float | tuple[float, ...]:
    if not isinstance(speed, str) and isinstance(speed, Iterable):
        return tuple(_positive(each, f"speed of rank {rank}") for rank, each in enumerate(speed))
    return _positive(speed, "speed")


def _positive(value: Any, place: str) -> float:
    number = as_number(value, place)
    if not 0 < number < math.inf:
        raise ValueError(f"{place} {number}: needs a positive number")
    return number
