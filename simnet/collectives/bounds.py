"""Lower bounds: what no algorithm can beat on a given network.

Every bound holds for any schedule whose reductions happen at the ranks (none inside the network),
under the fluid semantics. Local reduction, loss and retransmission only add to it. Routes are not
looked at: the shortest paths and greatest flows over the graph's cables can only be better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import PAIRED_KINDS, Collective, FloatArray, IntArray
from simnet.collectives.distances import adjacency, distances, distances_from, nearest_other
from simnet.collectives.layout import cut
from simnet.network import CABLE, EGRESS, INGRESS, Network

BoolArray = NDArray[np.bool_]

LATENCY_BUDGET = 200_000  # cables looked at for the farthest pair; above it sources are sampled
MAX_CUTS = 16  # examined for the bisection bound, each in both directions
CUT_BUDGET = 20_000  # edges of flow graphs looked at, in all; cuts beyond it are left out
CAPACITY_STEPS = 2**40  # the largest capacity in whole numbers: the maximum flow is then finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The least time a collective can take, and what makes it so.

    Attributes
    ----------
    seconds : float
        The greatest of the three below, from the earliest arrival on; 0 where nothing moves.
    latency : float
        Seconds for the farthest of the pairs of which one must hear of the other.
    bandwidth : float
        Seconds for the busiest rank, or all together, to send or receive what they must, with
        the latency that the first byte pays.
    bisection : float
        As much for what must cross the worst of the cuts tried; 0 where none was.
    binding : str
        What sets `seconds`, in ranks of the network: ``"host 3 sends"``, ``"all hosts send"``,
        ``"bisection between ranks 0–3 and 4–7"`` (the first side sends), ``"latency 0→5"``.
    """

    seconds: float
    latency: float
    bandwidth: float
    bisection: float
    binding: str


class _Term(NamedTuple):
    """One bound and what it comes from."""

    seconds: float
    binding: str


_NOTHING = _Term(0.0, "nothing to move")


def lower_bound(collective: Collective, net: Network) -> Bound:
    """Bound the time of `collective` on `net` from below, whatever the algorithm.

    Parameters
    ----------
    collective : Collective
        Its algorithm, segments, channels and arrivals are not looked at.
    net : Network
        Where it runs. A latency counts less its jitter, and not below 0.

    Returns
    -------
    Bound
        Valid for the last finish minus the earliest arrival: late ones can only add to it.

    Raises
    ------
    ValueError
        If the collective does not fit the network.

    Notes
    -----
    Bytes that all ranks together must send: all_reduce 2(N−1)S, reduce_scatter and all_gather
    (N−1)S (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009,
    doi:10.1016/j.jpdc.2008.09.002); broadcast and reduce (N−1)S; gather and scatter all but the
    root's own block; all_to_all what is off the diagonal. For one rank see Chan, Heimlich,
    Purkayastha and van de Geijn, Concurrency Comput. Pract. Exp. 19, 2007, doi:10.1002/cpe.1206.
    """
    ranks = group_ranks(collective, net)
    demand = _demand(collective, len(ranks))
    latency = bandwidth = bisection = _NOTHING
    if len(ranks) > 1 and len(demand.sources):
        latency = _latency_term(demand, net, ranks)
        bandwidth = _greatest(_bandwidth_terms(demand, net, ranks))
        bisection = _greatest(_bisection_terms(demand, net, ranks))
    best = _greatest((bandwidth, bisection, latency))
    return Bound(
        seconds=best.seconds, latency=latency.seconds, bandwidth=bandwidth.seconds,
        bisection=bisection.seconds, binding=best.binding,
    )  # fmt: skip


def _greatest(terms: Iterable[_Term]) -> _Term:
    """The first of the greatest."""
    return max(terms, key=lambda term: term.seconds, default=_NOTHING)


def group_ranks(collective: Collective, net: Network) -> tuple[int, ...]:
    """Return the network's rank of each group rank; ValueError where the group does not fit."""
    ranks = tuple(range(net.num_ranks)) if collective.ranks is None else collective.ranks
    last = net.num_ranks - 1
    for rank in ranks:
        if rank > last:
            raise ValueError(f"{collective.kind}: rank {rank} is not in the network (0 to {last})")
    collective.check_num_ranks(len(ranks))
    return ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demand:
    """What a collective must move; all by group rank, N of them.

    `send`, `receive`: (N,) bytes that each rank must; `total`: bytes that all must send.
    `crossing(inside)`: bytes that must go from the ranks marked True to the others.
    Each of `sources` must be heard by each of `targets`; by its own one where `paired`.
    """

    send: IntArray
    receive: IntArray
    total: int
    crossing: Callable[[BoolArray], int]
    sources: IntArray
    targets: IntArray
    paired: bool = False


def _demand(collective: Collective, num_ranks: int) -> _Demand:
    """Say what `collective` must move."""
    if collective.kind in PAIRED_KINDS:
        pairs = np.array(collective.pairs, dtype=np.int64).reshape(-1, 2)
        size = np.full(len(pairs), collective.size)
        return _paired_demand(pairs[:, 0], pairs[:, 1], size, num_ranks)
    if collective.splits is not None:
        matrix = np.array(collective.splits, dtype=np.int64)
        np.fill_diagonal(matrix, 0)
        src, dst = matrix.nonzero()
        return _paired_demand(src, dst, matrix[src, dst], num_ranks)
    return _group_demand(collective, num_ranks)


def _paired_demand(src: IntArray, dst: IntArray, size: IntArray, num_ranks: int) -> _Demand:
    """Single messages, each from one rank to another."""
    moved = size > 0
    src, dst, size = src[moved], dst[moved], size[moved]
    send, receive = np.zeros((2, num_ranks), dtype=np.int64)
    np.add.at(send, src, size)
    np.add.at(receive, dst, size)
    return _Demand(
        send=send, receive=receive, total=int(size.sum()), sources=src, targets=dst, paired=True,
        crossing=lambda inside: int(size[inside[src] & ~inside[dst]].sum()),
    )  # fmt: skip


def _group_demand(collective: Collective, num_ranks: int) -> _Demand:
    """Collectives of which a cut need only know how many ranks, blocks and roots are inside."""
    kind, size, everyone = collective.kind, collective.size, np.arange(num_ranks)
    block = cut(np.array([size]), num_ranks)[0]
    root = everyone == collective.root
    nonempty, at_root = np.flatnonzero(block), np.flatnonzero(root)
    some = nonempty if kind in ("all_gather", "gather") else everyone
    sources = at_root if kind in ("broadcast", "scatter") else some
    some = nonempty if kind in ("reduce_scatter", "scatter", "all_to_all") else everyone
    targets = at_root if kind in ("reduce", "gather") else some
    if size == 0 and kind != "barrier":
        sources = targets = everyone[:0]
    total = size - int(block[root][0]) if kind in ("gather", "scatter") else size * (num_ranks - 1)

    def across(ranks: Any, blocks: Any, rooted: Any) -> Any:
        """Bytes that leave a side with so many ranks and bytes of blocks, and maybe the root."""
        return {
            "broadcast": size * rooted,
            "reduce": size * (1 - rooted),
            "scatter": (size - blocks) * rooted,
            "gather": blocks * (1 - rooted),
            "reduce_scatter": size - blocks,
            "all_gather": blocks,
            "all_to_all": ranks * (size - blocks),
        }.get(kind, size + 0 * blocks)

    return _Demand(
        send=across(1, block, root.astype(np.int64)),
        receive=across(num_ranks - 1, size - block, (~root).astype(np.int64)),
        total=2 * total if kind == "all_reduce" else total,
        crossing=lambda side: int(across(side.sum(), block[side].sum(), int(side[root][0]))),
        sources=sources, targets=targets,
    )  # fmt: skip


def _latency_term(demand: _Demand, net: Network, ranks: tuple[int, ...]) -> _Term:
    """The farthest pair: overhead of the sender and the shortest path over the cables."""
    hosts, overhead = net.hosts[list(ranks)], net.overhead[list(ranks)]
    ends, others = demand.sources, demand.targets
    backward = not demand.paired and len(others) < len(ends)
    if backward:
        ends, others = others, ends
    best = _NOTHING
    for end in _sample(np.unique(ends), max(LATENCY_BUDGET // net.num_links, 4)).tolist():
        far = others[ends == end] if demand.paired else others[others != end]
        if not len(far):
            continue
        seconds = distances_from(net, int(hosts[end]), backward=backward)[hosts[far]]
        seconds += overhead[far] if backward else overhead[end]
        worst = int(seconds.argmax())
        pair = (ranks[end], ranks[far[worst]])
        src, dst = pair[::-1] if backward else pair
        best = _greatest((best, _Term(float(seconds[worst]), f"latency {src}→{dst}")))
    return best


def _sample(items: IntArray, count: int) -> IntArray:
    """At most `count` of the items, evenly spread, first and last among them."""
    count = min(count, len(items))
    return items[np.arange(count) * (len(items) - 1) // max(count - 1, 1)]


def card_capacity(net: Network, card: int) -> FloatArray:
    """What each node can send (card=EGRESS) or receive (INGRESS): cables and card, bytes/s."""
    links = net.links
    cables = links.kind == CABLE
    ends = (links.source if card == EGRESS else links.target)[cables]
    capacity = np.zeros(len(net.nodes))
    np.add.at(capacity, ends, links.bandwidth[cables])
    cards = links.kind == card
    limited = links.source[cards]
    capacity[limited] = np.minimum(capacity[limited], links.bandwidth[cards])
    return capacity


def _bandwidth_terms(demand: _Demand, net: Network, ranks: tuple[int, ...]) -> Iterator[_Term]:
    """What each rank, and all ranks together, must send and receive."""
    hosts, overhead = net.hosts[list(ranks)], net.overhead[list(ranks)]
    backward, forward = adjacency(net, backward=True), adjacency(net)
    first_out = overhead + nearest_other(backward, hosts, np.zeros(len(hosts)))
    first_in = nearest_other(forward, hosts, overhead)
    if len(origin := demand.sources) == 1:
        first_in = distances(forward, hosts[origin], overhead[origin])[hosts]
    for verb, amount, first, card in (
        ("send", demand.send, first_out, EGRESS),
        ("receive", demand.receive, first_in, INGRESS),
    ):
        busy = np.flatnonzero(amount)
        if not len(busy):
            continue
        capacity = card_capacity(net, card)[hosts]
        seconds = first[busy] + amount[busy] / capacity[busy]
        worst = int(seconds.argmax())
        yield _Term(float(seconds[worst]), f"host {ranks[busy[worst]]} {verb}s")
        yield _Term(float(first.min() + demand.total / capacity.sum()), f"all hosts {verb}")


def _bisection_terms(demand: _Demand, net: Network, ranks: tuple[int, ...]) -> Iterator[_Term]:
    """What must cross natural cuts, over the greatest flow that the cables allow."""
    hosts, overhead = net.hosts[list(ranks)], net.overhead[list(ranks)]
    around = adjacency(net)
    budget = CUT_BUDGET
    for side in _cuts(net, ranks):
        for inside in (side, ~side):
            amount = demand.crossing(inside)
            edges = _flow_edges(net, hosts[inside], hosts[~inside]) if amount else {}
            budget -= len(edges)
            if not edges:
                continue
            if budget < 0:
                return
            first = distances(around, hosts[inside], overhead[inside])[hosts[~inside]].min()
            sides = " and ".join(_names(np.array(ranks)[part]) for part in (inside, ~inside))
            yield _Term(
                float(first + amount / _max_flow(edges)), f"bisection between ranks {sides}"
            )


def _cuts(net: Network, ranks: tuple[int, ...]) -> list[BoolArray]:
    """Cuts worth trying: halves of the group, each island, each set of hosts on the same nodes."""
    half = np.arange(len(ranks)) < len(ranks) // 2
    masks = {half.tobytes(): half}
    around: list[set[int]] = [set() for _ in net.nodes]
    for source, target, _ in _cables(net):
        around[source].add(target)
    together: dict[frozenset[int], list[int]] = {}
    for rank, host in enumerate(net.hosts.tolist()):
        together.setdefault(frozenset(around[host]), []).append(rank)
    for group in (*(net.islands or ()), *together.values()):
        mask = np.isin(ranks, group)
        # A side of one rank is what the bandwidth bound looks at.
        if 1 < mask.sum() < len(ranks) and (~mask).tobytes() not in masks:
            masks.setdefault(mask.tobytes(), mask)
    few = _sample(np.arange(len(masks)), MAX_CUTS).tolist()
    return [list(masks.values())[i] for i in few]


def _max_flow(edges: Mapping[tuple[Any, Any], float]) -> float:
    """Greatest flow from "senders" to "receivers", bytes/s."""
    unit = max(edges.values()) / CAPACITY_STEPS
    graph: Any = nx.DiGraph()
    whole = ((*ends, math.ceil(capacity / unit)) for ends, capacity in edges.items())
    graph.add_weighted_edges_from(whole, weight="capacity")
    near = nx.minimum_cut(graph, "senders", "receivers")[1][0]
    # Every cut bounds the flow, so this sum is sound whatever the whole numbers above rounded.
    return math.fsum(c for (tail, head), c in edges.items() if tail in near and head not in near)


def _flow_edges(
    net: Network, senders: IntArray, receivers: IntArray
) -> dict[tuple[Any, Any], float]:
    """Edges and capacities between switches, cards and the two sides, each of them one node."""
    edges: dict[tuple[Any, Any], float] = {}
    sides = dict.fromkeys(senders.tolist(), "senders")
    sides |= dict.fromkeys(receivers.tolist(), "receivers")

    def add(tail: Any, head: Any, capacity: float) -> None:
        tail, head = sides.get(tail, tail), sides.get(head, head)
        if tail != head:
            edges[tail, head] = edges.get((tail, head), 0.0) + capacity

    columns = (net.links.kind, net.links.source, net.links.bandwidth)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    cards = {(kind, node): capacity for kind, node, capacity in rows if kind != CABLE}
    for card, capacity in cards.items():
        tail, head = (card[1], card) if card[0] == EGRESS else (card, card[1])
        add(tail, head, capacity)
    for source, target, capacity in _cables(net):
        out, into = (EGRESS, source), (INGRESS, target)
        add(out if out in cards else source, into if into in cards else target, capacity)
    return edges


def _cables(net: Network) -> Iterator[tuple[int, int, float]]:
    """(source node, target node, bandwidth) of every cable and direction."""
    columns = (net.links.source, net.links.target, net.links.bandwidth)
    cables = net.links.kind == CABLE
    yield from zip(*(column[cables].tolist() for column in columns), strict=True)


def _names(ranks: IntArray) -> str:
    """Ranks for people: "3", "0–3" or "0, 2, 5, … (8)"."""
    if (np.diff(ranks) == 1).all():
        return f"{ranks[0]}–{ranks[-1]}" if len(ranks) > 1 else str(ranks[0])
    shown = ", ".join(map(str, ranks[:4].tolist()))
    return shown if len(ranks) <= 4 else f"{shown}, … ({len(ranks)})"
