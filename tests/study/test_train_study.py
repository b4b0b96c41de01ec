"""The training study: curves, times by hand, and what it refuses."""

import itertools
import json

import numpy as np
import pytest
import torch

import simnet
import topologies
from simnet.study.train import run_study
from simnet.study.train_program import Settings, _batches, train_rank
from simnet.workload.data import load_digits, shard, split
from simnet.workload.models import small_cnn

ALPHA, BETA = 0.040, 1e6
STEP_S = 0.010
SIZE = 4 * 19_578
BY_HAND = {"broadcast": "binomial", "all_reduce": "ring"}
RING_S = 6 * (ALPHA + SIZE / 4 / BETA)
BROADCAST_S = 2 * (ALPHA + SIZE / BETA)


def star():
    """Four hosts, 20 ms and 1 MB/s from the switch each."""
    return topologies.star(4, bandwidth=BETA, latency=ALPHA / 2)


def trained(settings):
    """A run of the study's training program where times can be derived by hand."""
    return simnet.run(
        lambda rank, world_size: train_rank(rank, world_size, settings),
        simnet.Network(star()),
        algorithm=BY_HAND,
    )


@pytest.mark.parametrize("strategy", ["fedavg", "all_reduce"])
def test_first_round_by_hand(strategy):
    run = trained(Settings(strategy=strategy, rounds=1, local_steps=5))

    averages = 1 if strategy == "fedavg" else 5
    round_s = 5 * STEP_S + averages * RING_S
    for result in run.results:
        assert result.times == pytest.approx((BROADCAST_S, BROADCAST_S + round_s), rel=1e-12)
    assert run.time == pytest.approx(BROADCAST_S + round_s, rel=1e-12)
    # A broadcast to three ranks; a ring moves 2 (N − 1) / N of the buffer a rank. Two cables each.
    assert run.bytes_on_wire == 2 * (3 * SIZE + averages * 6 * SIZE)


def test_one_call_a_tensor_pays_the_latency_once_a_tensor():
    run = trained(Settings(rounds=1, local_steps=1, bucket="as-issued"))

    kinds = [record.kind for record in run.operations]
    assert kinds == ["broadcast"] * 8 + ["all_reduce"] * 8
    assert sum(record.size for record in run.operations[8:]) == SIZE
    # Not every tensor is cut into four equal chunks, so the bytes give only a bound.
    begin, end = run.results[0].times
    assert end - begin >= STEP_S + 8 * 6 * ALPHA + 6 * SIZE / 4 / BETA
    assert end - begin <= STEP_S + 8 * 6 * ALPHA + 6 * SIZE / 4 / BETA + 8 * 6 * 4 / BETA


def test_ranks_end_with_the_same_parameters_and_train_on_different_images():
    fedavg = trained(Settings(strategy="fedavg", rounds=2, local_steps=3))
    for result in fedavg.results[1:]:
        assert np.array_equal(result.parameters, fedavg.results[0].parameters)
        assert result.accuracies == ()
    again = trained(Settings(strategy="fedavg", rounds=2, local_steps=3))
    assert np.array_equal(again.results[0].parameters, fedavg.results[0].parameters)
    other = trained(Settings(strategy="fedavg", rounds=2, local_steps=3, seed=1))
    assert not np.array_equal(other.results[0].parameters, fedavg.results[0].parameters)


def test_gradients_averaged_each_step_equal_one_step_on_all_images():
    """Four ranks with a quarter of a batch each are one rank with the whole batch."""
    settings = Settings(strategy="all_reduce", rounds=1, local_steps=1, momentum=0.0)
    four = trained(settings).results[0].parameters

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = small_cnn()
    train, _ = split(load_digits(), seed=settings.seed)
    parts = [next(_batches(shard(train, rank, 4), settings, rank)) for rank in range(4)]
    images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    one = torch.cat(
        [(p - settings.learning_rate * p.grad).detach().reshape(-1) for p in model.parameters()]
    )
    assert torch.allclose(torch.from_numpy(four), one, rtol=1e-5, atol=1e-6)


def test_the_study_has_a_curve_for_every_strategy_and_profile():
    ticks = []
    before = torch.get_num_threads()
    study = run_study(
        profiles=("mobile", "datacenter"),
        rounds=3,
        local_steps=4,
        topology="ring",
        target=0.05,
        progress=lambda done, total, label: ticks.append((done, total, label)),
    )

    assert torch.get_num_threads() == before
    assert len(study.rows) == 2 * 2 * 4
    assert [(s.profile, s.strategy) for s in study.summary] == [
        ("mobile", "fedavg"),
        ("mobile", "all_reduce"),
        ("datacenter", "fedavg"),
        ("datacenter", "all_reduce"),
    ]
    assert [tick[:2] for tick in ticks] == [(done, 12) for done in range(1, 13)]
    assert ticks[-1][2] == "all_reduce · datacenter"
    for number, summary in enumerate(study.summary):
        curve = study.rows[4 * number : 4 * number + 4]
        assert [row.step for row in curve] == [0, 4, 8, 12]
        for first, second in itertools.pairwise(curve):
            assert second.virtual_time >= first.virtual_time + 4 * STEP_S
            assert second.bytes > first.bytes
        assert (summary.time, summary.bytes) == (curve[-1].virtual_time, curve[-1].bytes)
        assert summary.accuracy == curve[-1].accuracy
        assert summary.compute_time == pytest.approx(12 * STEP_S)
        reached = [row.virtual_time for row in curve if row.accuracy >= 0.05]
        assert summary.time_to_target == reached[0]
    mobile, datacenter = study.summary[0], study.summary[2]
    assert mobile.accuracy == datacenter.accuracy
    assert mobile.time > 10 * datacenter.time


def test_the_study_is_json_and_says_what_decided_it():
    study = run_study(
        strategies=("fedavg",), profiles=("datacenter",), topology=star(), rounds=1,
        local_steps=1, step_time="25ms", target=1.0, seed=4,
    )  # fmt: skip
    found = json.loads(json.dumps(study.to_dict()))

    assert found["summary"][0]["time_to_target"] is None
    assert found["settings"]["step_seconds"] == 0.025
    assert found["settings"]["strategies"] == ["fedavg"]
    assert (found["seed"], found["version"]) == (4, simnet.__version__)
    assert set(found["rows"][0]) == {
        "strategy", "profile", "step", "virtual_time", "accuracy", "bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategies": ("sgd",)}, r"^strategy='sgd': one of fedavg, all_reduce$"),
        ({"profiles": ("moon",)}, "moon"),
        ({"topology": "donut"}, r"^topology='donut': one of star, ring"),
        ({"bucket": "25MB"}, r"^bucket='25MB': one of fused, as-issued$"),
        ({"rounds": 0}, r"^rounds=0: a whole number, at least 1$"),
        ({"local_steps": 1.5}, r"^local_steps=1\.5: a whole number"),
        ({"batch": -3}, r"^batch=-3: a whole number"),
        ({"step_time": "-1ms"}, "-1"),
        ({"target": 95}, r"^target=95: an accuracy"),
        ({"ranks": 9, "topology": star()}, r"^ranks=9: the network has hosts for 1 to 4$"),
    ],
)
def test_what_cannot_be_studied_says_why(arguments, message):
    with pytest.raises(ValueError, match=message):
        run_study(**{"rounds": 1, "local_steps": 1, **arguments})
