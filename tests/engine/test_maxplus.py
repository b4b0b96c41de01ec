"""The max-plus pass against the reference: equal where it answers, silent where it must be."""

import numpy as np
import pytest
from alone import alone_case, is_shared, is_unresolved

import simnet
import topologies
from simnet import collectives
from simnet.collectives.schedule import Transfers, from_transfers
from simnet.engine import maxplus
from simnet.engine.maxplus import max_plus
from simnet.engine.program import compile_flows, compile_schedule

pytestmark = pytest.mark.kernel

RTOL = 1e-12
CASES, CASES_A_TEST = 2000, 100


def passed(net, work, program=None):
    """The reference's result, and what the pass says."""
    result = simnet.simulate(net, work, engine="reference")
    program = program or result.works[0].job.program
    arrivals = np.zeros(len(program.ranks))
    if isinstance(work, collectives.Collective):
        arrivals = work.arrival_times(len(program.ranks))
    return result, max_plus(net, program, 0.0, arrivals)


def check(net, work):
    """Equal to the reference to every bit that matters; None only where something is shared."""
    result, timeline = passed(net, work)
    job, program = result.works[0].job, result.works[0].job.program
    if timeline is None:
        shared = is_shared(net, job, 1e-14) or is_unresolved(net, job)
        assert program.in_flight > 16 or shared or out_of_order(job, work)
        return False
    assert not is_shared(net, job, 1e-12)
    starts, ends = timeline.times()
    np.testing.assert_allclose(starts, job.starts, rtol=RTOL)
    np.testing.assert_allclose(ends, job.ends, rtol=RTOL)
    np.testing.assert_allclose(timeline.left, [job.left[r] for r in program.ranks], rtol=RTOL)
    assert timeline.link_bytes.tolist() == result.link_bytes.tolist()
    return True


def out_of_order(job, work):
    """Whether two transfers come to a connection in another order than that of ids."""
    program, last = job.program, {}
    arrival = dict(zip(program.ranks, work.arrival_times(len(program.ranks)), strict=True))
    for i, key in enumerate(zip(program.src, program.dst, program.channel, strict=True)):
        deps = program.deps[program.dep_offsets[i] : program.dep_offsets[i + 1]]
        ready = max(arrival[key[0]], arrival[key[1]], *(job.end[dep] for dep in deps))
        if ready < last.get(key, 0.0) or job.start[i] < ready:
            return True
        last[key] = ready
    return False


@pytest.mark.parametrize("first", range(0, CASES, CASES_A_TEST))
def test_equals_the_reference(first):
    answered = 0
    for seed in range(first, first + CASES_A_TEST):
        try:
            answered += check(*alone_case(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None
    assert 0 < answered < CASES_A_TEST


def star(hosts, **options):
    return simnet.Network(
        topologies.star(hosts, **({"bandwidth": 100.0, "latency": 1.0} | options))
    )


def flows_in(net, *rows):
    """The ends of flows (source, destination, bytes, start) as the pass has them, or None."""
    program = compile_flows(simnet.flows(*zip(*rows, strict=True)), net.num_ranks)
    timeline = max_plus(net, program, 0.0, np.zeros(len(program.ranks)))
    return None if timeline is None else timeline.times()[1].tolist()


def test_flows_may_touch_but_not_overlap():
    """Both enter the receiver's cable at start + 2 s; the first leaves it 10 s later."""
    net = star(3)
    assert flows_in(net, (0, 2, 1000, 0.0), (1, 2, 500, 10.0)) == [12.0, 17.0]
    assert flows_in(net, (1, 2, 500, 10.0), (0, 2, 1000, 0.0)) == [17.0, 12.0]
    assert flows_in(net, (0, 2, 1000, 0.0), (1, 2, 500, 9.99)) is None
    assert flows_in(net, (1, 2, 500, 9.99), (0, 2, 1000, 0.0)) is None
    # Nothing drains, so nothing is shared.
    assert flows_in(net, (0, 2, 1000, 0.0), (1, 2, 0, 5.0)) == [12.0, 7.0]
    # Ten rows back in time: seen by the sweep alone.
    late = [(0, 2, 100, float(start)) for start in (9, 8, 7, 6, 5)]
    assert flows_in(net, *late) == [12.0, 11.0, 10.0, 9.0, 8.0]
    assert flows_in(net, *late, (1, 2, 250, 12.0), (1, 2, 1, 7.5)) is None


def test_nothing_leaves_a_link_before_it_enters():
    """The last drains for about 1e-13 of its time, behind three that only the sweep clears."""
    begin = np.random.default_rng(0).uniform(1, 2, 100_000)
    end = begin + 1e-13 * begin
    rate = 1 / (end - begin)
    barely = (end - begin > 1e-13 * end) & (end <= begin * (1 + 1e-13)) & (begin + 1 / rate == end)
    begin, rate = float(begin[barely][0]), float(rate[barely][0])
    tenth = int(rate / 10)
    rows = [(0, 1, tenth, 0.5), (0, 1, tenth, 0.1), (0, 1, tenth, 0.3), (0, 1, 1, begin)]
    ends = flows_in(star(2, bandwidth=rate, latency=0.0), *rows)
    assert ends is None or ends == pytest.approx([0.6, 0.2, 0.4, begin])


@pytest.mark.parametrize(("share", "fits"), [(40.0, True), (40.0 + 1e-9, False)])
def test_a_link_may_be_full(share, fits):
    graph = topologies.star(4, bandwidth=100.0)
    graph.edges[1, "switch"]["bandwidth"], graph.edges[2, "switch"]["bandwidth"] = 60.0, share
    net = simnet.Network(graph)
    found = flows_in(net, (1, 3, 600, 0.0), (2, 3, 200, 1.0))
    assert found == ([10.0, 6.0] if fits else None)


def test_local_reduction_is_shared_like_a_link():
    """0 → 2 drains until 11 s on a cable of its own and is then reduced until 31 s."""
    graph = topologies.fully_connected(3, bandwidth=100.0, latency=1.0)
    graph.nodes[2]["reduce_bandwidth"] = 50.0
    net = simnet.Network(graph)
    for arrival, ends in ((20.0, [31.0, 51.0]), (19.0, None)):
        work = collectives.reduce(1000, root=2, algorithm="flat", arrivals=[0.0, arrival, 0.0])
        program = compile_schedule(collectives.plan(work, net).schedule, (0, 1, 2))
        timeline = max_plus(net, program, 0.0, work.arrival_times(3))
        assert (None if timeline is None else sorted(timeline.times()[1])) == ends


def test_pieces_of_a_step_are_the_step(monkeypatch):
    """However few transfers are looked at at a time, the answer is the same to the bit."""
    rng = np.random.default_rng(0)
    graph = topologies.star(9)
    for _, _, edge in graph.edges(data=True):
        edge["bandwidth"], edge["latency"] = rng.uniform(1e6, 1e9), rng.uniform(0.0, 1e-3)
    net = simnet.Network(graph)
    for algorithm in ("ring", "recursive_halving_doubling", "direct", "binomial"):
        work = collectives.all_reduce(10**6, algorithm=algorithm)
        program = compile_schedule(collectives.plan(work, net).schedule, tuple(range(9)))
        monkeypatch.undo()
        whole = max_plus(net, program, 2.0, np.full(9, 2.0))
        monkeypatch.setattr(maxplus, "PIECE", 2)
        parts = max_plus(net, program, 2.0, np.full(9, 2.0))
        assert (whole is None) == (parts is None)
        if whole is not None:
            assert whole.times()[1].tolist() == parts.times()[1].tolist()
            assert whole.left.min() > 2.0


def own_schedule(*rows, ranks=3, in_flight=1):
    """A schedule of rows (source, destination, bytes, dependencies)."""
    deps = [row[3] for row in rows]
    transfers = Transfers(
        src=np.array([row[0] for row in rows]),
        dst=np.array([row[1] for row in rows]),
        size=np.array([row[2] for row in rows]),
        reduces=np.zeros(len(rows), dtype=np.bool_),
        channel=np.zeros(len(rows), dtype=np.int64),
        chunk_offsets=np.zeros(len(rows) + 1, dtype=np.int64),
        chunks=np.empty(0, dtype=np.int64),
        dep_offsets=np.cumsum([0, *map(len, deps)]),
        deps=np.array([dep for each in deps for dep in each], dtype=np.int64),
    )
    work = collectives.all_reduce(1, in_flight=in_flight)
    return from_transfers(work, ranks, transfers)


def test_who_comes_later_within_an_instant():
    """Without latency, what follows an empty transfer comes after what was ready at first."""
    net = star(3, latency=0.0)
    turned = own_schedule((0, 1, 0, []), (1, 2, 100, [0]), (1, 2, 200, []))
    straight = own_schedule((0, 1, 0, []), (1, 2, 200, []), (1, 2, 100, [0]))
    for schedule, ends in ((turned, None), (straight, [0.0, 2.0, 3.0])):
        program = compile_schedule(schedule, (0, 1, 2))
        timeline = max_plus(net, program, 0.0, np.zeros(3))
        assert (None if timeline is None else timeline.times()[1].tolist()) == ends
        work = collectives.all_reduce(1, algorithm=lambda *_, schedule=schedule: schedule)
        truth = simnet.simulate(net, work, engine="reference").works[0].job.end
        assert truth == (ends or [0.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, 3, 1, []), "transfer 1 is between ranks that the group does not have"),
        ((0, -1, 1, []), "transfer 1 is between ranks that the group does not have"),
        ((0, 1, -1, []), "transfer 1 has a negative size"),
        ((0, 1, 1, [1]), "transfer 1 depends on one that is not before it"),
        ((0, 1, 1, [-1]), "transfer 1 depends on one that is not before it"),
    ],
)
def test_schedules_that_cannot_be_carried_out(row, message):
    program = compile_schedule(own_schedule((0, 1, 1, []), row), (0, 1, 2))
    with pytest.raises(ValueError, match=message):
        max_plus(star(3), program, 0.0, np.zeros(3))


def made(**changes):
    from simnet.engine._kernel import core

    arguments = {
        "capacity": np.array([100.0, np.inf, np.inf]),
        "num_links": 1,
        "ranks": np.array([0, 1]),
        "arrivals": np.zeros(2),
        "in_flight": 1,
        "start": np.zeros(1),
        "end": np.zeros(1),
    } | changes
    return core.MaxPlus(*arguments.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": np.array([0.0, 1.0, 1.0])},
        {"capacity": np.array([np.nan, 1.0, 1.0])},
        {"capacity": np.array([1, 1, 1])},
        {"capacity": np.array([])},
        {"num_links": -1},
        {"num_links": 4},
        {"ranks": np.array([0, 2])},
        {"ranks": np.array([0, -1])},
        {"ranks": np.array([0])},
        {"arrivals": np.array([0.0, np.nan])},
        {"arrivals": np.array([0.0, np.inf])},
        {"in_flight": -1},
        {"start": np.zeros(2)},
        {"end": bytes(8)},
    ],
    ids=repr,
)
def test_malformed_passes_are_refused(changes):
    made()
    with pytest.raises(ValueError, match=r"\S"):
        made(**changes)


def columns(**changes):
    one = np.array([0])
    given = {
        "src": one,
        "dst": one + 1,
        "size": one + 5,
        "channel": one,
        "reduces": np.array([False]),
        "dep_offsets": np.array([0, 0]),
        "deps": np.empty(0, dtype=np.int64),
        "release": None,
        "times": 1,
    } | changes
    return tuple(given.values())


def route(run, links=(0,), delay=0.5):
    run.connect(np.array([0, len(links)]), np.array(links), np.array([delay]))


def route_of_one(run):
    run.run(*columns())
    route(run)


def test_times_are_found_again_only_when_asked_for():
    """The same to the bit, and once."""
    net = star(4)
    work = collectives.all_reduce(4000, algorithm="ring")
    program = compile_schedule(collectives.plan(work, net).schedule, tuple(range(4)))
    timeline = max_plus(net, program, 1.0, np.full(4, 1.0))
    starts, ends = timeline.times()
    assert timeline.times()[0] is starts
    assert starts.min() == 1.0
    assert ends.max() == timeline.left.max()


def test_a_sweep_needs_the_starts():
    run = made(start=None)
    run.run(*columns())
    route(run)
    assert run.run(*columns()) is True
    with pytest.raises(ValueError, match="not run"):
        run.collect(0, *columns())


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.run(*columns(src=np.array([2]))),
        lambda run: run.run(*columns(src=np.array([0, 0]))),
        lambda run: run.run(*columns(channel=np.array([-1]))),
        lambda run: run.run(*columns(release=np.array([0.0, 0.0]))),
        lambda run: (route_of_one(run), run.run(*columns(times=0))),
        lambda run: (route_of_one(run), run.run(*columns(times=2))),
        lambda run: (route_of_one(run), run.run(*columns(size=np.array([1, 1])))),
        lambda run: (route_of_one(run), run.run(*columns(times=2, release=np.array([0.0])))),
        lambda run: (run.run(*columns()), run.run(*columns())),
        lambda run: route(run),
        lambda run: (run.run(*columns()), route(run, links=(1,))),
        lambda run: (run.run(*columns()), route(run, links=(-1,))),
        lambda run: (run.run(*columns()), route(run, links=())),
        lambda run: (run.run(*columns()), route(run, delay=np.nan)),
        lambda run: (run.run(*columns()), route(run), route(run)),
        lambda run: (
            run.run(*columns()),
            route(run),
            run.run(*columns(dep_offsets=np.array([0, 3]))),
        ),
        lambda run: (
            run.run(*columns()),
            route(run),
            run.run(*columns(dep_offsets=np.array([1, 0]))),
        ),
        lambda run: (run.run(*columns()), route(run), [run.run(*columns()) for _ in range(2)]),
        lambda run: run.collect(0, *columns()),
        lambda run: run.collect(-1, *columns()),
        lambda run: run.finish(np.zeros(2), np.zeros(1, dtype=np.int64)),
    ],
)
def test_malformed_calls_are_refused(call):
    with pytest.raises(ValueError, match=r"\S"):
        call(made())
