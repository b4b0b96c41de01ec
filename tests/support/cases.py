"""Random networks and work, for the properties that must hold for all of them."""

import itertools

import networkx as nx
from hypothesis import strategies as st

import simnet
from simnet import collectives

BANDWIDTHS = (1e6, 3e6, 1e7, 7e8, 1.25e9)
LATENCIES = (0.0, 1e-6, 3e-4, 0.1)
SIZES = (0, 1, 5, 1000, 4097, 10**6, 10**9)


@st.composite
def graphs(draw, *, min_hosts=1, max_hosts=6, max_switches=3, tree=False, cards=True):
    """Connected graphs: a random tree of hosts and switches and perhaps more cables."""
    hosts = draw(st.integers(min_hosts, max_hosts))
    switches = draw(st.integers(0, max_switches))
    graph = nx.Graph()
    for host in range(hosts):
        graph.add_node(host)
        if cards and draw(st.booleans()):
            graph.nodes[host]["egress"] = draw(st.sampled_from(BANDWIDTHS))
        if cards and draw(st.booleans()):
            graph.nodes[host]["ingress"] = draw(st.sampled_from(BANDWIDTHS))
    graph.add_nodes_from([f"s{i}" for i in range(switches)], kind="switch")
    nodes = draw(st.permutations(list(graph)))
    pairs = [(draw(st.sampled_from(nodes[:i])), node) for i, node in enumerate(nodes) if i]
    if not tree:
        others = list(itertools.combinations(nodes, 2))
        pairs += draw(st.lists(st.sampled_from(others), max_size=6)) if others else []
    for pair in pairs:
        graph.add_edge(
            *pair,
            bandwidth=draw(st.sampled_from(BANDWIDTHS)),
            latency=draw(st.sampled_from(LATENCIES)),
        )
    return graph


@st.composite
def works(draw, ranks):
    """Any collective with any of its algorithms that needs no hint from the graph."""
    kind = draw(
        st.sampled_from(
            [
                "all_reduce",
                "all_gather",
                "reduce_scatter",
                "all_to_all",
                "broadcast",
                "reduce",
                "gather",
                "scatter",
                "barrier",
            ]
        )
    )
    names = sorted(set(collectives.algorithms(kind)) - {"hierarchical", "torus"})
    options = {"algorithm": draw(st.sampled_from([*names, "auto"]))}
    if draw(st.booleans()):
        options["arrivals"] = [draw(st.sampled_from([0.0, 1e-5, 0.02])) for _ in range(ranks)]
    if kind == "barrier":
        return collectives.barrier(**options)
    if kind in ("broadcast", "reduce", "gather", "scatter"):
        options["root"] = draw(st.integers(0, ranks - 1))
    return getattr(collectives, kind)(draw(st.sampled_from(SIZES)), **options)


@st.composite
def flow_sets(draw, ranks, *, max_flows=12):
    """Independent flows between different ranks."""
    count = draw(st.integers(1, max_flows))
    pairs = [
        draw(st.lists(st.integers(0, ranks - 1), min_size=2, max_size=2, unique=True))
        for _ in range(count)
    ]
    src, dst = zip(*pairs, strict=True)
    sizes = [draw(st.sampled_from(SIZES)) for _ in range(count)]
    starts = [draw(st.sampled_from([0.0, 1e-6, 0.01, 0.5])) for _ in range(count)]
    return simnet.flows(list(src), list(dst), sizes, starts)
