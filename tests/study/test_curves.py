"""One training, replayed, is the training that would have run there."""

import numpy as np
import pytest

import simnet
import topologies
from simnet.study.curves import curve_of, curve_on, learn, reference_network, round_times
from simnet.study.strategies import STRATEGIES
from simnet.study.train_program import Settings, train_rank

RANKS = 4
SHORT = Settings(rounds=3, local_steps=4)


def network(topology="ring", profile="mobile"):
    return simnet.Network(getattr(topologies, topology)(RANKS), profile=profile, seed=0)


@pytest.fixture(scope="module")
def learned():
    net = reference_network(RANKS)
    return {name: learn(make, SHORT, net, RANKS) for name, make in STRATEGIES.items()}


def live(net, strategy):
    """The same training, live on a network."""
    return simnet.run(
        lambda rank, size: train_rank(rank, size, STRATEGIES[strategy], SHORT), net, quiet=True
    )


@pytest.mark.parametrize(
    ("strategy", "topology", "profile"),
    [
        *((name, "ring", "mobile") for name in STRATEGIES),
        ("fedavg", "fully_connected", "cross_continental"),
    ],
)
def test_a_replay_equals_a_live_run_there_to_the_bit(learned, strategy, topology, profile):
    run = live(network(topology, profile), strategy)
    again = simnet.replay(learned[strategy].trace, network(topology, profile))

    assert np.array_equal(round_times(again.trace), round_times(run.trace))
    assert np.array_equal(again.rank_times, run.rank_times)
    assert [(each.kind, each.size, each.algorithm, each.start, each.finish, each.bytes_on_wire)
            for each in again.records] == [
           (each.kind, each.size, each.algorithm, each.start, each.finish, each.bytes_on_wire)
            for each in run.records]  # fmt: skip
    means = np.mean([each.accuracies for each in run.results], axis=0)
    assert learned[strategy].accuracies == tuple(means.tolist())
    curve = curve_on(network(topology, profile), learned[strategy], "auto", 0)
    assert curve == curve_of(run)


def test_a_curve_has_a_point_a_round(learned):
    for training in learned.values():
        curve = curve_on(network(), training, "ring", 0)
        assert len(curve.times) == len(curve.bytes) == len(training.accuracies) == 4
        assert all(np.diff(curve.times) >= 4 * SHORT.step_seconds)
        assert all(np.diff(curve.bytes) > 0)
        assert curve.algorithm == "ring"


def test_the_end_is_the_runs_own(learned):
    run = simnet.replay(learned["fedavg"].trace, network())
    curve = curve_of(run)
    assert curve.times[-1] == run.time
    assert curve.bytes[-1] == run.bytes_on_wire
    assert np.array_equal(round_times(run.trace)[:, -1], run.rank_times)


def test_what_is_learned_does_not_depend_on_the_network(learned):
    slow = learn(STRATEGIES["diloco"], SHORT, network("star", "poor"), RANKS)
    assert slow.accuracies == learned["diloco"].accuracies
