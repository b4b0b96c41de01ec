"""Topologies as networkx graphs: hosts and switches, cables with bandwidth, latency, jitter, loss.

Every builder is a plain function that returns a new graph. Hosts are the integers 0 ... n - 1
(node i is rank i), switches are texts. Numbers are SI (bytes/s, seconds, probabilities); texts
carry their unit ("25Gbit/s") and stay texts: ``simnet.Network`` converts them. What is not given is
left out of the graph. Nothing here knows of simnet.
"""

from topologies import catalog
from topologies._build import CableConditions, Conditions
from topologies.datacenter import dragonfly, fat_tree, leaf_spine, random_regular
from topologies.io import read_graphml, read_node_link
from topologies.islands import hierarchical, rail_optimised
from topologies.regular import (
    fully_connected,
    hypercube,
    line,
    mesh,
    ring,
    star,
    torus,
    tree,
)
from topologies.wan import great_circle_km, wan, wan_from_catalog

__all__ = [
    "CableConditions",
    "Conditions",
    "catalog",
    "dragonfly",
    "fat_tree",
    "fully_connected",
    "great_circle_km",
    "hierarchical",
    "hypercube",
    "leaf_spine",
    "line",
    "mesh",
    "rail_optimised",
    "random_regular",
    "read_graphml",
    "read_node_link",
    "ring",
    "star",
    "torus",
    "tree",
    "wan",
    "wan_from_catalog",
]
