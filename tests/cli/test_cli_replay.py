"""`simnet replay`: a recording's times on other networks, printed, written and drawn."""

import csv
import io
import json

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.cli.app import run


def train(rank, world_size):
    for _ in range(3):
        simnet.compute("5ms")
        dist.all_reduce(torch.ones(50_000))


def poll(rank, world_size):
    work = dist.all_reduce(torch.ones(50_000), async_op=True)
    while not work.is_completed():
        pass


def record(program, path):
    net = simnet.Network(topologies.ring(4), profile="lan", seed=2)
    done = simnet.run(program, net, seed=2, quiet=True)
    done.trace.save(path)
    return done


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "run.trace"
    return path, record(train, path)


def rows_of(capsys, *arguments):
    assert run(["replay", *map(str, arguments), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert list(document) == ["rows", "version", "seed"]
    return document["rows"]


def test_on_the_recorded_network_the_times_are_the_recorded_ones(trace, capsys):
    path, recorded = trace
    (row,) = rows_of(capsys, path, "-t", "ring", "-p", "lan")
    assert row["time"] == recorded.time
    assert row["seed"] == 2
    finishes = [each["finish"] for each in row["by_rank"]]
    assert finishes == recorded.rank_times.tolist()
    assert row["compute"] == pytest.approx(0.015)
    assert row["compute"] + row["exposed"] + row["idle"] == pytest.approx(row["time"])


def test_every_topology_under_every_profile(trace, capsys):
    path, _ = trace
    rows = rows_of(capsys, path, "-t", "star", "-t", "torus(2, 2)", "-p", "mobile", "-p", "wan")
    assert [(row["profile"], row["topology"]) for row in rows] == [
        ("mobile", "star"),
        ("mobile", "torus(2, 2)"),
        ("wan", "star"),
        ("wan", "torus(2, 2)"),
    ]
    for row in rows:
        graph = topologies.star(4) if row["topology"] == "star" else topologies.torus(2, 2)
        net = simnet.Network(graph, profile=row["profile"], seed=2)
        assert row["time"] == simnet.replay(path, net).time


def test_other_algorithms_seeds_and_hosts(trace, capsys):
    path, _ = trace
    common = (path, "-t", "star(6, bandwidth='1MB/s', latency='1ms')")
    (ring,) = rows_of(capsys, *common, "-a", "ring")
    (flat,) = rows_of(capsys, *common, "-a", "all_reduce=direct", "--hosts", "5,4,3,2")
    assert [each["algorithm"] for each in ring["operations"]] == ["ring"]
    assert [each["algorithm"] for each in flat["operations"]] == ["direct"]
    assert ring["profile"] == "as given"
    seeds = {
        rows_of(capsys, path, "-t", "ring", "-p", "mobile", "--seed", seed)[0]["time"]
        for seed in (1, 4)
    }
    assert len(seeds) == 2


def test_csv_has_a_line_a_network(trace, capsys):
    path, _ = trace
    rows = rows_of(capsys, path, "-p", "lan")
    assert run(["replay", str(path), "-p", "lan", "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(line["time"]) for line in lines] == [row["time"] for row in rows]
    assert "operations" not in lines[0]


def test_the_table_fits_and_explains_itself(trace, capsys):
    path, _ = trace
    assert run(["replay", str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 100
    for text in ("run.trace: 4 ranks", "mobile", "cross_continental", "fully_connected",
                 "of the rank that ends last", "seed 2"):  # fmt: skip
        assert text in out


def test_a_picture(trace, capsys, tmp_path):
    path, _ = trace
    rows_of(capsys, path, "-p", "lan", "--plot", tmp_path / "p.svg")
    assert (tmp_path / "p.svg").read_bytes().startswith(b"<?xml")


def test_an_approximation_is_said_to_be_one_once(tmp_path, capsys):
    path = tmp_path / "polls.trace"
    record(poll, path)
    assert run(["replay", str(path), "-p", "lan", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.count("simnet: warning: replay: the recorded program looked at time") == 1
    assert err.count("\n") == 1
    assert all(row["approximate"] for row in json.loads(out)["rows"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.trace",), "trace nowhere.trace: no such file"),
        (("{text}",), "not a Parquet file"),
        (("{trace}", "-t", "rign"), "did you mean 'ring'"),
        (("{trace}", "-t", "torus(2, 1)"), "ranks=4: the network has hosts for 1 to 2"),
        (("{trace}", "-p", "moblie"), "profile 'moblie' is unknown"),
        (("{trace}", "-a", "rign"), "--algorithm"),
        (("{trace}", "--hosts", "0"), "ranks=4: hosts names 1"),
        (("{trace}", "--json", "--csv"), "choose one"),
        (("{trace}", "--plot", "p.gif"), "write .png or .svg"),
        ((), "FILE"),
    ],
)
def test_mistakes(arguments, message, trace, tmp_path, capsys):
    (tmp_path / "text").write_text("no trace")
    names = {"trace": trace[0], "text": tmp_path / "text"}
    assert run(["replay", *(each.format(**names) for each in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
