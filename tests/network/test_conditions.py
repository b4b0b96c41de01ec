"""Profiles: the ranges, what is drawn for which cable, and what is left alone."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simnet
import topologies
from simnet.conditions import PROFILES, Profile, draw_bandwidths, draw_conditions, profile
from simnet.network import CABLE, EGRESS, INGRESS

MB = 1024**2
MIDDLE = Profile(
    name="middle", bandwidth=(1e6, 3e6), latency=(0.1, 0.3), loss=(0.1, 0.3), jitter=(0.2, 0.6)
)
ATTRIBUTES = ("bandwidth", "latency", "loss", "jitter")


@pytest.mark.parametrize(
    ("name", "bandwidth", "latency", "loss", "jitter"),
    [
        ("mobile", (1 * MB, 10 * MB), (0.05, 0.3), (0.01, 0.05), (0.3, 0.5)),
        ("datacenter", (100 * MB, 1000 * MB), (1e-4, 5e-3), (1e-5, 1e-3), (0.01, 0.05)),
        ("cross_continental", (10 * MB, 100 * MB), (0.1, 0.5), (0.001, 0.01), (0.1, 0.2)),
        ("poor", (1 * MB, 5 * MB), (0.1, 0.5), (0.02, 0.02), (0.3, 0.3)),
        ("lan", (125e6, 1250e6), (5e-5, 2.5e-4), (0, 0), (0, 0)),
        ("wan", (12.5e6, 125e6), (0.015, 0.045), (0, 0.005), (0, 0.02)),
    ],
)
def test_the_named_ranges(name, bandwidth, latency, loss, jitter):
    found = PROFILES[name]
    assert found.name == name
    assert (found.bandwidth, found.latency, found.loss, found.jitter) == (
        bandwidth,
        latency,
        loss,
        jitter,
    )


def test_the_names_are_all_and_cannot_be_changed():
    assert set(PROFILES) == {"mobile", "datacenter", "cross_continental", "lan", "wan", "poor"}
    with pytest.raises(TypeError):
        PROFILES["mine"] = MIDDLE


def test_a_profile_is_found_by_name_or_given():
    assert profile("wan") is PROFILES["wan"]
    assert profile(MIDDLE) is MIDDLE


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        ("moblie", ValueError, "profile 'moblie' is unknown: choose one of mobile, datacenter"),
        ("Mobile", ValueError, "profile 'Mobile' is unknown"),
        (3, TypeError, "profile 3: give a name"),
        ({"bandwidth": 1}, TypeError, "or a Profile"),
    ],
)
def test_an_unknown_profile(which, error, message):
    with pytest.raises(error) as caught:
        simnet.Network(topologies.ring(3), profile=which)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"bandwidth": (0, 1)}, ValueError, "profile 'p': bandwidth (0, 1): must be positive"),
        ({"bandwidth": (2, 1)}, ValueError, "needs finite 0 <= low <= high"),
        ({"latency": (-1, 1)}, ValueError, "latency (-1, 1): needs finite 0 <= low <= high"),
        ({"latency": (0, math.inf)}, ValueError, "needs finite"),
        ({"jitter": (math.nan, 1)}, ValueError, "needs finite"),
        ({"loss": (0.5, 1)}, ValueError, "loss (0.5, 1): must be in [0, 1)"),
        ({"latency": 0.1}, TypeError, "latency 0.1: give a pair of numbers (low, high)"),
        ({"latency": (1, 2, 3)}, TypeError, "give a pair of numbers"),
        ({"latency": (False, True)}, TypeError, "give a pair of numbers"),
        ({"latency": ("1ms", "2ms")}, TypeError, "give a pair of numbers"),
        ({"latency": None}, TypeError, "give a pair of numbers"),
        ({"name": ""}, TypeError, "profile name '': give a non-empty text"),
        ({"name": 7}, TypeError, "profile name 7"),
    ],
)
def test_a_profile_that_cannot_be(changes, error, message):
    fields = {"name": "p", "bandwidth": (1, 2), "latency": (0, 1)}
    with pytest.raises(error) as caught:
        Profile(**{**fields, **changes})
    assert message in str(caught.value)


def test_a_profile_is_frozen_and_takes_numpy_numbers_and_lists():
    made = Profile(name="p", bandwidth=[np.int64(1), np.float32(2)], latency=(0, 1))
    assert made.bandwidth == (1.0, 2.0)
    assert made.loss == made.jitter == (0.0, 0.0)
    with pytest.raises(AttributeError):
        made.name = "q"


@given(st.integers(0, 40), st.integers(0, 2**40), st.sampled_from(sorted(PROFILES)))
def test_draws_stay_in_their_ranges_and_do_not_depend_on_how_many_there_are(count, seed, name):
    ranges = PROFILES[name]
    some = draw_conditions(ranges, count, np.random.default_rng(seed))
    more = draw_conditions(ranges, count + 3, np.random.default_rng(seed))
    for attribute in ATTRIBUTES:
        low, high = getattr(ranges, attribute)
        values = getattr(some, attribute)
        assert values.shape == (count,)
        assert ((low <= values) & (values <= high)).all()
        assert (getattr(more, attribute)[:count] == values).all()


def test_draws_are_uniform():
    drawn = draw_conditions(MIDDLE, 4000, np.random.default_rng(1))
    for attribute in ATTRIBUTES:
        low, high = getattr(MIDDLE, attribute)
        unit = np.sort((getattr(drawn, attribute) - low) / (high - low))
        # Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand
        assert np.abs(unit - np.arange(4000) / 4000).max() < 1.95 / math.sqrt(4000)
    assert abs(np.corrcoef(drawn.bandwidth, drawn.latency)[0, 1]) < 0.05


def test_without_a_generator_the_middle_is_taken():
    drawn = draw_conditions(MIDDLE, 2, None)
    assert drawn.bandwidth.tolist() == [2e6, 2e6]
    assert drawn.latency == pytest.approx([0.2, 0.2], rel=1e-15)
    assert drawn.loss == pytest.approx([0.2, 0.2], rel=1e-15)
    assert drawn.jitter == pytest.approx([0.4, 0.4], rel=1e-15)
    assert draw_bandwidths(MIDDLE, 1, None).tolist() == [2e6]


def test_middles_on_a_network():
    # middle: 2 MB/s, 0.2 s, loss 0.2, jitter 0.4 of the latency
    links = simnet.Network(topologies.ring(3), profile=MIDDLE, draw=False).links
    assert links.bandwidth.tolist() == [2e6] * 6
    assert links.latency == pytest.approx([0.2] * 6, rel=1e-15)
    assert links.loss == pytest.approx([0.2] * 6, rel=1e-15)
    assert links.jitter == pytest.approx([0.08] * 6, rel=1e-15)
    assert np.isnan(links.buffer).all()


def test_a_path_through_one_switch_equals_a_direct_cable():
    star = simnet.Network(topologies.star(3), profile=MIDDLE, draw=False)
    assert star.links.latency == pytest.approx([0.1] * 6, rel=1e-15)
    assert star.links.loss == pytest.approx([1 - math.sqrt(0.8)] * 6, rel=1e-14)
    assert star.links.jitter == pytest.approx([0.04] * 6, rel=1e-15)
    assert star.links.bandwidth.tolist() == [2e6] * 6
    direct = simnet.Network(topologies.fully_connected(3), profile=MIDDLE, draw=False)
    assert star.route_latency(0, 2) == pytest.approx(direct.route_latency(0, 2), rel=1e-15)
    assert star.route_loss(0, 2) == pytest.approx(direct.route_loss(0, 2), rel=1e-14)


def test_only_cables_between_a_host_and_a_switch_are_halved():
    graph = nx.Graph([("a", "s"), ("s", "t"), ("t", "b"), ("a", "b")])
    nx.set_node_attributes(graph, {"s": "switch", "t": "switch"}, "kind")
    net = simnet.Network(graph, profile=MIDDLE, draw=False)
    latency = {net.link_name(i): net.links.latency[i] for i in range(net.num_links)}
    assert latency["a→s"] == latency["b→t"] == pytest.approx(0.1, rel=1e-15)
    assert latency["s→t"] == latency["a→b"] == pytest.approx(0.2, rel=1e-15)


def test_tiny_losses_survive_the_square_root():
    tiny = Profile(name="t", bandwidth=(1, 1), latency=(0, 0), loss=(1e-18, 1e-18))
    net = simnet.Network(topologies.star(2), profile=tiny)
    assert net.links.loss == pytest.approx([5e-19] * 4, rel=1e-12)
    assert net.route_loss(0, 1) == pytest.approx(1e-18, rel=1e-12)


def test_one_draw_a_cable_serves_both_directions():
    links = simnet.Network(topologies.fully_connected(6), profile="mobile").links
    for attribute in ATTRIBUTES:
        values = getattr(links, attribute)
        assert (values[0::2] == values[1::2]).all()
        assert len(np.unique(values)) == 15  # one a cable, all different


def test_a_directed_graph_draws_each_direction():
    graph = nx.DiGraph([(0, 1), (1, 0)])
    links = simnet.Network(graph, profile="mobile").links
    assert links.bandwidth[0] != links.bandwidth[1]


def test_the_draws_of_a_network_are_those_of_its_seed():
    first, again, other = (
        simnet.Network(topologies.ring(5), profile="mobile", seed=seed).links for seed in (3, 3, 4)
    )
    for attribute in ATTRIBUTES:
        assert (getattr(first, attribute) == getattr(again, attribute)).all()
        assert (getattr(first, attribute) != getattr(other, attribute)).all()


def test_an_unseeded_network_records_its_seed():
    net = simnet.Network(topologies.ring(5), profile="mobile", seed=None)
    same = simnet.Network(topologies.ring(5), profile="mobile", seed=net.seed)
    assert isinstance(net.seed, int)
    assert (net.links.latency == same.links.latency).all()
    seeds = {simnet.Network(topologies.line(1), seed=None).seed for _ in range(5)}
    assert len(seeds) > 1


@pytest.mark.parametrize("given_name", ATTRIBUTES)
def test_only_open_attributes_are_drawn_and_the_others_do_not_notice(given_name):
    value = {"bandwidth": "1MB/s", "latency": "7ms", "loss": "3%", "jitter": "2ms"}[given_name]
    number = {"bandwidth": 1e6, "latency": 0.007, "loss": 0.03, "jitter": 0.002}[given_name]
    open_ = simnet.Network(topologies.ring(4), profile="mobile").links
    graph = topologies.ring(4)
    graph.edges[1, 2][given_name] = value
    set_ = simnet.Network(graph, profile="mobile").links
    edge = 2 * list(graph.edges).index((1, 2))
    for attribute in ATTRIBUTES:
        differs = getattr(open_, attribute) != getattr(set_, attribute)
        follows = attribute == "jitter" and given_name == "latency"  # a fraction of it
        changed = {edge, edge + 1} if attribute == given_name or follows else set()
        assert set(np.flatnonzero(differs).tolist()) == changed
    assert getattr(set_, given_name)[edge] == number


def test_jitter_is_a_fraction_of_the_cables_own_latency():
    graph = topologies.ring(3, latency="50ms")
    links = simnet.Network(graph, profile=MIDDLE, draw=False).links
    assert links.jitter == pytest.approx([0.4 * 0.05] * 6, rel=1e-15)
    drawn = simnet.Network(topologies.star(5), profile="mobile").links
    fraction = drawn.jitter / drawn.latency
    assert ((fraction >= 0.3) & (fraction <= 0.5)).all()


def test_nothing_is_halved_that_the_graph_gives():
    graph = topologies.star(2, latency="10ms", loss="1%")
    links = simnet.Network(graph, profile="mobile").links
    assert links.latency.tolist() == [0.01] * 4
    assert links.loss.tolist() == [0.01] * 4


def test_network_cards_are_drawn_once_a_host_for_both_ways():
    net = simnet.Network(topologies.star(4), profile="mobile", nic=True)
    cards = net.links.kind != CABLE
    assert net.links.kind[cards].tolist() == [EGRESS, INGRESS] * 4
    rates = net.links.bandwidth[cards].reshape(4, 2)
    assert (rates[:, 0] == rates[:, 1]).all()
    assert len(np.unique(rates)) == 4
    assert ((rates >= 1 * MB) & (rates <= 10 * MB)).all()
    for attribute in ("latency", "jitter", "loss"):
        assert not getattr(net.links, attribute)[cards].any()


def test_drawing_network_cards_moves_no_cable():
    without = simnet.Network(topologies.star(4), profile="mobile")
    with_cards = simnet.Network(topologies.star(4), profile="mobile", nic=True)
    for attribute in ATTRIBUTES:
        cables = getattr(with_cards.links, attribute)[: without.num_links]
        assert (cables == getattr(without.links, attribute)).all()


def test_network_cards_have_draws_of_their_own():
    # one stream for both would give host 0's card the bandwidth of the first cable
    net = simnet.Network(topologies.star(4), profile="mobile", nic=True)
    cables, cards = (net.links.bandwidth[(net.links.kind == CABLE) == c] for c in (True, False))
    assert not set(cables.tolist()) & set(cards.tolist())


def test_a_given_network_card_stays():
    graph = topologies.star(3)
    graph.nodes[1]["egress"] = "1MB/s"
    open_ = simnet.Network(topologies.star(3), profile=MIDDLE, nic=True).links.bandwidth[6:]
    rates = simnet.Network(graph, profile=MIDDLE, nic=True).links.bandwidth[6:]
    assert rates[2] == 1e6
    assert np.delete(rates, 2).tolist() == np.delete(open_, 2).tolist()


def test_middle_network_cards():
    net = simnet.Network(topologies.line(2), profile=MIDDLE, nic=True, draw=False)
    assert net.links.bandwidth[2:].tolist() == [2e6] * 4


def test_network_cards_need_a_profile():
    with pytest.raises(ValueError, match="nic=True draws network cards from a profile"):
        simnet.Network(topologies.ring(3, bandwidth=1e6), nic=True)


def test_what_a_network_says_of_its_profile():
    lossy = simnet.Network(topologies.ring(3), profile="mobile")
    assert (lossy.profile, lossy.is_lossy, lossy.has_jitter) == ("mobile", True, True)
    clean = simnet.Network(topologies.ring(3), profile="lan")
    assert (clean.profile, clean.is_lossy, clean.has_jitter) == ("lan", False, False)
    plain = simnet.Network(topologies.ring(3, bandwidth=1e6))
    assert (plain.profile, plain.is_lossy, plain.has_jitter) == (None, False, False)
    assert simnet.Network(topologies.ring(3), profile=MIDDLE).profile == "middle"


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError), ("0", TypeError)]
)
def test_a_seed_that_is_none(seed, error):
    with pytest.raises(error, match=f"seed={seed!r}: "):
        simnet.Network(topologies.ring(3, bandwidth=1e6), seed=seed)


def test_a_numpy_seed_is_a_plain_one():
    net = simnet.Network(topologies.ring(3), profile="mobile", seed=np.uint64(5))
    same = simnet.Network(topologies.ring(3), profile="mobile", seed=5)
    assert type(net.seed) is int
    assert (net.links.latency == same.links.latency).all()
