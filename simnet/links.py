"""Directed links as frozen arrays, and how a profile fills what a graph leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.conditions import Profile, draw_bandwidths, draw_conditions
from simnet.graph_check import GraphData

__all__ = ["CABLE", "EGRESS", "INGRESS", "Links", "child_sequence", "fill_open", "make_links"]

CABLE, EGRESS, INGRESS = 0, 1, 2  # kinds of links

_STREAMS = {
    "cables": 0,
    "nics": 1,
    "routes": 2,
    "scenarios": 3,
}  # spawn keys: never renumber, draws would move


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Read-only arrays, one entry a directed link.

    Cables come first, in edge order (an undirected edge gives two: forward, then backward);
    then, host by host, an EGRESS and an INGRESS entry where the host has the attribute.

    Parameters
    ----------
    source, target : ndarray of int, shape (num_links,)
        Node indices; both the host itself for EGRESS and INGRESS.
    kind : ndarray of int8, shape (num_links,)
        CABLE (0), EGRESS (1) or INGRESS (2).
    bandwidth : ndarray of float, shape (num_links,)
        Bytes/s on the wire, positive.
    latency : ndarray of float, shape (num_links,)
        Seconds one way.
    jitter : ndarray of float, shape (num_links,)
        Seconds, uniform plus or minus, per message.
    loss : ndarray of float, shape (num_links,)
        Probability per packet.
    buffer : ndarray of float, shape (num_links,)
        Bytes of queue at the link's head; NaN is the fabric's default.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    kind: NDArray[np.int8]
    bandwidth: NDArray[np.float64]
    latency: NDArray[np.float64]
    jitter: NDArray[np.float64]
    loss: NDArray[np.float64]
    buffer: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in self.__slots__:
            getattr(self, name).flags.writeable = False

    def __len__(self) -> int:
        return len(self.source)


def child_sequence(seed: int, stream: str) -> np.random.SeedSequence:
    """Return the named child of a seed; streams do not disturb one another.

    Parameters
    ----------
    seed : int
        The network's seed.
    stream : str
        "cables", "nics", "routes" or "scenarios".

    Returns
    -------
    numpy.random.SeedSequence
        The same in every process.
    """
    return np.random.SeedSequence(seed, spawn_key=(_STREAMS[stream],))


def fill_open(data: GraphData, ranges: Profile, *, seed: int, draw: bool, nic: bool) -> None:
    """Write a profile's draws (or mid-points) over the NaNs that mark open attributes.

    One draw a cable, that is an edge, serves both its directions. A host-switch cable takes
    half the latency and 1 - sqrt(1 - p) of the loss, so that a path through one switch equals
    a direct cable; jitter is the drawn fraction of the cable's final latency, drawn or given.

    Parameters
    ----------
    data : GraphData
        Changed in place.
    ranges : Profile
        What to draw from.
    seed : int
        The network's seed.
    draw : bool
        False takes the mid-points.
    nic : bool
        Also one bandwidth a host, for its open egress and ingress.
    """
    rng = np.random.default_rng(child_sequence(seed, "cables")) if draw else None
    drawn = draw_conditions(ranges, len(data.u), rng)
    halved = data.is_switch[data.u] != data.is_switch[data.v]
    loss = np.where(halved, -np.expm1(0.5 * np.log1p(-drawn.loss)), drawn.loss)
    _fill(data.cables["bandwidth"], drawn.bandwidth)
    _fill(data.cables["latency"], np.where(halved, drawn.latency / 2, drawn.latency))
    _fill(data.cables["loss"], loss)
    _fill(data.cables["jitter"], drawn.jitter * data.cables["latency"])
    if nic:
        rng = np.random.default_rng(child_sequence(seed, "nics")) if draw else None
        cards = np.full(len(data.nodes), np.nan)
        cards[data.hosts] = draw_bandwidths(ranges, len(data.hosts), rng)
        _fill(data.per_node["egress"], cards)
        _fill(data.per_node["ingress"], cards)


def make_links(data: GraphData) -> Links:
    """Freeze cables and network cards into directed links.

    Parameters
    ----------
    data : GraphData
        A checked graph; an open latency, jitter or loss is 0.

    Returns
    -------
    Links
        Cables, then cards.

    Raises
    ------
    ValueError
        If an edge has no bandwidth.
    """
    for edge in np.flatnonzero(np.isnan(data.cables["bandwidth"])).tolist():
        raise ValueError(
            f"{data.edge_name(edge)}: bandwidth is missing: set it on the edge, "
            "or give the network a profile="
        )
    source, target = (data.u, data.v) if data.directed else _both_ways(data.u, data.v)
    ways = 1 if data.directed else 2
    cards = _cards(data)
    node = np.array([n for n, _, _ in cards], dtype=np.int64)
    rates = np.array([rate for _, _, rate in cards], dtype=np.float64)
    kinds = np.array([kind for _, kind, _ in cards], dtype=np.int8)

    def column(name: str, card: float) -> NDArray[np.float64]:
        cable = np.repeat(data.cables[name], ways)
        if name != "buffer":
            cable = np.nan_to_num(cable, nan=0.0)
        return np.concatenate([cable, np.full(len(cards), card)])

    return Links(
        source=np.concatenate([source, node]),
        target=np.concatenate([target, node]),
        kind=np.concatenate([np.full(len(source), CABLE, dtype=np.int8), kinds]),
        bandwidth=np.concatenate([np.repeat(data.cables["bandwidth"], ways), rates]),
        latency=column("latency", 0.0),
        jitter=column("jitter", 0.0),
        loss=column("loss", 0.0),
        buffer=column("buffer", np.nan),
    )


def _both_ways(
    u: NDArray[np.int64], v: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    source, target = np.repeat(u, 2), np.repeat(v, 2)
    source[1::2], target[1::2] = v, u
    return source, target


def _cards(data: GraphData) -> list[tuple[int, int, float]]:
    """(node, kind, bandwidth) of every network card, host by host."""
    egress, ingress = data.per_node["egress"], data.per_node["ingress"]
    return [
        (int(host), kind, float(rates[host]))
        for host in data.hosts
        for kind, rates in ((EGRESS, egress), (INGRESS, ingress))
        if not np.isnan(rates[host])
    ]


def _fill(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> None:
    np.copyto(values, drawn, where=np.isnan(values))
