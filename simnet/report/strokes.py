"""The strokes of a drawn network: one a link side by side, bent round nodes in their way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.links import Links
from simnet.network import CABLE
from simnet.report.node_layout import Points

_BENT_POINTS = 24
_MOST_CHECKS = 40_000_000  # pairs of cable and node, beyond which nothing is bent


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One line to draw.

    Attributes
    ----------
    source, target : int
        Node indices.
    links : tuple of int
        The directed links that it stands for.
    lane : float
        How many lane widths to the right of the middle, seen in its own direction.
    """

    source: int
    target: int
    links: tuple[int, ...]
    lane: float


def find_strokes(links: Links, *, merged: bool) -> list[Stroke]:
    """A stroke for each directed cable, or one for all between two nodes if `merged`."""
    between: dict[tuple[int, int], list[int]] = defaultdict(list)
    for link in np.flatnonzero(links.kind == CABLE).tolist():
        source, target = int(links.source[link]), int(links.target[link])
        key = (min(source, target), max(source, target)) if merged else (source, target)
        between[key].append(link)
    strokes = []
    for (source, target), found in between.items():
        if merged:
            strokes.append(Stroke(source=source, target=target, links=tuple(found), lane=0.0))
            continue
        alone = (target, source) not in between
        first = (1 - len(found)) / 2 if alone else 0.5
        strokes += [
            Stroke(source=source, target=target, links=(link,), lane=first + number)
            for number, link in enumerate(found)
        ]
    return strokes


def stroke_lines(
    strokes: list[Stroke], points: Points, *, clearance: float, spacing: float, lane_width: float
) -> list[Points]:
    """The line of each stroke, shape (points, 2).

    Parameters
    ----------
    strokes : list of Stroke
        What to draw.
    points : (n, 2) array
        Where the nodes are.
    clearance : float
        How near a stroke may come to a node that is not its end.
    spacing : float
        The usual distance between neighbours: a bend goes about half of it aside.
    lane_width : float
        The distance between parallel strokes.
    """
    ends = np.array([[stroke.source, stroke.target] for stroke in strokes])
    bent = _in_the_way(points, ends, clearance)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    lines = []
    for stroke, bend in zip(strokes, bent.tolist(), strict=True):
        begin, end = points[stroke.source], points[stroke.target]
        bow = _bow(begin, end, middle, spacing) if bend else 0.0
        lines.append(_line(begin, end, bow, stroke.lane * lane_width))
    return lines


def _in_the_way(points: Points, ends: NDArray[np.int64], clearance: float) -> NDArray[np.bool_]:
    """Whether the straight line between two nodes comes too near to a third, shape (strokes,)."""
    hit = np.zeros(len(ends), dtype=np.bool_)
    if len(ends) * len(points) > _MOST_CHECKS:
        return hit
    for number, (source, target) in enumerate(ends):
        along = points[target] - points[source]
        apart = points - points[source]
        share = np.clip(apart @ along / max(along @ along, 1e-18), 0, 1)
        off = apart - share[:, None] * along
        near = np.hypot(off[:, 0], off[:, 1]) < clearance
        near[[source, target]] = False
        hit[number] = near.any()
    return hit


def _right(begin: Points, end: Points) -> Points:
    """The unit vector to the right of the way from begin to end."""
    along = end - begin
    length = float(np.hypot(along[0], along[1])) or 1.0
    return np.array([along[1], -along[0]]) / length


def _bow(begin: Points, end: Points, middle: Points, spacing: float) -> float:
    """How far to the right a bent stroke goes: away from the middle of the drawing."""
    right = _right(begin, end)
    outwards = float(((begin + end) / 2 - middle) @ right)
    if abs(outwards) < 1e-9:  # through the middle: both directions must choose the same side
        outwards = float(right @ np.array([-0.6, 1.0]))
    length = float(np.hypot(*(end - begin)))
    return float(np.copysign(min(0.15 * length, 0.42 * spacing), outwards))


def _line(begin: Points, end: Points, bow: float, aside: float) -> Points:
    """A straight line moved aside, or one bowed flatly, shape (points, 2)."""
    right = _right(begin, end)
    if not bow:
        return np.stack([begin, end]) + aside * right
    share = np.linspace(0, 1, _BENT_POINTS)[:, None]
    raised = bow * (1 - (2 * share - 1) ** 6)
    return begin + share * (end - begin) + (raised + aside) * right


def point_along(line: Points, share: float) -> tuple[Points, Points]:
    """The point at a share of a line's length, and the unit vector along the line there."""
    steps = np.diff(line, axis=0)
    length = np.hypot(steps[:, 0], steps[:, 1])
    reached = np.concatenate([[0.0], np.cumsum(length)])
    wanted = share * reached[-1]
    part = int(np.clip(np.searchsorted(reached, wanted) - 1, 0, len(steps) - 1))
    along = steps[part] / (length[part] or 1.0)
    return line[part] + (wanted - reached[part]) * along, along
