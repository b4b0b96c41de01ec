"""Every tier gives the times of the events below it, and hands down what it cannot finish."""

import math
import random

import networkx as nx
import numpy as np
import pytest
from wild import wild_case

import simnet
import topologies
from simnet import collectives
from simnet.engine import Clock, Fabric, KernelModel, TieredModel, make_model
from simnet.engine.models import TIERS
from simnet.engine.program import compile_flows
from simnet.engine.tiers import GivesUp
from simnet.testing import check_network_model
from simnet.transport import Ideal

pytestmark = pytest.mark.kernel

RTOL = 1e-12
SPEED = {"bandwidth": "10Gbit/s", "latency": "10us"}


def tiered(name=None):
    def make(net, transport, seed):
        tiers = [make() for each, make in TIERS.items() if name in (None, each)]
        return TieredModel(net, KernelModel(net, transport, seed), tiers)

    return make


@pytest.mark.parametrize("name", [None, *TIERS])
def test_conformance(name):
    check_network_model(tiered(name))


def equal(net, *works, engine="kernel", rtol=RTOL, **options):
    """Simulate by the tiers and by events alone; returns the former."""
    found = simnet.simulate(net, *works, engine=engine, **options)
    events = simnet.simulate(net, *works, engine="events", **options)
    assert (found.engine, events.tier) == ("kernel", "events")
    for ours, theirs in zip(found.works, events.works, strict=True):
        np.testing.assert_allclose(ours.job.start, theirs.job.start, rtol=rtol, atol=0)
        np.testing.assert_allclose(ours.job.end, theirs.job.end, rtol=rtol, atol=0)
        np.testing.assert_allclose(ours.rank_times, theirs.rank_times, rtol=rtol, atol=0)
        assert ours.start == theirs.start
    assert found.link_bytes.tolist() == events.link_bytes.tolist()
    return found


@pytest.mark.parametrize("first", range(0, 1000, 50))
def test_equals_the_reference(first):
    """Whatever tier is taken, of networks and work of any kind."""
    for seed in range(first, first + 50):
        net, works = wild_case(seed)
        twin = simnet.simulate(net, *works, engine="reference", seed=seed)
        ours = simnet.simulate(net, *works, engine="kernel", seed=seed)
        assert twin.tier == "reference"
        for theirs, mine in zip(twin.works, ours.works, strict=True):
            name = f"seed {seed}"
            np.testing.assert_allclose(mine.job.start, theirs.job.start, 1e-9, err_msg=name)
            np.testing.assert_allclose(mine.job.end, theirs.job.end, 1e-9, err_msg=name)
            np.testing.assert_allclose(mine.rank_times, theirs.rank_times, 1e-9, err_msg=name)
        assert ours.link_bytes.tolist() == twin.link_bytes.tolist(), seed


TOPOLOGIES = {
    "ring": lambda **a: topologies.ring(8, **a),
    "ring of 6": lambda **a: topologies.ring(6, **a),
    "star": lambda **a: topologies.star(8, **a),
    "fully connected": lambda **a: topologies.fully_connected(8, **a),
    "line": lambda **a: topologies.line(8, **a),
    "torus": lambda **a: topologies.torus((2, 4), **a),
    "hypercube": lambda **a: topologies.hypercube(3, **a),
    "tree": lambda **a: topologies.leaf_spine(4, 1, 2, **a),
    "leaf-spine": lambda **a: topologies.leaf_spine(4, 2, 2, **a),
    "fat-tree": lambda **a: topologies.fat_tree(4, **a),
}


def uneven(net, seed=1):
    """The same network, no two links alike."""
    rng = random.Random(seed)
    graph = nx.Graph(net.graph)
    for _, _, edge in graph.edges(data=True):
        edge["bandwidth"], edge["latency"] = rng.uniform(1e9, 2e9), rng.uniform(1e-5, 2e-5)
    return simnet.Network(graph)


def every_algorithm(ranks):
    for kind in collectives.collective.KINDS:
        for name in collectives.algorithms(kind):
            options = {"algorithm": name}
            if name == "torus":
                options["dims"] = (2, ranks // 2)
            if name == "hierarchical":
                options["islands"] = [range(ranks // 2), range(ranks // 2, ranks)]
            if kind not in ("send", "permutation"):
                size = [] if kind == "barrier" else [ranks * 2**10]
                yield getattr(collectives, kind)(*size, **options)


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "uneven"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_collective_on_every_topology(topology, alike):
    net = simnet.Network(TOPOLOGIES[topology](**SPEED))
    if not alike:
        net = uneven(net)
    tiers = set()
    for work in every_algorithm(net.num_ranks):
        tiers.add(equal(net, work).tier)
    if not alike:
        assert "symmetry" not in tiers
    elif topology in ("ring", "star", "fully connected", "hypercube", "torus"):
        assert "symmetry" in tiers


SYMMETRIC = {
    "star": ("ring", "bidirectional_ring", "recursive_doubling", "direct", "torus"),
    "ring": ("ring", "bidirectional_ring", "direct"),
    "hypercube": ("recursive_halving_doubling", "recursive_doubling"),
    "torus": ("torus",),
}


@pytest.mark.parametrize("topology", SYMMETRIC)
def test_what_is_symmetric_is_simulated_by_one(topology):
    graph = TOPOLOGIES[topology](**SPEED)
    for host in graph:
        if graph.nodes[host].get("kind") != "switch":
            graph.nodes[host].update(egress=1e9, ingress=5e8, overhead=1e-6, reduce_bandwidth=3e8)
    net = simnet.Network(graph, ecmp=False)
    for name in SYMMETRIC[topology]:
        options = {"dims": (2, 4)} if name == "torus" else {}
        for cut in ({}, {"segment": 4096, "channels": 2, "in_flight": 2}):
            work = collectives.all_reduce(2**16, algorithm=name, start=0.25, **options, **cut)
            found = equal(net, work, engine="symmetry")
            if (topology, name) not in (("ring", "direct"), ("ring", "bidirectional_ring")):
                assert found.tier == "symmetry", (name, cut)


def test_flows_of_an_orbit_share_a_link():
    """Four hosts a leaf through one spine: a message of each crosses the leaf's uplink."""
    net = simnet.Network(topologies.leaf_spine(4, 1, 4, bandwidth=1e9))
    assert net.num_ranks == 16
    work = collectives.all_to_all(16 * 1000, algorithm="pairwise")
    assert equal(net, work, engine="symmetry").tier == "symmetry"


def breaking():
    """What is wrong with a network, and the network."""
    for name, where, change in (
        ("bandwidth", "edge", {"bandwidth": 1e9}),
        ("latency", "edge", {"latency": 1e-3}),
        ("overhead", "host", {"overhead": 1e-6}),
        ("card", "host", {"egress": 1e9}),
        ("reduction", "host", {"reduce_bandwidth": 1e9}),
        ("jitter", "edge", {"jitter": 1e-6}),
    ):
        graph = topologies.star(8, **SPEED)
        if where == "edge":
            graph.edges[list(graph.edges)[3]].update(change)
        else:
            graph.nodes[list(topologies.star(8, **SPEED))[-3]].update(change)
        yield pytest.param(graph, id=name)


@pytest.mark.parametrize("graph", list(breaking()))
@pytest.mark.parametrize("name", ["ring", "direct", "recursive_doubling"])
def test_one_thing_that_differs_breaks_the_symmetry(graph, name):
    found = equal(simnet.Network(graph), collectives.all_reduce(2**20, algorithm=name))
    assert found.tier != "symmetry"


def test_one_rank_that_is_late_breaks_the_symmetry():
    net = simnet.Network(topologies.star(8, **SPEED))
    for arrivals in ([0.0] * 7 + [1e-6], [0.5] * 8):
        work = collectives.all_reduce(2**20, algorithm="ring", arrivals=arrivals)
        assert (equal(net, work).tier == "symmetry") == (len(set(arrivals)) == 1)


def test_a_group_of_ranks_may_be_symmetric_where_the_network_is_not():
    graph = topologies.star(8, **SPEED)
    graph.edges[next(iter(graph.edges))]["bandwidth"] = 1e6
    net = simnet.Network(graph)
    slow = next(r for r in range(8) if 1e6 in net.links.bandwidth[net.route(r, (r + 1) % 8)])
    for ranks in ([r for r in range(8) if r != slow], list(range(8))):
        work = collectives.all_reduce(len(ranks) * 2**20, algorithm="ring", ranks=ranks)
        assert (equal(net, work).tier == "symmetry") == (slow not in ranks)


def test_routes_of_ones_own_are_looked_at():
    graph = topologies.ring(6, **SPEED)
    net = simnet.Network(graph, routes={(0, 1): (0, 5, 4, 3, 2, 1)})
    work = collectives.all_reduce(6 * 2**20, algorithm="ring")
    assert equal(net, work).tier != "symmetry"
    assert equal(simnet.Network(graph), work).tier == "symmetry"


def test_one_representative_of_many():
    net = simnet.Network(topologies.star(1000, **SPEED))
    work = collectives.all_reduce(1000 * 10**6, algorithm="ring")
    found = simnet.simulate(net, work)
    assert found.tier == "symmetry"
    # 2 (N - 1) steps of the latency of two cables and a thousandth of the data
    assert found.time == pytest.approx(1998 * (20e-6 + 10**6 / 1.25e9), rel=1e-12)
    assert found.bytes_on_wire == 2 * 1998 * 1000 * 10**6
    assert set(found.rank_times) == {found.time}


def test_a_tier_that_declines_is_not_asked_for_ever():
    asked = []

    def declines(net, program, posted, arrivals):
        asked.append(posted)

    tier = GivesUp(declines, times=3)
    net = simnet.Network(topologies.star(4, **SPEED))
    first, second = (compile_flows(simnet.flows(0, 1, size), 4) for size in (1, 2))
    for turn in range(5):
        assert tier(net, first, float(turn), np.zeros(2)) is None
    assert asked == [0.0, 1.0, 2.0]
    tier(net, second, 9.0, np.zeros(2))
    assert asked[-1] == 9.0


# Handing down


def draw_case(rng):
    """A network and a collective that some tier takes."""
    ranks = rng.choice([4, 8])
    net = simnet.Network(
        rng.choice([topologies.star, topologies.ring, topologies.fully_connected])(ranks, **SPEED)
    )
    net = uneven(net, rng.random()) if rng.random() < 0.3 else net
    kind, name = rng.choice(
        [
            ("all_reduce", "ring"),
            ("all_reduce", "direct"),
            ("all_reduce", "recursive_doubling"),
            ("all_gather", "ring"),
            ("all_to_all", "pairwise"),
            ("broadcast", "chain"),
        ]
    )
    size = ranks * rng.choice([1000, 10**6])
    arrivals = [rng.choice([0.0, 0.0, rng.random() * 1e-3])] * ranks
    if rng.random() < 0.3:
        arrivals[rng.randrange(ranks)] += rng.random() * 1e-3
    return net, getattr(collectives, kind)(size, algorithm=name, arrivals=arrivals)


def meddle(rng, span, ranks):
    """What somebody does at some instants while a collective is under way."""
    what = []
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice([0.0, span * rng.random(), span, span * (1 + rng.random())])
        kind = rng.choice(["send", "collective", "late collective", "look"])
        what.append((at, kind, rng.randrange(ranks), rng.choice([10, 10**6])))
    return sorted(what)


def run(net, work, meddling, engine, ahead):
    """All times of all that was posted, and all looks at the bytes carried."""
    clock = Clock()
    model = make_model(net, Ideal(), 0, engine=engine)
    fabric = Fabric(clock, net, model, ahead=ahead)
    operations, looks = [fabric.submit(work)], []

    def somebody():
        for number, (at, kind, rank, size) in enumerate(meddling):
            yield clock.timeout(max(at - clock.now, 0.0))
            other = (rank + 1) % net.num_ranks
            if kind == "send":
                more = collectives.send(size, src=rank, dst=other)
                operations.append(fabric.submit(more, sequence=number))
            elif kind == "look":
                looks.append(model.carried(clock.now))
            else:
                start = 0.0 if kind == "collective" else at
                more = collectives.all_reduce(size, algorithm="ring", start=start)
                operations.append(fabric.submit(more, sequence=number))

    clock.process(somebody())
    clock.run()
    assert all(each.done.triggered for each in operations)
    times = [
        [*each.job.start, *each.job.end, *(each.job.left[r] for r in each.job.program.ranks)]
        for each in operations
    ]
    return times, looks, model.carried(clock.now), [each.job.tier for each in operations]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_interrupted_at_any_instant(first, ahead):
    tiers = set()
    for seed in range(first, first + 50):
        rng = random.Random(seed)
        net, work = draw_case(rng)
        span = simnet.simulate(net, work).time
        meddling = meddle(rng, span, net.num_ranks)
        twin = run(net, work, meddling, "reference", False)
        ours = run(net, work, meddling, "kernel", ahead)
        for theirs, mine in zip(twin[0], ours[0], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, err_msg=f"seed {seed}")
        for theirs, mine in zip(twin[1], ours[1], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=10.0, err_msg=f"seed {seed}")
        assert (twin[2] == ours[2]).all(), seed
        tiers.update(ours[3])
    assert tiers == {"symmetry", "max-plus", "events"}


def test_one_after_the_other_each_by_its_tier():
    """Collectives posted at once, each entered when the one before is over."""
    net = simnet.Network(topologies.star(8, **SPEED))
    works = [
        collectives.all_reduce(8 * 10**6, algorithm="ring"),
        collectives.all_reduce(10**6, algorithm="recursive_doubling"),
        collectives.all_reduce(10**6 + 1, algorithm="ring"),  # whose ranks leave one by one
        collectives.all_reduce(8 * 10**6, algorithm="direct"),
    ]

    def ranks(env, fabric):
        operations = [fabric.post(work, sequence=i) for i, work in enumerate(works)]

        def program(rank):
            for operation in operations:
                operation.arrive(rank)
                yield operation.left[rank]

        yield env.all_of([env.process(program(rank)) for rank in range(8)])

    found, events = (
        simnet.simulate(net, processes=[ranks], engine=engine) for engine in ("kernel", "events")
    )
    tiers = [work.tier for work in found.works]
    assert tiers == ["symmetry", "symmetry", "events", "events"]
    for ours, theirs in zip(found.works, events.works, strict=True):
        np.testing.assert_allclose(ours.job.end, theirs.job.end, rtol=RTOL)
    assert (found.link_bytes == events.link_bytes).all()


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0, 1.5])
def test_stopped_on_the_way(part):
    net = simnet.Network(topologies.star(6, **SPEED))
    work = collectives.all_reduce(6 * 10**6, algorithm="ring")
    whole = simnet.simulate(net, work).time
    found = equal(net, work, until=part * whole, rtol=1e-9)
    assert math.isfinite(found.works[0].finish) == (part >= 1.0)
    assert found.tier == ("symmetry" if part >= 1.0 else "events")


def test_nobody_arrives_twice():
    net = simnet.Network(topologies.star(8, **SPEED))
    model = make_model(net, Ideal(), 0)
    job = model.post(compile_flows(simnet.flows([0] * 99, [1] * 99, 1), 8), 0.0)
    model.arrive(job, 0, 0.0)
    with pytest.raises(ValueError, match="rank 0 has arrived"):
        model.arrive(job, 0, 1.0)


def test_a_rank_that_never_comes_is_no_job_alone():
    net = simnet.Network(topologies.star(4, **SPEED))

    def some(env, fabric):
        operation = fabric.post(collectives.all_reduce(4 * 10**6, algorithm="ring"))
        for rank in range(3):
            operation.arrive(rank)
        yield operation.done

    with pytest.raises(simnet.StuckError, match=r"ranks \[0, 1, 2\] wait, ranks \[3\] have not"):
        simnet.simulate(net, processes=[some])


@pytest.mark.parametrize("engine", ["kernel", "events", "reference"])
@pytest.mark.parametrize("between", [False, True], ids=["nothing between", "others between"])
def test_equal_jobs_take_turns_in_the_order_of_posting_whoever_enters_first(engine, between):
    """Two all_to_alls of one rank's share each queue on every connection: 5 ms, then 5 ms."""
    net = simnet.Network(topologies.star(4, bandwidth="1MB/s", latency="1ms"))
    clock = Clock()
    fabric = Fabric(clock, net, make_model(net, Ideal(), 0, engine=engine))
    work = collectives.all_to_all("4kB", algorithm="direct")
    posted = [fabric.post(work) for _ in range(4 if between else 2)]

    def enter(operations):
        for operation in operations:
            for rank in range(4):
                operation.arrive(rank)

    if between:  # makes the kernel take all that were posted before these
        enter(posted[2:])
        clock.run(until=1)
        enter(posted[:2])
    else:
        enter(posted[::-1])
    clock.run()
    begun = 1.0 if between else 0.0
    ends = [operation.done.value - begun for operation in posted[:2]]
    assert ends == pytest.approx([0.005, 0.010], rel=1e-9)
