"""`simnet.exogym.install`, on a stand-in of ExoGym's processes (tests/support/exogym)."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import exogym.trainer
import pytest
import torch.multiprocessing as mp
from exogym.strategy import AveragingStrategy
from leftovers import nothing_left

import simnet
import topologies
from simnet.distributed import RankLostError

SCRIPTS = Path(__file__).parent / "scripts"
ALPHA, BETA = 0.020, 1e6  # of a star with cables of 10 ms
STEP = 0.020
MODEL = (360, 12)  # bytes of each parameter
NET = simnet.Network(topologies.star(2, bandwidth=BETA, latency=ALPHA / 2))
TRAINER = exogym.trainer.Trainer


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPTS / "gym.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, **options)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """What the script tells, and the folder in which it ran."""
    folder = tmp_path_factory.mktemp("gym")
    with start(folder / "found.json", cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said
    return json.loads((folder / "found.json").read_text()), folder


def sync():
    """Rings of two, one a parameter: two steps of half of it each."""
    return sum(2 * (ALPHA + size / 2 / BETA) for size in MODEL)


def columns(folder, run_name, file, *names):
    with open(folder / "logs" / run_name / f"{file}.csv", newline="") as opened:
        return [tuple(float(row[name]) for name in names) for row in csv.DictReader(opened)]


def test_the_algorithm_costs_and_the_harness_does_not(fits):
    free = fits[0]["free"]
    assert free["rank_times"] == pytest.approx([4 * STEP + 2 * sync()] * 2, abs=1e-12)
    assert free["kinds"] == {"all_reduce": 4}
    size = sum(MODEL)
    assert free["bytes"] == {"initial": size, "evaluate": 3 * (size + 4), "algorithm": 2 * size}
    assert free["replayed"] == free["time"]


def test_the_files_tell_time_and_bytes(fits):
    size, once, twice = sum(MODEL), 2 * STEP + sync(), 4 * STEP + 2 * sync()
    names = ("step", "virtual_time", "bytes")
    rows = columns(fits[1], "free", "train", *names)
    expected = [(0, STEP, 0), (1, once, size), (2, once + STEP, size), (3, twice, 2 * size)]
    assert rows == [pytest.approx(row, abs=1e-12) for row in expected]
    rows = columns(fits[1], "free", "validation", *names)
    expected = [(0, 0, 0), (2, once, size), (4, twice, 2 * size)]
    assert rows == [pytest.approx(row, abs=1e-12) for row in expected]


def test_counted_everything_costs(fits):
    counted = fits[0]["counted"]
    assert counted["kinds"] == {"broadcast": 2 + 3, "all_reduce": 4 + 6, "barrier": 4}
    assert counted["bytes"] == fits[0]["free"]["bytes"] | {"barrier": 0}
    assert counted["time"] > 2 * sync() + 3 * sync()


def test_it_trains_as_without(fits):
    models, folder = fits[0]["models"], fits[1]
    for hooked in ("free", "counted"):
        assert models[hooked] == models["plain"]  # a sum of two is the same in any order
        losses = columns(folder, hooked, "validation", "local_loss", "global_loss")
        assert losses == columns(folder, "plain", "validation", "local_loss", "global_loss")
    header = (folder / "logs" / "plain" / "train.csv").read_text().splitlines()[0]
    assert header == "step,train_loss"  # uninstalled, though the nodes install it again
    assert fits[0]["runs"] == [1, 1]


@pytest.fixture(scope="module")
def hook():
    with simnet.exogym.install(NET) as installed:
        yield installed
    assert TRAINER.fit.__module__ == "exogym.trainer"


@pytest.fixture
def fit(hook, tmp_path, monkeypatch):
    """Fit on two nodes; nothing may be left."""
    monkeypatch.chdir(tmp_path)

    def fit(fails="", *, claims=None, **options):
        with nothing_left():
            options = {"num_nodes": 2, "minibatch_size": 8} | options
            return TRAINER(claims=claims).fit(AveragingStrategy(2, fails), **options)

    own = exogym.trainer._worker
    yield fit
    assert exogym.trainer._worker is own


def test_what_a_node_raises_comes_out_of_fit(fit, hook):
    with pytest.raises(KeyError, match="on purpose") as caught:
        fit("raise")
    assert any(note.startswith("on rank 1 at virtual time ") for note in caught.value.__notes__)
    assert isinstance(caught.value.__cause__, mp.ProcessRaisedException)
    assert hook.runs == []
    with pytest.raises(RuntimeError, match="no fit has ended"):
        hook.time  # noqa: B018


def test_a_node_that_is_killed_is_named(fit):
    with pytest.raises(RankLostError, match=r"^rank 1's process ended without a word") as caught:
        fit("kill")
    assert isinstance(caught.value.__cause__, mp.ProcessExitedException)


# One node is enough for these.


def test_the_exit_code_of_a_node_is_told(fit):
    with pytest.raises(RankLostError) as caught:
        fit("exit", num_nodes=1)
    assert str(caught.value) == "a process has ended with exit code 3"
    assert isinstance(caught.value.__cause__, mp.ProcessExitedException)


def test_a_refused_world_passes_the_loop_that_tries_again(fit, capfd):
    with pytest.raises(ValueError, match=r"^ranks=9: the network has hosts for 1 to 2"):
        fit(num_nodes=1, claims=9)
    assert "gave up" not in capfd.readouterr().out


def test_files_without_the_columns_are_left_alone(fit, tmp_path):
    path = tmp_path / "logs" / "run" / "train.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,train_loss\n")
    with pytest.raises(ValueError, match="without the columns virtual_time, bytes: choose"):
        fit(num_nodes=1)
    assert path.read_text() == "step,train_loss\n"


def test_what_cannot_be_is_refused_before_any_process_starts(fit, monkeypatch):
    monkeypatch.setattr(mp, "Manager", None)
    with pytest.raises(ValueError, match=r"^ranks=5: the network has hosts for 1 to 2$"):
        fit(num_nodes=5)
    with pytest.raises(ValueError, match="give minibatch_size"):
        fit(minibatch_size=None)


def test_it_is_installed_once(hook):
    with pytest.raises(RuntimeError, match="installed already"):
        simnet.exogym.install(NET)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"net": "ring"}, TypeError, "net='ring': a simnet.Network"),
        ({"harness": "cheap"}, ValueError, "harness='cheap': choose 'free' or 'counted'"),
        ({"algorithm": "magic"}, ValueError, "magic"),
        ({"watchdog": "0s"}, ValueError, "watchdog='0s'"),
    ],
)
def test_arguments_are_checked_at_once(options, error, said):
    with pytest.raises(error, match=said):
        simnet.exogym.install(**({"net": NET} | options))
    assert TRAINER.fit.__module__ == "exogym.trainer"


def test_an_exogym_built_otherwise_is_refused(monkeypatch):
    monkeypatch.delattr(exogym.trainer.TrainNode, "_evaluate")
    with pytest.raises(RuntimeError, match=r"no exogym\.trainer\.TrainNode\._evaluate"):
        simnet.exogym.install(NET)
    monkeypatch.setitem(sys.modules, "exogym.trainer", None)
    with pytest.raises(ImportError, match=r"github\.com/exo-explore/gym"):
        simnet.exogym.install(NET)


def rows(log):
    """How many there are."""
    return len(log.read_text().splitlines()[1:]) if log.exists() else 0


def test_an_interrupt_leaves_nothing(tmp_path):
    log = tmp_path / "logs" / "forever" / "train.csv"
    with nothing_left():
        environment = {"start_new_session": True, "stderr": subprocess.PIPE, "text": True}
        with start(cwd=tmp_path, **environment) as process:
            while process.poll() is None and not rows(log):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert said.splitlines()[-1] == "KeyboardInterrupt"
