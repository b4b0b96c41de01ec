"""A link's weight on a route: one flow that stands for many alike, against all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.kernel

BANDWIDTHS = st.sampled_from([1.0, 2.0, 3.0, 7.0, 10.0, 1e6])


def carry_out(capacity, routes, weights, sizes, delays):
    """Let every flow start at once on a connection of its own; returns their ends, and bytes."""
    from simnet.engine._kernel import core

    total = len(routes)
    model = core.Model(
        np.append(np.array(capacity), [np.inf, np.inf]), len(capacity), 2, None, None
    )
    offsets = np.concatenate([[0], np.cumsum([len(route) for route in routes])])
    model.add_connections(
        offsets.astype(np.int64),
        np.concatenate(routes).astype(np.int64),
        np.array(delays, dtype=np.float64),
        np.zeros(total, dtype=np.bool_),
        None if weights is None else np.concatenate(weights).astype(np.int64),
    )
    zeros, ones = np.zeros(total, dtype=np.int64), np.ones(total, dtype=np.int64)
    program = core.Program(np.array([0, 1]), 0, 2)
    program.add(
        zeros, ones, np.arange(total), np.array(sizes), zeros.astype(np.bool_),
        np.zeros(total + 1, dtype=np.int64), zeros[:0], 1, total,
    )  # fmt: skip
    job = model.post(program, 0.0)
    for place in (0, 1):
        model.arrive(job, place, 0.0)
    model.advance(0.0, np.inf)
    start, end, carried = np.empty(total), np.empty(total), np.zeros(len(capacity), dtype=np.int64)
    model.times(job, start, end)
    model.carried(model.next_time(), carried)
    return end, carried


@st.composite
def parts(draw):
    """Links of one's own, links shared by all copies, and the flows of one copy."""
    own = draw(st.lists(BANDWIDTHS, min_size=1, max_size=4))
    shared = draw(st.lists(BANDWIDTHS, min_size=1, max_size=3))
    link = st.integers(0, len(own) + len(shared) - 1)
    flow = st.tuples(
        st.lists(link, min_size=1, max_size=4, unique=True),
        st.integers(0, 10**6),
        st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    )
    return own, shared, draw(st.lists(flow, min_size=1, max_size=8)), draw(st.integers(1, 7))


@given(parts())
def test_one_copy_stands_for_all(case):
    own, shared, flows, copies = case
    routes, sizes, delays = zip(*flows, strict=True)
    weights = [[copies if link >= len(own) else 1 for link in route] for route in routes]
    folded, folded_bytes = carry_out(own + shared, routes, weights, sizes, delays)

    def of_copy(link, copy):
        """Where a link of one copy is among those of all: shared ones come last."""
        return link + (copies - 1 if link >= len(own) else copy) * len(own)

    unfolded, unfolded_bytes = carry_out(
        own * copies + shared,
        [[of_copy(link, copy) for link in route] for copy in range(copies) for route in routes],
        None,
        sizes * copies,
        delays * copies,
    )
    np.testing.assert_allclose(unfolded, np.tile(folded, copies), rtol=1e-9)
    mine, common = folded_bytes[: len(own)], folded_bytes[len(own) :]
    assert unfolded_bytes.tolist() == [*np.tile(mine, copies).tolist(), *common.tolist()]


@given(st.integers(3, 12), st.data())
def test_a_ring_whose_ranks_all_do_the_same(nodes, data):
    """Rank r sends to r + s for some s: every link carries s flows of each of them."""
    strides = data.draw(st.lists(st.integers(1, nodes - 1), min_size=1, max_size=4))
    sizes = data.draw(st.lists(st.integers(1, 10**6), min_size=len(strides), max_size=len(strides)))
    folded, folded_bytes = carry_out(
        [10.0], [[0]] * len(strides), [[s] for s in strides], sizes, [0.25] * len(strides)
    )
    routes = [[(r + hop) % nodes for hop in range(s)] for r in range(nodes) for s in strides]
    unfolded, unfolded_bytes = carry_out(
        [10.0] * nodes, routes, None, sizes * nodes, [0.25] * len(routes)
    )
    np.testing.assert_allclose(unfolded, np.tile(folded, nodes), rtol=1e-9)
    assert unfolded_bytes.tolist() == folded_bytes.tolist() * nodes


@pytest.mark.parametrize("weight", [0, -1, 2**32])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match=f"link 0 with weight {weight}"):
        carry_out([1.0], [[0]], [[weight]], [5], [0.0])


def test_weights_are_one_a_link():
    with pytest.raises(ValueError, match="weights has 1 entries; needs 2"):
        carry_out([1.0, 1.0], [[0, 1]], [[1]], [5], [0.0])
