"""`simnet run`: what it prints and records, how scripts fail, and every mistake in one line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

import simnet
import topologies
from simnet.cli.app import run

SCRIPTS = Path(__file__).parents[1] / "distributed" / "scripts"
BREAKS = str(SCRIPTS / "breaks.py")
TWO = "star(2, bandwidth='1MB/s', latency='10ms')"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two ranks: its document, what was said, its trace, and its parameters."""
    folder = tmp_path_factory.mktemp("recorded")
    trace, trained = folder / "run.trace", folder / "trained.pt"
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        options = ("-n", "2", "-t", "ring", "-p", "lan", "--seed", "3", "--compute", "fixed:20ms")
        script = (str(SCRIPTS / "train.py"), "fedavg", "--out", str(trained))
        code = run(["run", *options, "--json", "--trace", str(trace), *script])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue()), err.getvalue(), trace, trained


def test_stdout_is_one_document(recorded):
    document, said, _, trained = recorded
    assert list(document) == ["rows", "version", "seed"]
    assert (document["version"], document["seed"]) == (simnet.__version__, 3)
    assert trained.is_file()
    assert "[rank 0] seed 0\n" in said  # what the script prints to its stdout
    assert "[rank 0] simnet: init_process_group('gloo'): simnet's network carries it" in said


def test_a_run_is_a_row(recorded):
    (row,) = recorded[0]["rows"]
    assert (row["topology"], row["profile"], row["reading"]) == ("ring", "lan", "per cable")
    assert (row["ranks"], row["compute_model"], row["approximate"]) == (2, "20 ms a step", False)
    assert [each["rank"] for each in row["by_rank"]] == [0, 1]
    assert [each["host"] for each in row["by_rank"]] == ["0", "1"]
    for each in row["by_rank"]:
        assert each["compute"] == pytest.approx(2 * 3 * 0.02)
        parts = each["compute"] + each["exposed"] + each["idle"]
        assert parts == pytest.approx(each["finish"])
    assert row["time"] == max(each["finish"] for each in row["by_rank"])
    (reduced,) = row["operations"]
    parameters = 6 * 16 + 16 + 16 * 2 + 2
    assert (reduced["kind"], reduced["count"]) == ("all_reduce", 2 * 4)
    assert reduced["bytes"] == 2 * 4 * parameters
    assert row["busiest"] in ("0→1", "1→0")


def test_the_trace_has_the_same_times(recorded):
    document, _, trace, _ = recorded
    net = simnet.Network(topologies.ring(2), profile="lan", seed=3)
    assert simnet.replay(trace, net).time == document["rows"][0]["time"]


def test_the_table_says_what_was_charged(capfd):
    assert run(["run", "-n", "1", "-p", "lan", "-t", "star", BREAKS, "well"]) == 0
    out, err = capfd.readouterr()
    assert max(map(len, out.splitlines())) <= 100
    for text in ("breaks.py: 1 rank on star, lan: 0 s", "finish", "exposed", "hidden", "idle",
                 "compute not charged", "on the wire: 0 B"):  # fmt: skip
        assert text in out
    assert "init_process_group('nccl'): simnet's network carries it" in err


def test_csv_has_a_line_a_rank(recorded, capfd):
    arguments = ("--hosts", "2,0", "-t", "star(3, bandwidth='1MB/s')", "--csv")
    assert run(["run", "-n", "2", *arguments, BREAKS, "wait"]) == 0
    lines = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [(line["rank"], line["host"]) for line in lines] == [("0", "2"), ("1", "0")]
    assert {line["profile"] for line in lines} == {"as given"}


# Scripts that fail


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "on rank 1 at virtual time 0 s: KeyError: 'on purpose'"),
        ("exit", "on rank 1 at virtual time 0 s: the script ended with exit code 3"),
        ("kill", "ended without a word (exit code 7)"),
        ("cuda", 'choose the device by availability: "cuda" if torch.cuda.is_available()'),
        ("mismatch", "called all_reduce of 2 float32 (SUM) at "),
        ("deadlock", "deadlock at virtual time 0 s: rank 0 waits in barrier"),
    ],
)
def test_a_failing_script_says_who_and_when(how, message, capfd):
    if how == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run(["run", "-n", "2", "-t", TWO, BREAKS, how]) == 1
    out, err = capfd.readouterr()
    last = err.splitlines()[-1]
    assert last.startswith("simnet: ")
    assert message in last
    assert out == ""
    shown = err[err.find("Traceback") :] if "Traceback" in err else ""
    assert bool(shown) == (how == "raise")
    assert "simnet/distributed" not in shown
    if how == "raise":
        assert 'breaks.py", line' in shown


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(number, tmp_path):
    marks = [tmp_path / f"at.{rank}" for rank in range(2)]
    command = [sys.executable, "-c", "from simnet.cli import main; main()", "run", "-n", "2"]
    process = subprocess.Popen(
        [*command, "-t", TWO, BREAKS, "sleep", str(tmp_path / "at.x")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not all(mark.exists() and mark.read_text() for mark in marks):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.endswith("simnet: interrupted\n")
    assert not [mark for mark in marks if alive(mark.read_text())]


# Mistakes


@pytest.fixture
def _nothing_runs(monkeypatch):
    def ran(*_, **__):
        pytest.fail("work was begun")

    monkeypatch.setattr("subprocess.Popen", ran)


@pytest.mark.usefixtures("_nothing_runs")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.py",), "script nowhere.py: there is no such file"),
        (("-m", "not_there_at_all"), "--module not_there_at_all: there is no such module"),
        (("-m", "not_there.at_all"), "--module not_there.at_all: there is no such module"),
        ((), "SCRIPT"),
        (("--ranks", "0", BREAKS), "--ranks"),
        (("-n", "5", "-t", "torus(2, 2)", BREAKS), "ranks=5: the network has hosts for 1 to 4"),
        (("-t", "rign", BREAKS), "did you mean 'ring'"),
        (("-p", "moblie", BREAKS), "profile 'moblie' is unknown"),
        (("-p", "none", BREAKS), "bandwidth is missing"),
        (("-a", "rign", BREAKS), "--algorithm: algorithm of all_reduce: 'rign'; there are auto"),
        (("-a", "allreduce=ring", BREAKS), "--algorithm: algorithm of 'allreduce'"),
        (("-a", "ring", "-a", "all_reduce=flat", BREAKS), "all_reduce is there twice"),
        (("--transport", "tcp", BREAKS), "transport='tcp'"),
        (("--compute", "20ms", BREAKS), "--compute 20ms: write fixed:20ms, roofline:H100"),
        (("--compute", "fixed:soon", BREAKS), "--compute fixed:soon: per_step"),
        (("--compute", "roofline:H1000", BREAKS), "--compute roofline:H1000"),
        (("--compute", "measured:0", BREAKS), "--compute measured:0: scale"),
        (("--hosts", "0,9", BREAKS), "--hosts: '9' is no host of the network; there are 0, 1"),
        (("-n", "3", "--hosts", "0,1", BREAKS), "ranks=3: hosts names 2"),
        (("-n", "2", "--hosts", "1,1", BREAKS), "hosts: 1 is there twice"),
        (("--watchdog", "0s", BREAKS), "watchdog"),
        (("--poll-interval", "never", BREAKS), "never"),
        (("--bucket", "some", BREAKS), "some"),
        (("--trace", "no/such/place.trace", BREAKS), "--trace no/such/place.trace"),
        (("--seed", "-1", BREAKS), "--seed"),
        (("--json", "--csv", BREAKS), "choose one"),
        (("--epochs", "3", BREAKS), "--epochs"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert run(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("simnet: ")
    assert message in err


def test_the_environment_is_as_before(monkeypatch):
    from simnet.cli.run import one_thread_each

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with one_thread_each():
        assert os.environ["OMP_NUM_THREADS"] == "2"
