"""`simnet train`: a short training, printed, written and drawn."""

import csv
import io
import json

import pytest

from simnet.cli.app import run

SHORT = ("train", "--ranks", "2", "--rounds", "2", "--local-steps", "1", "--profile", "lan")


@pytest.fixture(scope="module")
def study():
    from simnet.study.train import run_study

    return run_study(ranks=2, rounds=2, local_steps=1, profiles=("lan",))


def test_json_is_the_study(study, capsys):
    assert run([*SHORT, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert list(document) == ["rows", "version", "seed"]
    assert [
        (row["strategy"], row["step"], row["virtual_time"], row["accuracy"], row["bytes"])
        for row in document["rows"]
    ] == [(row.strategy, row.step, row.virtual_time, row.accuracy, row.bytes) for row in study.rows]
    assert {row["ranks"] for row in document["rows"]} == {2}


def test_csv_and_picture(study, capsys, tmp_path):
    assert run([*SHORT, "--csv", "--plot", str(tmp_path / "t.svg")]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(line["virtual_time"]) for line in lines] == [
        row.virtual_time for row in study.rows
    ]
    assert (tmp_path / "t.svg").read_bytes().startswith(b"<?xml")


def test_the_table_says_who_is_first(capsys):
    assert run([*SHORT, "--target", "0.01"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 100
    for text in ("fedavg", "all_reduce", "accuracy", "on wire", "reaches 1% first"):
        assert text in out
    assert run([*SHORT, "--target", "1"]) == 0
    assert "lan: nobody reaches 100%" in capsys.readouterr().out


def test_choices_reach_the_study(capsys):
    arguments = ("--strategy", "fedavg", "--topology", "ring", "--step-time", "1s", "--seed", "1")
    assert run([*SHORT, *arguments, "--algorithm", "ring", "--bucket", "as-issued", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["seed"] == 1
    rows = document["rows"]
    assert {row["strategy"] for row in rows} == {"fedavg"}
    assert {row["bucket"] for row in rows} == {"as-issued"}
    assert rows[-1]["virtual_time"] - rows[0]["virtual_time"] > 2.0
