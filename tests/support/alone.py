"""One piece of work alone on a network, from a numbered seed; often nothing in it shares a link."""

import math
import random

import numpy as np
from wild import KINDS, SIZES, wild_case

import simnet
import topologies
from simnet import collectives

TOPOLOGIES = {
    "ring": topologies.ring,
    "star": topologies.star,
    "fully connected": topologies.fully_connected,
    "line": topologies.line,
    "mesh": lambda hosts: topologies.mesh((2, math.ceil(hosts / 2))),
    "torus": lambda hosts: topologies.torus((2, math.ceil(hosts / 2))),
    "hypercube": lambda hosts: topologies.hypercube(3),
    "leaf-spine": lambda hosts: topologies.leaf_spine(2, 2, math.ceil(hosts / 2)),
}


def alone_case(seed):
    """A network without draws and one piece of work, collective or flows."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        net, works = wild_case(seed)
        if not net.has_jitter and not net.is_lossy:
            return net, works[0]
    net = simnet.Network(_graph(rng), seed=seed)
    return net, _collective(rng, net.num_ranks)


def _graph(rng):
    graph = TOPOLOGIES[rng.choice(sorted(TOPOLOGIES))](rng.randrange(2, 9))
    bandwidths, latencies = [1e6, 1e7, 1.25e9], [0.0, 1e-6, 1e-3]
    if rng.random() < 0.5:  # nothing alike
        bandwidths = [10 ** rng.uniform(3, 12) for _ in range(20)]
        latencies = [10 ** rng.uniform(-9, 3) for _ in range(20)]
    elif rng.random() < 0.5:  # everything alike
        bandwidths, latencies = [rng.choice(bandwidths)], [rng.choice(latencies)]
    for _, _, edge in graph.edges(data=True):
        edge["bandwidth"], edge["latency"] = rng.choice(bandwidths), rng.choice(latencies)
    for _, host in graph.nodes(data=True):
        if host.get("kind") != "switch":
            if rng.random() < 0.2:
                host["reduce_bandwidth"] = rng.choice(bandwidths)
            if rng.random() < 0.2:
                host["overhead"] = rng.choice(latencies)
    return graph


def _collective(rng, ranks):
    kind = rng.choice(KINDS)
    options = {"algorithm": rng.choice(collectives.algorithms(kind))}
    if options["algorithm"] == "hierarchical":
        options["islands"] = [list(range(ranks // 2)), list(range(ranks // 2, ranks))]
    if options["algorithm"] == "torus":
        options["dims"] = (ranks,) if ranks % 2 else (2, ranks // 2)
    if rng.random() < 0.5:
        options["arrivals"] = [rng.choice([0.0, 1e-5, 0.02, rng.random()]) for _ in range(ranks)]
    if rng.random() < 0.2:
        options["in_flight"] = rng.choice([2, 3, 99])
    if kind == "barrier":
        return collectives.barrier(**options)
    if rng.random() < 0.2:
        options["channels"] = 2
    size = rng.choice(SIZES)
    if rng.random() < 0.3 and size < 10**6:
        options["segment"] = max(64, size // 5)
    if kind in ("broadcast", "reduce", "gather", "scatter"):
        options["root"] = rng.randrange(ranks)
    return getattr(collectives, kind)(size, **options)


def is_shared(net, job, rounding):
    """Whether, as far as the job's starts tell, a link must carry more than it can.

    Each transfer drains at the rate that it has alone, from its start and latency on; what
    overlaps or is too much by `rounding`, relatively, does not count.
    """
    changes = {}
    for link, enter, end, rate in _drains(net, job):
        if end - enter > rounding * end:
            changes.setdefault(link, []).extend([(enter, 1, rate), (end * (1 - rounding), 0, rate)])
    capacity = np.concatenate([net.links.bandwidth, net.reduce_bandwidth])
    for link, events in changes.items():
        rates = [rate if begins else -rate for _, begins, rate in sorted(events)]
        if max(np.cumsum(rates)) > capacity[link] * (1 + rounding * len(rates)):
            return True
    return False


def is_unresolved(net, job):
    """Whether something drains for so few spacings of double that the clock hardly tells it."""
    return any(end - enter <= 2e-12 * end for _, enter, end, _ in _drains(net, job))


def _drains(net, job):
    """Link, begin, end and rate of all that drains; a rank's reduction is a link of its own."""
    program = job.program
    columns = program.src, program.dst, program.channel, program.size, program.reduces, job.start
    for src, dst, channel, size, reduces, start in zip(*columns, strict=True):
        if src == dst or not size:
            continue
        route = net.route(src, dst, channel)
        rate = net.links.bandwidth[route].min()
        enter = start + net.overhead[src] + net.route_latency(src, dst, channel)
        for link in route.tolist():
            yield link, enter, enter + size / rate, rate
        if reduces and np.isfinite(net.reduce_bandwidth[dst]):
            enter, rate = enter + size / rate, net.reduce_bandwidth[dst]
            yield net.num_links + dst, enter, enter + size / rate, rate
