"""Calls that cost nothing: free phases, empty collectives, what replays make of them."""

import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.ranks.seat import current

ALPHA, BETA = 0.020, 1e6
STAR = simnet.Network(topologies.star(3, bandwidth=BETA, latency=ALPHA / 2))


def ring(size):
    return 4 * (ALPHA + size / 3 / BETA)


def phases(rank, world_size):
    """Evaluation is free, but waits for the last; the algorithm is not."""
    tensor = torch.full((300,), float(rank))
    seat = current()
    with seat.phase("evaluation", free=True):
        simnet.compute(0.1 * rank)
        dist.all_reduce(tensor)
        dist.broadcast(tensor, src=1)
        dist.barrier()
    evaluated = simnet.now()
    with seat.phase("algorithm"):
        dist.all_reduce(tensor)
    return evaluated, simnet.now(), tensor[0].item(), dict(seat.bytes)


def test_a_free_phase_moves_data_and_costs_nothing():
    run = simnet.run(phases, STAR, algorithm="ring", quiet=True)
    for evaluated, end, value, carried in run.results:
        assert evaluated == 0.2  # the last rank's time
        assert abs(end - (0.2 + ring(1200))) < 1e-12
        assert value == 9.0
        assert carried == {"evaluation": 2400, "algorithm": 1200}
    assert [each.kind for each in run.records] == ["all_reduce"]
    assert simnet.replay(run.trace, STAR).rank_times.tolist() == run.rank_times.tolist()
    assert simnet.run(phases, STAR, algorithm="ring", bucket="1MB", quiet=True).time == run.time


def test_a_free_phase_is_not_metered():
    def train(rank, world_size):
        with current().phase("evaluation", free=True):
            torch.ones(200, 200) @ torch.ones(200, 200)
        return simnet.now()

    model = simnet.compute.Roofline("phone")
    assert simnet.run(train, STAR, compute=model, quiet=True).results == (0.0,) * 3


def test_a_phase_that_costs_does_so_inside_a_free_one():
    def train(rank, world_size):
        seat, times = current(), []
        with seat.phase("harness", free=True):
            torch.ones(200, 200) @ torch.ones(200, 200)
            with seat.phase("algorithm"):
                torch.ones(200, 200) @ torch.ones(200, 200)
                times.append(simnet.now())
                dist.all_reduce(torch.ones(75))
            times.append(simnet.now())
            torch.ones(200, 200) @ torch.ones(200, 200)
            dist.all_reduce(torch.ones(75))
        times.append(simnet.now())
        torch.ones(200, 200) @ torch.ones(200, 200)
        return *times, simnet.now()

    model = simnet.compute.Roofline("phone")
    run = simnet.run(train, STAR, algorithm="ring", compute=model, quiet=True)
    once, after, harness, twice = run.results[0]
    assert once > 0
    assert after >= once + ring(300)  # torch.ones inside costs too
    assert harness == after
    assert twice > harness


def test_replays_wait_for_free_calls_as_the_run_did():
    def train(rank, world_size):
        simnet.compute(0.1 * (rank + 1))
        with current().phase("evaluation", free=True):
            dist.broadcast(torch.ones(10), src=1)
            first = simnet.now()
            dist.reduce(torch.ones(10), dst=0)
        return first, simnet.now()

    run = simnet.run(train, STAR, quiet=True)
    # A broadcast waits for its root; a reduce only holds the root.
    assert [first for first, _ in run.results] == [0.2, 0.2, 0.1 * 3]
    assert [last for _, last in run.results] == [0.1 * 3, 0.2, 0.1 * 3]
    assert simnet.replay(run.trace, STAR).rank_times.tolist() == run.rank_times.tolist()


def test_collectives_of_nothing_return_at_once():
    def train(rank, world_size):
        simnet.compute(0.1 * rank)
        dist.all_reduce(torch.empty(0))
        dist.broadcast(torch.empty(0), src=2)
        dist.all_gather_single(torch.empty(0), torch.empty(0))
        return simnet.now()

    run = simnet.run(train, STAR, quiet=True)
    assert run.results == (0.0, 0.1, 0.2)
    assert run.bytes_on_wire == 0
    assert simnet.replay(run.trace, STAR).rank_times.tolist() == [0.0, 0.1, 0.2]
