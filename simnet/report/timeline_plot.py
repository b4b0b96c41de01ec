"""When each rank sends and receives, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simnet.report import style
from simnet.report.busy import Numbers, Seconds, Spans, busy_shares, find_spans, rows_within
from simnet.report.result import Result
from simnet.report.titles import result_title, work_title

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MOST_RANKS, _MOST_TRANSFERS = 64, 20_000  # beyond, shares of time are drawn, not transfers
_HALF = 0.42  # height of a lane's half, in lanes
_BINS = 400
_NAMED_WORKS = 8
_RECEIVED = 0.55  # receives are drawn in a paler colour


def plot_timeline(result: Result, ax: Axes | None = None) -> Axes:
    """Draw when each rank sends and receives, over virtual time.

    A lane is a rank, rank 0 on top: what it sends in the upper half, what it receives, paler, in
    the lower. A bar runs from a transfer's start to its end, latency included; bars of transfers
    that overlap share the half's height. A small tick is where the rank left. Beyond 64 ranks or
    20,000 transfers each half shows the share of time in which the rank sends or receives.

    Parameters
    ----------
    result : Result
        What to draw; it is only read, nothing is simulated.
    ax : matplotlib Axes, optional
        Where to draw; by default on a new figure that pyplot does not know. In a notebook show
        it with ``result.plot_timeline().figure``.

    Returns
    -------
    matplotlib Axes
        ``.figure.savefig("timeline.png")`` writes it.

    Raises
    ------
    TypeError
        For anything but a result.
    """
    if not isinstance(result, Result):
        raise TypeError(f"{result!r}: plot_timeline takes a Result")
    spans = find_spans(result)
    ranks = result.net.num_ranks
    with style.context():
        if ax is None:
            height = float(np.clip(1.7 + 0.3 * ranks, 2.6, 11.0))
            ax = style.new_figure(9.0, height).add_subplot()
        factor, unit = style.time_unit(spans.horizon)
        if ranks > _MOST_RANKS or len(spans) > _MOST_TRANSFERS:
            _draw_shares(ax, spans, ranks, factor)
            legend = []
        else:
            _draw_bars(ax, spans, ranks, factor)
            legend = _legend(result, spans)
        legend.append(_draw_departures(ax, result, factor))
        _label(ax, result, spans, factor, unit)
        _put_below(ax, legend)
    return ax


def _draw_bars(ax: Axes, spans: Spans, ranks: int, factor: float) -> None:
    """A bar a transfer, twice: where it leaves and where it comes in."""
    from matplotlib.collections import PolyCollection

    pixels = 1100 / spans.horizon if spans.horizon else 0.0
    for rank_of, below in ((spans.src, False), (spans.dst, True)):
        row, rows = rows_within(rank_of, spans.start, spans.end)
        height = _HALF / rows
        top = rank_of + (0.0 if below else -_HALF) + row * height
        bars = _rectangles(spans.start * factor, spans.end * factor, top, top + height)
        colours = [
            style.tint(style.colour(work), _RECEIVED if below else 1.0)
            for work in spans.work.tolist()
        ]
        wide = (spans.end - spans.start) * pixels > 5
        tall = height * 30 > 3
        edges = ["white" if w and t else c for w, t, c in zip(wide, tall, colours, strict=True)]
        ax.add_collection(
            PolyCollection(
                list(bars),
                facecolors=colours,
                edgecolors=edges,
                linewidths=np.where(wide & tall, 0.5, 0.2),
            ),
            autolim=False,
        )
    _separate(ax, ranks)


def _rectangles(left: Seconds, right: Seconds, top: Seconds, low: Seconds) -> Seconds:
    """Corners, shape (bars, 4, 2)."""
    across = np.stack([left, right, right, left], axis=1)
    return np.stack([across, np.stack([top, top, low, low], axis=1)], axis=2)


def _separate(ax: Axes, ranks: int) -> None:
    """Faint lines between lanes."""
    ax.hlines(
        np.arange(1, ranks) - 0.5,
        0,
        1,
        transform=ax.get_yaxis_transform(),
        colors=style.IDLE,
        linewidths=0.4,
        zorder=0,
    )


def _draw_shares(ax: Axes, spans: Spans, ranks: int, factor: float) -> None:
    """The share of time in which each rank sends (upper half) and receives (lower half)."""
    edges = np.linspace(0.0, spans.horizon or 1.0, _BINS + 1)
    lanes: Numbers = np.concatenate([2 * spans.src, 2 * spans.dst + 1])
    start, end = np.tile(spans.start, 2), np.tile(spans.end, 2)
    shares = busy_shares(lanes, start, end, 2 * ranks, edges)
    colours = style.busy_map().with_extremes(under="white")
    picture = ax.imshow(
        np.where(shares > 0, 100 * shares, -1.0),
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, edges[-1] * factor, ranks - 0.5, -0.5),
        cmap=colours,
        vmin=0.0,
        vmax=100.0,
    )
    bar = ax.figure.colorbar(picture, ax=ax, shrink=0.75, aspect=28, pad=0.02)
    bar.set_label("share of time sending (upper half),\nreceiving (lower half of a lane) (%)")


def _draw_departures(ax: Axes, result: Result, factor: float) -> Artist:
    """A tick where each rank left each work."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    ticks = [
        ((factor * time, rank - 0.48), (factor * time, rank + 0.48))
        for work in result.works
        for rank, time in work.job.left.items()
    ]
    width = 1.3 if len(result.works) <= 4 else 0.7
    ax.add_collection(
        LineCollection(ticks, colors=style.INK, linewidths=width, zorder=3), autolim=False
    )
    return Line2D(
        [],
        [],
        color=style.INK,
        marker="|",
        linestyle="none",
        markersize=8,
        markeredgewidth=1.3,
        label="rank leaves",
    )


def _legend(result: Result, spans: Spans) -> list[Artist]:
    """An entry a work that sent something, then what the halves mean."""
    from matplotlib.patches import Patch

    shown = [number for number in range(len(result.works)) if (spans.work == number).any()]
    entries: list[Artist] = [
        Patch(color=style.colour(number), label=work_title(result.works[number]))
        for number in shown[:_NAMED_WORKS]
    ]
    if len(shown) > _NAMED_WORKS:
        entries.append(Patch(color="none", label=f"and {len(shown) - _NAMED_WORKS} more"))
    base = style.colour(shown[0]) if len(shown) == 1 else style.INK
    if len(shown) == 1:
        entries.clear()  # the title says it
    entries.append(Patch(color=base, label="sends (upper half)"))
    entries.append(Patch(color=style.tint(base, _RECEIVED), label="receives (lower half)"))
    return entries


def _label(ax: Axes, result: Result, spans: Spans, factor: float, unit: str) -> None:
    """Limits, ticks, names of the axes and the title."""
    from matplotlib.ticker import MaxNLocator

    ranks = result.net.num_ranks
    begin = float(spans.start.min()) if len(spans) else 0.0
    left = begin if begin > 0.5 * spans.horizon else 0.0
    right = spans.horizon * factor if spans.horizon else 1.0
    ax.set_xlim(left * factor, right + 0.01 * (right - left * factor))
    ax.set_ylim(ranks - 0.5, -0.5)
    if ranks <= 32:
        ax.set_yticks(range(ranks))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(nbins=16, integer=True, steps=[1, 2, 4, 8, 10]))
    ax.set_xlabel(f"virtual time ({unit})")
    ax.set_ylabel("rank")
    ax.set_title(result_title(result))
    style.clean_axes(ax)


def _put_below(ax: Axes, entries: list[Artist]) -> None:
    """The legend under the axis' name, wherever the axes are."""
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -32 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=ax.transAxes + down,
        borderaxespad=0.0,
        ncols=3,
        handlelength=1.4,
        columnspacing=1.6,
    )
