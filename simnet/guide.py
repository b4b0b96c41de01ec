"""The first guide's own names, on the same graphs as everything else."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import networkx as nx

import topologies

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
