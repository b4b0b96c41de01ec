"""Choose an algorithm for a network: estimate every one that applies, take the fastest.

An estimate walks the schedule's dependencies. Transfers as deep in them as each other are taken
to run at the same time: each pays its overhead and route latency, then drains as slowly as the
fullest link of its route lets it, given all that is on that link at that depth; it begins when
the last transfer it waits for has ended. On steps that all ranks take together that is the sum
over steps of latency and most loaded link. Jitter and loss are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import distinct
from simnet.collectives.bounds import card_capacity, group_ranks, lower_bound
from simnet.collectives.collective import Collective
from simnet.collectives.cost import FORMS, closed_form
from simnet.collectives.orbits import quotient
from simnet.collectives.schedule import Schedule, Transfers
from simnet.collectives.table import AUTO, algorithms, build, check_options, option_names
from simnet.collectives.walk import Walk
from simnet.network import EGRESS, INGRESS, Network
from simnet.units import format_time

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MAX_TRANSFERS = 150_000
"""Transfers of a schedule above which its closed form stands in for the walk, unless one rank
stands for all."""
ROUTE_WORK = 5_000_000
"""Routes of a schedule times (nodes of the network + 1,000) above which it does likewise."""
ROUTE_SAMPLE = 64
"""Routes that alpha and beta of a closed form are taken from."""
TIE = 1e-9
"""Estimates that differ by less, relatively, are equal: the first in the table's order wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a collective will run, and why.

    Attributes
    ----------
    schedule : Schedule
        What is to be sent; ranks in it are positions in the group.
    algorithm : str
        The name of what runs.
    reason : str
        Why it runs, for people: ``"auto: ring estimated 1.2 ms, next direct 1.5 ms"``.
    estimate : float or None
        Estimated seconds; None where nothing had to be chosen.
    candidates : mapping of str to float
        Estimated seconds of every algorithm that was looked at; empty where none was.
    """

    schedule: Schedule
    algorithm: str
    reason: str
    estimate: float | None = None
    candidates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def plan(collective: Collective, net: Network) -> Plan:
    """Settle how a collective runs on a network.

    Parameters
    ----------
    collective : Collective
        Its algorithm is a name, a function ``(collective, num_ranks, **options) -> Schedule``, or
        "auto". Islands of hierarchical and dims of torus come from the network where they are not
        among its options.
    net : Network
        Where it runs.

    Returns
    -------
    Plan
        With the schedule, not yet expanded.

    Raises
    ------
    ValueError, TypeError
        If a rank, the root, the arrivals or an option does not fit the network or the algorithm.
    """
    ranks = group_ranks(collective, net)
    name = collective.algorithm
    if name == AUTO:
        return _choose(collective, net, ranks)
    if not isinstance(name, str):
        schedule = build(collective, len(ranks))
        return Plan(schedule=schedule, algorithm=schedule.algorithm, reason="a function was given")
    options = _implied_options(name, collective, net, ranks) | dict(collective.options)
    _check_known(name, options, collective)
    schedule = build(replace(collective, options=options), len(ranks))
    return Plan(schedule=schedule, algorithm=name, reason="asked for by name")


def _choose(collective: Collective, net: Network, ranks: tuple[int, ...]) -> Plan:
    """Estimate every algorithm that applies and take the first of the fastest."""
    schedules = dict(_candidates(collective, net, ranks))
    if len(schedules) == 1 or len(ranks) == 1:
        name = next(iter(schedules))
        only = "one rank, nothing to send" if len(ranks) == 1 else "the only algorithm here"
        return Plan(schedule=schedules[name], algorithm=name, reason=f"auto: {only}")
    walker = _Walker(net, ranks)
    seconds: dict[str, float] = {}
    unroutable = ""
    for name, schedule in schedules.items():
        try:
            seconds[name] = walker.estimate(schedule)
        except ValueError as error:  # hosts that do not forward leave some pairs without a route
            unroutable = str(error)
    if not seconds:
        raise ValueError(f"{collective.kind}: no algorithm can run here: {unroutable}")
    least = min(seconds.values())
    best = next(name for name, value in seconds.items() if value <= least * (1 + TIE))
    others = sorted((name for name in seconds if name != best), key=seconds.__getitem__)
    behind = f", next {others[0]} {format_time(seconds[others[0]])}" if others else ""
    return Plan(
        schedule=schedules[best],
        algorithm=best,
        reason=f"auto: {best} estimated {format_time(seconds[best])}{behind}",
        estimate=seconds[best],
        candidates=MappingProxyType(seconds),
    )


def _candidates(
    collective: Collective, net: Network, ranks: tuple[int, ...]
) -> Iterator[tuple[str, Schedule]]:
    """Schedules of the algorithms that apply here; an error if there is none.

    An algorithm that refuses (a segment too small for it) drops out, unless an option is for it.
    """
    kind = collective.kind
    check_options(kind, AUTO, collective.options)
    refusals: list[ValueError] = []
    names = algorithms(kind)
    for name in names:
        known = option_names(kind, name)
        given = {key: value for key, value in collective.options.items() if key in known}
        options = _implied_options(name, collective, net, ranks) | given
        if not given and not _is_worthwhile(name, options, len(ranks)):
            refusals.append(ValueError(f"{kind}: {name} does not apply here"))
            continue
        try:
            yield name, build(replace(collective, options=options), len(ranks), name)
        except ValueError as error:
            if given:
                raise
            refusals.append(error)
    if len(refusals) == len(names):
        raise refusals[0]


def _is_worthwhile(name: str, options: Mapping[str, Any], num_ranks: int) -> bool:
    """Whether islands or dims are there and make an algorithm differ from a ring."""
    if name == "hierarchical":
        return 1 < len(options.get("islands", ())) < num_ranks
    if name == "torus":
        return len([size for size in options.get("dims", ()) if size > 1]) > 1
    return True


def _implied_options(
    name: str, collective: Collective, net: Network, ranks: tuple[int, ...]
) -> dict[str, Any]:
    """What the network says about an algorithm's options; {} where it says nothing."""
    if name == "hierarchical" and net.islands is not None:
        place = {rank: i for i, rank in enumerate(ranks)}
        islands = [[place[rank] for rank in group if rank in place] for group in net.islands]
        return {"islands": [island for island in islands if island]}
    if name == "torus" and net.dims is not None and ranks == tuple(range(net.num_ranks)):
        return {"dims": net.dims} if math.prod(net.dims) == len(ranks) else {}
    return {}


def _check_known(name: str, given: Mapping[str, Any], collective: Collective) -> None:
    """Say what is missing where neither the network nor the options tell."""
    if name == "hierarchical" and "islands" not in given:
        raise ValueError(
            f"{collective.kind} by hierarchical: the network's hosts have no attribute 'island'; "
            "give islands=[[0, 1], [2, 3], ...] in group ranks"
        )
    if name == "torus" and "dims" not in given:
        raise ValueError(
            f"{collective.kind} by torus: the network tells no dims for these ranks; "
            "give dims=(rows, columns, ...)"
        )


# --- estimates ------------------------------------------------------------------------------------


def estimate(schedule: Schedule, net: Network) -> float:
    """Estimate the seconds that a schedule takes on a network, without simulating it.

    Parameters
    ----------
    schedule : Schedule
        Of a collective whose `ranks` say where in the network the group is.
    net : Network
        Where it runs.

    Returns
    -------
    float
        Seconds from a common arrival, without jitter and loss.

    Raises
    ------
    ValueError
        If the group does not fit the network.
    """
    return _Walker(net, group_ranks(schedule.collective, net)).estimate(schedule)


class _Walker:
    """Estimates schedules over one group, and remembers its bounds."""

    def __init__(self, net: Network, ranks: tuple[int, ...]) -> None:
        self._net = net
        self._ranks = np.array(ranks, dtype=np.int64)
        self._bounds: dict[str, float] = {}

    def estimate(self, schedule: Schedule) -> float:
        """Seconds: by walking the schedule, or by the closed form where it is too big for that."""
        if schedule.num_transfers == 0:
            return 0.0
        walk = self._represented(schedule)
        if walk is None and schedule.num_transfers <= MAX_TRANSFERS:
            walk = self._expanded(schedule)
        return self._closed_form(schedule) if walk is None else walk.seconds(schedule.in_flight)

    def _represented(self, schedule: Schedule) -> Walk | None:
        """One rank's transfers, where that stands for all."""
        if schedule.representative is None:
            return None
        one, pairs = schedule.representative(), ROUTE_WORK // (len(self._net.nodes) + 1000)
        small = quotient(self._net, self._ranks, one, pairs=pairs)
        if small is None:
            return None
        joins, routes = one.to == 0, len(small.delays)
        return Walk(
            dep_offsets=one.dep_offsets,
            deps=one.deps,
            joins=joins,
            size=one.size,
            reduces=one.reduces,
            receiver=np.zeros(len(one), dtype=np.int64),
            pace=self._net.reduce_bandwidth[self._ranks[:1]],
            which=np.where(joins, routes, small.which),
            hops=np.append(small.offsets, small.offsets[-1]),
            links=small.links,
            weights=small.weights,
            fixed=np.append(small.delays, 0.0),
            bandwidth=self._net.links.bandwidth[small.orbits],
        )

    def _expanded(self, schedule: Schedule) -> Walk | None:
        """All transfers; None where they use too many routes."""
        transfers = schedule.transfers(chunks=False)
        connections, which = _connections(transfers, schedule.num_ranks)
        if len(connections) * (len(self._net.nodes) + 1000) > ROUTE_WORK:
            return None
        hops, links, fixed = self._routes(connections)
        return Walk(
            dep_offsets=transfers.dep_offsets,
            deps=transfers.deps,
            joins=transfers.joins,
            size=transfers.size,
            reduces=transfers.reduces,
            receiver=transfers.dst,
            pace=self._net.reduce_bandwidth[self._ranks],
            which=which,
            hops=hops,
            links=links,
            weights=np.ones_like(links),
            fixed=fixed,
            bandwidth=self._net.links.bandwidth,
        )

    def _routes(self, connections: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Links (with offsets) and fixed seconds (overhead, latency) of messages in the group."""
        src, dst = self._ranks[connections[:, 0]], self._ranks[connections[:, 1]]
        offsets, links = self._net.routes_of(src, dst, connections[:, 2])
        fixed = self._net.overhead[src] + self._net.latencies_of(offsets, links)
        return offsets, links, np.where(src == dst, 0.0, fixed)

    def _closed_form(self, schedule: Schedule) -> float:
        """The closed form for the mean latency and the least bandwidth of a sample of routes.

        Not below the lower bound, which knows of bisections; direct is then bound like an
        all_to_all a phase, whose messages it sends.
        """
        collective, N = schedule.collective, schedule.num_ranks
        src = np.unique(np.linspace(0, N - 1, ROUTE_SAMPLE).astype(np.int64))
        # Rings only use routes between neighbours; of the others all distances are sampled.
        reach = 1 if "ring" in schedule.algorithm else N - 1
        dst = (src + 1 + np.arange(len(src)) * reach // len(src)) % N
        channel = np.full_like(src, collective.channel)
        _, links, fixed = self._routes(np.stack([src, dst, channel], axis=1))
        rate = float(self._net.links.bandwidth[links].min())
        if schedule.algorithm in ("direct", "flat", "parameter_server"):
            # N - 1 messages at once use all cables of a host.
            hosts = self._net.hosts[self._ranks]
            cards = [card_capacity(self._net, card)[hosts].min() for card in (EGRESS, INGRESS)]
            rate = min((N - 1) * rate, *map(float, cards))
        pace = float(self._net.reduce_bandwidth[self._ranks].min())
        options = schedule.collective.options
        islands = options.get("islands")
        form = FORMS[collective.kind, schedule.algorithm]
        seconds = closed_form(
            collective.kind,
            schedule.algorithm,
            N,
            collective.size,
            alpha=float(fixed.mean()),
            beta=1.0 / rate,
            gamma=1.0 / pace,
            segment=collective.segment if form.segments else None,
            root=collective.root,
            dims=options.get("dims"),
            islands=None if islands is None else [len(island) for island in islands],
        )
        if schedule.algorithm != "direct":
            return max(seconds, self._bound(collective.kind, collective))
        phases = 2 if collective.kind == "all_reduce" else 1
        pattern = Collective(kind="all_to_all", size=collective.size, ranks=collective.ranks)
        return max(seconds, phases * self._bound("direct", pattern))

    def _bound(self, name: str, collective: Collective) -> float:
        """The lower bound, worked out once."""
        if name not in self._bounds:
            self._bounds[name] = lower_bound(collective, self._net).seconds
        return self._bounds[name]


def _connections(transfers: Transfers, num_ranks: int) -> tuple[IntArray, IntArray]:
    """The distinct (source, destination, channel), shape (n, 3), and the one of each transfer."""
    channels, channel = np.unique(transfers.channel, return_inverse=True)
    codes = (transfers.src * num_ranks + transfers.dst) * len(channels) + channel.reshape(-1)
    codes, which = distinct(codes, num_ranks * num_ranks * len(channels))
    ends, channel = np.divmod(codes, len(channels))
    src, dst = np.divmod(ends, num_ranks)
    return np.stack([src, dst, channels[channel]], axis=1), which
