"""Accuracy against virtual time: real training of a small network on real digits.

Two strategies, each on every network asked for. *fedavg*: every rank takes some steps by itself,
then all average their parameters (McMahan et al., 2017, https://arxiv.org/abs/1602.05629).
*all_reduce*: all average their gradients at every step. The training program is ordinary
torch.distributed code (`simnet.study.train_program`), which runs on gloo as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np
import torch

import topologies
from simnet.distributed import Run, run
from simnet.network import Network
from simnet.study.train_program import STRATEGIES, RankResult, Settings, train_rank
from simnet.units import parse_time
from simnet.version import __version__

PROFILES = ("mobile", "datacenter", "cross_continental")
TOPOLOGIES = ("star", "ring", "fully_connected")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured point: after `step` steps, at `virtual_time` seconds.

    `bytes` is what has crossed the cables until then, retransmissions included.
    """

    strategy: str
    profile: str
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
    time_to_target : float or None
        Virtual seconds until the accuracy first reached the target; None if never.
    compute_time : float
        Virtual seconds of `time` that a rank computed.
    algorithm : str
        What carried the averages.
    """

    strategy: str
    profile: str
    time: float
    accuracy: float
    bytes: int
    time_to_target: float | None
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
    target : float
        The accuracy that `Summary.time_to_target` refers to.
    settings : dict
        Everything that decided the numbers, ready for JSON.
    """

    rows: tuple[Row, ...] = field(repr=False)
    summary: tuple[Summary, ...]
    target: float
    settings: dict[str, Any]
    version: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def run_study(
    *,
    strategies: Sequence[str] = STRATEGIES,
    profiles: Sequence[str] = PROFILES,
    topology: str | nx.Graph[Any] = "star",
    ranks: int = 4,
    rounds: int = 12,
    local_steps: int = 10,
    step_time: float | str = "10ms",
    batch: int = 16,
    bucket: str = "fused",
    algorithm: str = "auto",
    target: float = 0.95,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainStudy:
    """Train by every strategy on every network; takes some seconds.

    Parameters
    ----------
    strategies : sequence of {"fedavg", "all_reduce"}
        What is averaged: parameters once a round, or gradients at every step.
    profiles : sequence of str
        Network conditions, names of `simnet.conditions.PROFILES`.
    topology : {"star", "ring", "fully_connected"} or networkx graph
        How the hosts are joined; what a graph leaves open is drawn from the profile.
    ranks : int
        How many train.
    rounds, local_steps : int
        Rounds, and steps a round (H).
    step_time : float or str
        Virtual time that one step's computation costs a rank; nothing else is charged.
    batch : int
        Images a step and rank.
    bucket : {"fused", "as-issued"}
        All parameters in one call, or one call a tensor.
    algorithm : str
        Of the all-reduces.
    target : float
        The accuracy whose time the summary gives.
    seed : int
        Decides the networks, their jitter and loss, the data's split and order, and the model.
    progress : callable, optional
        ``progress(done, total, label)`` after every round of every training.

    Returns
    -------
    TrainStudy
        Rows (strategy, profile, step, virtual_time, accuracy, bytes), one summary a curve, and
        what decided them.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above.
    """
    if not 0 < target <= 1:
        raise ValueError(f"target={target}: an accuracy, more than 0 and at most 1")
    basis = Settings(
        rounds=rounds, local_steps=local_steps, step_seconds=parse_time(step_time),
        batch=batch, bucket=bucket, seed=seed,
    )  # fmt: skip
    graph = _graph(topology, ranks)
    cases = [
        (replace(basis, strategy=strategy), profile, Network(graph, profile=profile, seed=seed))
        for profile in profiles
        for strategy in strategies
    ]
    rows: list[Row] = []
    summary: list[Summary] = []
    with _one_torch_thread():
        for number, (settings, profile, net) in enumerate(cases):
            label = f"{settings.strategy} · {profile}"
            done = number * rounds
            result = _train(net, settings, ranks, algorithm, _ticks(progress, done, cases, label))
            curve = _rows(result, settings, profile)
            rows += curve
            summary.append(_summary(result, curve, settings, target))
    return TrainStudy(
        rows=tuple(rows),
        summary=tuple(summary),
        target=target,
        settings={
            **{key: value for key, value in asdict(basis).items() if key != "strategy"},
            "strategies": list(strategies),
            "profiles": list(profiles),
            "topology": graph.graph.get("name") or "given graph",
            "ranks": ranks,
            "algorithm": algorithm,
        },
        version=__version__,
        seed=seed,
    )


def _graph(topology: str | nx.Graph[Any], ranks: int) -> nx.Graph[Any]:
    if not isinstance(topology, str):
        return topology
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology={topology!r}: one of {', '.join(TOPOLOGIES)}, or a graph")
    graph: nx.Graph[Any] = getattr(topologies, topology)(ranks)
    return graph


def _ticks(
    progress: Progress | None, before: int, cases: Sequence[tuple[Settings, Any, Any]], label: str
) -> Callable[[int], None] | None:
    """What tells `progress` of a training's rounds."""
    if progress is None:
        return None
    total = sum(settings.rounds for settings, _, _ in cases)
    return lambda done: progress(before + done, total, label)


def _train(
    net: Network,
    settings: Settings,
    ranks: int,
    algorithm: str,
    on_round: Callable[[int], None] | None,
) -> Run:
    def train(rank: int, world_size: int) -> RankResult:
        return train_rank(rank, world_size, settings, on_round)

    return run(train, net, ranks, seed=settings.seed, algorithm=algorithm)


def _rows(result: Run, settings: Settings, profile: str) -> list[Row]:
    """The points of one curve; a round is over when the last rank is through."""
    times = np.max([each.times for each in result.results], axis=0).tolist()
    return [
        Row(
            strategy=settings.strategy,
            profile=profile,
            step=number * settings.local_steps,
            virtual_time=time,
            accuracy=accuracy,
            bytes=sum(each.bytes_on_wire for each in result.operations if each.finish <= time),
        )
        for number, (time, accuracy) in enumerate(
            zip(times, result.results[0].accuracies, strict=True)
        )
    ]


def _summary(result: Run, curve: Sequence[Row], settings: Settings, target: float) -> Summary:
    reached = [row.virtual_time for row in curve if row.accuracy >= target]
    used = {each.algorithm: None for each in result.operations if each.kind == "all_reduce"}
    return Summary(
        strategy=settings.strategy,
        profile=curve[-1].profile,
        time=result.time,
        accuracy=curve[-1].accuracy,
        bytes=result.bytes_on_wire,
        time_to_target=reached[0] if reached else None,
        compute_time=settings.rounds * settings.local_steps * settings.step_seconds,
        algorithm=", ".join(used),
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
