"""Arguments for the compiled module: right and wrong in type, order, length, shape and values."""

import numpy as np
from hypothesis import strategies as st

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


@st.composite
def arrays(draw):
    """Arrays, and sometimes other things."""
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


def columns(transfers=1, in_flight=1):
    """Transfers from rank 0 to rank 1 over one connection, none waiting for another."""
    return {
        "ranks": whole(0, 1),
        "in_flight": in_flight,
        "network_ranks": 2,
        "src": whole(*[0] * transfers),
        "dst": whole(*[1] * transfers),
        "connection": whole(*[0] * transfers),
        "size": whole(*range(5, 5 + transfers)),
        "reduces": truth(*[False] * transfers),
        "dep_offsets": whole(*[0] * (transfers + 1)),
        "deps": whole(),
        "times": 1,
        "connections": 1,
        "release": None,
    }


def make_program(core, given_columns):
    """A program of one block; `given_columns` as `columns` gives them."""
    *arguments, release = given_columns.values()
    program = core.Program(*arguments[:3])
    program.add(*arguments[3:])
    if release is not None:
        program.release(release)
    return program


def make_model(core, draw=lambda number, size: (0.1, [(0.0, size)]), rank=lambda jobs: jobs):
    """Two links and ranks; connection 0 is plain, connection 1 draws."""
    model = core.Model(real(1.0, 2.0, np.inf, 3.0), 2, 2, draw, rank)
    model.add_connections(whole(0, 1, 2), whole(0, 1), real(0.5, 0.5), truth(False, True))
    return model


def drawing(core, transfers=4):
    """A program whose transfers draw."""
    changes = {"connection": whole(*[1] * transfers), "connections": 2, "in_flight": 0}
    return make_program(core, columns(transfers) | changes)


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
