"""The first guide's own names, on the same graphs as everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, TypeAlias

import networkx as nx

import topologies
from simnet.conditions import Profile
from simnet.network import Network

MB = 1024.0**2  # the guide's megabyte, bytes

_BUILDERS: dict[str, Callable[[int], nx.Graph[Any]]] = {
    "fully_connected": topologies.fully_connected,
    "ring": topologies.ring,
    "star": lambda num_nodes: topologies.star(num_nodes, hub="host"),
    "line": topologies.line,
    "tree": topologies.tree,
}


class NetworkTopology:
    """Who is wired to whom.

    Parameters
    ----------
    num_nodes : int
        Number of nodes, all of them hosts.
    topology_type : str
        "fully_connected", "ring", "star" (rank 0 is the centre), "line" or "tree" (binary).

    Attributes
    ----------
    graph : networkx.Graph
        The graph; give it attributes and hand it to `simnet.Network`.
    adjacency_matrix : list of list of int
        1 where two ranks share a cable, else 0; as in the guide, a ring of one closes on itself.

    Raises
    ------
    ValueError
        For an unknown type or fewer than one node.
    """

    def __init__(self, num_nodes: int, topology_type: str = "fully_connected") -> None:
        if not isinstance(topology_type, str) or topology_type not in _BUILDERS:
            raise ValueError(
                f"topology_type {topology_type!r} is unknown: choose one of {', '.join(_BUILDERS)}"
            )
        self.num_nodes = num_nodes
        self.topology_type = topology_type
        self.graph = _BUILDERS[topology_type](num_nodes)
        self.adjacency_matrix = [
            [int(self.graph.has_edge(u, v)) for v in range(num_nodes)] for u in range(num_nodes)
        ]
        if topology_type == "ring" and num_nodes == 1:
            self.adjacency_matrix[0][0] = 1

    def can_communicate(self, source_rank: int, target_rank: int) -> bool:
        """Whether two ranks share a cable.

        Raises
        ------
        TypeError
            If a rank is no whole number.
        ValueError
            If a rank does not exist.
        """
        for rank in (source_rank, target_rank):
            if isinstance(rank, bool) or not isinstance(rank, Integral):
                raise TypeError(f"rank {rank!r} is not a whole number")
            if not 0 <= rank < self.num_nodes:
                raise ValueError(f"rank {rank} is not one of 0 … {self.num_nodes - 1}")
        return self.adjacency_matrix[source_rank][target_rank] == 1


Topology: TypeAlias = "NetworkTopology | nx.Graph[Any] | Network | None"
"""Who is wired to whom; None for everybody to everybody."""


@dataclass(frozen=True)
class NetworkSimulator:
    """What the cables of a network are like; give it to `simnet.patch_distributed_functions`.

    Every cable draws its bandwidth and delay once, from a seed, and keeps them. Nothing sleeps.

    Parameters
    ----------
    bandwidth_range : tuple of float
        Lowest and highest bandwidth of a cable, MB/s of 1024² bytes, positive.
    delay_range : tuple of float
        Lowest and highest delay of a cable one way, seconds.
    packet_loss_prob : float
        Probability that a cable loses a packet, in [0, 1); what is lost is sent again after a
        retransmission timeout.
    jitter : float
        How far delays vary, as a fraction of the delay, in [0, 1].

    Raises
    ------
    TypeError
        If a range is not a pair of numbers, or another argument no number.
    ValueError
        If a range is reversed, or a value outside what is allowed.
    """

    bandwidth_range: tuple[float, float] = (10, 100)
    delay_range: tuple[float, float] = (0.01, 0.5)
    packet_loss_prob: float = 0.0
    jitter: float = 0.0
    _shown: list[Callable[[], float]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, unit in (("bandwidth_range", "MB/s"), ("delay_range", "seconds")):
            object.__setattr__(self, name, _pair(name, getattr(self, name), unit))
        if self.bandwidth_range[0] == 0:
            raise ValueError(f"bandwidth_range={self.bandwidth_range}: MB/s above zero")
        for name in ("packet_loss_prob", "jitter"):
            object.__setattr__(self, name, _share(name, getattr(self, name)))
        if self.packet_loss_prob == 1:
            raise ValueError("packet_loss_prob=1.0: nothing would ever arrive; give less than 1")

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, in other processes too, are of the same values, and their clocks their own."""
        values = self.bandwidth_range, self.delay_range, self.packet_loss_prob, self.jitter
        return type(self), values

    @property
    def profile(self) -> Profile:
        """The same in SI units, as `simnet.Network` takes it."""
        low, high = self.bandwidth_range
        return Profile(
            name="NetworkSimulator",
            bandwidth=(low * MB, high * MB),
            latency=self.delay_range,
            loss=(self.packet_loss_prob,) * 2,
            jitter=(self.jitter,) * 2,
        )

    def network(self, num_ranks: int, topology: Topology = None, seed: int | None = 0) -> Network:
        """The network on which so many ranks run.

        Parameters
        ----------
        num_ranks : int
            How many ranks; on the first so many hosts.
        topology : NetworkTopology, networkx graph or Network, optional
            Who is wired to whom; None for everybody to everybody. Of a graph only what it leaves
            open is drawn. A Network is taken as it is, with its own conditions.
        seed : int or None
            Root of the draws.

        Raises
        ------
        TypeError
            If the topology is none of these.
        ValueError
            If it has fewer hosts than there are ranks.
        """
        if topology is None:
            topology = NetworkTopology(num_ranks)
        graph = topology.graph if isinstance(topology, NetworkTopology) else topology
        if isinstance(graph, Network):
            net = graph
        elif isinstance(graph, nx.Graph):
            net = Network(graph, profile=self.profile, seed=seed)
        else:
            raise TypeError(
                f"topology={topology!r}: a NetworkTopology, a networkx graph or a simnet.Network"
            )
        if num_ranks > net.num_ranks:
            raise ValueError(f"num_ranks={num_ranks}: the topology has {net.num_ranks} hosts")
        return net

    @property
    def virtual_time(self) -> float:
        """Virtual seconds: the calling rank's clock.

        Where the caller is no rank, when the last of the ranks has ended that this simulator has
        carried last, or how far they are; 0 before there were any.
        """
        from simnet.ranks.seat import current

        seat = current()
        if seat is not None:
            return seat.now()
        return self._shown[-1]() if self._shown else 0.0

    def show(self, clock: Callable[[], float]) -> None:
        """Let `virtual_time` read a clock wherever the caller is no rank."""
        self._shown[:] = [clock]


def _number(name: str, value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}: {wanted}")
    return float(value)


def _pair(name: str, value: Any, unit: str) -> tuple[float, float]:
    wanted = f"a pair (low, high) in {unit}"
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}={value!r}: {wanted}")
    low, high = (_number(name, each, wanted) for each in value)
    if not (0 <= low <= high and math.isfinite(high)):
        raise ValueError(f"{name}={value!r}: needs 0 <= low <= high, in {unit}")
    return low, high


def _share(name: str, value: object) -> float:
    share = _number(name, value, "a number from 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"{name}={value!r}: a number from 0 to 1")
    return share
