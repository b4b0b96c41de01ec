"""Max-min fairness against its definition, computed in exact fractions."""

import numpy as np
import pytest
from fairness import exact_rates
from hypothesis import given
from hypothesis import strategies as st

from simnet.engine.maxmin import max_min_rates


def padded(routes, num_links):
    hops = max(map(len, routes), default=1)
    table = np.full((len(routes), max(hops, 1)), num_links)
    for row, route in enumerate(routes):
        table[row, : len(route)] = route
    return table


def rates_of(routes, bandwidths):
    capacity = np.append(np.array(bandwidths, dtype=float), np.inf)
    return max_min_rates(padded(routes, len(bandwidths)), capacity)


@st.composite
def networks(draw):
    num_links = draw(st.integers(1, 6))
    bandwidths = draw(
        st.lists(
            st.sampled_from([1, 2, 3, 5, 7, 10**3, 10**12]), min_size=num_links, max_size=num_links
        )
    )
    route = st.lists(st.integers(0, num_links - 1), min_size=1, max_size=num_links, unique=True)
    return draw(st.lists(route, min_size=1, max_size=12)), bandwidths


@given(networks())
def test_equals_the_definition_in_exact_arithmetic(case):
    routes, bandwidths = case
    expected = [float(rate) for rate in exact_rates(routes, bandwidths)]
    np.testing.assert_allclose(rates_of(routes, bandwidths), expected, rtol=1e-12)


def test_the_textbook_line():
    # Bertsekas & Gallager: one flow over both links, one on each; the first link has two users.
    rates = rates_of([[0, 1], [0], [1]], [10.0, 100.0])
    assert rates.tolist() == [5.0, 5.0, 95.0]


def test_rates_do_not_depend_on_the_order_of_flows():
    routes = [[0, 1], [1, 2], [2], [0], [1]]
    bandwidths = [10.0, 3.0, 7.0]
    forward = rates_of(routes, bandwidths)
    backward = rates_of(routes[::-1], bandwidths)[::-1]
    assert forward.tolist() == backward.tolist()


def test_no_flow_no_rate():
    assert rates_of([], [1.0]).tolist() == []


@pytest.mark.parametrize("num_flows", [1, 7, 1000, 30_000])
def test_equal_flows_split_a_link_without_a_drop_lost(num_flows):
    rates = rates_of([[0]] * num_flows, [1e9])
    assert rates.min() == rates.max() == 1e9 / num_flows
