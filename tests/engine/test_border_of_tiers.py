"""What crosses the border to the compiled tiers: taken or refused, whatever it is."""

import contextlib

import numpy as np
import pytest
from border import REFUSED, arrays, real, scalars, truth, whole
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def core():
    from simnet.engine._kernel import core

    return core


def spoiled(draw, given_arguments, *, counted=()):
    """The arguments, with up to two replaced by anything."""
    names = st.sets(st.sampled_from([*given_arguments, ""]), max_size=2)
    changed = draw(names) - {""} if draw(st.booleans()) else ()
    new = {name: draw(scalars if name in counted else arrays()) for name in changed}
    return list((given_arguments | new).values())


BLOCK = {
    "src": whole(0, 0),
    "dst": whole(1, 1),
    "size": whole(5, 5),
    "channel": whole(0, 1),
    "reduces": truth(False, True),
    "dep_offsets": whole(0, 0, 1),
    "deps": whole(0),
    "release": None,
    "times": 1,
}
ROUTES = {"offsets": whole(0, 1, 2), "links": whole(0, 0), "delay": real(0.5, 0.25)}


@st.composite
def passes(draw):
    """A method of a max-plus pass and its arguments; more often right than wrong."""
    name = draw(st.sampled_from(["run", "connect", "collect", "in_doubt", "sweep", "finish"]))
    given_columns = {"run": BLOCK, "collect": {"first": 0} | BLOCK, "connect": ROUTES}.get(name, {})
    if name == "finish":
        given_columns = {"left": np.zeros(2), "links": np.zeros(1, dtype=np.int64)}
    return name, spoiled(draw, given_columns, counted=("first", "times"))


@given(st.sampled_from([0, 2, 4]), st.integers(0, 2), st.lists(passes(), max_size=12))
def test_any_order_of_calls_of_a_pass(core, transfers, in_flight, sequence):
    start, end = np.zeros(transfers), np.zeros(transfers)
    run = core.MaxPlus(real(10.0, 3.0, 1e300), 1, whole(0, 1), real(0, 1), in_flight, start, end)
    begun = [("run", BLOCK.values()), ("connect", ROUTES.values())]
    for name, arguments in begun + sequence:
        with contextlib.suppress(*REFUSED):
            getattr(run, name)(*arguments)


PLAN = {
    "src": whole(0, 0),
    "dst": whole(1, 1),
    "connection": whole(0, 0),
    "size": whole(5, 5),
    "reduces": truth(False, True),
    "dep_offsets": whole(0, 0, 1),
    "deps": whole(0),
    "floor": real(0, 0),
    "arrival": real(0, 0),
    "route_offsets": whole(0, 1),
    "route_links": whole(0),
    "overhead": real(0),
    "receiver": whole(1),
    "reduction": real(np.inf, 3),
    "num_links": 1,
    "queues": True,
}


@given(st.data())
def test_any_plan_of_many_scenarios_runs_or_is_refused(core, data):
    scenarios = {
        "bandwidth": real(1, 2, 3),
        "latency": real(0.5),
        "first": 0,
        "last": 3,
        "left": np.zeros(6),
        "holds": truth(0, 0, 0),
    }
    counted = ("num_links", "queues", "first", "last")
    with contextlib.suppress(*REFUSED):
        plan = core.Many(*spoiled(data.draw, PLAN, counted=counted))
        plan.run(*spoiled(data.draw, scenarios, counted=counted))
