"""Tables of runs and replays for people, in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simnet.report.tables import NAME_WIDTH, TIMES, column, plain_table, powers
from simnet.units import format_size, format_time

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]
SPENT = ("compute", "exposed", "hidden", "idle")
MOST_RANKS = 16
MEANING = (
    "exposed: waiting for communication under way; hidden: communication under way during "
    "something else; idle: waiting for other ranks; compute + exposed + idle = finish"
)


def run_heading(row: Row, name: str) -> str:
    """What ran where, and for how long: "train.py: 4 ranks on ring, mobile: 7.2 s …"."""
    from rich.markup import escape

    where = row["topology"] + ("" if row["profile"] == "as given" else f", {row['profile']}")
    if row["reading"] == "per NIC":
        where += " with a network card a host"
    ranks = "1 rank" if row["ranks"] == 1 else f"{row['ranks']} ranks"
    time = format_time(row["time"])
    return f"[bold]{escape(name)}[/]: {ranks} on {escape(where)}: {time} of virtual time"


def run_tables(row: Row) -> list[Table]:
    """Two tables of a run: its ranks, and its operations by kind and algorithm.

    Parameters
    ----------
    row : mapping
        With time, by_rank and operations, as `simnet run --json` writes them.
    """
    tables = [_ranks_table(shown_ranks(row["by_rank"]))]
    if row["operations"]:
        tables.append(_operations_table(row["operations"]))
    return tables


def shown_ranks(ranks: Sequence[Row]) -> list[Row]:
    """All ranks, or of many those with the most and the least of anything, and the first ones."""
    if len(ranks) <= MOST_RANKS:
        return list(ranks)
    kept: dict[int, None] = {}
    for name in ("finish", *SPENT):
        ordered = sorted(ranks, key=lambda each: each[name])
        kept |= dict.fromkeys((ordered[0]["rank"], ordered[-1]["rank"]))
    for each in ranks:
        if len(kept) < MOST_RANKS:
            kept[each["rank"]] = None
    return [each for each in ranks if each["rank"] in kept]


def _ranks_table(ranks: Sequence[Row]) -> Table:
    names = ("finish", *SPENT)
    together = column([each[name] for name in names for each in ranks], TIMES)
    unit, texts = together
    table = plain_table(None)
    table.add_column("\nrank", justify="right")
    for name in names:
        table.add_column(f"{name}\n[dim]{unit}[/]", justify="right", no_wrap=True, min_width=8)
    for number, each in enumerate(ranks):
        table.add_row(str(each["rank"]), *texts[number :: len(ranks)])
    return table


def _operations_table(operations: Sequence[Row]) -> Table:
    from rich.markup import escape

    means = [each["time"] / each["count"] for each in operations]
    measured = [
        ("bytes", *column([each["bytes"] for each in operations], powers("B"))),
        ("on wire", *column([each["bytes_on_wire"] for each in operations], powers("B"))),
        ("time", *column([each["time"] for each in operations], TIMES)),
        ("per call", *column(means, TIMES)),
    ]
    table = plain_table(None)
    table.add_column("\noperation")
    table.add_column("\nalgorithm", overflow="fold")
    table.add_column("\ncalls", justify="right")
    for name, unit, _ in measured:
        table.add_column(f"{name}\n[dim]{unit}[/]", justify="right", no_wrap=True, min_width=8)
    for number, each in enumerate(operations):
        table.add_row(
            escape(each["kind"]),
            escape(each["algorithm"]),
            str(each["count"]),
            *(texts[number] for _, _, texts in measured),
        )
    return table


def run_notes(row: Row) -> list[str]:
    """What the tables of a run do not say, a line each."""
    again = row["retransmitted_bytes"]
    part = f", {format_size(again)} of it again" if again else ""
    size = format_size(row["bytes_on_wire"])
    notes = [f"on the wire: {size}{part}, transport {row['transport']}"]
    if row["busiest"] is not None:
        notes.append(f"busiest link: {row['busiest']}, {row['utilisation']:.1%} of its bandwidth")
    not_charged = row["compute_model"] == "not charged"
    notes.append(
        "compute not charged: only what the program charges itself; --compute names a model"
        if not_charged
        else f"compute: {row['compute_model']}"
    )
    if row["approximate"]:
        notes.append(
            "the program looked at time (polls, receives from any rank, timeouts): elsewhere a "
            "replay of it is an approximation"
        )
    if row["ranks"] > MOST_RANKS:
        notes.append(f"of {row['ranks']} ranks, {MOST_RANKS} at most are shown; --json has all")
    return [*notes, MEANING]


def replay_table(rows: Sequence[Row], title: str) -> Table:
    """A row a network: virtual time, how the rank that ends last has spent it, bytes."""
    from rich.markup import escape

    unit, texts = column([row[name] for name in ("time", *SPENT) for row in rows], TIMES)
    wire_unit, wires = column([row["bytes_on_wire"] for row in rows], powers("B"))
    table = plain_table(f"[bold]{escape(title)}[/]")
    for name in ("conditions", "topology"):
        table.add_column(f"\n{name}", overflow="fold", min_width=NAME_WIDTH - 2)
    for name in ("time", *SPENT):
        table.add_column(f"{name}\n[dim]{unit}[/]", justify="right", no_wrap=True, min_width=7)
    table.add_column(f"on wire\n[dim]{wire_unit}[/]", justify="right", no_wrap=True)
    table.add_column("\nbusiest", overflow="fold")
    least = {row["profile"]: row["time"] for row in sorted(rows, key=lambda row: -row["time"])}
    before = ""
    for number, row in enumerate(rows):
        table.add_row(
            "" if row["profile"] == before else escape(row["profile"]),
            escape(row["topology"]),
            *texts[number :: len(rows)],
            wires[number],
            escape(row["busiest"] or "–"),
            style="green" if row["time"] == least[row["profile"]] else "",
        )
        before = row["profile"]
    return table


def replay_notes(rows: Sequence[Row]) -> list[str]:
    """What the columns of a replay's table mean, a line each."""
    first = rows[0]
    notes = ["compute, exposed, hidden, idle: of the rank that ends last", MEANING]
    if any(row["profile"] != "as given" for row in rows):
        drawn = f"drawn once a cable, seed {first['seed']}" if first["draw"] else "mid-points"
        notes.append(f"conditions: {drawn}; jitter and loss: seed {first['seed']}")
    if any(row["reading"] == "per NIC" for row in rows):
        notes.append("all cables of a host share its network card, drawn from the profile")
    if first["compute_model"] == "not charged":
        notes.append("compute not charged, as it was recorded")
    return notes
