"""What the compiled model asks of Python: answers, exceptions, calls back and the collector."""

import gc
import weakref

import numpy as np
import pytest
from border import (
    REFUSED,
    begin,
    columns,
    drawing,
    finish,
    make_model,
    make_program,
    real,
    truth,
    whole,
)

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def core():
    from simnet.engine._kernel import core

    return core


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
    program = make_program(core, columns(2))
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
