"""What crosses the border to the compiled module: any argument is taken or refused, never fatal."""

import contextlib
import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.kernel

REFUSED = (ValueError, TypeError)
WHOLE = [0, 1, 2, -1, 7, 2**31, 2**32 - 1, 2**32, 2**60, 2**63 - 1, -(2**63)]
REAL = [0.0, 1.0, 0.5, -1.0, 1e-9, 1e308, 5e-324, np.nan, np.inf, -np.inf]
ODD = [None, 1, 1.5, "ab", b"0123456789abcdef", [0, 1], (), {}, object()]


def whole(*values):
    return np.array(values, dtype=np.int64)


def real(*values):
    return np.array(values, dtype=np.float64)


def truth(*values):
    return np.array(values, dtype=np.bool_)


@pytest.fixture(scope="module")
def core():
    from simnet.engine._kernel import core

    return core


def columns(transfers=1, in_flight=1):
    """Transfers from rank 0 to rank 1 over one connection, none waiting for another."""
    return {
        "ranks": whole(0, 1),
        "src": whole(*[0] * transfers),
        "dst": whole(*[1] * transfers),
        "connection": whole(*[0] * transfers),
        "size": whole(*range(5, 5 + transfers)),
        "reduces": truth(*[False] * transfers),
        "dep_offsets": whole(*[0] * (transfers + 1)),
        "deps": whole(),
        "release": None,
        "in_flight": in_flight,
        "network_ranks": 2,
        "connections": 1,
    }


def make_model(core, draw=lambda number, size: (0.1, [(0.0, size)]), rank=lambda jobs: jobs):
    """Two links and ranks; connection 0 is plain, connection 1 draws."""
    model = core.Model(real(1.0, 2.0, np.inf, 3.0), 2, 2, draw, rank)
    model.add_connections(whole(0, 1, 2), whole(0, 1), real(0.5, 0.5), truth(False, True))
    return model


def drawing(core, transfers=4):
    """A program whose transfers draw."""
    changes = {"connection": whole(*[1] * transfers), "connections": 2, "in_flight": 0}
    return core.Program(*(columns(transfers) | changes).values())


def begin(model, program, time=0.0):
    job = model.post(program, time)
    for place in (0, 1):
        model.arrive(job, place, time)
    return job


def finish(model):
    """Let all that is left happen; what was taken must come to an end."""
    for _ in range(1000):
        if not model.next_time() < np.inf:
            return
        model.advance(model.next_time(), np.inf)
    raise AssertionError("goes on for ever")


@st.composite
def arrays(draw):
    """Arrays and other things: right and wrong in type, order, length, shape and values."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(ODD))
    length = draw(st.integers(0, 4))
    kind = draw(st.sampled_from(["i8", "i8", "i8", "f8", "f8", "?", "u1", "i4", "u8", ">i8", "S1"]))
    if kind in ("f8",):
        array = np.array([draw(st.sampled_from(REAL)) for _ in range(length)], dtype=kind)
    else:
        array = whole(*(draw(st.sampled_from(WHOLE)) for _ in range(length))).astype(kind)
    spoil = draw(st.sampled_from(["no"] * 8 + ["stride", "reverse", "frozen", "deep"]))
    if spoil == "stride":
        array = np.repeat(array, 2)[::2]
    elif spoil == "reverse":
        array = array[::-1]
    elif spoil == "deep":
        array = array[:, None]
    elif spoil == "frozen":
        array.flags.writeable = False
    return array


scalars = st.sampled_from([*WHOLE, *REAL, 2**70, -(2**70), 10**400, *ODD])


@given(st.integers(1, 4), st.data())
def test_any_program_runs_or_is_refused(core, transfers, data):
    given_columns = columns(transfers)
    for name in data.draw(st.sets(st.sampled_from(list(given_columns)), min_size=1, max_size=3)):
        counted = name in ("in_flight", "network_ranks", "connections")
        given_columns[name] = data.draw(scalars if counted else arrays(), label=name)
    model = make_model(core)
    try:
        begin(model, core.Program(*given_columns.values()))
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
        job = begin(model, core.Program(*(columns(transfers) | changes).values()))
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
        begin(model, core.Program(*(columns() | changes).values()))
    except REFUSED:
        return
    finish(model)


CAPACITY = [1.0, 3.0, 1e-300, 1e12, 1e300, 0.0, -1.0, np.nan]


@given(st.lists(st.sampled_from(CAPACITY), min_size=4, max_size=4), st.integers(0, 2))
def test_any_capacity_carries_or_is_refused(core, capacity, in_flight):
    try:
        model = core.Model(real(*capacity), 2, 2, None, lambda jobs: jobs)
        routes = whole(0, 1, 2, 4), whole(0, 1, 0, 1)
        model.add_connections(*routes, real(0.0, 0.5, 1.0), truth(False, False, False))
    except REFUSED:
        return
    changes = {"connection": whole(0, 1, 2, 2), "connections": 3, "reduces": truth(0, 1, 0, 1)}
    for size in (5, 0, 2**60):
        program = (columns(4, in_flight) | changes | {"size": whole(1, size, 7, size)}).values()
        begin(model, core.Program(*program))
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
        "plain": core.Program(*columns(3).values()),
        "drawing": drawing(core),
        "timed": core.Program(*(columns(2, 0) | {"release": real(0.5, 0.25)}).values()),
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


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (1.0,),
        [1.0, [(0.0, 1)]],
        (1.0, 2),
        (1.0, []),
        (1.0, [1]),
        (1.0, [(0.0,)]),
        (1.0, [(0.0, 2.5)]),
        (1.0, [(0.0, -1)]),
        (1.0, [(0.0, 2**63)]),
        (1.0, [(0.0, 2**62), (0.0, 2**62)]),
        (1.0, [(np.nan, 1)]),
        (1.0, [(np.inf, 1)]),
        (1.0, [(-1.0, 1)]),
        (np.nan, [(0.0, 1)]),
        (np.inf, [(0.0, 1)]),
        (-1.0, [(0.0, 1)]),
        (10**400, [(0.0, 1)]),
        ("1", [(0.0, 1)]),
        (1.0, {0: (0.0, 1)}),
    ],
    ids=lambda answer: repr(answer)[:40],
)
def test_a_malformed_draw_is_refused(core, answer):
    model = make_model(core, draw=lambda number, size: answer)
    begin(model, drawing(core))
    with pytest.raises(REFUSED):
        model.advance(0.0, np.inf)


@pytest.mark.parametrize(
    "answer", [None, 5, (1,), (1, "a"), (1, -1), (1, 2**32), (1, 2**64), (1, 2.0)], ids=repr
)
def test_a_malformed_rank_is_refused(core, answer):
    model = make_model(core, rank=lambda jobs: answer)
    program = core.Program(*columns(2).values())
    begin(model, program)
    begin(model, program)
    with pytest.raises(REFUSED):
        model.advance(0.0, np.inf)


@pytest.mark.parametrize("transfer", [0, 1, 2, 3])
def test_an_exception_in_the_middle_of_an_advance_ends_the_model(core, transfer):
    left = [transfer]

    def draw(number, size):
        if not left[0]:
            raise KeyError("mine")
        left[0] -= 1
        return 0.1, [(0.0, size)]

    model = make_model(core, draw)
    begin(model, drawing(core))
    with pytest.raises(KeyError, match="mine"):
        model.advance(0.0, np.inf)
    with pytest.raises(RuntimeError, match="failed in an earlier"):
        model.advance(1.0, np.inf)
    assert model.arrived(0) == b"\1\1"


@pytest.mark.parametrize(
    "call",
    [
        lambda model, program: model.advance(0.0, np.inf),
        lambda model, program: model.post(program, 0.0),
        lambda model, program: model.arrive(0, 0, 0.0),
        lambda model, program: model.next_time(),
        lambda model, program: model.rates(),
        lambda model, program: model.add_connections(whole(0, 1), whole(0), real(0), truth(False)),
    ],
)
def test_a_callback_cannot_call_its_model(core, call):
    program = drawing(core)
    inside = []

    def attempt():
        with pytest.raises(RuntimeError, match="by its own"):
            call(model, program)
        inside.append(True)

    def draw(number, size):
        attempt()
        return 0.1, [(0.0, size)]

    def rank(jobs):
        attempt()
        return jobs

    model = make_model(core, draw, rank)
    begin(model, program)
    begin(model, program)
    finish(model)
    assert len(inside) > 8  # every transfer draws, and the jobs are ranked
    assert model.advance(100.0, 100.0) == (100.0, [])


def test_a_model_in_a_cycle_is_collected(core):
    class Draw:
        def __call__(self, number, size):
            return self.model, number

    def abandon():
        draw = Draw()
        draw.model = make_model(core, draw, draw)
        begin(draw.model, drawing(core))
        return weakref.ref(draw)

    gone = abandon()
    gc.collect()
    assert gone() is None


def test_a_model_that_is_called_while_it_is_collected(core):
    said = []

    class Late:  # outside the collector's sight: runs after the model has lost its callbacks
        __slots__ = ()

        def __del__(self):
            try:
                said.append(type(self).model.advance(0.0, np.inf))
            except (RuntimeError, AttributeError) as error:
                said.append(error)

    def abandon():
        class Mine(Late):
            __slots__ = ()

        class Draw:
            def __call__(self, number, size):
                return 0.1, [(0.0, size)]

        draw = Draw()
        Mine.model = draw.model = make_model(core, draw, draw)
        draw.late, draw.kind = [Mine()], Mine
        begin(draw.model, drawing(core))

    abandon()
    gc.collect()
    assert len(said) == 1


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
    program = core.Program(*given_columns.values())
    for column in given_columns.values():
        if isinstance(column, np.ndarray) and column.size:
            column.fill(np.iinfo(np.int64).max if column.dtype == np.int64 else 1)
    model = make_model(core)
    assert begin(model, program) == 0
    finish(model)


BLOCK = {
    "src": whole(0, 0),
    "dst": whole(1, 1),
    "size": whole(5, 5),
    "channel": whole(0, 1),
    "reduces": truth(False, True),
    "dep_offsets": whole(0, 0, 1),
    "deps": whole(0),
    "release": None,
}
ROUTES = {"offsets": whole(0, 1, 2), "links": whole(0, 0), "delay": real(0.5, 0.25)}


@st.composite
def passes(draw):
    """A method of a max-plus pass and its arguments; more often right than wrong."""
    name = draw(st.sampled_from(["run", "connect", "collect", "in_doubt", "sweep", "finish"]))
    given_columns = {"run": BLOCK, "collect": {"first": 0} | BLOCK, "connect": ROUTES}.get(name, {})
    if name == "finish":
        given_columns = {"left": np.zeros(2), "links": np.zeros(1, dtype=np.int64)}
    names = st.sampled_from([*given_columns, "none"])
    changed = draw(st.sets(names, max_size=2)) - {"none"} if draw(st.booleans()) else ()
    spoiled = {each: draw(scalars if each == "first" else arrays()) for each in changed}
    return name, (given_columns | spoiled).values()


@given(st.sampled_from([0, 2, 4]), st.integers(0, 2), st.lists(passes(), max_size=12))
def test_any_order_of_calls_of_a_pass(core, transfers, in_flight, sequence):
    start, end = np.zeros(transfers), np.zeros(transfers)
    run = core.MaxPlus(real(10.0, 3.0, 1e300), 1, whole(0, 1), real(0, 1), in_flight, start, end)
    begun = [("run", BLOCK.values()), ("connect", ROUTES.values())]
    for name, arguments in begun + sequence:
        with contextlib.suppress(*REFUSED):
            getattr(run, name)(*arguments)
