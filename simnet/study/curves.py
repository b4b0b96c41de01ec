"""What a strategy learns, once, and when it has learned it on a network: a live run, replays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.distributed import Run, run
from simnet.network import Network
from simnet.study.strategies import MakeStrategy
from simnet.study.train_program import ROUND, RankResult, Settings, train_rank
from simnet.workload.replay import replay
from simnet.workload.trace import Trace
from topologies import star


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A training that has been carried out.

    Attributes
    ----------
    trace : Trace
        Its recording.
    accuracies : tuple of float
        Share of the test images that the ranks' own models get right on average, before the first
        round and after each. They do not depend on the network.
    """

    trace: Trace
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The same training on one network.

    Attributes
    ----------
    times : tuple of float
        When the last rank was through with the initial parameters and with each round, virtual
        seconds.
    bytes : tuple of int
        What has crossed the cables until then, retransmissions included.
    algorithm : str
        What carried the averages.
    """

    times: tuple[float, ...]
    bytes: tuple[int, ...]
    algorithm: str


def reference_network(ranks: int) -> Network:
    """Where trainings are carried out: fast and without loss; any would do."""
    return Network(star(ranks, bandwidth="100Gbit/s", latency="1us"))


def learn(
    make_strategy: MakeStrategy,
    settings: Settings,
    net: Network,
    ranks: int,
    on_round: Callable[[], None] | None = None,
) -> Learned:
    """Train, live.

    Parameters
    ----------
    make_strategy : callable
        See `simnet.study.strategies`.
    settings : Settings
        How the training runs.
    net : Network
        Where.
    ranks : int
        How many train.
    on_round : callable, optional
        Called after every round.
    """

    def train(rank: int, world_size: int) -> RankResult:
        return train_rank(rank, world_size, make_strategy, settings, on_round)

    done = run(train, net, ranks, seed=settings.seed, quiet=True)
    means = np.mean([each.accuracies for each in done.results], axis=0)
    return Learned(trace=done.trace, accuracies=tuple(means.tolist()))


def curve_on(net: Network, learned: Learned, algorithm: str, seed: int) -> Curve:
    """Replay a training on a network."""
    return curve_of(replay(learned.trace, net, seed=seed, algorithm={"all_reduce": algorithm}))


def curve_of(done: Run) -> Curve:
    """The curve of a live run of `train_rank` or of its replay."""
    times = round_times(done.trace).max(axis=0)
    finishes = np.array([each.finish for each in done.records])
    sizes = np.array([each.bytes_on_wire for each in done.records])
    used = {each.algorithm: None for each in done.records if each.kind == "all_reduce"}
    return Curve(
        times=tuple(times.tolist()),
        bytes=tuple(int(sizes[finishes <= time].sum()) for time in times),
        algorithm=", ".join(used),
    )


def round_times(trace: Trace) -> NDArray[np.float64]:
    """When each rank began the first round and ended every round: (ranks, rounds + 1) seconds."""
    return np.array(
        [
            [
                entry.begin
                for entry in entries
                if entry.action == "end"
                or (entry.action == "phase" and entry.name.startswith(ROUND))
            ]
            for entries in trace.entries
        ]
    )
