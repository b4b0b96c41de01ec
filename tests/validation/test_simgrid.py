"""The same collectives and flows as SimGrid simulated, wherever routes are unique."""

import csv
import gzip
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import simnet
import topologies
from simnet import collectives

DATA = Path(__file__).parents[1] / "data" / "simgrid"
BANDWIDTH = 1.25e9
WORK = {
    ("allreduce", "ring"): lambda size: collectives.all_reduce(size, algorithm="ring"),
    ("allreduce", "recursive_halving_doubling"): lambda size: collectives.all_reduce(
        size, algorithm="recursive_halving_doubling"
    ),
    ("bcast", "binomial"): lambda size: collectives.broadcast(size, algorithm="binomial"),
    ("alltoall", "direct_all_at_once"): lambda size: collectives.all_to_all(
        size, algorithm="direct"
    ),
}
GRAPHS = {
    "star": lambda n: topologies.star(n, bandwidth=BANDWIDTH, latency=5e-6),
    "full": lambda n: topologies.fully_connected(n, bandwidth=BANDWIDTH, latency=10e-6),
    "ring": lambda n: topologies.ring(n, bandwidth=BANDWIDTH, latency=10e-6),
}


def unique_routes(row):
    if row["topology"] == "ring":
        return row["algorithm"] == "ring"
    return row["topology"] in GRAPHS


def reference_rows():
    with (DATA / "collectives.csv").open() as file:
        return [row for row in csv.DictReader(file) if unique_routes(row)]


def test_the_reference_covers_what_it_should():
    rows = reference_rows()
    assert {row["topology"] for row in rows} == set(GRAPHS)
    assert {(row["collective"], row["algorithm"]) for row in rows} == set(WORK)
    assert {row["model"] for row in rows} == {"cm02", "mm"}


ENGINES = [pytest.param("kernel", marks=pytest.mark.kernel), "reference"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "row",
    reference_rows(),
    ids=lambda row: "-".join(row[k] for k in ("model", "topology", "N", "algorithm", "bytes")),
)
def test_collective(row, engine):
    net = simnet.Network(GRAPHS[row["topology"]](int(row["N"])))
    work = WORK[row["collective"], row["algorithm"]](int(row["bytes"]))
    result = simnet.simulate(net, work, engine=engine)
    assert result.time == pytest.approx(float(row["simulated_s"]), rel=1e-9, abs=0)


def fat_tree():
    """The platform of the contention data, links and routes as given."""
    graph = nx.DiGraph()
    graph.add_nodes_from((f"h{i}", {"kind": "host"}) for i in range(128))
    with (DATA / "contention_links.csv").open() as file:
        for row in csv.DictReader(file):
            graph.add_edge(
                row["src_node"],
                row["dst_node"],
                bandwidth=float(row["bandwidth_Bps"]),
                latency=float(row["latency_s"]),
            )
    for node in graph:
        if not node.startswith("h"):
            graph.nodes[node]["kind"] = "switch"
    with gzip.open(DATA / "contention_routes.csv.gz", "rt") as file:
        routes = {}
        for row in csv.DictReader(file):
            links = row["links"].split("|")
            path = (links[0].split(">")[0], *(link.split(">")[1] for link in links))
            routes[f"h{row['src']}", f"h{row['dst']}"] = path
    return simnet.Network(graph, routes=routes)


def columns(name, **kinds):
    with (DATA / name).open() as file:
        rows = list(csv.DictReader(file))
    return [np.array([kind(row[key]) for row in rows]) for key, kind in kinds.items()]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thousand_flows_through_a_fat_tree(engine):
    src, dst, size, start = columns(
        "contention_flows.csv", src=int, dst=int, bytes=int, start_s=float
    )
    (end,) = columns("contention_results.csv", end_s=float)
    result = simnet.simulate(fat_tree(), simnet.flows(src, dst, size, start), engine=engine)
    np.testing.assert_allclose(result.finish_times - start, end - start, rtol=1e-8)
