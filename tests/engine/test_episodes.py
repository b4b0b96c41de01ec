"""What is played back from memory equals what is carried out, whatever comes in between."""

import random

import networkx as nx
import numpy as np
import pytest
from wild import wild_case

import simnet
import topologies
from simnet import collectives
from simnet.engine import Clock, EpisodesModel, Fabric, KernelModel, make_model
from simnet.testing import check_network_model
from simnet.transport import Ideal, Retransmit

pytestmark = pytest.mark.kernel

TURNS = 12


def remembering(net, transport, seed):
    return EpisodesModel(KernelModel(net, transport, seed))


def test_conformance():
    check_network_model(remembering)


def calm(net):
    """The same network without anything drawn."""
    graph = nx.Graph(net.graph)
    for _, _, edge in graph.edges(data=True):
        edge.pop("loss", None)
        edge.pop("jitter", None)
    return simnet.Network(graph)


def draw_programs(rng, ranks):
    """Works that all ranks of their groups go through turn by turn, and each rank's pauses."""
    groups = [tuple(range(ranks))]
    if ranks >= 4:
        groups += [tuple(range(ranks // 2)), tuple(range(ranks // 2, ranks))]
    works = []
    for _ in range(rng.randrange(1, 4)):
        kind = rng.choice(["all_reduce", "all_gather", "all_to_all", "broadcast", "barrier"])
        names = sorted(set(collectives.algorithms(kind)) - {"hierarchical", "torus"})
        size = 0 if kind == "barrier" else rng.choice([0, 1000, 10**6])
        works.append(
            collectives.Collective(
                kind=kind, size=size, ranks=rng.choice(groups), algorithm=rng.choice(names)
            )
        )
    pauses = [[rng.choice([0, 0, 1e-4, rng.random() / 100]) for _ in works] for _ in range(ranks)]
    odd = {(rng.randrange(TURNS), rng.randrange(ranks)) for _ in range(rng.randrange(3))}
    return works, pauses, odd, rng.random() < 0.4


def play(net, programs, model, *, ahead=False):
    """Let every rank run its program; returns who went on when, and all times."""
    works, pauses, odd, overlap = programs
    clock, operations, log = Clock(), {}, []
    fabric = Fabric(clock, net, model, ahead=ahead)

    def rank(number):
        for turn in range(TURNS):
            waits = []
            for i, work in enumerate(works):
                yield clock.timeout(pauses[number][i] * (1.5 if (turn, number) in odd else 1))
                if number not in work.ranks:
                    continue
                if (turn, i) not in operations:
                    operations[turn, i] = fabric.post(work, sequence=turn)
                operations[turn, i].arrive(number)
                waits.append(operations[turn, i].left[number])
                if not overlap:
                    yield waits.pop()
                log.append((turn, i, number, clock.now))
            yield clock.all_of(waits)

    for number in range(len(pauses)):
        clock.process(rank(number))
    clock.run()
    times = [
        (key, each.job.start + each.job.end + [each.job.left[r] for r in each.job.program.ranks])
        for key, each in sorted(operations.items())
    ]
    return sorted(log), times, model.carried(clock.now).tolist()


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_equals_the_reference(first):
    played = 0
    for seed in range(first, first + 20):
        rng = random.Random(seed)
        if seed % 2:
            net = simnet.Network(topologies.star(rng.randrange(2, 7), bandwidth=1e9, latency=1e-5))
        else:
            net = calm(wild_case(seed)[0])
        programs = draw_programs(rng, net.num_ranks)
        twin = play(net, programs, make_model(net, Ideal(), 0, engine="reference"))
        for ahead in (False, True):
            model = remembering(net, Ideal(), 0)
            ours = play(net, programs, model, ahead=ahead)
            played += sum(model._played.values())
            assert [entry[:3] for entry in ours[0]] == [entry[:3] for entry in twin[0]], seed
            np.testing.assert_allclose(
                [entry[3] for entry in ours[0]], [entry[3] for entry in twin[0]], rtol=1e-9
            )
            for (key, theirs), (same, mine) in zip(twin[1], ours[1], strict=True):
                assert key == same
                np.testing.assert_allclose(mine, theirs, rtol=1e-9, err_msg=f"{seed} {key}")
            assert ours[2] == twin[2], seed
    assert played > 100


def test_a_network_that_never_rests_is_not_remembered_for_ever():
    net = simnet.Network(topologies.star(3, bandwidth=100.0, latency=0.5))
    model = remembering(net, Ideal(), 0)
    clock = Clock()
    fabric = Fabric(clock, net, model)

    def talk(env):
        for _ in range(100):
            fabric.submit(collectives.send(1000, src=0, dst=1))
            yield env.timeout(9.0)

    clock.process(talk(clock))
    clock.run()
    # One connection: 11 s each, one after the other.
    assert clock.now == pytest.approx(100 * 11)
    assert model._nodes <= 1 + 64 * 4  # a post and three arrivals each


def test_nothing_that_draws_is_remembered():
    graph = topologies.star(3, bandwidth=100.0, latency=0.5)
    net = simnet.Network(graph)
    assert isinstance(make_model(net, Ideal(), 0, repeats=True), EpisodesModel)
    assert isinstance(make_model(net, Retransmit(), 0, repeats=True), EpisodesModel)
    nx.set_edge_attributes(graph, 0.01, "loss")
    lossy = simnet.Network(graph)
    assert isinstance(make_model(lossy, Retransmit(), 0, repeats=True), KernelModel)


def test_looked_at_in_the_middle():
    net = simnet.Network(topologies.star(3, bandwidth=100.0, latency=0.5))
    seen = []
    for engine, repeats in (("reference", False), ("kernel", True)):
        clock = Clock()
        model = make_model(net, Ideal(), 0, engine=engine, repeats=repeats)
        fabric = Fabric(clock, net, model)
        looks = []
        for _ in range(3):
            operation = fabric.submit(collectives.broadcast(1000, algorithm="flat"))
            clock.run(until=clock.now + 7.25)
            looks.append((model.carried(clock.now).tolist(), operation.job.start))
            clock.run()
        seen.append(looks)
    assert [look[0] for look in seen[0]] == [look[0] for look in seen[1]]
    for theirs, ours in zip(*seen, strict=True):
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9)


def test_times_do_not_depend_on_who_calls_first_at_one_instant():
    net = simnet.Network(topologies.star(4, bandwidth="10Gbit/s", latency="10us"))

    def ends(order):
        clock = Clock()
        fabric = Fabric(clock, net, make_model(net, Ideal(), 0, repeats=True))
        found = []
        for number in range(60):
            sizes = (576, 73728, 128)[: 1 + number % 3]
            posted = [fabric.post(collectives.all_reduce(size, algorithm="ring")) for size in sizes]
            for rank in order(number):
                for operation in posted:
                    operation.arrive(rank)
            clock.run(until=clock.all_of([operation.done for operation in posted]))
            found.append(clock.now)
            clock.run(until=clock.now + (1 + number) / 7e5)
        return found

    expected = ends(lambda _: range(4))
    assert ends(lambda number: random.Random(number).sample(range(4), 4)) == expected
