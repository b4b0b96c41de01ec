"""Transfers that come several times are those that they stand for, to the bit."""

import itertools

import numpy as np
import pytest
from border import truth, whole
from hypothesis import assume, given
from hypothesis import strategies as st

import simnet
import topologies
from simnet import collectives
from simnet.collectives import plan
from simnet.collectives.schedule import Repeated, Schedule, Transfers, from_transfers
from simnet.engine import KernelModel
from simnet.engine.maxplus import max_plus
from simnet.engine.program import compile_schedule
from simnet.transport import Ideal

pytestmark = pytest.mark.kernel


@st.composite
def schedules(draw):
    """Schedules of rings, of any number of parts, of cells of one size or not."""
    kind, algorithm = draw(
        st.sampled_from(
            [
                ("all_reduce", "ring"),
                ("all_reduce", "bidirectional_ring"),
                ("all_gather", "ring"),
                ("reduce_scatter", "bidirectional_ring"),
                ("all_reduce", "torus"),
                ("broadcast", "scatter_allgather"),
                ("all_to_all", "direct"),
            ]
        )
    )
    hosts = draw(st.sampled_from([2, 3, 4, 6, 8]))
    options = {"channels": draw(st.sampled_from([1, 2])), "segment": draw(st.none() | st.just(500))}
    if algorithm == "torus":
        options["dims"] = draw(st.sampled_from([(hosts,), (2, hosts // 2), (1, hosts)]))
        assume(np.prod(options["dims"]) == hosts)
    size = draw(st.sampled_from([0, 1, hosts * 64, 10_000, 10_007]))
    work = getattr(collectives, kind)(size, algorithm=algorithm, **options)
    return hosts, plan(work, simnet.Network(topologies.star(hosts, bandwidth=1e6, latency=1e-3)))


def network(hosts, random):
    graph = topologies.star(hosts, bandwidth=1e6, latency=1e-3)
    for _, _, cable in graph.edges(data=True):
        cable["bandwidth"] = random.choice([1e6, 1.3e6])
    return simnet.Network(graph)


def times_of(net, program):
    model = KernelModel(net, Ideal(), 0)
    job = model.post(program, 0.0)
    model.arrive_all(job, np.zeros(len(program.ranks)))
    while (time := model.next_time()) < np.inf:
        model.run(time, np.inf)
    return job.starts, job.ends


def assert_alike(schedule, net):
    """A schedule and the same one written out take the same times in every tier."""
    hosts = schedule.num_ranks
    written = from_transfers(schedule.collective, hosts, schedule.transfers(chunks=False))
    ranks = tuple(range(hosts))
    program, plain = (compile_schedule(each, ranks) for each in (schedule, written))
    for ours, theirs in zip(times_of(net, program), times_of(net, plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    found, expected = (max_plus(net, each, 0.0, np.zeros(hosts)) for each in (program, plain))
    assert (found is None) == (expected is None)
    if found is not None:
        np.testing.assert_array_equal(found.link_bytes, expected.link_bytes)
        for ours, theirs in zip(found.times(), expected.times(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@given(schedules(), st.randoms())
def test_copies_are_carried_out_as_if_each_were_written_out(made, random):
    hosts, planned = made
    assert_alike(planned.schedule, network(hosts, random))


@given(schedules())
def test_blocks_with_and_without_chunks_tell_the_same(made):
    schedule = made[1].schedule
    with_chunks, without = schedule.transfers(), schedule.transfers(chunks=False)
    for name in ("src", "dst", "size", "channel", "reduces", "dep_offsets", "deps"):
        np.testing.assert_array_equal(getattr(with_chunks, name), getattr(without, name))
    ids = [block.first_id for block in schedule.blocks()]
    sizes = [len(block) for block in schedule.blocks()]
    assert ids == [0, *itertools.accumulate(sizes)][: len(ids)]


def block(draw, first, least, count, last):
    """Transfers from id `first` on that wait for some of the ids `least` to below `last`."""
    ends = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    waits = st.sets(st.integers(least, last - 1), max_size=3) if last > least else st.just(set())
    deps = [sorted(draw(waits)) for _ in range(count)]
    return Transfers(
        first_id=first,
        src=whole(*draw(ends)),
        dst=whole(*draw(ends)),
        size=whole(*draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))),
        reduces=truth(*[False] * count),
        channel=whole(*[0] * count),
        chunk_offsets=whole(*[0] * (count + 1)),
        chunks=whole(),
        dep_offsets=whole(0, *itertools.accumulate(map(len, deps))),
        deps=whole(*itertools.chain.from_iterable(deps)),
    )


@st.composite
def own_schedules(draw):
    """Schedules in which some transfers come several times and others wait for any of them."""
    count, times, after = (draw(st.integers(1, 4)) for _ in range(3))
    before = block(draw, 0, 0, count, 0)
    copied = block(draw, count, 0, count, count)
    shape = (times, count)
    sizes = draw(
        st.none() | st.lists(st.integers(0, 9), min_size=times * count, max_size=times * count)
    )
    repeated = Repeated(
        block=copied, times=times, sizes=None if sizes is None else whole(*sizes).reshape(shape)
    )
    total = count * (1 + times)
    behind = block(draw, total, 0, after, total)
    return Schedule(
        collective=collectives.all_reduce(8),
        num_ranks=3,
        algorithm="own",
        num_transfers=total + after,
        layout=plan(
            collectives.all_reduce(8), simnet.Network(topologies.star(3, bandwidth=1e6))
        ).schedule.layout,
        expand=lambda _: iter([before, repeated, behind]),
    )


@given(own_schedules(), st.randoms())
def test_whatever_waits_for_copies(schedule, random):
    assert_alike(schedule, network(3, random))
