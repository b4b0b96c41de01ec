"""What each strategy averages, against the same thing done without a network."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

import simnet
import topologies
from simnet.study.strategies import STRATEGIES, AllReduce, DiLoCo, FedAvg, Sparta, nesterov
from simnet.study.train_program import BUCKETS

WORLD_SIZE = 4
RATE = 0.5


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=RATE)


def begin():
    return [torch.linspace(-1, 1, 6).reshape(2, 3), torch.linspace(0, 1, 5)]


def gradients(rank, step):
    """Different on every rank and at every step."""
    return [torch.full((2, 3), rank + 1.0), torch.arange(5.0) * (rank - step)]


def mean(tensors):
    return torch.stack(tensors).mean(dim=0)


def average(tensors):
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor.div_(dist.get_world_size())


def trained(make, rounds=1, steps=1, own=begin):
    """The parameters of every rank after some rounds, flat, and the run."""

    def train(rank, world_size):
        parameters = [nn.Parameter(each) for each in own()]
        strategy = make(parameters, average)
        for number in range(rounds):
            for step in range(steps):
                for each, gradient in zip(parameters, gradients(rank, step + number), strict=True):
                    each.grad = gradient[: len(each)] if gradient.dim() == 1 else gradient
                strategy.step()
            strategy.end_round()
        return torch.cat([each.detach().reshape(-1) for each in parameters])

    net = simnet.Network(topologies.star(WORLD_SIZE, bandwidth="1Gbit/s", latency="1ms"))
    return simnet.run(train, net, quiet=True)


def flat(tensors):
    return torch.cat([each.reshape(-1) for each in tensors])


def alone(rank, steps, own):
    """Where a rank's own steps lead."""
    total = sum(flat(gradients(rank, step)) for step in steps)
    return own - RATE * total


def test_all_reduce_steps_by_the_mean_gradient():
    run = trained(partial(AllReduce, optimizer=sgd), steps=2)
    total = sum(mean([flat(gradients(r, step)) for r in range(4)]) for step in range(2))
    for result in run.results:
        assert torch.allclose(result, flat(begin()) - RATE * total)
    assert [each.kind for each in run.records] == ["all_reduce"] * 4


def test_fedavg_averages_what_the_ranks_have_come_to():
    run = trained(partial(FedAvg, optimizer=sgd), rounds=2, steps=3)
    expected = flat(begin())
    for first in (0, 1):
        steps = range(first, first + 3)
        expected = mean([alone(rank, steps, expected) for rank in range(4)])
    for result in run.results:
        assert torch.allclose(result, expected)
    assert len(run.records) == 2 * 2


def test_diloco_takes_nesterov_steps_along_the_mean_change():
    """PyTorch's form: v ← m v + g, then θ ← θ − lr (g + m v); the first v is g."""
    run = trained(partial(DiLoCo, optimizer=sgd), rounds=3, steps=2)
    outer = nesterov([nn.Parameter(torch.zeros(1))]).param_groups[0]
    shared, velocity = flat(begin()), torch.zeros(11)
    for number in range(3):
        steps = range(number, number + 2)
        change = mean([shared - alone(rank, steps, shared) for rank in range(4)])
        velocity = outer["momentum"] * velocity + change
        shared = shared - outer["lr"] * (change + outer["momentum"] * velocity)
    for result in run.results:
        assert torch.allclose(result, shared, atol=1e-6)
    assert len(run.records) == 3 * 2


def test_diloco_without_momentum_is_fedavg():
    plain = partial(torch.optim.SGD, lr=1.0)
    diloco = trained(partial(DiLoCo, optimizer=sgd, outer_optimizer=plain), rounds=2, steps=3)
    fedavg = trained(partial(FedAvg, optimizer=sgd), rounds=2, steps=3)
    assert torch.allclose(diloco.results[0], fedavg.results[0], atol=1e-6)


def test_sparta_averages_exactly_its_share_and_leaves_the_rest():
    share = 4 / 11
    run = trained(partial(Sparta, optimizer=sgd, share=share))
    own = torch.stack([alone(rank, [0], flat(begin())) for rank in range(4)])
    found = torch.stack(run.results)
    averaged = [
        index for index in range(11) if torch.allclose(found[:, index], own[:, index].mean())
    ]
    same_anyway = {index for index in range(11) if torch.equal(own[0, index], own[3, index])}
    chosen = [index for index in averaged if index not in same_anyway]
    rest = [index for index in range(11) if index not in averaged]
    assert len(chosen) <= 4 <= len(chosen) + len(same_anyway)
    assert torch.equal(found[:, rest], own[:, rest])
    seed, *values = run.records
    assert (seed.kind, seed.size) == ("broadcast", 8)
    assert sum(each.size for each in values) == 4 * 4


def test_sparta_of_everything_is_fedavg_at_every_step():
    sparta = trained(partial(Sparta, optimizer=sgd, share=1.0), rounds=3, steps=1)
    fedavg = trained(partial(FedAvg, optimizer=sgd), rounds=3, steps=1)
    assert torch.allclose(sparta.results[0], fedavg.results[0])


def test_sparta_chooses_others_each_time_and_by_the_generator_of_rank_0():
    def choice(seed):
        def train(rank, world_size):
            torch.manual_seed(seed + 100 * rank)
            weights = nn.Parameter(torch.full((40,), float(rank)))
            strategy = Sparta([weights], average, optimizer=sgd, share=0.1)
            seen = []
            for _ in range(3):
                weights.grad = torch.zeros(40)
                weights.data.fill_(float(rank))
                strategy.step()
                seen.append(tuple(np.flatnonzero(weights.detach().numpy() == 1.5)))
            return seen

        net = simnet.Network(topologies.star(WORLD_SIZE, bandwidth="1Gbit/s", latency="1ms"))
        return simnet.run(train, net, quiet=True).results

    first, again, other = choice(0), choice(0), choice(1)
    assert all(seen == first[0] for seen in first)
    assert first == again != other
    assert [len(seen) for seen in first[0]] == [4, 4, 4]
    assert len(set(first[0])) == 3


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_buckets_change_calls_and_nothing_else(name, bucket):
    """One flat buffer or one call a tensor: the same means."""

    def train(rank, world_size):
        torch.manual_seed(rank)
        parameters = [nn.Parameter(each) for each in begin()]
        strategy = STRATEGIES[name](parameters, partial(BUCKETS[bucket], _mean))
        for each, gradient in zip(parameters, gradients(rank, 0), strict=True):
            each.grad = gradient
        strategy.step()
        strategy.end_round()
        return flat([each.detach() for each in parameters])

    net = simnet.Network(topologies.star(WORLD_SIZE, bandwidth="1Gbit/s", latency="1ms"))
    run = simnet.run(train, net, quiet=True)
    direct = trained(STRATEGIES[name])
    calls = [each.size for each in run.records if each.kind == "all_reduce"]
    if name != "sparta":  # whose choice the generator of rank 0 decides
        assert torch.allclose(run.results[0], direct.results[0])
        assert calls == ([44] if bucket == "fused" else [24, 20])
    else:
        assert sum(calls) == 4


def _mean(tensor):
    dist.all_reduce(tensor)
    tensor.div_(dist.get_world_size())
