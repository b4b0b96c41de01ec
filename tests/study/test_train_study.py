"""The training study: curves, times by hand, and what it refuses."""

import itertools
import json
from functools import partial

import numpy as np
import pytest
import torch

import simnet
import topologies
from simnet.study.curves import curve_of, round_times
from simnet.study.strategies import STRATEGIES, AllReduce, FedAvg
from simnet.study.train import run_study
from simnet.study.train_program import Settings, _batches, train_rank
from simnet.workload.data import load_digits, shard, split
from simnet.workload.models import small_cnn

ALPHA, BETA = 0.040, 1e6
STEP_S = 0.010
SIZE = 4 * 19_578
SHARE = 4 * 1_958
BY_HAND = {"broadcast": "binomial", "all_reduce": "ring"}


def ring_s(size):
    return 6 * (ALPHA + size / 4 / BETA)


def broadcast_s(size):
    return 2 * (ALPHA + size / BETA)


def star():
    """Four hosts, 20 ms and 1 MB/s from the switch each."""
    return topologies.star(4, bandwidth=BETA, latency=ALPHA / 2)


def trained(settings, strategy="fedavg"):
    """A run of the study's training program where times can be derived by hand."""
    make = STRATEGIES.get(strategy, strategy)
    return simnet.run(
        lambda rank, world_size: train_rank(rank, world_size, make, settings),
        simnet.Network(star()),
        algorithm=BY_HAND,
        quiet=True,
    )


@pytest.mark.parametrize(
    ("strategy", "before", "averages", "size"),
    [
        ("all_reduce", 0, 5, SIZE),
        ("fedavg", 0, 1, SIZE),
        ("diloco", 0, 1, SIZE),
        ("sparta", 8, 5, SHARE),
    ],
)
def test_first_round_by_hand(strategy, before, averages, size):
    run = trained(Settings(rounds=1, local_steps=5), strategy)

    begin = broadcast_s(SIZE) + (broadcast_s(before) if before else 0.0)
    end = begin + 5 * STEP_S + averages * ring_s(size)
    for times in round_times(run.trace):
        assert times == pytest.approx((begin, end), rel=1e-12)
    assert run.time == pytest.approx(end, rel=1e-12)
    # A broadcast to three ranks; a ring moves 2 (N − 1) / N of the buffer a rank. Two cables each.
    first = 2 * 3 * (SIZE + before)
    assert curve_of(run).bytes == (first, first + 2 * averages * 6 * size)


def test_one_call_a_tensor_pays_the_latency_once_a_tensor():
    run = trained(Settings(rounds=1, local_steps=1, bucket="as-issued"))

    kinds = [record.kind for record in run.records]
    assert kinds == ["broadcast"] * 8 + ["all_reduce"] * 8
    assert sum(record.size for record in run.records[8:]) == SIZE
    # Not every tensor is cut into four equal chunks, so the bytes give only a bound.
    begin, end = round_times(run.trace)[0]
    assert end - begin >= STEP_S + 8 * 6 * ALPHA + 6 * SIZE / 4 / BETA
    assert end - begin <= STEP_S + 8 * 6 * ALPHA + 6 * SIZE / 4 / BETA + 8 * 6 * 4 / BETA


@pytest.mark.parametrize("strategy", ["all_reduce", "fedavg", "diloco"])
def test_ranks_end_with_the_same_parameters_and_train_on_different_images(strategy):
    first = trained(Settings(rounds=2, local_steps=3), strategy)
    for result in first.results[1:]:
        assert np.array_equal(result.parameters, first.results[0].parameters)
        assert result.accuracies == first.results[0].accuracies
    again = trained(Settings(rounds=2, local_steps=3), strategy)
    assert np.array_equal(again.results[0].parameters, first.results[0].parameters)
    other = trained(Settings(rounds=2, local_steps=3, seed=1), strategy)
    assert not np.array_equal(other.results[0].parameters, first.results[0].parameters)


def test_gradients_averaged_each_step_equal_one_step_on_all_images():
    """Four ranks with a quarter of a batch each are one rank with the whole batch."""
    settings, rate = Settings(rounds=1, local_steps=1), 0.1
    plain = partial(AllReduce, optimizer=partial(torch.optim.SGD, lr=rate))
    four = trained(settings, plain).results[0].parameters

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = small_cnn()
    train, _ = split(load_digits(), seed=settings.seed)
    parts = [next(_batches(shard(train, rank, 4), settings, rank)) for rank in range(4)]
    images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    one = torch.cat([(p - rate * p.grad).detach().reshape(-1) for p in model.parameters()])
    assert torch.allclose(torch.from_numpy(four), one, rtol=1e-5, atol=1e-6)


def test_the_study_has_a_curve_for_every_strategy_and_network():
    ticks = []
    before = torch.get_num_threads()
    study = run_study(
        strategies=("fedavg", "all_reduce"),
        topologies=("ring", "star"),
        profiles=("mobile", "datacenter"),
        rounds=3,
        local_steps=4,
        target=0.05,
        progress=lambda done, total, label: ticks.append((done, total, label)),
    )

    assert torch.get_num_threads() == before
    assert len(study.rows) == 2 * 2 * 2 * 4
    assert [(s.topology, s.profile, s.strategy) for s in study.summary] == list(
        itertools.product(("ring", "star"), ("mobile", "datacenter"), ("fedavg", "all_reduce"))
    )
    assert [tick[:2] for tick in ticks] == [(done, 14) for done in range(1, 15)]
    assert ticks[0][2] == "training 1 of 2: fedavg"
    assert ticks[-1][2] == "replaying on star, datacenter: all_reduce"
    for number, summary in enumerate(study.summary):
        curve = study.rows[4 * number : 4 * number + 4]
        assert [(row.round, row.step) for row in curve] == [(0, 0), (1, 4), (2, 8), (3, 12)]
        for first, second in itertools.pairwise(curve):
            assert second.virtual_time >= first.virtual_time + 4 * STEP_S
            assert second.bytes > first.bytes
        assert (summary.time, summary.bytes) == (curve[-1].virtual_time, curve[-1].bytes)
        assert summary.accuracy == curve[-1].accuracy
        assert summary.compute_time == pytest.approx(12 * STEP_S)
        reached = [row for row in curve if row.accuracy >= 0.05]
        assert summary.time_to_target == reached[0].virtual_time
        assert (summary.step_to_target, summary.bytes_to_target) == (
            reached[0].step,
            reached[0].bytes,
        )
    mobile, datacenter = study.summary[0], study.summary[2]
    assert mobile.accuracy == datacenter.accuracy
    assert mobile.time > 10 * datacenter.time


@pytest.mark.slow
def test_every_strategy_learns_in_the_default_budget():
    study = run_study(topologies=("star",), profiles=("datacenter",))
    assert [each.strategy for each in study.summary] == list(STRATEGIES)
    for each in study.summary:
        assert each.accuracy >= 0.95
        assert each.step_to_target <= 120
    reached = {each.strategy: each.time_to_target for each in study.summary}
    assert reached["fedavg"] < reached["sparta"] < reached["all_reduce"]


def test_the_study_is_json_and_says_what_decided_it():
    study = run_study(
        strategies=("fedavg",), profiles=(None,), topologies={"mine": star()}, rounds=1,
        local_steps=1, step_time="25ms", target=1.0, seed=4,
    )  # fmt: skip
    found = json.loads(json.dumps(study.to_dict()))

    assert found["summary"][0]["time_to_target"] is None
    assert found["settings"]["step_seconds"] == 0.025
    assert found["settings"]["strategies"] == ["fedavg"]
    assert found["settings"]["topologies"] == ["mine"]
    assert (found["seed"], found["version"]) == (4, simnet.__version__)
    assert set(found["rows"][0]) == {
        "strategy", "topology", "profile", "round", "step", "virtual_time", "accuracy", "bytes",
    }  # fmt: skip
    assert found["rows"][0]["profile"] == "as given"
    assert study.traces["fedavg"].header.ranks == 4


def test_a_strategy_of_ones_own_is_a_function_of_parameters_and_average():
    study = run_study(
        strategies={"mine": lambda parameters, average: FedAvg(parameters, average)},
        topologies=("star",), profiles=("lan",), rounds=1, local_steps=2,
    )  # fmt: skip
    assert {row.strategy for row in study.rows} == {"mine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategies": ("sgd",)}, r"^strategies: 'sgd'; there are all_reduce, fedavg, diloco"),
        ({"profiles": ("moon",)}, "moon"),
        ({"topologies": ("donut",)}, r"^topologies: 'donut'; there are ring, star"),
        ({"bucket": "25MB"}, r"^bucket='25MB': one of fused, as-issued$"),
        ({"algorithm": "rign"}, r"^algorithm of all_reduce: 'rign'"),
        ({"rounds": 0}, r"^rounds=0: a whole number, at least 1$"),
        ({"local_steps": 1.5}, r"^local_steps=1\.5: a whole number"),
        ({"batch": -3}, r"^batch=-3: a whole number"),
        ({"step_time": "-1ms"}, "-1"),
        ({"target": 95}, r"^target=95: an accuracy"),
        (
            {"ranks": 9, "topologies": {"star": star()}},
            r"^ranks=9: the network has hosts for 1 to 4$",
        ),
    ],
)
def test_what_cannot_be_studied_says_why(arguments, message, monkeypatch):
    monkeypatch.setattr("simnet.study.curves.run", lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(ValueError, match=message):
        run_study(**{"rounds": 1, "local_steps": 1, **arguments})
