"""What `simnet.run` refuses, and what its result says about itself."""

import numpy as np
import pytest
import torch
import torch.distributed as dist

import simnet
import topologies

NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))


def nothing(rank, world_size):
    return rank


@pytest.mark.parametrize("ranks", [0, -1, 4])
def test_as_many_ranks_as_hosts_at_most(ranks):
    with pytest.raises(ValueError, match=rf"^ranks={ranks}: the network has hosts for 1 to 3$"):
        simnet.run(nothing, NET, ranks=ranks)


@pytest.mark.parametrize("ranks", ["3", 2.0, True])
def test_ranks_are_a_whole_number(ranks):
    with pytest.raises(TypeError, match=r"^ranks=.*: a whole number, or None"):
        simnet.run(nothing, NET, ranks=ranks)


def test_numpy_numbers_count():
    assert simnet.run(nothing, NET, ranks=np.int64(2)).results == (0, 1)


def test_other_arguments():
    with pytest.raises(TypeError, match=r"^train=3: a function of \(rank, world_size\)$"):
        simnet.run(3, NET)
    with pytest.raises(TypeError, match=r"wrap a graph: simnet\.Network\(graph\)"):
        simnet.run(nothing, topologies.star(3))
    with pytest.raises(TypeError, match=r"^algorithm=3: a name, a function, or a mapping"):
        simnet.run(nothing, NET, algorithm=3)
    with pytest.raises(ValueError, match=r"^algorithm of 'allreduce': kinds are all_reduce, "):
        simnet.run(nothing, NET, algorithm={"allreduce": "ring"})
    with pytest.raises(ValueError, match="transport='tcp'"):
        simnet.run(nothing, NET, transport="tcp")


def test_an_unknown_algorithm_is_named_when_it_is_first_used():
    def train(rank, world_size):
        dist.all_reduce(torch.ones(1))

    with pytest.raises(ValueError, match="rings"):
        simnet.run(train, NET, algorithm="rings")


@pytest.mark.parametrize("duration", [-1, "5 parsecs", float("nan")])
def test_compute_checks_its_argument_outside_a_rank_too(duration):
    with pytest.raises(ValueError, match=r"\S"):
        simnet.compute(duration)


def test_compute_outside_a_rank_does_nothing():
    assert simnet.compute("10min") is None


def test_a_run_says_where_it_comes_from():
    run = simnet.run(nothing, NET, seed=11)

    assert run.results == (0, 1, 2)
    assert (run.seed, run.version) == (11, simnet.__version__)
    assert run.records == ()
    assert not run.rank_times.flags.writeable
    with pytest.raises(AttributeError):
        run.results = ()


def test_no_seed_draws_one_and_records_it():
    def train(rank, world_size):
        dist.all_reduce(torch.ones(100))

    net = simnet.Network(topologies.star(3), profile="mobile")
    drawn = simnet.run(train, net, seed=None)
    assert simnet.run(train, net, seed=drawn.seed).time == drawn.time


def test_kinds_have_their_own_algorithms():
    def train(rank, world_size):
        dist.broadcast(torch.ones(10), src=0)
        dist.all_reduce(torch.ones(10))

    run = simnet.run(train, NET, algorithm={"broadcast": "chain", "all_reduce": "ring"})
    assert [record.algorithm for record in run.records] == ["chain", "ring"]
