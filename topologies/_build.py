"""What every builder shares: arguments checked, hosts and cables added, nodes placed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import networkx as nx

if TYPE_CHECKING:
    Graph: TypeAlias = nx.Graph[Any]
else:  # networkx graphs are generic for the type checker only
    Graph: TypeAlias = nx.Graph

Node: TypeAlias = int | str
Quantity: TypeAlias = float | str
Point: TypeAlias = tuple[float, float]

CABLE_KEYS = ("bandwidth", "latency", "jitter", "loss")
ALL_KEYS = (*CABLE_KEYS, "nic")


class CableConditions(TypedDict, total=False):
    """Conditions of a cable; what is left out (or None) stays off the graph, open for a profile.

    Numbers are SI, text carries its unit and stays text: ``simnet.Network`` converts it.

    Attributes
    ----------
    bandwidth : float or str, optional
        Each way, bytes/s or text such as ``"25Gbit/s"``.
    latency : float or str, optional
        One way, seconds or text such as ``"50ms"``.
    jitter : float or str, optional
        Largest deviation of a message's latency, seconds or text.
    loss : float or str, optional
        Probability that a packet is lost, or text such as ``"1%"``.
    """

    bandwidth: Quantity | None
    latency: Quantity | None
    jitter: Quantity | None
    loss: Quantity | None


class Conditions(CableConditions, total=False):
    """Keywords of every builder: the conditions of its cables, and of its hosts' network cards.

    Attributes
    ----------
    nic : float or str, optional
        What a host can send in all, and receive in all (its ``egress`` and ``ingress``),
        bytes/s or text.
    """

    nic: Quantity | None


def whole(name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int of at least `least`, or say what is wrong with argument `name`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return int(value)


def number(name: str, value: object, least: float, most: float = math.inf) -> float:
    """Return `value` as a finite float in [least, most], or say what is wrong with `name`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    result = float(value)
    if not (math.isfinite(result) and least <= result <= most):
        allowed = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{name} must be {allowed}, not {value}")
    return result


def given(
    conditions: Mapping[str, object] | None, where: str = "", keys: Sequence[str] = CABLE_KEYS
) -> dict[str, object]:
    """Return the conditions that are not None, checked for unknown names and wrong types."""
    if conditions is None:
        return {}
    if not isinstance(conditions, Mapping):
        raise TypeError(
            f"{where} must be a mapping such as {{'bandwidth': ...}}, not {conditions!r}"
        )
    prefix = f"{where}: " if where else ""
    for key, value in conditions.items():
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(keys)}"
            raise TypeError(f"{prefix}unknown keyword {key!r}; {hint}")
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, Real))):
            raise TypeError(f"{prefix}{key} must be a number or a text, not {value!r}")
    return {key: value for key, value in conditions.items() if value is not None}


def hosts(name: str, count: int, conditions: Mapping[str, object], **about: object) -> Graph:
    """Return a new graph called `name` with hosts 0 ... count - 1 and no cables."""
    nic = given(conditions, keys=ALL_KEYS).get("nic")
    card = {} if nic is None else {"egress": nic, "ingress": nic}
    graph: Graph = nx.Graph()
    graph.graph.update(name=name, **about)
    graph.add_nodes_from(range(count), kind="host", **card)
    return graph


def switches(graph: Graph, names: Iterable[str], tier: int) -> list[str]:
    """Add switches of one tier (1 is next to the hosts) and return their names."""
    added = list(names)
    graph.add_nodes_from(added, kind="switch", tier=tier)
    return added


def join(
    graph: Graph,
    pairs: Iterable[tuple[Node, Node]],
    *conditions: Mapping[str, object] | None,
) -> None:
    """Add one cable per pair; later conditions override earlier ones, `nic` is not a cable's."""
    attributes: dict[str, object] = {}
    for some in conditions:
        attributes |= given(some, keys=ALL_KEYS)
    attributes.pop("nic", None)
    graph.add_edges_from(pairs, **attributes)


def place(graph: Graph, points: Mapping[Any, Point]) -> None:
    """Set the node attribute `pos`, where a drawing puts the node."""
    nx.set_node_attributes(
        graph, {node: (float(x), float(y)) for node, (x, y) in points.items()}, "pos"
    )


def circle(nodes: Sequence[Any], radius: float = 1.0, offset: float = 0.0) -> dict[Any, Point]:
    """Place nodes evenly on a circle, clockwise from the top; `offset` in shares of the circle."""
    points = {}
    for i, node in enumerate(nodes):
        angle = 2 * math.pi * ((i + offset) / len(nodes))
        points[node] = (radius * math.sin(angle), radius * math.cos(angle))
    return points


def tiers(*rows: Sequence[Any]) -> dict[Any, Point]:
    """Place rows of nodes one above the other, each spread evenly over the widest."""
    width = max(len(row) for row in rows)
    return {
        node: ((i + 0.5) * width / len(row), y)
        for y, row in enumerate(rows)
        for i, node in enumerate(row)
    }


def wheel(switch_names: Sequence[str], host_count: int) -> dict[Any, Point]:
    """Place switches on a circle and their hosts, in order, on a wider one around it."""
    centred = (1 - host_count / len(switch_names)) / 2
    around = circle(range(host_count), radius=1.5, offset=centred)
    return {**circle(switch_names), **around}
