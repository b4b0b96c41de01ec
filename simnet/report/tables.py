"""Tables for people, in the terminal; the same rows go to JSON and CSV as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any

from simnet.units import format_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Mapping[str, Any]
WIDTH = 100
NAME_WIDTH = 18


def console(file: IO[str]) -> Console:
    """A console of at least `WIDTH` columns: a narrow terminal wraps lines, no column is lost."""
    from rich.console import Console

    plain = Console(file=file, highlight=False)
    width = max(WIDTH, plain.width if plain.is_terminal else 0)
    return Console(file=file, highlight=False, width=width)


def compare_tables(rows: Sequence[Row]) -> list[Table]:
    """A table per model and conditions, a row per topology, reading and algorithm.

    Parameters
    ----------
    rows : sequence of mappings
        As `simnet.study.compare.compare` returns them, each with its `bucket`.

    Returns
    -------
    list of rich.table.Table
        The first of each model says what runs; the head of each its conditions and units. The
        fastest row of each reading is green.
    """
    tables = []
    for _, group in groupby(rows, key=lambda row: (row["model"], row["size"])):
        of_model = list(group)
        title: str | None = _model_title(of_model[0])
        for profile, part in groupby(of_model, key=lambda row: row["profile"]):
            tables.append(_compare_table(title, profile, list(part)))
            title = None
    return tables


def _model_title(row: Row) -> str:
    """What runs: "GPT-2 small: all_reduce of 497.8 MB over 8 ranks, …"."""
    from rich.markup import escape

    title = (
        f"{row['collective']} of {format_size(row['size'])} over {_counted(row['ranks'], 'rank')}"
    )
    if row["tensors"] > 1:
        fused = row["bucket"] == "fused"
        title += f", {row['tensors']} tensors " + ("in one buffer" if fused else "one by one")
    named = row["model"] != format_size(row["size"])
    return f"[bold]{escape(row['model'])}[/]: {title}" if named else f"[bold]{title}[/]"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _compare_table(title: str | None, profile: str, rows: list[Row]) -> Table:
    from rich.markup import escape

    measured = [
        ("time", *column([row["time"] for row in rows], TIMES)),
        *(
            (name, *column([row[key] for row in rows], powers(unit)))
            for name, key, unit in (
                ("algbw", "algbw", "B/s"),
                ("busbw", "busbw", "B/s"),
                ("on wire", "bytes_on_wire", "B"),
            )
        ),
        ("of best", "%", [_percent(row["efficiency"]) for row in rows]),
    ]
    table = plain_table(title)
    table.add_column(f"\n{escape(profile)}", overflow="fold", min_width=NAME_WIDTH - 1)
    table.add_column("\nper")
    table.add_column("\nalgorithm", min_width=NAME_WIDTH, no_wrap=True)
    for name, unit, _ in measured:
        table.add_column(f"{name}\n[dim]{unit}[/]", justify="right", no_wrap=True, min_width=6)
    table.add_column("\nbottleneck", overflow="fold")
    fastest = _fastest(rows)
    before = ("", "")
    for number, row in enumerate(rows):
        place = (row["topology"], row["reading"].removeprefix("per ").replace("as given", "–"))
        table.add_row(
            "" if place[0] == before[0] else escape(place[0]),
            "" if place == before else place[1],
            _broken(row["algorithm"]),
            *(texts[number] for _, _, texts in measured),
            escape(row["bottleneck"] or "–"),
            style="green" if row["time"] == fastest[row["reading"]] else "",
        )
        before = place
    return table


def _fastest(rows: Sequence[Row]) -> dict[str, float]:
    """The least time by reading."""
    least: dict[str, float] = {}
    for row in rows:
        least[row["reading"]] = min(least.get(row["reading"], row["time"]), row["time"])
    return least


TIMES = (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0))
_LONG = {"min": 600.0, "h": 36_000.0}
"""Seconds from which minutes and hours read better."""


def powers(unit: str) -> tuple[tuple[str, float], ...]:
    """A unit and its decimal multiples."""
    return tuple((prefix + unit, 1000.0**i) for i, prefix in enumerate(("", "k", "M", "G", "T")))


def column(values: Sequence[float], units: Sequence[tuple[str, float]]) -> tuple[str, list[str]]:
    """One unit for a whole column, and its numbers: the smallest has three digits, if they fit."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    top, low = max(sizes, default=1.0), min(sizes, default=1.0)
    fitting = [(name, size) for name, size in units if top >= _LONG.get(name, size)]
    name, size = fitting[-1] if fitting else units[0]
    decimals = 2 - math.floor(math.log10(low / size))
    room = 3 - math.floor(math.log10(top / size)) if top >= size else 3
    decimals = min(max(decimals, 0), max(room, 0))
    return name, [_spelled(value / size, decimals) for value in values]


def _spelled(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.{decimals}f}".replace(",", " ") if value else "0"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"


def _broken(name: str) -> str:
    """A long name of parts joined by "_" on two lines."""
    if len(name) <= NAME_WIDTH:
        return name
    cut = name.rfind("_", 0, NAME_WIDTH) + 1
    return f"{name[:cut]}\n{name[cut:]}" if cut else name


def compare_notes(rows: Sequence[Row], *, asked: str) -> list[str]:
    """What the columns of `compare_tables` mean, a line each.

    Parameters
    ----------
    rows : sequence of mappings
        The rows shown; they carry seed and draw.
    asked : str
        The algorithm that was asked for: a name, best, all or auto.
    """
    first = rows[0]
    notes = [
        "time: virtual seconds from the common start until the last rank has its result",
        "of best: the least time that any algorithm could take here, over this time",
    ]
    if asked == "best" and any(len(row["tried"]) > 1 for row in rows):
        most = max(len(row["tried"]) for row in rows)
        notes.append(
            f"algorithm: the fastest of the {most} most promising by the cost model, each "
            "simulated until it ended or had lost"
        )
    if any(row["reading"] == "per NIC" for row in rows):
        notes.append(
            "per cable: a cable has its bandwidth to itself, so a fully connected host has N − 1 "
            "times as much"
        )
        notes.append("per NIC: in addition, all cables of a host share its network card")
    if any(row["profile"] != "as given" for row in rows):
        drawn = f"drawn once a cable, seed {first['seed']}" if first["draw"] else "mid-points"
        notes.append(f"conditions: {drawn}; jitter and loss: seed {first['seed']}")
    return notes


def plain_table(title: str | None) -> Table:
    """An empty table with a title over it, and no lines but one below the head."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
