"""Several jobs, posted and entered in any order, looked at in between: tiers equal the reference.

Seeds are fixed: where instants that are equal on paper differ by a rounding, two engines may let
another job go first, and that is not what is tried here.
"""

import random
from dataclasses import dataclass

import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.engine import FluidModel, KernelModel, TieredModel
from simnet.engine.models import TIERS
from simnet.engine.program import compile_flows, compile_schedule
from simnet.transport import Ideal

pytestmark = pytest.mark.kernel

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "barrier")
INFINITY = float("inf")


@dataclass(order=True)
class Stimulus:
    time: float
    turn: int  # of one instant: posts come first
    among: float
    what: str
    job: int = -1
    rank: int = -1


def network(rng):
    topology = rng.choice([topologies.ring, topologies.star, topologies.fully_connected])
    bandwidth, latency = rng.choice(["1MB/s", "10MB/s"]), rng.choice(["0s", "1ms", "100ms"])
    graph = topology(rng.choice([2, 3, 4, 6, 8]), bandwidth=bandwidth, latency=latency)
    about = {"overhead": (1e-3, 0.01), "reduce_bandwidth": (1e6, 1e5), "egress": (5e6,)}
    drawn = {name: rng.choice(values) for name, values in about.items() if rng.random() < 0.3}
    for node, given in graph.nodes(data=True):
        if given.get("kind", "host") == "host":
            graph.nodes[node].update(drawn)
    return simnet.Network(graph)


def program(rng, net):
    hosts = net.num_ranks
    if rng.random() < 0.2:
        count = rng.choice([3, 70])
        src = [rng.randrange(hosts) for _ in range(count)]
        dst = [(each + rng.randrange(1, hosts)) % hosts for each in src]
        sizes = [rng.choice([0, 1, 1000, 10**5]) for _ in range(count)]
        starts = [rng.choice([0.0, 0.1, 0.2]) for _ in range(count)]
        return compile_flows(simnet.flows(src, dst, sizes, starts), hosts)
    kind = rng.choice(KINDS)
    sized = () if kind == "barrier" else (rng.choice([0, 8, 1000, 10**6]),)
    some = hosts > 2 and rng.random() < 0.3
    ranks = sorted(rng.sample(range(hosts), rng.randrange(2, hosts + 1))) if some else None
    work = getattr(collectives, kind)(*sized, ranks=ranks)
    return compile_schedule(collectives.plan(work, net).schedule, work.ranks or tuple(range(hosts)))


def script(rng, net):
    programs, stimuli, posted = [], [], 0.0
    for job in range(rng.choice([1, 2, 2, 3, 4])):
        again = programs and rng.random() < 0.3
        programs.append(rng.choice(programs) if again else program(rng, net))
        posted += rng.choice([0, 0, 0.05, 0.3, 3.0])
        stimuli.append(Stimulus(posted, 0, rng.random(), "post", job))
        begin, alike = posted + rng.choice([0, 0, 0.01, 0.5]), rng.random() < 0.5
        for rank in programs[-1].ranks:
            time = begin if alike else begin + rng.choice([0, 0, 0.01, 0.2, 1.0])
            stimuli.append(Stimulus(time, 1, rng.random(), "arrive", job, rank))
    looks = range(rng.choice([0, 0, 1, 2]))
    stimuli += [Stimulus(rng.uniform(0, posted + 1), 2, rng.random(), "look") for _ in looks]
    return programs, sorted(stimuli)


def told(model, programs, stimuli):
    """Who leaves when, and what has been carried at each look and in the end."""
    jobs, left, carried, now = {}, {}, [], 0.0
    waiting = list(stimuli)
    while waiting or model.next_time() < INFINITY:
        until = waiting[0].time if waiting else INFINITY
        instant = max(model.next_time(), now)
        if until <= instant:
            now, one = until, waiting.pop(0)
            if one.what == "post":
                jobs[one.job] = model.post(programs[one.job], now)
            elif one.what == "arrive":
                model.arrive(jobs[one.job], one.rank, now)
            else:
                carried.append(model.carried(now))
            continue
        now = instant
        run = getattr(model, "run", lambda time, _: model.advance(time))
        for source, ranks, time in run(now, until):
            job = next(number for number, each in jobs.items() if each is source)
            for rank in ranks:
                assert (job, rank) not in left
                left[job, rank] = time
    times = [(each.starts, each.ends) for _, each in sorted(jobs.items())]
    return left, times, [*carried, model.carried(now + 1)]


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_tiers_tell_what_the_reference_tells(first):
    for seed in range(first, first + 100):
        rng = random.Random(seed)
        net = network(rng)
        programs, stimuli = script(rng, net)
        expected = told(FluidModel(net, Ideal(), 0), programs, stimuli)
        tiers = [make() for make in TIERS.values()]
        model = TieredModel(net, KernelModel(net, Ideal(), 0), tiers)
        left, times, carried = told(model, programs, stimuli)
        assert left.keys() == expected[0].keys(), seed
        for key, time in expected[0].items():
            assert left[key] == pytest.approx(time, rel=1e-9, abs=1e-12), seed
        for ours, theirs in zip(times, expected[1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=str(seed))
        for ours, theirs in zip(carried, expected[2], strict=True):
            assert np.abs(ours - theirs).max() <= 2, seed  # bytes under way, cut off
