"""`simnet compare` in this process: what it prints, writes and draws."""

import csv
import io
import json
import sys

import networkx as nx
import pytest

import simnet
import topologies
from simnet import collectives
from simnet.cli.app import run

QUICK = ("--size", "1MB", "--profile", "lan", "--topology", "star")


def rows_of(capsys, *arguments):
    assert run(["compare", *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)["rows"]


def test_json_is_what_simulate_says(capsys):
    assert run(["compare", *QUICK, "--seed", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["rows", "version", "seed"]
    assert document["version"] == simnet.__version__
    assert document["seed"] == 3
    cable, nic = document["rows"]
    for row, card in ((cable, False), (nic, True)):
        net = simnet.Network(topologies.star(8), profile="lan", seed=3, nic=card)
        work = collectives.all_reduce("1MB", algorithm=row["algorithm"])
        assert row["time"] == simnet.simulate(net, work, seed=3).time
        assert row["seed"] == 3
        assert row["draw"] is True
        assert row["bucket"] == "fused"
    assert (cable["reading"], nic["reading"]) == ("per cable", "per NIC")


def test_csv_has_the_same_numbers(capsys):
    rows = rows_of(capsys, *QUICK)
    assert run(["compare", *QUICK, "--csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(line["time"]) for line in lines] == [row["time"] for row in rows]
    assert [line["bottleneck"] for line in lines] == [row["bottleneck"] for row in rows]
    assert "simulated" not in lines[0]


def test_the_table_fits_and_explains_itself(capsys):
    assert run(["compare", "--size", "1MB", "--profile", "lan", "--profile", "wan"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 100
    for text in ("all_reduce of 1 MB over 8 ranks", "lan", "wan", "fully_connected", "of best",
                 "bottleneck", "virtual", "per cable:", "per NIC:", "seed 0"):  # fmt: skip
        assert text in out


def test_models_are_real_modules(capsys):
    arguments = ("-m", "mnist_cnn", "-m", "gpt2_small", "-p", "lan", "-t", "star", "-a", "ring")
    rows = rows_of(capsys, *arguments)
    assert {(row["model"], row["size"], row["tensors"]) for row in rows} == {
        ("MNIST CNN", 1_868_234 * 4, 20),
        ("GPT-2 small", 124_439_808 * 4, 148),
    }


def test_a_model_of_ones_own(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine_of_test.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Linear(9, 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    (row, _) = rows_of(
        capsys, "--model", "mine_of_test:build", "-p", "lan", "-t", "star", "-a", "ring"
    )
    assert (row["model"], row["size"], row["tensors"]) == ("mine_of_test:build", 40, 2)


def test_a_size_needs_no_torch(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "simnet.workload.models", None)  # its import would fail
    assert len(rows_of(capsys, *QUICK)) == 2


def test_tensors_one_by_one(capsys):
    common = ("-m", "mnist_cnn", "-p", "lan", "-t", "star", "-a", "ring")
    fused = rows_of(capsys, *common)
    issued = rows_of(capsys, *common, "--bucket", "as-issued")
    for one, many in zip(fused, issued, strict=True):
        assert one["time"] < many["time"]
        assert one["bytes_on_wire"] == many["bytes_on_wire"]
        assert many["bucket"] == "as-issued"


def test_the_world_is_as_large_as_the_smallest_topology_that_says_its_size(capsys):
    common = ("--size", "1kB", "-p", "lan", "-a", "ring")
    rows = rows_of(capsys, *common, "-t", "torus(3, 4)", "-t", "ring", "-t", "fat_tree(4)")
    assert {row["ranks"] for row in rows} == {12}
    rows = rows_of(capsys, *common, "-t", "torus(3, 4)", "-t", "ring", "-n", "5")
    assert {row["ranks"] for row in rows} == {5}
    rows = rows_of(capsys, *common, "-t", "hypercube")
    assert {row["ranks"] for row in rows} == {8}


def test_a_graph_from_a_file_by_hand(capsys, tmp_path):
    graph = nx.Graph()
    graph.add_edge("a", "b", bandwidth="1MB/s", latency="500ms")
    path = tmp_path / "pair.graphml"
    nx.write_graphml(graph, path)
    (row,) = rows_of(capsys, "--size", "1MB", "-t", str(path), "-a", "ring")
    # Two steps of half the buffer: 2 × (0.5 s + 0.5 MB / 1 MB/s).
    assert row["time"] == pytest.approx(2.0, rel=1e-12)
    assert (row["profile"], row["reading"], row["ranks"]) == ("as given", "as given", 2)
    assert run(["compare", "--size", "1MB", "-t", str(path), "-a", "ring"]) == 0
    assert "as given" in capsys.readouterr().out


def test_every_algorithm(capsys):
    rows = rows_of(capsys, *QUICK, "-a", "all", "-n", "4")
    names = [row["algorithm"] for row in rows if row["reading"] == "per cable"]
    assert set(names) == set(collectives.algorithms("all_reduce")) - {"torus", "hierarchical"}
    assert run(["compare", *QUICK, "-a", "all", "-n", "4"]) == 0
    out = capsys.readouterr().out
    assert all(part in out for name in names for part in name.split("_"))


def test_mid_points_do_not_depend_on_the_seed(capsys):
    one, other = (rows_of(capsys, *QUICK, "--mid-points", "--seed", seed) for seed in ("1", "2"))
    assert [row["time"] for row in one] == [row["time"] for row in other]
    assert one[0]["draw"] is False


def test_a_transport_by_name(capsys):
    rows = rows_of(capsys, *QUICK, "--transport", "retransmit")
    assert {row["transport"] for row in rows} == {"retransmit"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("-n", "1"), 0.0), (("--size", "0"), None)],
)
def test_next_to_nothing_to_do(arguments, expected, capsys):
    rows = rows_of(capsys, *QUICK, *arguments)
    assert expected is None or {row["time"] for row in rows} == {expected}
    assert run(["compare", *QUICK, *arguments]) == 0
    assert "star" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "start"), [("p.png", b"\x89PNG"), ("p.SVG", b"<?xml")])
def test_a_picture_beside_the_answer(name, start, capsys, tmp_path):
    path = tmp_path / name
    rows = rows_of(capsys, *QUICK, "--plot", str(path))
    assert len(rows) == 2
    assert path.read_bytes().startswith(start)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_drawing_never_simulates(capsys, tmp_path, monkeypatch):
    rows = rows_of(capsys, *QUICK)
    monkeypatch.setattr("simnet.study.compare.simulate", lambda *_, **__: pytest.fail("simulated"))
    from simnet.report.plots import plot_compare

    plot_compare(rows, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").stat().st_size > 1000


def test_an_interrupt_leaves_nothing(capsys, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("simnet.study.compare.compare", interrupted)
    assert run(["compare", *QUICK, "--plot", str(tmp_path / "p.png"), "--json"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "simnet: interrupted\n"
    assert not list(tmp_path.iterdir())
