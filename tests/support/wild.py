"""Random networks and work from a numbered seed: thousands of cases, wilder than `cases`."""

import math
import random

import networkx as nx

import simnet
from simnet import collectives

KINDS = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
    "barrier",
)
SIZES = (0, 1, 5, 1000, 4097, 10**6, 10**9, 10**13, 2**53)
STARTS = (0.0, 1e-6, 0.01, math.nextafter(0.01, 1), 0.01 * (1 - 1e-15), 0.5)


def wild_case(seed):
    """A network and some pieces of work; every third over twelve orders of magnitude."""
    rng = random.Random(seed)
    wild = rng.random() < 0.3
    hosts = rng.randrange(1, 9)
    net = simnet.Network(_graph(rng, hosts, rng.randrange(4), wild), seed=seed)
    return net, [_work(rng, hosts, wild) for _ in range(rng.choice([1, 1, 2, 3]))]


def _graph(rng, hosts, switches, wild):
    bandwidths = [1e6, 3e6, 1e7, 7e8, 1.25e9]
    latencies = [0.0, 1e-6, 3e-4, 0.1]
    if wild:
        bandwidths = [10 ** rng.uniform(0, 12) for _ in range(6)]
        latencies = [0.0, *(10 ** rng.uniform(-9, 3) for _ in range(4))]
    graph = nx.Graph()
    for host in range(hosts):
        graph.add_node(host)
        for name, values in (
            ("egress", bandwidths),
            ("ingress", bandwidths),
            ("reduce_bandwidth", bandwidths),
            ("overhead", latencies),
        ):
            if rng.random() < 0.3:
                graph.nodes[host][name] = rng.choice(values)
    graph.add_nodes_from([f"s{i}" for i in range(switches)], kind="switch")
    alike = rng.random() < 0.4
    one = {"bandwidth": rng.choice(bandwidths), "latency": rng.choice(latencies)}

    def add(u, v):
        other = {"bandwidth": rng.choice(bandwidths), "latency": rng.choice(latencies)}
        graph.add_edge(u, v, **(one if alike else other))
        if rng.random() < 0.1:
            graph.edges[u, v]["jitter"] = 1e-4
        if rng.random() < 0.05:
            graph.edges[u, v]["loss"] = 0.05

    nodes = list(graph)
    rng.shuffle(nodes)
    for place, node in enumerate(nodes[1:], 1):
        add(nodes[rng.randrange(place)], node)
    if len(nodes) > 1:
        for _ in range(rng.randrange(6)):
            add(*rng.sample(nodes, 2))
    return graph


def _work(rng, ranks, wild):
    if ranks > 1 and rng.random() < 0.4:
        return _flows(rng, ranks, wild)
    kind = rng.choice(KINDS)
    names = sorted(set(collectives.algorithms(kind)) - {"hierarchical", "torus"})
    options = {"algorithm": rng.choice([*names, "auto"])}
    if rng.random() < 0.5:
        options["arrivals"] = [rng.choice([0.0, 1e-5, 0.02, rng.random()]) for _ in range(ranks)]
    if rng.random() < 0.3:
        options["in_flight"] = rng.choice([1, 2, 3])
    if kind == "barrier":
        return collectives.barrier(**options)
    if rng.random() < 0.3:
        options["channels"] = rng.choice([2, 3])
    size = rng.choice(SIZES)
    if rng.random() < 0.3 and size < 10**6:
        options["segment"] = max(64, size // 5)
    if kind in ("broadcast", "reduce", "gather", "scatter"):
        options["root"] = rng.randrange(ranks)
    return getattr(collectives, kind)(size, **options)


def _flows(rng, ranks, wild):
    count = rng.randrange(1, 40)
    src = [rng.randrange(ranks) for _ in range(count)]
    dst = [(rank + rng.randrange(1, ranks)) % ranks for rank in src]
    sizes = [int(10 ** rng.uniform(0, 15)) if wild else rng.choice(SIZES) for _ in range(count)]
    starts = [rng.choice([*STARTS, rng.random()]) for _ in range(count)]
    return simnet.flows(src, dst, sizes, starts, [rng.randrange(3) for _ in range(count)])
