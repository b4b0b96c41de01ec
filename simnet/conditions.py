"""What a link is like: named ranges of bandwidth, latency, loss and jitter, and draws of them.

Only these profiles read MB as 1024² bytes, as the guide's own classes do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROFILES", "Conditions", "Profile", "draw_bandwidths", "draw_conditions", "profile"]

_MB = 1024.0**2  # the guide's megabyte
_MBIT = 1e6 / 8  # bytes/s in 1 Mbit/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Ranges from which a network's open attributes are drawn, uniformly and independently.

    The ranges describe a direct cable between two hosts, or a path through one switch.

    Parameters
    ----------
    name : str
        What the profile is called.
    bandwidth : tuple of float
        Lowest and highest bandwidth, bytes/s, positive.
    latency : tuple of float
        Lowest and highest latency one way, seconds.
    loss : tuple of float
        Lowest and highest loss probability per packet, in [0, 1).
    jitter : tuple of float
        Lowest and highest jitter as a fraction of the latency.

    Raises
    ------
    TypeError
        If a range is not a pair of numbers.
    ValueError
        If a range is reversed, not finite or outside what is allowed.
    """

    name: str
    bandwidth: tuple[float, float]
    latency: tuple[float, float]
    loss: tuple[float, float] = (0.0, 0.0)
    jitter: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"profile name {self.name!r}: give a non-empty text")
        for field in ("bandwidth", "latency", "loss", "jitter"):
            object.__setattr__(self, field, self._checked(field))

    def _checked(self, field: str) -> tuple[float, float]:
        value = getattr(self, field)
        place = f"profile '{self.name}': {field} {value!r}"
        try:
            low, high = (_number(end) for end in value)
        except (TypeError, ValueError):
            raise TypeError(f"{place}: give a pair of numbers (low, high)") from None
        if not (math.isfinite(low) and math.isfinite(high) and 0 <= low <= high):
            raise ValueError(f"{place}: needs finite 0 <= low <= high")
        if field == "bandwidth" and low == 0:
            raise ValueError(f"{place}: must be positive")
        if field == "loss" and high >= 1:
            raise ValueError(f"{place}: must be in [0, 1)")
        return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Draws of a profile, one entry a cable, as between two hosts.

    Parameters
    ----------
    bandwidth : ndarray of float, shape (n,)
        Bytes/s.
    latency : ndarray of float, shape (n,)
        Seconds one way.
    loss : ndarray of float, shape (n,)
        Probability per packet.
    jitter : ndarray of float, shape (n,)
        Fraction of the latency.
    """

    bandwidth: NDArray[np.float64]
    latency: NDArray[np.float64]
    loss: NDArray[np.float64]
    jitter: NDArray[np.float64]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError
    return float(value)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        p.name: p
        for p in (
            Profile(
                name="mobile",
                bandwidth=(1 * _MB, 10 * _MB),
                latency=(0.05, 0.3),
                loss=(0.01, 0.05),
                jitter=(0.3, 0.5),
            ),
            Profile(
                name="datacenter",
                bandwidth=(100 * _MB, 1000 * _MB),
                latency=(0.0001, 0.005),
                loss=(0.00001, 0.001),
                jitter=(0.01, 0.05),
            ),
            Profile(
                name="cross_continental",
                bandwidth=(10 * _MB, 100 * _MB),
                latency=(0.1, 0.5),
                loss=(0.001, 0.01),
                jitter=(0.1, 0.2),
            ),
            Profile(
                name="lan",
                bandwidth=(1000 * _MBIT, 10_000 * _MBIT),
                latency=(0.00005, 0.00025),
            ),
            Profile(
                name="wan",
                bandwidth=(100 * _MBIT, 1000 * _MBIT),
                latency=(0.015, 0.045),
                loss=(0.0, 0.005),
                jitter=(0.0, 0.02),
            ),
            Profile(
                name="poor",
                bandwidth=(1 * _MB, 5 * _MB),
                latency=(0.1, 0.5),
                loss=(0.02, 0.02),
                jitter=(0.3, 0.3),
            ),
        )
    }
)
"""The named profiles.

- ``mobile``, ``datacenter``, ``cross_continental``: the ranges of the ExoGym network simulation
  guide, MB read as 1024² bytes, delays one way.
- ``poor``: the guide's slow network: 1-5 MB/s, 100-500 ms, 2 % loss, 30 % jitter.
- ``lan``: switched Ethernet of 1 Gbit/s (IEEE 802.3, clause 40, 1000BASE-T) to 10 Gbit/s
  (clause 55, 10GBASE-T); up to half of the 0.5 ms round trip inside a building of J. Dean,
  "Designs, Lessons and Advice from Building Large Distributed Systems", LADIS 2009. The bit
  error ratios of those clauses (1e-10, 1e-12) lose about one frame in a million: taken as none.
- ``wan``: a business line of 100 Mbit/s to 1 Gbit/s over a carrier's backbone; half the round
  trips, and the loss, which Verizon's Internet service level agreement allows: 30 ms in Europe,
  90 ms across the Atlantic, 99.5 % of packets delivered. Its 1 ms of jitter is about 2 % of
  the longer delay.
"""


def profile(which: str | Profile) -> Profile:
    """Look up a profile by name; a Profile is returned as it is.

    Parameters
    ----------
    which : str or Profile
        A name in `PROFILES`, or a profile of your own.

    Returns
    -------
    Profile
        The profile.

    Raises
    ------
    TypeError
        If it is neither text nor a Profile.
    ValueError
        If no profile has that name.
    """
    if isinstance(which, Profile):
        return which
    if not isinstance(which, str):
        raise TypeError(f"profile {which!r}: give a name ({', '.join(PROFILES)}) or a Profile")
    if which not in PROFILES:
        raise ValueError(f"profile '{which}' is unknown: choose one of {', '.join(PROFILES)}")
    return PROFILES[which]


def draw_conditions(ranges: Profile, count: int, rng: np.random.Generator | None) -> Conditions:
    """Draw the conditions of cables, or take the mid-points of the ranges.

    Every cable consumes four numbers in its turn, used or not: what a cable draws depends on
    its position alone, neither on the other cables nor on which attributes are open.

    Parameters
    ----------
    ranges : Profile
        The ranges, uniform.
    count : int
        Number of cables.
    rng : numpy.random.Generator or None
        Where the draws come from; None takes the mid-points.

    Returns
    -------
    Conditions
        One entry a cable.
    """
    unit = np.full((count, 4), 0.5) if rng is None else rng.random((count, 4))
    return Conditions(
        bandwidth=_between(ranges.bandwidth, unit[:, 0]),
        latency=_between(ranges.latency, unit[:, 1]),
        loss=_between(ranges.loss, unit[:, 2]),
        jitter=_between(ranges.jitter, unit[:, 3]),
    )


def draw_bandwidths(
    ranges: Profile, count: int, rng: np.random.Generator | None
) -> NDArray[np.float64]:
    """Draw bandwidths alone (of network cards), or take the mid-point.

    Parameters
    ----------
    ranges : Profile
        The ranges, uniform.
    count : int
        Number of draws.
    rng : numpy.random.Generator or None
        Where the draws come from; None takes the mid-points.

    Returns
    -------
    ndarray of float, shape (count,)
        Bytes/s.
    """
    unit = np.full(count, 0.5) if rng is None else rng.random(count)
    return _between(ranges.bandwidth, unit)


def _between(ends: tuple[float, float], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = ends
    return np.asarray(low + (high - low) * unit, dtype=np.float64)
