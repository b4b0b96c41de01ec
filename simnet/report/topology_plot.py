"""A network as a picture: hosts, switches, and links coloured by utilisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simnet.network import CABLE, EGRESS, Network
from simnet.report import style
from simnet.report.names import place_names
from simnet.report.node_layout import Points, nearest, place_nodes, spread
from simnet.report.result import Result
from simnet.report.strokes import Stroke, find_strokes, point_along, stroke_lines
from simnet.report.titles import network_title, result_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Shares = NDArray[np.float64]

_MANY_CABLES = 150  # between nodes; from here on a stroke stands for both directions
_FEW_CABLES = 40  # up to here arrowheads tell the directions apart
_NUMBER_FITS = 4.2  # points of radius from which a rank's number is legible
_LEAST_RADIUS, _LARGEST_RADIUS = 0.004, 0.034  # of the drawing's longer side


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """What all parts of a drawing need to know."""

    ax: Any
    net: Network
    points: Points
    radius: float
    points_per_unit: float
    utilisation: Shares | None
    colours: ScalarMappable | None

    @property
    def idle_width(self) -> float:
        """Idle strokes step back, unless there is nothing to step back from."""
        return 1.0 if self.utilisation is None else 0.6

    def colour_of(self, links: list[int] | tuple[int, ...]) -> Any:
        """The colour of the busiest of these links."""
        if self.utilisation is None or self.colours is None:
            return style.PLAIN_LINK
        share = float(np.nan_to_num(self.utilisation[list(links)]).max())
        return self.colours.to_rgba(np.array([100 * share]))[0] if share > 0 else style.IDLE


def plot_topology(result_or_net: Result | Network, ax: Axes | None = None) -> Axes:
    """Draw a network: its links coloured by utilisation, or grey for a network that nothing ran on.

    Hosts are circles with their rank, switches squares with their name. Each direction of a cable
    is a stroke, its own traffic keeping to the right; on networks of more than 150 cables one
    stroke stands for both and shows the busier. Strokes are the wider the more bandwidth they
    have. A ring round a host is its network card: left half egress, right half ingress.

    Parameters
    ----------
    result_or_net : Result or Network
        What to draw; a result is only read, nothing is simulated.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure that pyplot does not know. In a notebook show
        it with ``result.plot_topology().figure``.

    Returns
    -------
    matplotlib Axes
        ``.figure.savefig("links.png")`` writes it.

    Raises
    ------
    TypeError
        For anything but a result or a network.
    """
    if not isinstance(result_or_net, Result | Network):
        raise TypeError(f"{result_or_net!r}: plot_topology takes a Result or a Network")
    result = result_or_net if isinstance(result_or_net, Result) else None
    net = result.net if result else result_or_net
    assert isinstance(net, Network)
    with style.context():
        return _draw(net, result.utilisation if result else None, _title(result_or_net), ax)


def _title(drawn: Result | Network) -> str:
    return result_title(drawn) if isinstance(drawn, Result) else network_title(drawn)


def _draw(net: Network, utilisation: Shares | None, title: str, ax: Axes | None) -> Axes:
    """Lay out, then strokes, rings, nodes and names from the back to the front."""
    points = place_nodes(net)
    spacing = _spacing(points)
    radius = float(np.clip(0.3 * spacing, _least_radius(net), _LARGEST_RADIUS))
    points = spread(points, radius * (3.0 if (net.links.kind != CABLE).any() else 2.4))
    figure = _new_figure(points) if ax is None else None
    ax = figure.add_subplot() if figure else ax
    assert ax is not None
    _frame(ax, points, radius, title)
    colours = None if utilisation is None else _colour_bar(ax, utilisation)
    if figure:
        figure.draw_without_rendering()  # so that the axes have their final size
    drawing = _Drawing(
        ax=ax,
        net=net,
        points=points,
        radius=radius,
        points_per_unit=_points_per_unit(ax),
        utilisation=utilisation,
        colours=colours,
    )
    _draw_strokes(drawing, spacing)
    drawing = replace(drawing, points_per_unit=_points_per_unit(ax))
    _draw_cards(drawing)
    _draw_nodes(drawing)
    _draw_names(drawing)
    return ax


def _spacing(points: Points) -> float:
    """The usual distance between neighbours; 1 for a single node."""
    apart = nearest(points)
    apart = apart[np.isfinite(apart) & (apart > 0)]
    return float(np.median(apart)) if len(apart) else 1.0


def _least_radius(net: Network) -> float:
    """On a map, where crowded places are spread apart, nodes need not be as small as there."""
    on_a_map = all("latitude" in about for _, about in net.graph.nodes(data=True))
    return max(_LEAST_RADIUS, 0.1 / len(net.nodes) ** 0.5) if on_a_map else _LEAST_RADIUS


def _new_figure(points: Points) -> Figure:
    """A new figure, its shape that of the drawing."""
    width, height = np.ptp(points, axis=0) + 0.12
    longest = 6.5 if len(points) <= 64 else 10.0
    return style.new_figure(
        float(np.clip(longest * width, 4.5, 12.0)) + 1.0,
        float(np.clip(longest * height, 2.2, 12.0)) + 0.5,
    )


def _frame(ax: Axes, points: Points, radius: float, title: str) -> None:
    """Limits, title and equal scales, without a frame."""
    margin = 2.0 * radius + 0.03
    (left, low), (right, high) = points.min(axis=0) - margin, points.max(axis=0) + margin
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(title)


def _colour_bar(ax: Axes, utilisation: Shares) -> ScalarMappable:
    """Percent to colour, up to a round number, and the bar that says so."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    percent = 100 * np.nan_to_num(utilisation)
    most = float(percent.max(initial=0.0))
    top = next((top for top in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if most <= top), 100)
    colours = ScalarMappable(Normalize(0, top if most > 0 else 100, clip=True), style.busy_map())
    bar = ax.figure.colorbar(colours, ax=ax, shrink=0.75, aspect=28, pad=0.02)
    idle = " (grey: idle)" if (percent == 0).any() else ""
    bar.set_label(f"utilisation (%){idle}")
    bar.outline.set_visible(False)
    return colours


def _points_per_unit(ax: Axes) -> float:
    """How many points (1/72 inch) one unit of the drawing has on paper."""
    box = ax.get_window_extent()
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    pixels = min(box.width / (right - left), box.height / (high - low))
    return float(pixels * 72 / ax.figure.dpi)


def _draw_strokes(drawing: _Drawing, spacing: float) -> None:
    """The links, the busiest in front; with arrowheads where there are few."""
    from matplotlib.collections import LineCollection, PolyCollection

    merged = find_strokes(drawing.net.links, merged=True)
    many = len(merged) > _MANY_CABLES
    strokes = merged if many else find_strokes(drawing.net.links, merged=False)
    if not strokes:
        return
    busiest = _busiest(drawing, strokes)
    widths = _widths(drawing, strokes, many) * np.where(busiest > 0, 1.0, drawing.idle_width)
    lines = stroke_lines(
        strokes,
        drawing.points,
        clearance=1.2 * drawing.radius,
        spacing=spacing,
        lane_width=(float(widths.max()) + 1.0) / drawing.points_per_unit,
    )
    _show_all(drawing.ax, np.concatenate(lines))
    order = np.argsort(busiest, kind="stable").tolist()
    colours = [drawing.colour_of(strokes[i].links) for i in order]
    drawn = [lines[i] for i in order]
    drawing.ax.add_collection(
        LineCollection(drawn, colors=colours, linewidths=widths[order], capstyle="round", zorder=1),
        autolim=False,
    )
    if len(merged) <= _FEW_CABLES:
        size = 4.4 / drawing.points_per_unit
        heads = [_arrowhead(line, size) for line in drawn]
        drawing.ax.add_collection(
            PolyCollection(heads, facecolors=colours, edgecolors="none", zorder=2), autolim=False
        )


def _show_all(ax: Axes, points: Points) -> None:
    """Widen the limits where bent strokes leave them."""
    margin = 0.012
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    (west, south), (east, north) = points.min(axis=0) - margin, points.max(axis=0) + margin
    ax.set_xlim(min(left, west), max(right, east))
    ax.set_ylim(min(low, south), max(high, north))


def _busiest(drawing: _Drawing, strokes: list[Stroke]) -> Shares:
    if drawing.utilisation is None:
        return np.zeros(len(strokes))
    shares = np.nan_to_num(drawing.utilisation)
    return np.array([shares[list(stroke.links)].max() for stroke in strokes])


def _widths(drawing: _Drawing, strokes: list[Stroke], many: bool) -> Shares:
    """Points, growing a little with the logarithm of bandwidth."""
    bandwidth = drawing.net.links.bandwidth
    size = np.log([max(float(bandwidth[i]) for i in stroke.links) for stroke in strokes])
    low, high = size.min(), size.max()
    share = (size - low) / (high - low) if high - low > 0.01 else np.full(len(size), 0.5)
    base = np.clip((20 if many else 16) / np.sqrt(len(strokes)), 0.6, 1.2 if many else 2.0)
    return np.asarray(base * (0.7 + 0.6 * share))


def _arrowhead(line: Points, size: float) -> Points:
    """A small triangle on a line, pointing where it goes."""
    at, along = point_along(line, 0.62)
    across = np.array([-along[1], along[0]])
    return np.stack([at + size * along, at + 0.8 * size * across, at - 0.8 * size * across])


def _draw_cards(drawing: _Drawing) -> None:
    """Half rings round the hosts: egress left, ingress right."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    links = drawing.net.links
    cards = np.flatnonzero(links.kind != CABLE).tolist()
    if not cards:
        return
    wedges = []
    for card in cards:
        x, y = drawing.points[links.source[card]]
        turn = 90.0 if links.kind[card] == EGRESS else -90.0
        radius = 1.4 * drawing.radius
        wedges.append(Wedge((x, y), radius, turn, turn + 180.0, width=0.28 * drawing.radius))
    drawing.ax.add_collection(
        PatchCollection(
            wedges,
            facecolors=[drawing.colour_of([card]) for card in cards],
            edgecolors="white",
            linewidths=0.5,
            zorder=3,
        ),
        autolim=False,
    )
    note = "ring round a host: its network card, left egress, right ingress"
    drawing.ax.text(
        0.5,
        -0.01,
        note,
        transform=drawing.ax.transAxes,
        ha="center",
        va="top",
        fontsize=style.SMALL,
        color=style.SOFT_INK,
    )


def _draw_nodes(drawing: _Drawing) -> None:
    """Circles for hosts and squares for switches."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle, Rectangle

    hosts = set(drawing.net.hosts.tolist())
    radius = drawing.radius
    side = 1.7 * radius
    circles = [Circle(tuple(drawing.points[node]), radius) for node in sorted(hosts)]
    squares = [
        Rectangle((x - side / 2, y - side / 2), side, side)
        for node, (x, y) in enumerate(drawing.points)
        if node not in hosts
    ]
    line = float(np.clip(radius * drawing.points_per_unit / 6, 0.3, 1.1))
    for shapes, face in ((circles, "white"), (squares, style.SWITCH)):
        drawing.ax.add_collection(
            PatchCollection(
                shapes, facecolors=[face], edgecolors=style.INK, linewidths=line, zorder=4
            ),
            autolim=False,
        )


def _draw_names(drawing: _Drawing) -> None:
    """Ranks in their circles, and the names of switches and sites where there is room."""
    size = drawing.radius * drawing.points_per_unit
    digits = len(str(drawing.net.num_ranks - 1))
    font = min(style.NORMAL, size * min(1.25, 2.6 / digits))
    if size >= _NUMBER_FITS:
        for rank, node in enumerate(drawing.net.hosts.tolist()):
            x, y = drawing.points[node]
            drawing.ax.text(
                x, y, str(rank), ha="center", va="center_baseline", fontsize=font, zorder=5
            )
    place_names(
        drawing.ax, drawing.points, drawing.radius, drawing.points_per_unit, _names(drawing.net)
    )


def _names(net: Network) -> dict[int, str]:
    """What to write beside nodes: names of switches, sites of hosts that are one."""
    hosts = set(net.hosts.tolist())
    names: dict[int, str] = {}
    for number, node in enumerate(net.nodes):
        if number not in hosts:
            names[number] = str(node)
        elif net.islands is None and "site" in net.graph.nodes[node]:
            names[number] = str(net.graph.nodes[node]["site"])
    return names
