"""Accuracy against virtual time and against bytes, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simnet.report import style
from simnet.units import format_size

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEYS = ("strategy", "topology", "profile", "step", "virtual_time", "accuracy", "bytes")
_NAMES = {"all_reduce": "AllReduce", "fedavg": "FedAvg", "diloco": "DiLoCo", "sparta": "SPARTA"}
_MARKERS = ("o", "s", "^", "D", "v", "P")
_WIDE_RANGE = 3.0  # how many times more one strategy takes before the axis is logarithmic
_PERCENT_TICKS = (0, 50, 80, 90, 95, 98)
_MOST = 0.99  # better accuracies are drawn here: the logarithm of no error is infinite

Row = Mapping[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Axis:
    """What an axis shows: its key in the rows, its label, and how a value is written."""

    key: str
    label: str
    text: Callable[[float], str]
    tick: Callable[[float, int], str]


_TIME = _Axis("virtual_time", "virtual time", style.three_digits, style.tick_time)
_BYTES = _Axis(
    "bytes", "bytes on the wire", lambda size: _short_size(size), lambda size, _: _short_size(size)
)


def plot_training(rows: Iterable[Row], path: str | Path, *, target: float | None = None) -> None:
    """Draw how accuracy grows on every network: a row of panels a topology, a column a profile.

    The last column has the bytes that have crossed the cables, in the first profile, in place of
    the time. A line a strategy; behind them the frontier, the best accuracy that any strategy has
    reached by then. The accuracy axis is that of the error's logarithm, as the last percents are
    the hard ones.

    Parameters
    ----------
    rows : iterable of mappings
        With strategy, topology, profile, step, virtual_time (s), accuracy (0 to 1) and bytes.
    path : str or Path
        The file to write, .png or .svg.
    target : float, optional
        An accuracy, 0 to 1, to draw as a line. Where a strategy first reaches it is marked, and
        the first of all says when.

    Raises
    ------
    ValueError
        For another suffix, no rows, a row without one of these keys, or a file that cannot be
        written; nothing is created then.
    """
    style.suffix_of(path)
    style.write_figure(training_figure(rows, target=target), path)


def training_figure(rows: Iterable[Row], *, target: float | None = None) -> Figure:
    """The figure that `plot_training` writes."""
    found = style.check_rows(rows, _KEYS)
    topologies = style.distinct(row["topology"] for row in found)
    profiles = style.distinct(row["profile"] for row in found)
    strategies = style.distinct(row["strategy"] for row in found)
    columns = [(str(profile), profile, _TIME) for profile in profiles]
    columns.append((f"{profiles[0]}, by bytes", profiles[0], _BYTES))
    with style.context():
        figure = style.new_figure(0.9 + 2.7 * len(columns), 1.0 + 2.1 * len(topologies))
        grid = figure.subplots(
            len(topologies), len(columns), squeeze=False, sharex="col", sharey=True
        )
        for panels, (title, profile, axis) in zip(grid.T, columns, strict=True):
            of_profile = [row for row in found if row["profile"] == profile]
            panels[0].set_title(title)
            _set_scale(panels, of_profile, axis)
            for ax, topology in zip(panels, topologies, strict=True):
                own = [row for row in of_profile if row["topology"] == topology]
                _draw_panel(ax, own, strategies, axis, target)
        for ax, topology in zip(grid[:, 0], topologies, strict=True):
            _name_row(ax, str(topology))
        handles = _legend(strategies, target)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _name_row(ax: Axes, topology: str) -> None:
    """The topology, left of everything else."""
    ax.set_ylabel("accuracy (%)")
    ax.annotate(
        topology,
        (0, 0.5),
        (-4, 0),
        xycoords=ax.yaxis.label,
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="center",
        fontsize=style.LARGE,
    )


def _set_scale(panels: Sequence[Axes], rows: Sequence[Row], axis: _Axis) -> None:
    """One axis for all panels below each other, logarithmic where ends are far apart."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ends: dict[Any, float] = {}
    for row in rows:
        curve = row["topology"], row["strategy"]
        ends[curve] = max(ends.get(curve, 0.0), float(row[axis.key]))
    least, most = min(ends.values()), max(ends.values())
    for ax in panels:
        if least > 0 and most / least > _WIDE_RANGE:
            ax.set_xscale("log")
        else:
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_xlim(0, 1.04 * most or 1.0)
        ax.xaxis.set_major_formatter(FuncFormatter(axis.tick))
    panels[-1].set_xlabel(axis.label)


def _draw_panel(
    ax: Axes, rows: Sequence[Row], strategies: Sequence[Any], axis: _Axis, target: float | None
) -> None:
    curves = {
        number: _curve([row for row in rows if row["strategy"] == strategy], axis.key)
        for number, strategy in enumerate(strategies)
    }
    _draw_frontier(ax, list(curves.values()))
    for number, (across, up) in curves.items():
        shown = across > 0 if ax.get_xscale() == "log" else across >= 0
        ax.plot(
            across[shown],
            _height(up[shown]),
            label=_name(strategies[number]),
            color=style.colour(number),
            linewidth=1.3,
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=2.2,
        )
    if target is not None:
        ax.axhline(_height(target), color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)))
        _mark_target(ax, curves, target, axis)
    _dress(ax)


def _curve(rows: Sequence[Row], key: str) -> tuple[Floats, Floats]:
    """What was spent and the accuracy then, in order."""
    ordered = sorted(rows, key=lambda row: row["step"])
    across = np.array([float(row[key]) for row in ordered])
    return across, np.array([float(row["accuracy"]) for row in ordered])


def _height(accuracy: Any) -> Any:
    """Where an accuracy is drawn: 0 at 0, 1 at 90 %, 2 at 99 %."""
    return -np.log10(1 - np.clip(accuracy, 0, _MOST))


def _draw_frontier(ax: Axes, curves: Sequence[tuple[Floats, Floats]]) -> None:
    """The best accuracy that any strategy has had by then."""
    across = np.concatenate([each for each, _ in curves])
    up = np.concatenate([each for _, each in curves])
    order = np.argsort(across, kind="stable")
    best = np.maximum.accumulate(up[order])
    ax.fill_between(
        across[order], _height(best), step="post", color=style.IDLE, alpha=0.45, linewidth=0
    )


def _mark_target(
    ax: Axes, curves: Mapping[int, tuple[Floats, Floats]], target: float, axis: _Axis
) -> None:
    """Where each curve reaches the target; the first ones say at what."""
    reached = {}
    for number, (across, up) in curves.items():
        there = np.flatnonzero(up >= target)
        if len(there):
            reached[number] = float(across[there[0]]), float(up[there[0]])
    for number, (x, accuracy) in reached.items():
        ax.plot(
            x,
            _height(accuracy),
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=6,
            color=style.colour(number),
            markeredgecolor="white",
            markeredgewidth=0.8,
            zorder=5,
        )
    if reached:
        first = min(x for x, _ in reached.values())
        ax.annotate(
            axis.text(first),
            (first, _height(target)),
            (-5, 5),
            textcoords="offset points",
            ha="right",
            fontsize=style.NORMAL,
            fontweight="bold",
            color=style.INK,
        )


def _dress(ax: Axes) -> None:
    style.clean_axes(ax)
    ax.grid(color=style.IDLE, linewidth=0.5)
    heights = [_height(percent / 100) for percent in _PERCENT_TICKS]
    ax.set_yticks(heights, [str(percent) for percent in _PERCENT_TICKS])
    ax.set_ylim(0, _height(_MOST))
    ax.minorticks_off()


def _short_size(size: float) -> str:
    number, _, unit = format_size(size).partition(" ")
    return f"{float(number):.3g} {unit}"


def _name(strategy: Any) -> str:
    return _NAMES.get(strategy, str(strategy))


def _legend(strategies: Sequence[Any], target: float | None) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=style.colour(number),
            marker=_MARKERS[number % len(_MARKERS)] if target is not None else "",
            label=_name(strategy),
        )
        for number, strategy in enumerate(strategies)
    ]
    handles.append(Patch(color=style.IDLE, alpha=0.45, label="frontier: the best so far"))
    if target is not None:
        handles.append(
            Line2D(
                [], [], color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)), label=f"{target:.0%}"
            )
        )
    return handles
