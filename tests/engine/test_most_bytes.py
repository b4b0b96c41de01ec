"""Sums of bytes that int64 does not hold are refused, by every engine in the same words."""

import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.collectives.schedule import Transfers, from_transfers
from simnet.engine import models
from simnet.engine.program import compile_schedule, count_bytes

ENGINES = models.ENGINES if models.kernel() == "kernel" else ("auto", "reference")
TOO_MUCH = r"\d+ bytes or more in all; at most 2\^62 = 4611686018427387904$"


def star(hosts=4):
    return simnet.Network(topologies.star(hosts, bandwidth="10Gbit/s", latency="1us"))


@pytest.mark.parametrize("engine", ENGINES)
def test_flows(engine):
    count = 513
    work = simnet.flows(np.zeros(count, int), np.ones(count, int), 2**53, np.arange(count) * 1e8)
    with pytest.raises(ValueError, match=f"^flows: {TOO_MUCH}"):
        simnet.simulate(star(), work, engine=engine)
    with pytest.raises(ValueError, match=f"^flows: {TOO_MUCH}"):
        simnet.simulate_many(star(), work, {"latency": np.zeros((1, 8))})


@pytest.mark.parametrize("engine", ENGINES)
def test_collectives(engine):
    """A ring of 520 ranks sends all that it gathers 519 times."""
    work = collectives.all_gather(2**53, algorithm="ring")
    with pytest.raises(ValueError, match=f"^schedule: {TOO_MUCH}"):
        simnet.simulate(star(520), work, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_after_the_other(engine):
    work = simnet.flows(np.zeros(300, int), np.ones(300, int), 2**53, np.arange(300) * 1e8)

    def run(times):
        def process(env, fabric):
            for _ in range(times):
                yield fabric.submit(work).done

        return simnet.simulate(star(), processes=[process], engine=engine)

    assert run(1).bytes_on_wire == 2 * 300 * 2**53
    with pytest.raises(ValueError, match="the program brings the model's bytes over 2\\^62"):
        run(2)


def own_schedule(sizes):
    """All from rank 0 to rank 1, none of which waits."""
    count, none = len(sizes), np.empty(0, dtype=np.int64)
    zeros = np.zeros(count, dtype=np.int64)
    transfers = Transfers(
        src=zeros,
        dst=zeros + 1,
        size=np.array(sizes),
        reduces=zeros > 0,
        channel=zeros,
        chunk_offsets=np.append(zeros, 0),
        chunks=none,
        dep_offsets=np.append(zeros, 0),
        deps=none,
    )
    return from_transfers(collectives.all_reduce(1), 2, transfers)


def test_the_most_is_allowed():
    halves = compile_schedule(own_schedule([2**61, 2**61]), (0, 1))
    assert halves.sizes.sum() == 2**62
    more = compile_schedule(own_schedule([2**61, 2**61, 1]), (0, 1))
    for walk in (more.repeats, more.blocks):
        with pytest.raises(ValueError, match=f"^schedule: {TOO_MUCH}"):
            list(walk())
    assert count_bytes(np.array([2**60, 3]), np.array([4, 0])) == 2**62
    assert count_bytes(np.array([5, 3]), 7, before=2**62 - 56) == 2**62
