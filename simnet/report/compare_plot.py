"""Times of one collective on many networks, as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.report import style
from simnet.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEYS = ("model", "topology", "profile", "reading", "algorithm", "time", "efficiency", "size")
_COLUMNS = 3
_HATCHES = ("", "/////", "....", "xxxxx")
_BAR, _BETWEEN, _HEADING = 0.135, 0.07, 0.34  # inches: a bar, between slots, above a profile
_TALLEST = 120.0  # inches, beyond which bars grow thin and lose their labels

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slots:
    """Where bars go, in inches from the top: the same in every panel.

    Attributes
    ----------
    at : dict
        (profile, topology, algorithm or None) to the top of its bars.
    headings : dict
        Profile to the middle of its heading.
    names : dict
        The same keys as `at` to what the axis says.
    readings, topologies : list
        In the order of the rows: they decide hatch and colour.
    height : float
        Of all.
    """

    at: dict[tuple[Any, Any, Any], float]
    headings: dict[Any, float]
    names: dict[tuple[Any, Any, Any], str]
    readings: list[Any]
    topologies: list[Any]
    by_algorithm: bool
    height: float

    def key(self, row: Row) -> tuple[Any, Any, Any]:
        """The slot of a row."""
        return (row["profile"], row["topology"], row["algorithm"] if self.by_algorithm else None)


def plot_compare(rows: Iterable[Row], path: str | Path) -> None:
    """Draw what the compare study found: a panel a model (or size), a bar a network.

    Time is on a logarithmic axis. Bars are grouped by profile and coloured by topology; the
    readings (per cable, per NIC) share a place and differ by hatching. Each bar says its time and
    how near the bound it came. Where several algorithms ran on one network, each has a place of
    its own.

    Parameters
    ----------
    rows : iterable of mappings
        With model, topology, profile, reading, algorithm, time (s), efficiency (0 to 1 or None)
        and size (bytes).
    path : str or Path
        The file to write, .png or .svg.

    Raises
    ------
    ValueError
        For another suffix, no rows, a row without one of these keys, or a file that cannot be
        written; nothing is created then.
    """
    style.suffix_of(path)
    style.write_figure(compare_figure(rows), path)


def compare_figure(rows: Iterable[Row]) -> Figure:
    """The figure that `plot_compare` writes."""
    found = style.check_rows(rows, _KEYS)
    models = style.distinct((row["model"], row["size"]) for row in found)
    slots = _slots(found)
    columns = min(_COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    height = min(slots.height, _TALLEST / lines)
    with style.context():
        figure = style.new_figure(1.6 + 4.2 * columns, lines * (height + 0.9) + 0.45)
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for panel in panels[len(models) :]:
            panel.set_axis_off()
        labelled = height >= 0.75 * slots.height
        for number, (ax, model) in enumerate(zip(panels, models, strict=False)):
            own = [row for row in found if (row["model"], row["size"]) == model]
            _draw_panel(ax, own, slots, labelled=labelled)
            _label_panel(ax, own, slots, names=number % columns == 0)
        _legend(figure, slots, bounded=any(row["efficiency"] is not None for row in found))
    return figure


def _slots(rows: list[Row]) -> _Slots:
    """Lay out all profiles, topologies and algorithms that any row has."""
    runs: dict[tuple[Any, ...], set[Any]] = {}
    for row in rows:
        run = (row["model"], row["profile"], row["topology"], row["reading"])
        runs.setdefault(run, set()).add(row["algorithm"])
    by_algorithm = any(len(algorithms) > 1 for algorithms in runs.values())
    readings = style.distinct(row["reading"] for row in rows)
    at, headings, names, down = {}, {}, {}, 0.0
    for profile in style.distinct(row["profile"] for row in rows):
        headings[profile] = down + 0.6 * _HEADING
        down += _HEADING
        for topology, algorithm in style.distinct(
            (row["topology"], row["algorithm"] if by_algorithm else None)
            for row in rows
            if row["profile"] == profile
        ):
            at[profile, topology, algorithm] = down
            names[profile, topology, algorithm] = (
                f"{topology} · {algorithm}" if by_algorithm else str(topology)
            )
            down += len(readings) * _BAR + _BETWEEN
    return _Slots(
        at=at,
        headings=headings,
        names=names,
        readings=readings,
        topologies=style.distinct(row["topology"] for row in rows),
        by_algorithm=by_algorithm,
        height=down,
    )


def _limits(rows: list[Row]) -> tuple[float, float]:
    """Whole decades round the times, with a fifth of the axis left for labels."""
    times = [float(row["time"]) for row in rows]
    times = [time for time in times if math.isfinite(time) and time > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(times)) - 0.15)
    return low, max(times) * (max(times) / low) ** 0.62


def _draw_panel(ax: Axes, rows: list[Row], slots: _Slots, *, labelled: bool) -> None:
    """The bars of one model."""
    low, high = _limits(rows)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(slots.height + 0.02, 0.0)
    for row in rows:
        reading = slots.readings.index(row["reading"])
        y = slots.at[slots.key(row)] + (reading + 0.5) * _BAR
        time = float(row["time"])
        drawable = math.isfinite(time) and time > 0
        base = style.colour(slots.topologies.index(row["topology"]))
        ax.barh(
            y,
            time - low if drawable else 0.0,
            height=0.86 * _BAR,
            left=low,
            facecolor=base if reading == 0 else style.tint(base, 0.25),
            edgecolor=base,
            hatch=_HATCHES[reading % len(_HATCHES)],
            linewidth=0.5,
        )
        if labelled:
            ax.annotate(
                _bar_label(row),
                (time if drawable else low, y),
                (3, -0.3),
                textcoords="offset points",
                va="center",
                fontsize=6.8,
            )


def _bar_label(row: Row) -> str:
    """Time and share of the bound: "12.3 ms · 83 %"."""
    label = style.three_digits(float(row["time"]))
    share = row["efficiency"]
    if share is None or share != share:
        return label
    percent = f"{100 * float(share):.0f}" if share >= 0.01 or not share else "< 1"
    return f"{label} · {percent} %"


def _ticks(rows: list[Row]) -> list[float]:
    """Powers of ten up to the longest time, six at most."""
    low, _ = _limits(rows)
    longest = max((float(row["time"]) for row in rows if math.isfinite(row["time"])), default=0.0)
    first = round(math.log10(low))
    last = max(first + 1, math.ceil(math.log10(longest)) if longest > 0 else 0)
    return [10.0**power for power in range(first, last + 1, 1 + (last - first) // 6)]


def _label_panel(ax: Axes, rows: list[Row], slots: _Slots, *, names: bool) -> None:
    """Title, ticks and the profiles' headings."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    (left, right), ticks = ax.get_xlim(), _ticks(rows)
    ax.set_xlim(left, max(right, ticks[-1]))
    model, size = rows[0]["model"], format_size(rows[0]["size"])
    ax.set_title(model if model.replace(" ", "") == size.replace(" ", "") else f"{model}, {size}")
    ax.set_xlabel("virtual time (log scale)")
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FuncFormatter(style.tick_time))
    ax.xaxis.set_minor_locator(NullLocator())
    middle = len(slots.readings) * _BAR / 2
    ax.set_yticks([top + middle for top in slots.at.values()])
    ax.set_yticklabels(list(slots.names.values()) if names else [""] * len(slots.at))
    style.clean_axes(ax)
    ax.grid(axis="x", color=style.IDLE, linewidth=0.5)
    ax.set_axisbelow(True)
    for profile, y in slots.headings.items():
        ax.text(
            0.0,
            y,
            f" {profile}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=style.NORMAL,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )


def _legend(figure: Figure, slots: _Slots, *, bounded: bool) -> None:
    """What hatching and labels mean."""
    from matplotlib.patches import Patch

    share = " · the lower bound as a share of it" if bounded else ""
    entries = [
        Patch(
            facecolor=style.SOFT_INK if number == 0 else style.tint(style.SOFT_INK, 0.25),
            edgecolor=style.SOFT_INK,
            hatch=_HATCHES[number % len(_HATCHES)],
            label=f"bandwidth {reading}" if str(reading).startswith("per ") else str(reading),
        )
        for number, reading in enumerate(slots.readings)
    ]
    figure.legend(
        handles=entries,
        title=f"beside each bar: virtual time{share}",
        title_fontsize=style.SMALL,
        loc="outside lower center",
        ncols=min(4, len(entries)),
        handlelength=2.4,
        handleheight=1.0,
    )
