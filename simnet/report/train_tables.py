"""Tables of the training study for people, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from simnet.report.tables import TIMES, column, plain_table, powers

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]
NAN = float("nan")
MOST_SHOWN = 5
"""Accuracies shown of a curve."""


def train_tables(rows: Sequence[Row], summary: Sequence[Row], target: float) -> list[Table]:
    """What is learned, the same everywhere; then a table per conditions: when, at what price.

    Parameters
    ----------
    rows : sequence of mappings
        With strategy, step and accuracy: the points of at least one curve a strategy.
    summary : sequence of mappings
        One a curve: `simnet.study.train.Summary` as a mapping.
    target : float
        The accuracy that the summary is about.

    Returns
    -------
    list of rich.table.Table
        Whoever is first in a row is green. Where nobody reaches the target, times and bytes are
        those of the end.
    """
    tables = [_learned_table(rows, summary, target)]
    title: str | None = f"[bold]virtual time and bytes on the wire until {target:.0%}[/]"
    for profile in _distinct(row["profile"] for row in summary):
        own = [row for row in summary if row["profile"] == profile]
        tables.append(_reached_table(title, profile, own))
        title = None
    return tables


def _learned_table(rows: Sequence[Row], summary: Sequence[Row], target: float) -> Table:
    from rich.markup import escape

    steps = _shown_steps(_distinct(row["step"] for row in rows))
    accuracy = {(row["strategy"], row["step"]): row["accuracy"] for row in rows}
    table = plain_table("[bold]accuracy, the same on every network[/]")
    table.add_column("\nafter")
    for step in steps:
        table.add_column(f"{step}\n[dim]steps[/]", justify="right", no_wrap=True, min_width=7)
    table.add_column(f"{target:.0%} at\n[dim]step[/]", justify="right", no_wrap=True, min_width=9)
    at = {row["strategy"]: row["step_to_target"] for row in summary}
    for strategy, step_to_target in at.items():
        table.add_row(
            escape(strategy),
            *(f"{accuracy[strategy, step]:.1%}" for step in steps),
            "–" if step_to_target is None else str(step_to_target),
        )
    return table


def _shown_steps(steps: Sequence[int]) -> list[int]:
    """Some of the steps at which accuracy was measured, evenly, the last one always."""
    rounds = len(steps) - 1
    shown = min(rounds, MOST_SHOWN)
    return _distinct(steps[round(rounds * part / shown)] for part in range(1, shown + 1))


def _reached_table(title: str | None, profile: str, summary: Sequence[Row]) -> Table:
    from rich.markup import escape

    strategies = _distinct(row["strategy"] for row in summary)
    reached = any(row["time_to_target"] is not None for row in summary)
    keys = ("time_to_target", "bytes_to_target") if reached else ("time", "bytes")
    time_unit, times = column([_number(row[keys[0]]) for row in summary], TIMES)
    byte_unit, sizes = column([_number(row[keys[1]]) for row in summary], powers("B"))
    table = plain_table(title)
    heading = escape(profile) + ("" if reached else " (at the end)")
    table.add_column(f"\n{heading}", overflow="fold", min_width=17)
    for strategy in strategies:
        heading = f"{escape(strategy)}\n[dim]{time_unit}[/]"
        table.add_column(heading, justify="right", no_wrap=True, min_width=9)
        table.add_column(f"\n[dim]{byte_unit}[/]", justify="right", no_wrap=True, min_width=6)
    first = firsts(summary)
    numbered = list(enumerate(summary))
    for topology, group in groupby(numbered, key=lambda pair: pair[1]["topology"]):
        cells = []
        for number, row in group:
            wins = row["strategy"] in first[profile, topology]
            cells += [f"[bold green]{times[number]}[/]" if wins else times[number], sizes[number]]
        table.add_row(escape(topology), *cells)
    return table


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def train_notes(summary: Sequence[Row], target: float) -> list[str]:
    """Who reaches the target first on each network, and by how much: a head, a line an outcome.

    Parameters
    ----------
    summary : sequence of mappings
        As for `train_tables`.
    target : float
        The accuracy that it is about.
    """
    outcomes: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (profile, topology), names in firsts(summary).items():
        outcomes.setdefault((profile, names), []).append(topology)
    everywhere = _distinct(row["topology"] for row in summary)
    notes = [f"who reaches {target:.0%} first:"]
    for (profile, names), topologies in outcomes.items():
        where = profile
        if topologies != everywhere or len(everywhere) == 1:
            where += f", {_joined(topologies)}"
        own = [
            row for row in summary if row["profile"] == profile and row["topology"] in topologies
        ]
        behind = _behind(own, names[0]) if names else []
        others = f" ({', '.join(behind)})" if behind else ""
        notes.append(f"  {where}: {_joined(names or ('nobody',))}{others}")
    return notes


def firsts(summary: Iterable[Row]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The strategies that reach the target first, by (profile, topology); several if at once."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    least: dict[tuple[str, str], float] = {}
    for row in summary:
        place, time = (row["profile"], row["topology"]), row["time_to_target"]
        held = found.setdefault(place, ())
        if time is None or time > least.get(place, time):
            continue
        found[place] = (*held, row["strategy"]) if time == least.get(place) else (row["strategy"],)
        least[place] = time
    return found


def _behind(summary: Sequence[Row], first: str) -> list[str]:
    """How much longer the others take, over some networks."""
    least = {row["topology"]: row["time_to_target"] for row in summary if row["strategy"] == first}
    found = []
    for strategy in _distinct(row["strategy"] for row in summary):
        own = [row for row in summary if row["strategy"] == strategy]
        if any(row["time_to_target"] is None for row in own):
            found.append(f"{strategy} never")
            continue
        longer = [row["time_to_target"] / (least[row["topology"]] or NAN) for row in own]
        low, high = f"{min(longer):.2g}", f"{max(longer):.2g}"
        if max(longer) > 1:
            times = low if low == high else f"{low}–{high}"
            found.append(f"{strategy} {times} × as long")
    return found


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
