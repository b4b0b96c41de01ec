"""Work that begins late on the clock takes as long as the reference says, down to its rounding."""

import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives

pytestmark = pytest.mark.kernel

CASES = 60
ENGINES = ("auto", "max-plus", "events")


def late_case(seed):
    """A star, work on it that often touches or overlaps, and when that begins."""
    rng = np.random.default_rng(seed)
    hosts, bandwidth = int(rng.integers(3, 9)), float(rng.choice([1e9, 1.25e10]))
    net = simnet.Network(topologies.star(hosts, bandwidth=bandwidth, latency=1e-6))
    start, size = 10 ** rng.uniform(5, 8), int(10 ** rng.uniform(0, 7))
    if rng.random() < 0.3:
        make = rng.choice([collectives.all_reduce, collectives.all_gather, collectives.all_to_all])
        algorithm = "bidirectional_ring" if make is not collectives.all_to_all else "direct"
        return net, make(size * hosts, algorithm=algorithm, start=start), start
    count = 80
    src, dst = rng.integers(0, hosts - 1, count), np.full(count, hosts - 1)
    apart = rng.choice([0.0, 0.5, 0.999, 1.0, 1.5]) * size / bandwidth
    return net, simnet.flows(src, dst, size, start + apart * rng.permutation(count)), start


@pytest.mark.parametrize("seed", range(CASES))
def test_late_work_takes_as_long_as_the_reference_says(seed):
    net, work, start = late_case(seed)
    true = simnet.simulate(net, work, engine="reference")
    length = len(true.works[0].job.program)
    rounding = {"rtol": 1e-9, "atol": 8 * length * np.spacing(true.time)}
    for engine in ENGINES:
        found = simnet.simulate(net, work, engine=engine)
        np.testing.assert_allclose(found.time - start, true.time - start, **rounding)
        np.testing.assert_allclose(found.link_bytes, true.link_bytes)
    given = simnet.Scenarios(bandwidth=np.tile(net.links.bandwidth, (2, 1)))
    many = simnet.simulate_many(net, work, given)
    np.testing.assert_allclose(many.time - start, true.time - start, **rounding)


def test_many_small_messages_share_a_cable_a_day_into_the_run():
    """20,000 × 64 B over 12.5 GB/s take 102.4 µs, and 2 µs to get there, at whatever time."""
    net = simnet.Network(topologies.star(9, bandwidth="100Gbit/s", latency="1us"))
    work = simnet.flows(np.arange(20_000) % 8, np.full(20_000, 8), 64, 1e5)
    given = simnet.Scenarios(bandwidth=np.tile(net.links.bandwidth, (2, 1)))
    assert simnet.simulate(net, work).time - 1e5 == pytest.approx(104.4e-6, abs=1e-10)
    assert simnet.simulate_many(net, work, given).time - 1e5 == pytest.approx(104.4e-6, abs=1e-10)


def test_the_pass_serves_late_work_that_the_clock_resolves():
    net = simnet.Network(topologies.star(4, bandwidth="100Gbit/s", latency="1us"))
    for start, tier in ((1e3, "max-plus"), (1e7, "events")):
        work = collectives.all_gather("4kB", algorithm="recursive_doubling", start=start)
        assert simnet.simulate(net, work, engine="max-plus").tier == tier
