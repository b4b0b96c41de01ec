"""Wide-area networks: sites with positions, or measured between real regions.

The hosts are the integers 0 ... n - 1, site by site. With one host a site the long cables join the
hosts themselves; with more, each site has a switch with the site's name and its hosts around it.
Nodes carry ``site``, ``latitude`` and ``longitude`` (degrees, north and east positive) and, where a
site has several hosts, hosts carry the number of their site as ``island``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Unpack

import networkx as nx

from topologies import catalog as _catalog
from topologies._build import (
    CableConditions,
    Conditions,
    Graph,
    Node,
    circle,
    given,
    hosts,
    join,
    number,
    place,
    switches,
    whole,
)

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of the Earth: H. Moritz, "Geodetic Reference System 1980", Journal of Geodesy
74, 2000, doi:10.1007/s001900050278."""

FIBRE_SPEED = 299_792_458.0 * 2 / 3
"""Light in fibre, m/s: two thirds of its speed in vacuum."""

MEASURED_DETOUR = 2.1
"""Latency over that of a straight fibre, as measured on the Internet; along the shortest existing
conduits between US cities the median is 1.3. I. N. Bozkurt et al., "Dissecting latency in the
Internet's fiber infrastructure", 2018, arXiv:1811.10737."""


def great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the distance of two points on the Earth, as a sphere, in kilometres.

    Parameters
    ----------
    a, b : tuple of float
        Latitude and longitude in degrees, north and east positive.

    Returns
    -------
    float
        Length of the great circle between them (haversine formula), km.
    """
    phi_a, lambda_a, phi_b, lambda_b = map(math.radians, (*a, *b))
    chord = (
        math.sin((phi_b - phi_a) / 2) ** 2
        + math.cos(phi_a) * math.cos(phi_b) * math.sin((lambda_b - lambda_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))


def wan(
    sites: Mapping[str, tuple[float, float]],
    *,
    hosts_per_site: int = 1,
    links: Iterable[tuple[str, str]] | None = None,
    detour: float = MEASURED_DETOUR,
    inner: CableConditions | None = None,
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return sites on the Earth, joined by fibres whose latency follows from their distance.

    Parameters
    ----------
    sites : mapping of str to (float, float)
        Latitude and longitude of each site in degrees, in rank order.
    hosts_per_site : int
        Hosts of each site, at least 1.
    links : iterable of (str, str), optional
        Pairs of sites that a cable joins; all pairs by default.
    detour : float
        Latency of a cable over that of a straight fibre, at least 1. The default is what is
        measured on the Internet, 2.1; 1.3 is what the shortest existing conduits would give.
    inner : dict, optional
        Conditions (``bandwidth``, ``latency``, ``jitter``, ``loss``) of the cables inside a site;
        they override `conditions`. Unused with one host a site.
    **conditions
        ``bandwidth``, ``jitter``, ``loss``, ``nic``: see `Conditions`. Not ``latency``, which is
        great circle × detour / (2/3 c), in seconds, one way.

    Returns
    -------
    networkx.Graph
        Nodes with ``site``, ``latitude``, ``longitude``; `pos` is (longitude, latitude).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type or out of range, or a link names an unknown site.

    Notes
    -----
    Source of the default detour: I. N. Bozkurt et al., "Dissecting latency in the Internet's fiber
    infrastructure", 2018, arXiv:1811.10737.
    """
    where = _positions(sites)
    detour = number("detour", detour, least=1)
    if conditions.get("latency") is not None:
        raise ValueError(
            "latency of a wan follows from distance; scale it with detour, or set "
            "that of a site's own cables with inner"
        )
    graph, gates = _site_graph(f"wan({len(where)})", where, hosts_per_site, inner, conditions)
    for a, b in combinations(where, 2) if links is None else _known_links(links, where):
        seconds = great_circle_km(where[a], where[b]) * 1000 * detour / FIBRE_SPEED
        join(graph, [(gates[a], gates[b])], conditions, {"latency": seconds})
    return graph


def wan_from_catalog(
    name: str = "azure-2026-07",
    sites: Sequence[str] | None = None,
    *,
    hosts_per_site: int = 1,
    inner: CableConditions | None = None,
    **conditions: Unpack[Conditions],
) -> Graph:
    """Return real regions, joined by cables of the latency measured between them.

    Parameters
    ----------
    name : str
        A matrix of the catalog; ``topologies.catalog.names()`` lists them, and
        ``topologies.catalog.load(name)`` tells source, licence and what was measured.
    sites : sequence of str, optional
        Regions to take, in rank order; all of the matrix by default.
    hosts_per_site : int
        Hosts of each region, at least 1.
    inner : dict, optional
        Conditions (``bandwidth``, ``latency``, ``jitter``, ``loss``) of the cables inside a region;
        they override `conditions`. Unused with one host a region.
    **conditions
        ``bandwidth``, ``jitter``, ``loss``, ``nic``: see `Conditions`. Not ``latency``, which is
        half of the round-trip time, of the mean where both ends measured it; the ways there and
        back are taken to be equally long. Regions without a measurement share no cable.

    Returns
    -------
    networkx.Graph
        Nodes with ``site``, ``latitude``, ``longitude``; `pos` is (longitude, latitude).

    Raises
    ------
    TypeError, ValueError
        Where an argument is not of its type, or the catalog knows no such name or region.
    """
    matrix = _catalog.load(name)
    if conditions.get("latency") is not None:
        raise ValueError(
            "latency comes from the catalog; set that of a region's own cables with inner"
        )
    index = {region: i for i, region in enumerate(matrix.regions)}
    chosen = _chosen(matrix.regions, sites, name)
    where = {
        site: (float(matrix.latitude[index[site]]), float(matrix.longitude[index[site]]))
        for site in chosen
    }
    title = f"wan_from_catalog({name!r}, {len(where)})"
    graph, gates = _site_graph(title, where, hosts_per_site, inner, conditions)
    for a, b in combinations(chosen, 2):
        trips = (matrix.rtt[index[a], index[b]], matrix.rtt[index[b], index[a]])
        measured = [float(trip) for trip in trips if not math.isnan(trip)]
        if measured:
            seconds = sum(measured) / len(measured) / 2
            join(graph, [(gates[a], gates[b])], conditions, {"latency": seconds})
    return graph


def _positions(sites: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Check names and positions of sites."""
    if not isinstance(sites, Mapping):
        raise TypeError(f"sites must map names to (latitude, longitude), not {sites!r}")
    if not sites:
        raise ValueError("sites must name at least one site")
    checked = {}
    for site, position in sites.items():
        if not isinstance(site, str) or not site:
            raise TypeError(f"a site's name must be a text, not {site!r}")
        if isinstance(position, str) or not isinstance(position, Sequence) or len(position) != 2:
            raise TypeError(f"site {site!r} must have (latitude, longitude), not {position!r}")
        checked[site] = (
            number(f"latitude of site {site!r}", position[0], -90, 90),
            number(f"longitude of site {site!r}", position[1], -180, 180),
        )
    return checked


def _known_links(
    links: Iterable[tuple[str, str]], sites: Mapping[str, object]
) -> list[tuple[str, str]]:
    """Check that links join two different known sites."""
    checked = []
    for link in links:
        if isinstance(link, str) or not isinstance(link, Sequence) or len(link) != 2:
            raise TypeError(f"a link must be a pair of sites, not {link!r}")
        for site in link:
            if site not in sites:
                raise ValueError(
                    f"link {link!r} names no site {site!r}; sites are {', '.join(sites)}"
                )
        if link[0] == link[1]:
            raise ValueError(f"link {link!r} joins a site to itself")
        checked.append((link[0], link[1]))
    return checked


def _chosen(regions: Sequence[str], sites: Sequence[str] | None, name: str) -> list[str]:
    """Return the regions asked for, each known and once."""
    if sites is None:
        return list(regions)
    if isinstance(sites, str) or not isinstance(sites, Sequence):
        raise TypeError(f"sites must be a sequence of region names, not {sites!r}")
    if not sites:
        raise ValueError("sites must name at least one region")
    for site in sites:
        if site not in regions:
            raise ValueError(f"{name!r} has no region {site!r}; it has {', '.join(regions)}")
    if len(set(sites)) < len(sites):
        raise ValueError(f"sites must differ: {list(sites)!r}")
    return list(sites)


def _site_graph(
    name: str,
    where: Mapping[str, tuple[float, float]],
    hosts_per_site: int,
    inner: CableConditions | None,
    conditions: Conditions,
) -> tuple[Graph, dict[str, Node]]:
    """Return the sites without their long cables, and the node each site is reached by."""
    each = whole("hosts_per_site", hosts_per_site)
    inside = given(inner, "inner")
    graph = hosts(name, len(where) * each, conditions)
    gates: dict[str, Node] = {}
    for i, (site, (latitude, longitude)) in enumerate(where.items()):
        members: list[Node] = list(range(i * each, (i + 1) * each))
        gates[site] = members[0]
        points = {members[0]: (longitude, latitude)}
        if each > 1:
            nx.set_node_attributes(graph, dict.fromkeys(members, i), "island")
            (gates[site],) = switches(graph, [site], tier=1)
            join(graph, ((member, site) for member in members), conditions, inside)
            points = {
                member: (longitude + x, latitude + y)  # degrees, for the drawing only
                for member, (x, y) in circle(members, radius=2.0).items()
            }
            points[site] = (longitude, latitude)
        about = {"site": site, "latitude": latitude, "longitude": longitude}
        graph.add_nodes_from(points, **about)
        place(graph, points)
    return graph, gates
