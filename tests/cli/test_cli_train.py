"""`simnet train`: a short training, printed, written and drawn."""

import csv
import io
import json
from dataclasses import asdict

import networkx as nx
import pytest

import topologies
from simnet.cli.app import run
from simnet.workload.trace import Trace

SHORT = ("train", "--ranks", "2", "--rounds", "2", "--local-steps", "1", "--profile", "lan")
SHORT += ("--topology", "star", "--strategy", "fedavg", "--strategy", "all_reduce")


@pytest.fixture(scope="module")
def study():
    from simnet.study.train import run_study

    return run_study(
        strategies=("fedavg", "all_reduce"), topologies=("star",), profiles=("lan",),
        ranks=2, rounds=2, local_steps=1,
    )  # fmt: skip


def test_json_is_the_study(study, capsys):
    assert run([*SHORT, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert list(document) == ["rows", "version", "seed"]
    keys = list(asdict(study.rows[0]))
    assert [{key: row[key] for key in keys} for row in document["rows"]] == [
        asdict(row) for row in study.rows
    ]
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
    for text in ("fedavg", "all_reduce", "accuracy", "on the wire", "who reaches 1% first"):
        assert text in out
    assert run([*SHORT, "--target", "1"]) == 0
    assert "lan, star: nobody" in capsys.readouterr().out


def test_every_strategy_on_several_networks_fits(capsys):
    arguments = ("--ranks", "2", "--rounds", "1", "--local-steps", "1", "--target", "0.01")
    assert run(["train", *arguments]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    for text in ("diloco", "sparta", "ring", "fully_connected", "mobile", "cross_continental"):
        assert text in out


def test_choices_reach_the_study(capsys):
    arguments = ("--topology", "ring", "--step-time", "1s", "--seed", "1")
    assert run([*SHORT, *arguments, "--algorithm", "ring", "--bucket", "as-issued", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["seed"] == 1
    rows = document["rows"]
    assert {row["topology"] for row in rows} == {"star", "ring"}
    assert {row["bucket"] for row in rows} == {"as-issued"}
    assert rows[2]["virtual_time"] - rows[0]["virtual_time"] > 2.0


def test_recordings_can_be_replayed(study, capsys, tmp_path):
    assert run([*SHORT, "--trace", str(tmp_path / "digits"), "--json"]) == 0
    capsys.readouterr()
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["digits-all_reduce.trace", "digits-fedavg.trace"]
    found, recorded = Trace.load(tmp_path / "digits-fedavg.trace"), study.traces["fedavg"]
    assert (found.header, found.calls) == (recorded.header, recorded.calls)
    assert repr(found.entries) == repr(recorded.entries)


def test_a_graph_that_says_all_needs_no_profile(capsys, tmp_path):
    path = tmp_path / "mine.json"
    graph = topologies.star(2, bandwidth="1MB/s", latency="1ms")
    path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    arguments = ("--ranks", "2", "--rounds", "1", "--local-steps", "1", "--strategy", "sparta")
    assert run(["train", *arguments, "--topology", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["profile"] for row in rows} == {"as given"}
