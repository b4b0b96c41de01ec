"""Measures of a topology, computed from the graph alone and with no formula of the builders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import networkx as nx
import pytest


def hosts_of(graph: Any) -> list[Any]:
    """Return the hosts in node order, by the rule that `kind` defaults to host."""
    return [node for node, kind in graph.nodes(data="kind", default="host") if kind == "host"]


def cut_between(graph: Any, half: Iterable[Any]) -> int:
    """Return the fewest cables that part these hosts from the others: a maximum flow."""
    flow = nx.DiGraph()
    for u, v in graph.edges:
        flow.add_edge(u, v, capacity=1)
        flow.add_edge(v, u, capacity=1)
    inside = set(half)
    for host in hosts_of(graph):
        if host in inside:
            flow.add_edge("source", host)  # no capacity: unbounded
        else:
            flow.add_edge(host, "sink")
    return int(nx.maximum_flow_value(flow, "source", "sink"))


def bisection_of(graph: Any) -> int:
    """Return the bisection width by trying every split of the hosts into halves."""
    hosts = hosts_of(graph)
    halves = combinations(hosts, len(hosts) // 2)
    if len(hosts) < len(graph):
        return min(cut_between(graph, half) for half in halves)
    return min(sum((u in half) != (v in half) for u, v in graph.edges) for half in map(set, halves))


@pytest.fixture
def hosts() -> Callable[[Any], list[Any]]:
    return hosts_of


@pytest.fixture
def cut() -> Callable[[Any, Iterable[Any]], int]:
    return cut_between


@pytest.fixture
def bisection() -> Callable[[Any], int]:
    return bisection_of
