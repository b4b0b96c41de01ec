"""Tables: one unit a column, nothing read as markup, the winners named."""

import io

import pytest

from simnet.report import tables


def row(**changes):
    about = {
        "model": "net", "topology": "ring", "profile": "lan", "reading": "per cable",
        "collective": "all_reduce", "size": 1000, "tensors": 1, "ranks": 8, "algorithm": "ring",
        "time": 0.5, "algbw": 2e3, "busbw": 3.5e3, "bytes_on_wire": 14_000, "bottleneck": "0→1",
        "efficiency": 0.25, "simulated": {"ring": 0.5}, "tried": ["ring"],
        "bucket": "fused", "draw": True, "seed": 0,
    }  # fmt: skip
    return about | changes


def text_of(*shown):
    out = io.StringIO()
    console = tables.console(out)
    for each in shown:
        console.print(each)
    return out.getvalue()


def test_a_column_has_one_unit():
    text = text_of(*tables.compare_tables([row(), row(topology="star", time=2.25)]))
    lines = text.splitlines()
    assert lines[0].startswith("net: all_reduce of 1 kB over 8 ranks")
    units = next(line for line in lines if "per" in line and "algorithm" in line)
    assert units.split() == [
        "lan", "per", "algorithm", "s", "kB/s", "kB/s", "kB", "%", "bottleneck",
    ]  # fmt: skip
    ring, star = (
        next(line for line in lines if line.startswith(name)) for name in ("ring", "star")
    )
    assert ring.split() == ["ring", "cable", "ring", "0.500", "2.00", "3.50", "14.0", "25", "0→1"]
    assert star.split()[3] == "2.250"


@pytest.mark.parametrize(
    ("seconds", "unit", "texts"),
    [
        ([0.0271, 0.35], "ms", ["27.1", "350.0"]),
        ([2e-9], "ns", ["2.00"]),
        ([0.0, 1e-5], "µs", ["0", "10.0"]),
        ([1.0, 599.0], "s", ["1.0", "599.0"]),
        ([601.0], "min", ["10.0"]),
        ([1e6], "h", ["278"]),
        ([float("inf"), 1.0], "s", ["–", "1.00"]),
        ([], "ns", []),
    ],
)
def test_the_unit_suits_the_column(seconds, unit, texts):
    found, shown = tables.column(seconds, tables.TIMES)
    if seconds:
        assert found == unit
    assert shown == texts


def test_places_are_not_repeated_and_titles_not_either():
    rows = [
        row(profile=profile, topology=topology, reading=reading)
        for profile in ("lan", "wan")
        for topology in ("ring", "star")
        for reading in ("per cable", "per NIC")
    ]
    text = text_of(*tables.compare_tables(rows))
    assert text.count("all_reduce of 1 kB") == 1
    starts = [line.split()[0] for line in text.splitlines() if line[:1].isalpha()]
    assert starts.count("ring") == starts.count("star") == 2


def test_names_are_not_markup():
    rows = [row(model="[red]m[/red]", topology="[bold]t[/bold]", bottleneck="[a]→[b]")]
    text = text_of(*tables.compare_tables(rows))
    for name in ("[red]m[/red]", "[bold]t[/bold]", "[a]→[b]"):
        assert name in text


def test_tensors_are_counted_and_how_they_go():
    one, many, loose = (
        text_of(*tables.compare_tables([row(tensors=tensors, bucket=bucket)]))
        for tensors, bucket in ((1, "fused"), (20, "fused"), (20, "as-issued"))
    )
    assert "tensor" not in one
    assert "20 tensors in one buffer" in many
    assert "20 tensors one by one" in loose


def test_notes_say_what_is_meant_and_no_more():
    notes = "\n".join(tables.compare_notes([row()], asked="ring"))
    assert "virtual" in notes
    assert "seed 0" in notes
    assert "most promising" not in notes
    assert "per NIC" not in notes
    both = [row(tried=["ring", "direct"]), row(reading="per NIC", draw=False)]
    notes = "\n".join(tables.compare_notes(both, asked="best"))
    assert "the fastest of the 2 most promising" in notes
    assert "per NIC" in notes
    given = tables.compare_notes([row(profile="as given", reading="as given")], asked="auto")
    assert "seed" not in "\n".join(given)
