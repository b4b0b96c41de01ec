"""Wide-area networks: distances, latencies from them, and the published matrices."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies

EARTH_KM = 6371.0088
FIBRE = 299_792_458 * 2 / 3
POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
SITES = {"Quito": (0.0, -78.0), "pole": (90.0, 0.0), "Nairobi": (0.0, 12.0)}


@pytest.mark.parametrize(
    ("a", "b", "angle"),
    [
        ((0, 0), (0, 90), math.pi / 2),
        ((0, 0), (0, 180), math.pi),
        ((90, 0), (-90, 77), math.pi),
        ((10, 20), (10, 20), 0.0),
        ((0, 170), (0, -170), math.radians(20)),  # across the date line
        ((30, 0), (75, 0), math.radians(45)),
    ],
)
def test_great_circle(a, b, angle):
    assert topologies.great_circle_km(a, b) == pytest.approx(EARTH_KM * angle, abs=1e-6)


@settings(deadline=None)
@given(a=POINTS, b=POINTS)
def test_great_circle_agrees_with_the_chord(a, b):
    def unit(point):
        phi, lam = np.radians(point)
        return np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])

    chord = min(1.0, float(np.linalg.norm(unit(a) - unit(b))) / 2)
    assert topologies.great_circle_km(a, b) == pytest.approx(
        2 * EARTH_KM * math.asin(chord), rel=1e-6, abs=1e-3
    )


def test_latency_is_light_in_fibre_with_a_detour():
    g = topologies.wan(SITES, detour=1.5, bandwidth="1Gbit/s")
    quarter = math.pi / 2 * EARTH_KM * 1000
    assert g.edges[0, 2]["latency"] == pytest.approx(quarter * 1.5 / FIBRE)
    assert g.edges[0, 1]["bandwidth"] == "1Gbit/s"
    plain = topologies.wan(SITES)
    assert plain.edges[0, 2]["latency"] == pytest.approx(quarter * 2.1 / FIBRE)
    assert plain.size() == 3


def test_sites_are_hosts_in_the_order_given(hosts):
    g = topologies.wan(SITES)
    assert hosts(g) == [0, 1, 2] == list(g)
    assert [site for _, site in g.nodes(data="site")] == list(SITES)
    assert g.nodes[0]["latitude"] == 0.0
    assert g.nodes[0]["longitude"] == -78.0
    assert g.nodes[0]["pos"] == (-78.0, 0.0)
    assert "island" not in g.nodes[0]


def test_sites_of_several_hosts(hosts):
    g = topologies.wan(
        SITES, hosts_per_site=2, inner={"latency": "10us", "bandwidth": 1e9}, bandwidth=1e6, nic=5e9
    )
    assert hosts(g) == list(range(6))
    assert list(g)[6:] == list(SITES)
    assert [g.nodes[i]["island"] for i in range(6)] == [0, 0, 1, 1, 2, 2]
    assert g.edges[3, "pole"] == {"latency": "10us", "bandwidth": 1e9}
    assert g.edges["Quito", "pole"]["bandwidth"] == 1e6
    assert g.size() == 6 + 3
    assert g.nodes[3]["latitude"] == 90.0
    assert g.nodes[3]["egress"] == g.nodes[3]["ingress"] == 5e9
    assert "egress" not in g.nodes["pole"]


def test_links_choose_the_cables():
    g = topologies.wan(SITES, links=[("pole", "Quito"), ("pole", "Nairobi")])
    assert set(map(frozenset, g.edges)) == {frozenset((0, 1)), frozenset((1, 2))}


def test_one_site():
    assert topologies.wan({"a": (1, 2)}).size() == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sites": {}}, ValueError, "at least one site"),
        ({"sites": ["a"]}, TypeError, "sites must map names"),
        ({"sites": {"a": (91, 0)}}, ValueError, "latitude of site 'a' must be from -90 to 90"),
        ({"sites": {"a": (0, 181)}}, ValueError, "longitude of site 'a'"),
        ({"sites": {"a": (0, math.nan)}}, ValueError, "longitude of site 'a'"),
        ({"sites": {"a": 3}}, TypeError, "site 'a' must have"),
        ({"sites": {"a": ("x", 0)}}, TypeError, "latitude of site 'a' must be a number"),
        ({"sites": {1: (0, 0)}}, TypeError, "a site's name must be a text, not 1"),
        ({"detour": 0.5}, ValueError, "detour must be at least 1"),
        ({"hosts_per_site": 0}, ValueError, "hosts_per_site must be at least 1"),
        ({"latency": "1ms"}, ValueError, "latency of a wan follows from distance"),
        ({"links": [("pole", "Rome")]}, ValueError, "no site 'Rome'; sites are Quito"),
        ({"links": [("pole", "pole")]}, ValueError, "to itself"),
        ({"links": ["pole"]}, TypeError, "pair of sites"),
    ],
)
def test_wrong_wans(options, error, message):
    with pytest.raises(error, match=message):
        topologies.wan(**{"sites": SITES} | options)


@pytest.mark.parametrize("name", topologies.catalog.names())
def test_a_matrix_is_physical_and_says_where_it_is_from(name):
    matrix = topologies.catalog.load(name)
    n = len(matrix.regions)
    assert n > 1
    assert matrix.rtt.shape == (n, n)
    assert matrix.latitude.shape == matrix.longitude.shape == (n,)
    assert matrix.source.startswith("https://")
    assert matrix.document.startswith("https://")
    for text in (
        matrix.licence,
        matrix.attribution,
        matrix.changes,
        matrix.statistic,
        matrix.period,
    ):
        assert text
    for i, j in combinations(range(n), 2):
        a = (matrix.latitude[i], matrix.longitude[i])
        b = (matrix.latitude[j], matrix.longitude[j])
        light = 2 * topologies.great_circle_km(a, b) * 1000 / 299_792_458
        for rtt in (matrix.rtt[i, j], matrix.rtt[j, i]):
            assert math.isnan(rtt) or light < rtt < 1.0
    assert np.isnan(np.diag(matrix.rtt)).all()


def test_a_matrix_cannot_be_written_to():
    matrix = topologies.catalog.load("azure-2026-07")
    for array in (matrix.rtt, matrix.latitude, matrix.longitude):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_numbers_of_the_azure_matrix():
    # as printed: East US to UK South 80 and back 80; Brazil South to Japan East 265, back 275
    matrix = topologies.catalog.load("azure-2026-07")
    at = matrix.regions.index
    assert matrix.rtt[at("East US"), at("UK South")] == 0.080
    assert matrix.rtt[at("Brazil South"), at("Japan East")] == 0.265
    assert matrix.rtt[at("Japan East"), at("Brazil South")] == 0.275
    assert matrix.rtt[at("Sweden Central"), at("Southeast Asia")] == 0.206
    assert len(matrix.regions) == 16


def test_the_measured_detour_is_of_the_size_assumed():
    # Between the shortest conduits (1.3) and the Internet's rule of thumb (2.1), in the median.
    g = topologies.wan_from_catalog("azure-2026-07")
    straight = topologies.wan(
        {d["site"]: (d["latitude"], d["longitude"]) for _, d in g.nodes(data=True)}, detour=1
    )
    ratios = [g.edges[edge]["latency"] / straight.edges[edge]["latency"] for edge in g.edges]
    assert 1.3 < float(np.median(ratios)) < 2.1


def test_wan_from_catalog(hosts):
    g = topologies.wan_from_catalog(sites=["Japan East", "Brazil South", "East US"], loss=0.001)
    assert hosts(g) == [0, 1, 2] == list(g)
    assert g.nodes[0]["site"] == "Japan East"
    assert g.edges[0, 1] == {"latency": pytest.approx(0.135), "loss": 0.001}  # (275 + 265) / 4
    assert g.size() == 3
    assert len(topologies.wan_from_catalog()) == 16
    assert topologies.wan_from_catalog().size() == 16 * 15 // 2


def test_wan_from_catalog_with_several_hosts():
    g = topologies.wan_from_catalog(
        sites=["East US", "UK South"], hosts_per_site=3, inner={"latency": "0.1ms"}
    )
    assert g.edges["East US", "UK South"]["latency"] == pytest.approx(0.040)
    assert g.edges[5, "UK South"] == {"latency": "0.1ms"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "moon"}, ValueError, "no 'moon'; it has azure-2026-07"),
        ({"sites": ["East US", "Atlantis"]}, ValueError, "no region 'Atlantis'; it has Australia"),
        ({"sites": ["East US", "East US"]}, ValueError, "must differ"),
        ({"sites": []}, ValueError, "at least one region"),
        ({"sites": "East US"}, TypeError, "sequence of region names"),
        ({"latency": 1}, ValueError, "latency comes from the catalog"),
    ],
)
def test_wrong_catalog_wans(options, error, message):
    with pytest.raises(error, match=message):
        topologies.wan_from_catalog(**options)
