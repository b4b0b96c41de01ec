"""Which algorithm, on which topology, under which conditions: simulated side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import simpy

from simnet.collectives import Collective, algorithms, plan
from simnet.collectives.bounds import lower_bound
from simnet.conditions import Profile
from simnet.engine import Clock, Fabric
from simnet.network import Network
from simnet.report.metrics import bus_factor
from simnet.report.result import Result
from simnet.simulation import simulate
from simnet.transport import Transport

AS_GIVEN, PER_CABLE, PER_NIC = "as given", "per cable", "per NIC"
BEST, ALL, AUTO = "best", "all", "auto"
FUSED, AS_ISSUED = "fused", "as-issued"
PROMISING = 3
"""How many algorithms, by the cost model's estimate, are simulated to find the best one."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is communicated.

    Attributes
    ----------
    name : str
        How rows call it.
    sizes : tuple of int
        Bytes of each tensor, in the order they are issued.
    """

    name: str
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is compared with everything.

    Attributes
    ----------
    workloads : tuple of Workload
        What is communicated.
    topologies : mapping of str to networkx graph
        Where, by label.
    profiles : tuple of str or Profile or None
        Conditions; None takes the graph as it is.
    make : callable
        ``make(size)`` gives the collective of that many bytes.
    ranks : int or None
        The first so many hosts take part; None for all.
    algorithm : str
        "best" simulates the most promising ones and keeps the fastest, "all" gives a row for
        each, "auto" takes the cost model's choice; else an algorithm's name.
    bucket : str
        "fused" sends one buffer, "as-issued" one collective a tensor, each rank entering the next
        when it has left the last.
    draw : bool
        False takes the mid-points of the profiles.
    seed : int
        Seed of the profiles' draws, of ECMP, jitter and loss.
    transport : str or Transport or None
        As in `simnet.simulate`.
    """

    workloads: tuple[Workload, ...]
    topologies: Mapping[str, nx.Graph[Any]]
    profiles: tuple[str | Profile | None, ...]
    make: Callable[[int], Collective]
    ranks: int | None = None
    algorithm: str = BEST
    bucket: str = FUSED
    draw: bool = True
    seed: int = 0
    transport: str | Transport | None = None

    def __len__(self) -> int:
        """How many cells there are, each giving at least one row."""
        return len(self.workloads) * len(list(self._places()))

    def _places(self) -> Iterator[tuple[str | Profile | None, str, str]]:
        """Every profile, topology and reading."""
        for profile in self.profiles:
            for label in self.topologies:
                readings = (AS_GIVEN,) if profile is None else (PER_CABLE, PER_NIC)
                for reading in readings:
                    yield profile, label, reading

    def networks(self) -> list[tuple[str | Profile | None, str, str, Network]]:
        """Build every network; a mistake in any of them comes up here, before any work."""
        return [
            (
                profile,
                label,
                reading,
                Network(
                    self.topologies[label],
                    profile=profile,
                    seed=self.seed,
                    draw=self.draw,
                    nic=reading == PER_NIC,
                ),
            )
            for profile, label, reading in self._places()
        ]


def is_open(graph: nx.Graph[Any]) -> bool:
    """Whether a graph leaves any bandwidth to a profile."""
    return any("bandwidth" not in data for _, _, data in graph.edges(data=True))


def compare(comparison: Comparison, progress: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Simulate every cell of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What to compare.
    progress : callable
        Told after each cell what has been done.

    Returns
    -------
    list of dict
        A row per cell and algorithm shown: model, size (bytes), tensors, ranks, topology, profile,
        reading, algorithm, time (s), algbw, busbw (bytes/s), bytes_on_wire, retransmitted_bytes,
        bound (s), efficiency (bound / time), binding, bottleneck (link), auto (the cost model's
        choice), tried (the algorithms simulated) and simulated (seconds of those that ran to their
        end).

    Raises
    ------
    ValueError, TypeError
        Before anything is simulated, in one line.
    """
    places = comparison.networks()
    cells = [
        _check_cell(comparison, load, *place) for load in comparison.workloads for place in places
    ]
    rows: list[Row] = []
    for cell in cells:
        rows += _rows(comparison, cell)
        progress(f"{cell.load.name}, {cell.place['topology']}, {cell.place['profile']}")
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A workload on a network, and the algorithms that will be simulated there.

    Attributes
    ----------
    place : dict
        Topology, profile and reading, as rows call them.
    auto : str
        The cost model's choice.
    names : list of str
        What is simulated, the most promising first.
    """

    load: Workload
    place: Row
    net: Network
    work: Collective
    auto: str
    names: list[str]


def _check_cell(
    comparison: Comparison,
    load: Workload,
    profile: str | Profile | None,
    label: str,
    reading: str,
    net: Network,
) -> Cell:
    """Everything about a cell that can be wrong, found before anything is simulated."""
    name = profile.name if isinstance(profile, Profile) else profile or AS_GIVEN
    work = _work(comparison, load, net)
    auto, names = _names(comparison.algorithm, work, net)
    place = {"topology": label, "profile": name, "reading": reading}
    return Cell(load=load, place=place, net=net, work=work, auto=auto, names=names)


def _work(comparison: Comparison, load: Workload, net: Network) -> Collective:
    """The collective of a workload's whole size over the ranks that take part."""
    ranks = comparison.ranks
    if ranks is not None and ranks > net.num_ranks:
        name = net.graph.graph.get("name", "the topology")
        raise ValueError(f"{ranks} ranks, but {name} has {net.num_ranks} hosts")
    work = comparison.make(sum(load.sizes))
    if ranks is None or ranks == net.num_ranks:
        return work
    return replace(work, ranks=tuple(range(ranks)))


def _names(wanted: str, work: Collective, net: Network) -> tuple[str, list[str]]:
    """The cost model's choice, and the algorithms to simulate."""
    chosen = plan(replace(work, algorithm=AUTO), net)
    if wanted == AUTO:
        return chosen.algorithm, [chosen.algorithm]
    if wanted in (BEST, ALL):
        estimates = dict(chosen.candidates) or {chosen.algorithm: 0.0}
        names = sorted(estimates, key=estimates.__getitem__)
        return chosen.algorithm, names[: PROMISING if wanted == BEST else None]
    if wanted not in algorithms(work.kind):
        choices = ", ".join([BEST, ALL, AUTO, *algorithms(work.kind)])
        raise ValueError(f"algorithm {wanted!r}: not one of {choices} for {work.kind}")
    plan(replace(work, algorithm=wanted), net)
    return chosen.algorithm, [wanted]


def _rows(comparison: Comparison, cell: Cell) -> list[Row]:
    """Simulate a cell's algorithms; the best only, or a row for each, the fastest first.

    Where only the best is wanted, one that has not ended when the best so far did is given up.
    """
    results: dict[str, Result] = {}
    until = None
    for name in cell.names:
        result = _run(comparison, replace(cell.work, algorithm=name), cell, until)
        if not math.isnan(result.time):
            results[name] = result
            until = result.time if comparison.algorithm == BEST else None
    simulated = {name: result.time for name, result in results.items()}
    shown = sorted(results, key=simulated.__getitem__)
    bound = lower_bound(cell.work, cell.net)
    extra = {
        "auto": cell.auto,
        "tried": cell.names,
        "simulated": simulated,
        "bound": bound.seconds,
        "binding": bound.binding,
    }
    return [
        {"model": cell.load.name, **cell.place, **_row(name, cell, results[name]), **extra}
        | {"efficiency": bound.seconds / simulated[name] if simulated[name] else 1.0}
        for name in shown[: 1 if comparison.algorithm == BEST else None]
    ]


def _row(name: str, cell: Cell, result: Result) -> Row:
    ranks = len(cell.work.ranks) if cell.work.ranks is not None else cell.net.num_ranks
    algbw = cell.work.size / result.time if result.time else 0.0
    return {
        "collective": cell.work.kind,
        "size": cell.work.size,
        "tensors": len(cell.load.sizes),
        "ranks": ranks,
        "algorithm": name,
        "time": result.time,
        "algbw": algbw,
        "busbw": algbw * bus_factor(cell.work.kind, ranks),
        "bytes_on_wire": result.bytes_on_wire,
        "retransmitted_bytes": result.retransmitted_bytes,
        "bottleneck": result.bottleneck,
        "transport": result.transport,
    }


def _run(comparison: Comparison, work: Collective, cell: Cell, until: float | None) -> Result:
    options: dict[str, Any] = {
        "seed": comparison.seed,
        "transport": comparison.transport,
        "until": until,
    }
    if comparison.bucket == FUSED:
        return simulate(cell.net, work, **options)
    works = [replace(work, size=size) for size in cell.load.sizes]
    return simulate(cell.net, processes=[one_after_the_other(works)], **options)


def one_after_the_other(
    works: Sequence[Collective],
) -> Callable[[Clock, Fabric], Generator[simpy.Event, Any, None]]:
    """A process in which each rank enters a collective when it has left the one before.

    Parameters
    ----------
    works : sequence of Collective
        Over the same ranks, in the order of the program.
    """

    def program(env: Clock, fabric: Fabric) -> Generator[simpy.Event, Any, None]:
        operations = [fabric.post(work, sequence=i) for i, work in enumerate(works)]

        def rank_program(rank: int) -> Generator[simpy.Event, Any, None]:
            for operation in operations:
                operation.arrive(rank)
                yield operation.left[rank]

        ranks: Iterable[int] = operations[0].left if operations else ()
        yield env.all_of([env.process(rank_program(rank)) for rank in ranks])

    return program
