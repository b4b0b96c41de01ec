"""Accuracy against virtual time, as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.report import style
from simnet.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEYS = ("strategy", "profile", "step", "virtual_time", "accuracy", "bytes")
_COLUMNS = 3
_WIDE_RANGE = 12.0  # how many times longer one strategy takes before the axis is logarithmic
_MARKERS = ("o", "s", "^", "D", "v", "P")

Row = Mapping[str, Any]


def plot_training(rows: Iterable[Row], path: str | Path) -> None:
    """Draw accuracy against virtual time: a panel a profile, a line a strategy.

    The end of each line says its accuracy and what has crossed the cables. The time axis is
    logarithmic where one strategy takes more than twelve times as long as another.

    Parameters
    ----------
    rows : iterable of mappings
        With strategy, profile, step, virtual_time (s), accuracy (0 to 1) and bytes.
    path : str or Path
        The file to write, .png or .svg.

    Raises
    ------
    ValueError
        For another suffix, no rows, a row without one of these keys, or a file that cannot be
        written; nothing is created then.
    """
    style.suffix_of(path)
    style.write_figure(training_figure(rows), path)


def training_figure(rows: Iterable[Row]) -> Figure:
    """The figure that `plot_training` writes."""
    found = style.check_rows(rows, _KEYS)
    profiles = style.distinct(row["profile"] for row in found)
    strategies = style.distinct(row["strategy"] for row in found)
    columns = min(_COLUMNS, len(profiles))
    lines = math.ceil(len(profiles) / columns)
    with style.context():
        figure = style.new_figure(0.9 + 3.7 * columns, 3.2 * lines + 0.5)
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel in panels[len(profiles) :]:
            panel.set_axis_off()
        for number, (ax, profile) in enumerate(zip(panels, profiles, strict=False)):
            own = [row for row in found if row["profile"] == profile]
            _draw_panel(ax, own, strategies)
            ax.set_title(str(profile))
            if number % columns == 0:
                ax.set_ylabel("accuracy (%)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(strategies)))
    return figure


def _draw_panel(ax: Axes, rows: list[Row], strategies: list[Any]) -> None:
    """One profile: its lines, its axis in a unit that fits, the last values."""
    curves = {
        number: sorted(
            (row for row in rows if row["strategy"] == strategy), key=lambda row: row["step"]
        )
        for number, strategy in enumerate(strategies)
    }
    ends = [float(curve[-1]["virtual_time"]) for curve in curves.values() if curve]
    factor, unit = style.time_unit(max(ends))
    logarithmic = min(ends) > 0 and max(ends) / min(ends) > _WIDE_RANGE
    for number, curve in curves.items():
        times = np.array([float(row["virtual_time"]) for row in curve]) * factor
        percent = np.array([100 * float(row["accuracy"]) for row in curve])
        shown = times > 0 if logarithmic else times >= 0
        ax.plot(
            times[shown],
            percent[shown],
            label=str(strategies[number]),
            color=style.colour(number),
            linewidth=1.6,
            markersize=3,
            marker=_MARKERS[number % len(_MARKERS)],
        )
    _label_axes(ax, unit, logarithmic=logarithmic)
    _write_ends(ax, [(number, curve[-1]) for number, curve in curves.items() if curve])


def _label_axes(ax: Axes, unit: str, *, logarithmic: bool) -> None:
    from matplotlib.ticker import FuncFormatter

    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.grouped(f"{value:,.6g}")))
    else:
        ax.set_xlim(left=0)
    ax.set_xlabel(f"virtual time ({unit}{', log scale' if logarithmic else ''})")
    ax.set_ylim(0, 102)
    style.clean_axes(ax)
    ax.grid(color=style.IDLE, linewidth=0.5)


def _write_ends(ax: Axes, ends: list[tuple[int, Row]]) -> None:
    """Each strategy's last accuracy and bytes, one under the other in the lower right corner."""
    for place, (number, row) in enumerate(reversed(ends)):
        ax.annotate(
            f"{100 * float(row['accuracy']):.1f} % · "
            f"{style.three_digits(float(row['virtual_time']))} · {format_size(row['bytes'])}",
            (1.0, 0.0),
            (-4, 6 + 11 * place),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=style.SMALL,
            color=style.colour(number),
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )
