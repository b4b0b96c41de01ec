"""Accuracy against virtual time and bytes: real training of a small network on real digits.

What a strategy learns does not depend on the network, only when it has learned it. So each
strategy is trained once, live on a fast reference network, and its recording is replayed on every
network asked for: the virtual times are those of a live run there, to the bit. The training
program is ordinary torch.distributed code (`simnet.study.train_program`), which runs on gloo too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import networkx as nx
import torch

from simnet.network import Network
from simnet.ranks.algorithms import chosen_algorithms
from simnet.ranks.placing import place
from simnet.study.compare import AS_GIVEN
from simnet.study.curves import Curve, Learned, curve_on, learn, reference_network
from simnet.study.strategies import STRATEGIES, MakeStrategy
from simnet.study.train_program import Settings
from simnet.units import parse_time
from simnet.version import __version__
from simnet.workload.trace import Trace
from topologies import fully_connected, ring, star

PROFILES = ("mobile", "datacenter", "cross_continental")
TOPOLOGIES: Mapping[str, Callable[[int], nx.Graph[Any]]] = {
    "ring": ring,
    "star": star,
    "fully_connected": fully_connected,
}

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured point: after `round` rounds, `step` steps, at `virtual_time` seconds.

    `accuracy` is the mean over the ranks of what their own models get right; `bytes` is what has
    crossed the cables until then, retransmissions included.
    """

    strategy: str
    topology: str
    profile: str
    round: int
    step: int
    virtual_time: float
    accuracy: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How one strategy did on one network.

    Attributes
    ----------
    time, accuracy, bytes : float, float, int
        At the end: virtual seconds, share of test images, bytes on the cables.
    step_to_target, time_to_target, bytes_to_target : int, float, int; or None
        The same at the end of the first round whose accuracy reached the target, and the step;
        None if never.
    compute_time : float
        Virtual seconds of `time` that a rank computed.
    algorithm : str
        What carried the averages.
    """

    strategy: str
    topology: str
    profile: str
    time: float
    accuracy: float
    bytes: int
    step_to_target: int | None
    time_to_target: float | None
    bytes_to_target: int | None
    compute_time: float
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStudy:
    """What `run_study` returns.

    Attributes
    ----------
    rows : tuple of Row
        The points of every curve, in order.
    summary : tuple of Summary
        One a curve.
    traces : mapping of str to Trace
        The recording of each strategy's training.
    target : float
        The accuracy that `Summary.time_to_target` refers to.
    settings : dict
        Everything that decided the numbers, ready for JSON.
    """

    rows: tuple[Row, ...] = field(repr=False)
    summary: tuple[Summary, ...] = field(repr=False)
    traces: Mapping[str, Trace]
    target: float
    settings: dict[str, Any]
    version: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Everything but the traces, ready for JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "summary": [asdict(each) for each in self.summary],
            "target": self.target,
            "settings": self.settings,
            "version": self.version,
            "seed": self.seed,
        }


def run_study(
    *,
    strategies: Sequence[str] | Mapping[str, MakeStrategy] = tuple(STRATEGIES),
    topologies: Sequence[str] | Mapping[str, nx.Graph[Any]] = tuple(TOPOLOGIES),
    profiles: Sequence[str | None] = PROFILES,
    ranks: int = 4,
    rounds: int = 15,
    local_steps: int = 10,
    step_time: float | str = "10ms",
    batch: int = 16,
    bucket: str = "fused",
    algorithm: str = "auto",
    target: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainStudy:
    """Train by every strategy, and replay each training on every network; takes some seconds.

    Parameters
    ----------
    strategies : sequence of {"all_reduce", "fedavg", "diloco", "sparta"}, or mapping
        What is averaged, and when; a mapping gives strategies of your own a name
        (see `simnet.study.strategies`).
    topologies : sequence of {"ring", "star", "fully_connected"}, or mapping of str to graph
        How the hosts are joined; what a graph leaves open is drawn from the profile.
    profiles : sequence of str or None
        Network conditions, names of `simnet.conditions.PROFILES`; None where graphs say all.
    ranks : int
        How many train.
    rounds, local_steps : int
        Rounds, and steps a round (H); the same number of steps for every strategy.
    step_time : float or str
        Virtual time that one step's computation costs a rank; nothing else is charged.
    batch : int
        Images a step and rank.
    bucket : {"fused", "as-issued"}
        All tensors in one call, or one call a tensor.
    algorithm : str
        Of the all-reduces.
    target : float
        The accuracy whose time the summary gives.
    seed : int
        Decides the networks, their jitter and loss, the data's split and order, and the model.
    progress : callable, optional
        ``progress(done, total, label)`` after every round of a training and every replay.

    Returns
    -------
    TrainStudy
        Rows (strategy, topology, profile, round, …), one summary a curve, the recordings, and
        what decided them.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above.
    """
    if not 0 < target <= 1:
        raise ValueError(f"target={target}: an accuracy, more than 0 and at most 1")
    settings = Settings(
        rounds=rounds, local_steps=local_steps, step_seconds=parse_time(step_time),
        batch=batch, bucket=bucket, seed=seed,
    )  # fmt: skip
    chosen_algorithms({"all_reduce": algorithm})
    makers = _makers(strategies)
    networks = _networks(_graphs(topologies, ranks), profiles, ranks, seed)
    tell = _teller(progress, len(makers) * (rounds + len(networks)))
    learned = _learn_all(makers, settings, ranks, tell)
    rows: list[Row] = []
    summary: list[Summary] = []
    for points, curve in _replay_all(learned, networks, settings, algorithm, tell):
        rows += points
        summary.append(_summary(points, curve, settings, target))
    return TrainStudy(
        rows=tuple(rows),
        summary=tuple(summary),
        traces={name: training.trace for name, training in learned.items()},
        target=target,
        settings={
            **asdict(settings),
            "strategies": list(makers),
            "topologies": list(dict.fromkeys(topology for topology, _ in networks)),
            "profiles": list(dict.fromkeys(profile for _, profile in networks)),
            "ranks": ranks,
            "algorithm": algorithm,
        },
        version=__version__,
        seed=seed,
    )


def _makers(
    strategies: Sequence[str] | Mapping[str, MakeStrategy],
) -> Mapping[str, MakeStrategy]:
    if isinstance(strategies, Mapping):
        return strategies
    for name in strategies:
        if name not in STRATEGIES:
            raise ValueError(f"strategies: {name!r}; there are {', '.join(STRATEGIES)}")
    return {name: STRATEGIES[name] for name in strategies}


def _graphs(
    topologies: Sequence[str] | Mapping[str, nx.Graph[Any]], ranks: int
) -> Mapping[str, nx.Graph[Any]]:
    if isinstance(topologies, Mapping):
        return topologies
    for name in topologies:
        if name not in TOPOLOGIES:
            raise ValueError(f"topologies: {name!r}; there are {', '.join(TOPOLOGIES)}")
    return {name: TOPOLOGIES[name](ranks) for name in topologies}


def _networks(
    graphs: Mapping[str, nx.Graph[Any]], profiles: Sequence[str | None], ranks: int, seed: int
) -> dict[tuple[str, str], Network]:
    """By topology and profile; all have hosts enough."""
    networks = {
        (topology, profile or AS_GIVEN): Network(graph, profile=profile, seed=seed)
        for topology, graph in graphs.items()
        for profile in profiles
    }
    for net in networks.values():
        place(net, ranks)
    return networks


def _teller(progress: Progress | None, total: int) -> Callable[[str], None]:
    """What counts what has been done, and tells it."""
    done = itertools.count(1)

    def tell(label: str) -> None:
        if progress is not None:
            progress(next(done), total, label)

    return tell


def _learn_all(
    makers: Mapping[str, MakeStrategy],
    settings: Settings,
    ranks: int,
    tell: Callable[[str], None],
) -> dict[str, Learned]:
    """Train once by every strategy."""
    net = reference_network(ranks)
    learned = {}
    with _one_torch_thread():
        for number, (name, make) in enumerate(makers.items(), 1):
            label = f"training {number} of {len(makers)}: {name}"
            learned[name] = learn(make, settings, net, ranks, partial(tell, label))
    return learned


def _replay_all(
    learned: Mapping[str, Learned],
    networks: Mapping[tuple[str, str], Network],
    settings: Settings,
    algorithm: str,
    tell: Callable[[str], None],
) -> Iterator[tuple[list[Row], Curve]]:
    """Every training on every network."""
    for (topology, profile), net in networks.items():
        for strategy, training in learned.items():
            curve = curve_on(net, training, algorithm, settings.seed)
            where = {"strategy": strategy, "topology": topology, "profile": profile}
            yield _rows(curve, training, settings, where), curve
            tell(f"replaying on {topology}, {profile}: {strategy}")


def _rows(
    curve: Curve, learned: Learned, settings: Settings, where: Mapping[str, str]
) -> list[Row]:
    points = zip(curve.times, learned.accuracies, curve.bytes, strict=True)
    return [
        Row(
            **where,
            round=number,
            step=number * settings.local_steps,
            virtual_time=time,
            accuracy=accuracy,
            bytes=size,
        )
        for number, (time, accuracy, size) in enumerate(points)
    ]


def _summary(points: Sequence[Row], curve: Curve, settings: Settings, target: float) -> Summary:
    last = points[-1]
    reached = next((row for row in points if row.accuracy >= target), None)
    return Summary(
        strategy=last.strategy,
        topology=last.topology,
        profile=last.profile,
        time=last.virtual_time,
        accuracy=last.accuracy,
        bytes=last.bytes,
        step_to_target=None if reached is None else reached.step,
        time_to_target=None if reached is None else reached.virtual_time,
        bytes_to_target=None if reached is None else reached.bytes,
        compute_time=settings.rounds * settings.local_steps * settings.step_seconds,
        algorithm=curve.algorithm,
    )


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread per operation: the ranks are many, and the same sums come out everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
