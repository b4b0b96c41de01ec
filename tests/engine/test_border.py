"""What crosses the border to the compiled model: any argument is taken or refused, never fatal."""

import contextlib

import numpy as np
import pytest
from border import (
    REAL,
    REFUSED,
    arrays,
    begin,
    columns,
    drawing,
    finish,
    make_model,
    make_program,
    real,
    scalars,
    truth,
    whole,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def core():
    from simnet.engine._kernel import core

    return core


@given(st.integers(1, 4), st.data())
def test_any_program_runs_or_is_refused(core, transfers, data):
    given_columns = columns(transfers)
    for name in data.draw(st.sets(st.sampled_from(list(given_columns)), min_size=1, max_size=3)):
        counted = name in ("in_flight", "network_ranks", "times", "connections")
        given_columns[name] = data.draw(scalars if counted else arrays(), label=name)
    model = make_model(core)
    try:
        begin(model, make_program(core, given_columns))
    except REFUSED:
        return
    finish(model)


@given(st.integers(2, 5), st.data())
def test_any_graph_of_dependencies_runs_or_is_refused(core, transfers, data):
    numbers = st.integers(-1, transfers + 1)
    offsets = data.draw(st.lists(numbers, min_size=transfers, max_size=transfers))
    deps = data.draw(st.lists(numbers, max_size=transfers))
    ends = data.draw(st.lists(st.integers(0, 1), min_size=transfers, max_size=transfers))
    changes = {
        "dep_offsets": whole(0, *(sorted(offsets) if data.draw(st.booleans()) else offsets)),
        "deps": whole(*deps),
        "src": whole(*ends),
        "connection": whole(*(-end for end in ends)),
        "release": data.draw(st.sampled_from([None, real(*range(transfers))])),
        "in_flight": data.draw(st.integers(0, 2)),
    }
    model = make_model(core)
    try:
        job = begin(model, make_program(core, columns(transfers) | changes))
    except REFUSED:
        return
    finish(model)
    start, end = np.empty(transfers), np.empty(transfers)
    model.times(job, start, end)
    assert (start <= end).all()


@given(st.data())
def test_any_connection_carries_or_is_refused(core, data):
    connection = {
        "offsets": whole(0, 2, 3),
        "links": whole(0, 1, 1),
        "delay": real(0.5, 0.25),
        "draws": truth(False, True),
        "weights": None,
    }
    for name in data.draw(st.sets(st.sampled_from(list(connection)), min_size=1, max_size=2)):
        connection[name] = data.draw(arrays(), label=name)
    model = make_model(core)
    try:
        first = model.add_connections(*connection.values())
        changes = {"connection": whole(first), "connections": first + 1}
        begin(model, make_program(core, columns() | changes))
    except REFUSED:
        return
    finish(model)


@given(
    st.lists(st.sampled_from([*REAL, 1e-300, 3.0, 1e12, 1e300]), min_size=4, max_size=4),
    st.integers(0, 2),
)
def test_any_capacity_carries_or_is_refused(core, capacity, in_flight):
    try:
        model = core.Model(real(*capacity), 2, 2, None, lambda jobs: jobs)
        routes = whole(0, 1, 2, 4), whole(0, 1, 0, 1)
        model.add_connections(*routes, real(0.0, 0.5, 1.0), truth(False, False, False))
    except REFUSED:
        return
    changes = {"connection": whole(0, 1, 2, 2), "connections": 3, "reduces": truth(0, 1, 0, 1)}
    for size in (5, 0, 2**60):
        program = columns(4, in_flight) | changes | {"size": whole(1, size, 7, size)}
        begin(model, make_program(core, program))
    finish(model)


@given(arrays(), scalars, scalars)
def test_any_network_is_taken_or_refused(core, capacity, links, ranks):
    with contextlib.suppress(*REFUSED):
        core.Model(capacity, links, ranks, None, None)


TIMES = ["now", "next", "later", -1.0, 1e300, np.nan, np.inf, -np.inf, 10**400, None]
JOBS = [-1, 2**32 - 1, 2**32, 2**70, None, 0.0]


@st.composite
def calls(draw):
    """A method of a model and its arguments; more often right than wrong."""
    odd = st.integers(0, 9).map(lambda number: number == 9)
    time = st.sampled_from(TIMES) if draw(odd) else st.sampled_from(["now", "next", "later"])
    job = st.sampled_from(JOBS) if draw(odd) else st.integers(0, 3)
    program = st.sampled_from(["plain", "drawing", "timed", *([None] if draw(odd) else [])])
    arguments = {
        "begin": [program],
        "post": [program, time],
        "arrive": [job, st.sampled_from([0, 1, 0, 1, 2, -1, 2**32 - 2]), time],
        "next_time": [],
        "advance": [time, time],
        "carried": [time, st.sampled_from([np.zeros(2, dtype=np.int64), np.zeros(2), None])],
        "times": [job, arrays(), arrays()],
        "retransmitted": [job, arrays()],
        "arrived": [job],
        "rates": [],
        "work": [],
    }
    name = draw(st.sampled_from([*arguments, "begin", "arrive", "advance", "advance", "advance"]))
    return name, [draw(argument) for argument in arguments[name]]


@given(st.lists(calls(), max_size=30), st.integers(0, 3))
def test_any_order_of_calls(core, sequence, fails_after):
    asked = [0]

    def draw(number, size):
        asked[0] += 1
        if asked[0] > 3 * fails_after > 0:
            raise KeyError(number)
        return (0.1, [(0.0, size), (0.2, size)])

    model, now = make_model(core, draw), 0.0
    programs = {
        "plain": make_program(core, columns(3)),
        "drawing": drawing(core),
        "timed": make_program(core, columns(2, 0) | {"release": real(0.5, 0.25)}),
    }
    for name, arguments in sequence:
        upcoming = model.next_time()
        meaning = programs | {"now": now, "next": min(upcoming, 1e6), "later": now + 100.0}
        meant = [meaning.get(arg, arg) if isinstance(arg, str) else arg for arg in arguments]
        try:
            if name == "begin":
                begin(model, meant[0], now)
            elif name == "advance":
                now = model.advance(*meant)[0]
            else:
                getattr(model, name)(*meant)
        except (*REFUSED, KeyError, RuntimeError):
            pass
        assert not model.next_time() < now or fails_after or name != "advance"


def test_nobody_arrives_twice(core):
    model = make_model(core)
    job = begin(model, make_program(core, columns()))
    finish(model)
    model.arrive(job, 0, 100.0)
    with pytest.raises(ValueError, match="place 0 arrives in job 0 a second time"):
        model.advance(100.0, np.inf)


def test_what_is_due_at_infinity_never_comes(core):
    """Its connection stays in use, and all else goes on, also through many days of a calendar."""
    model = core.Model(real(1.0, 1e-300, np.inf, np.inf), 2, 2, None, None)
    model.add_connections(whole(0, 1, 2), whole(0, 1), real(0.5, 0.5), truth(False, False))
    for time in (np.inf, np.nan):
        with pytest.raises(ValueError, match="posted at"):
            model.post(make_program(core, columns()), time)
    count = 500
    late = columns(count, 0) | {"release": real(*range(count))}
    late["size"][0] = 10**15
    changes = {"connections": 2, "connection": whole(1, *[0] * (count - 1))}
    job = begin(model, make_program(core, late | changes))
    with pytest.raises(ValueError, match="arrival at no time"):
        model.arrive(job, 0, np.inf)
    finish(model)
    start, end = np.empty(count), np.empty(count)
    model.times(job, start, end)
    assert np.flatnonzero(np.isnan(end)).tolist() == [0]


def test_no_sum_of_bytes_leaves_int64(core):
    model = make_model(core)
    half = make_program(core, columns(2) | {"size": whole(2**60, 2**60)})
    for _ in range(2):
        begin(model, half)
    with pytest.raises(ValueError, match=r"brings the model's bytes over 2\^62"):
        model.post(make_program(core, columns()), 0.0)
    with pytest.raises(ValueError, match=r"transfer 1 brings the bytes over 2\^62"):
        make_program(core, columns(2) | {"size": whole(2**62, 1)})
    finish(model)
    carried = whole(0, 0)
    model.carried(1e300, carried)
    assert carried.tolist() == [2**62, 0]


def test_a_stall_is_an_error_that_names_the_state(core):
    model = make_model(core)
    begin(model, make_program(core, columns()))
    assert model.advance(0.0, 0.0) == (0.0, [])
    for _ in range(10_000):
        assert model.advance(0.25, 0.25) == (0.25, [])
    said = (
        r"no progress at 0\.25\d* s: nothing was due 10001 times; 1 transfers under way, "
        r"next end inf s, next start or arrival 0\.50* s"
    )
    with pytest.raises(RuntimeError, match=said):
        model.advance(0.25, 0.25)
    with pytest.raises(RuntimeError, match="failed in an earlier"):
        model.advance(0.5, 0.5)


@pytest.mark.parametrize("kind", ["Program", "Model"])
def test_objects_are_not_made_from_nothing(core, kind):
    made = getattr(core, kind)
    with pytest.raises(TypeError):
        made()
    with pytest.raises(TypeError):
        made.__new__(made)
    with pytest.raises(TypeError):
        type("Mine", (made,), {})


def test_the_arrays_may_go_once_they_were_taken(core):
    given_columns = columns(3)
    program = make_program(core, given_columns)
    for column in given_columns.values():
        if isinstance(column, np.ndarray) and column.size:
            column.fill(np.iinfo(np.int64).max if column.dtype == np.int64 else 1)
    model = make_model(core)
    assert begin(model, program) == 0
    finish(model)
