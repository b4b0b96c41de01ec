"""Tables and sentences of the training study."""

import io

from rich.console import Console

from simnet.report.train_tables import firsts, train_notes, train_tables


def summary(strategy, reached, profile="lan", topology="ring"):
    return {
        "strategy": strategy,
        "profile": profile,
        "topology": topology,
        "time": 10.0,
        "accuracy": 0.9,
        "bytes": 1000,
        "step_to_target": None if reached is None else 30,
        "time_to_target": reached,
        "bytes_to_target": None if reached is None else int(1e6 * reached),
    }


def curve(strategy, rounds=10):
    return [
        {"strategy": strategy, "step": 10 * k, "accuracy": k / rounds} for k in range(rounds + 1)
    ]


def text_of(*tables):
    out = io.StringIO()
    console = Console(file=out, width=100)
    for table in tables:
        console.print(table)
    return out.getvalue()


def test_who_is_first():
    rows = [summary("fedavg", 2.0), summary("all_reduce", 5.0), summary("fedavg", None, "wan")]
    assert firsts(rows) == {("lan", "ring"): ("fedavg",), ("wan", "ring"): ()}
    later = [summary("all_reduce", 5.0), summary("fedavg", 2.0), summary("diloco", 2.0)]
    assert firsts(later) == {("lan", "ring"): ("fedavg", "diloco")}


def test_notes_say_who_is_first_and_by_how_much():
    rows = [summary("fedavg", 2.0), summary("all_reduce", 5.0), summary("fedavg", None, "wan")]
    assert train_notes(rows, 0.9) == [
        "who reaches 90% first:",
        "  lan, ring: fedavg (all_reduce 2.5 × as long)",
        "  wan, ring: nobody",
    ]
    alone = [summary("fedavg", 2.0), summary("all_reduce", None)]
    assert train_notes(alone, 0.9)[1:] == ["  lan, ring: fedavg (all_reduce never)"]


def test_networks_with_one_outcome_share_a_line():
    rows = [
        summary("fedavg", 2.0), summary("diloco", 2.0), summary("sparta", 4.0),
        summary("fedavg", 1.0, topology="star"), summary("diloco", 1.0, topology="star"),
        summary("sparta", 8.0, topology="star"),
        summary("fedavg", 3.0, topology="line"), summary("diloco", 6.0, topology="line"),
        summary("sparta", 9.0, topology="line"),
    ]  # fmt: skip
    assert train_notes(rows, 0.95)[1:] == [
        "  lan, ring and star: fedavg and diloco (sparta 2–8 × as long)",
        "  lan, line: fedavg (diloco 2 × as long, sparta 3 × as long)",
    ]
    assert train_notes(rows[:6], 0.95)[1].startswith("  lan: fedavg and diloco")


def test_tables_have_curves_then_times_and_bytes_per_conditions():
    rows = [*curve("fedavg"), *curve("all_reduce")]
    both = [
        summary("fedavg", 2.0), summary("all_reduce", 40.0),
        summary("fedavg", 600.0, "wan"), summary("all_reduce", None, "wan"),
    ]  # fmt: skip
    learned, lan, wan = train_tables(rows, both, 0.9)
    text = text_of(learned)
    for part in ("20", "100", "steps", "90% at", "40.0%", "100.0%", "30"):
        assert part in text
    assert "10.0%" not in text
    assert "2.00" in text_of(lan)
    assert "40.00" in text_of(lan)
    assert "until 90%" in text_of(lan)
    assert "until" not in text_of(wan)
    assert "10.0" in text_of(wan)  # minutes
    assert "–" in text_of(wan)


def test_where_nobody_reaches_the_target_the_end_is_shown():
    rows = [*curve("fedavg", 1), *curve("all_reduce", 1)]
    nobody = [summary("fedavg", None), summary("all_reduce", None)]
    text = text_of(*train_tables(rows, nobody, 0.99))
    assert "lan (at the end)" in text
    assert "10.0" in text
