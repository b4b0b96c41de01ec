"""Scenarios: many sets of link parameters for one network, given or drawn."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnet.arrays import frozen
from simnet.conditions import Profile, draw_conditions
from simnet.conditions import profile as find_profile
from simnet.links import child_sequence
from simnet.network import CABLE, Network
from simnet.seeds import checked_seed

__all__ = ["Scenarios", "draw", "scale"]

FloatArray = NDArray[np.float64]
UNITS = {"bandwidth": "bytes/s, more than 0", "latency": "seconds, 0 or more"}


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Bandwidth and latency of every link, a row a scenario.

    Columns are links as in `Network.links`: cables in edge order, both directions of each, then
    network cards. What is None is as on the network.

    Parameters
    ----------
    bandwidth : (S, L) array_like of float, optional
        Bytes/s, positive.
    latency : (S, L) array_like of float, optional
        Seconds one way, not negative.

    Raises
    ------
    TypeError, ValueError
        For anything else, naming scenario and link.
    """

    bandwidth: FloatArray | None = None
    latency: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check both and make them read-only."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if not given:
            raise ValueError("scenarios: give bandwidth=, latency= or both, (scenarios, links)")
        for name, value in given.items():
            object.__setattr__(self, name, _checked(name, value))
        if self.bandwidth is not None and self.latency is not None:
            shapes = self.bandwidth.shape, self.latency.shape
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"scenarios: bandwidth has shape {shapes[0]} and latency {shapes[1]}"
                )

    def __len__(self) -> int:
        """How many scenarios there are."""
        return len(self._table)

    def __repr__(self) -> str:
        """A short line."""
        varies = [name for name in UNITS if getattr(self, name) is not None]
        return f"<{len(self):,} scenarios of {' and '.join(varies)} of {self.num_links} links>"

    @property
    def num_links(self) -> int:
        """How many links each has parameters for."""
        return len(self._table[0])

    @property
    def _table(self) -> FloatArray:
        table = self.latency if self.bandwidth is None else self.bandwidth
        assert table is not None
        return table

    def network(self, net: Network, scenario: int) -> Network:
        """A network with the parameters of one scenario.

        Its routes are those of `net`: a route is not chosen anew where another latency would make
        another one the better. Its `graph` is still the one that `net` was made from.
        """
        self.check_network(net)
        changed = {
            name: getattr(self, name)[scenario] for name in UNITS if getattr(self, name) is not None
        }
        other = copy.copy(net)
        other.links = replace(net.links, **changed)
        return other

    def check_network(self, net: Network) -> None:
        """Raise ValueError unless there is a column for every link of a network."""
        if self.num_links != net.num_links:
            raise ValueError(
                f"scenarios: {self.num_links} links, but the network has {net.num_links} (cables "
                "in edge order, both directions of each, then network cards)"
            )


def _checked(name: str, value: ArrayLike) -> FloatArray:
    try:
        table = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"scenarios: {name} must be numbers, (scenarios, links)") from None
    if table.ndim != 2 or not len(table):
        raise ValueError(f"scenarios: {name} has shape {table.shape}, needs (scenarios, links)")
    right = np.isfinite(table) & ((table > 0) if name == "bandwidth" else (table >= 0))
    if not right.all():
        row, link = np.argwhere(~right)[0].tolist()
        raise ValueError(
            f"scenarios: {name}[{row}, {link}] = {table[row, link]}: needs {UNITS[name]}"
        )
    return frozen(table)


def scale(
    net: Network, *, bandwidth: ArrayLike | None = None, latency: ArrayLike | None = None
) -> Scenarios:
    """Scenarios that multiply the parameters of a network.

    Parameters
    ----------
    net : Network
        What factor 1 means.
    bandwidth, latency : (S,) or (S, L) array_like of float, optional
        Factors: one a scenario for all links, or one for each link.

    Returns
    -------
    Scenarios
    """
    factors = {"bandwidth": bandwidth, "latency": latency}
    tables = {}
    for name, factor in factors.items():
        if factor is not None:
            column = np.asarray(factor, dtype=np.float64)
            column = column[:, None] if column.ndim == 1 else column
            tables[name] = column * getattr(net.links, name)
    return Scenarios(**tables)


def draw(
    net: Network,
    count: int,
    *,
    spread: float | Mapping[str, float] | None = None,
    profile: str | Profile | None = None,
    seed: int | None = 0,
) -> Scenarios:
    """Draw scenarios; one draw a cable serves both its directions, and cards stay as they are.

    Every scenario has a random stream of its own, so scenario i is the same whatever `count`.

    Parameters
    ----------
    net : Network
        Whose links they are for.
    count : int
        How many scenarios.
    spread : float or mapping, optional
        Multiply the network's bandwidth and latency by factors uniform in 1 ± spread, 0 to less
        than 1; ``{"bandwidth": 0.3}`` varies that alone.
    profile : str or Profile, optional
        Draw what the graph leaves open from a profile's ranges, as `Network` does once; by
        default from the network's own profile.
    seed : int or None
        Root of the streams; None draws one.

    Returns
    -------
    Scenarios

    Raises
    ------
    TypeError, ValueError
        For anything else; where neither a spread nor a profile is known, or nothing is open.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count={count!r}: a whole number of scenarios, at least 1")
    seed = checked_seed(seed)
    if spread is not None:
        if profile is not None:
            raise ValueError("give spread= or profile=, not both")
        return _spread(net, count, spread, seed)
    chosen = net.profile if profile is None else profile
    if chosen is None:
        raise ValueError("the network has no profile: give spread= or profile=")
    return _from_profile(net, count, find_profile(chosen), seed)


def _streams(seed: int, count: int) -> list[np.random.Generator]:
    root = child_sequence(seed, "scenarios")
    keys = ((*root.spawn_key, scenario) for scenario in range(count))
    return [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)) for key in keys]


def _spread(net: Network, count: int, spread: float | Mapping[str, float], seed: int) -> Scenarios:
    widths = spread if isinstance(spread, Mapping) else dict.fromkeys(UNITS, spread)
    for name, width in widths.items():
        if name not in UNITS:
            raise ValueError(f"spread: {name!r} is not one of 'bandwidth', 'latency'")
        if not isinstance(width, int | float) or not 0 <= width < 1:
            raise ValueError(f"spread of {name}: {width!r} is not from 0 to less than 1")
    edges = len(net.open_cables["bandwidth"])
    unit = np.stack([rng.random((edges, 2)) for rng in _streams(seed, count)])
    tables = {}
    for place, name in enumerate(UNITS):
        if name in widths:
            factors = np.ones((count, net.num_links))
            _put(net, factors, 1.0 + widths[name] * (2.0 * unit[:, :, place] - 1.0))
            tables[name] = factors * getattr(net.links, name)
    return Scenarios(**tables)


def _from_profile(net: Network, count: int, ranges: Profile, seed: int) -> Scenarios:
    open_cables = net.open_cables
    if not any(mask.any() for mask in open_cables.values()):
        raise ValueError("the graph leaves no cable's bandwidth or latency open: give spread=")
    edges = len(open_cables["bandwidth"])
    ways = _ways(net)
    ends = net.links.source[: edges * ways : ways], net.links.target[: edges * ways : ways]
    is_host = np.isin(np.arange(len(net.nodes)), net.hosts)
    halved = np.where(is_host[ends[0]] != is_host[ends[1]], 0.5, 1.0)
    drawn = [draw_conditions(ranges, edges, rng) for rng in _streams(seed, count)]
    values = {
        "bandwidth": np.stack([each.bandwidth for each in drawn]),
        "latency": np.stack([each.latency * halved for each in drawn]),
    }
    tables: dict[str, Any] = {}
    for name, value in values.items():
        present = getattr(net.links, name)
        if open_cables[name].any():
            tables[name] = np.tile(present, (count, 1))
            _put(
                net,
                tables[name],
                np.where(open_cables[name], value, present[: edges * ways : ways]),
            )
    return Scenarios(**tables)


def _ways(net: Network) -> int:
    """Links of an edge: one where the graph is directed, else two."""
    cables = int((net.links.kind == CABLE).sum())
    return max(1, cables // max(1, len(net.open_cables["bandwidth"])))


def _put(net: Network, table: FloatArray, cables: FloatArray) -> None:
    """Write a value for each edge into the columns of its links."""
    ways = _ways(net)
    table[:, : cables.shape[1] * ways] = np.repeat(cables, ways, axis=1)
