"""Unmodified scripts through the command line: right parameters, and clean ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simnet.cli.app import run

SCRIPTS = Path(__file__).parent / "scripts"
NET = ("--topology", "star(3, bandwidth='1MB/s', latency='10ms')")


@pytest.fixture
def task(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import task

    return task


def same(trained, expected):
    assert trained.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)


# Once a rank


@pytest.mark.parametrize("how", ["ddp", "fsdp2", "fedavg"])
def test_parameters_are_those_of_one_process(how, task, tmp_path, capfd):
    out = tmp_path / "trained.pt"
    script = (str(SCRIPTS / "train.py"), how, "--seed", "5", "--out", str(out))
    assert run(["run", "--ranks", "3", *NET, *script]) == 0
    text, said = capfd.readouterr()
    assert "[rank 0] seed 5\n" in text  # the script's own option
    assert "train.py: 3 ranks on star(3, " in text
    assert said.count("init_process_group('gloo'): simnet's network carries it") == 1
    if how == "fedavg":
        same(torch.load(out), task.averaged_reference(2, 3, 12, 3))
    else:
        same(torch.load(out), task.reference(3, 12))


def test_a_module_is_run_as_python_does(tmp_path, monkeypatch, capfd):
    package = tmp_path / "pack_of_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "beside.py").write_text("NUMBER = 4\n")
    (package / "__main__.py").write_text(
        "import sys\nfrom .beside import NUMBER\n"
        "import atexit; atexit.register(print, 'at exit')\n"
        "print(__name__, NUMBER, sys.argv[1:], sys.argv[0].endswith('__main__.py'))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(["run", "-n", "1", "-p", "lan", "-m", "pack_of_test", "-n", "9"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[:2] == ["[rank 0] __main__ 4 ['-n', '9'] True", "[rank 0] at exit"]


# Once, the script starting its ranks


def spawns(capfd, *arguments, options=()):
    code = run(["run", *NET, *options, str(SCRIPTS / "spawns.py"), *arguments])
    out, err = capfd.readouterr()
    return code, out, err


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_of_the_scripts_own_are_ranks(method, capfd):
    code, out, err = spawns(
        capfd, "sleep", "--size", "3", "--method", method, options=("--virtual-time",)
    )
    assert code == 0, err
    assert out.count("slept 1000\n") == 3
    assert "[rank 0] sum 3\n" in out
    assert "spawns.py: 3 ranks on star(3, " in out
    assert "all_reduce" in out
    assert "barrier" in out
    assert err.count("init_process_group('gloo'): simnet's network carries it") == 1


@pytest.mark.parametrize(
    ("how", "torch_says", "simnet_says"),
    [
        ("raise", "ValueError: on purpose", "on rank 1 at virtual time 0."),
        ("exit", "process 1 terminated with exit code 3", "ended with exit code 3"),
        ("kill", "process 1 terminated with signal SIGKILL", "ended without a word"),
        ("leave", "terminated with exit code 1", "rank 0 waits in barrier, call 1"),
        ("early", "RuntimeError: before it was a rank", "RuntimeError: before it was a rank"),
        ("cuda", "", 'choose the device by availability: "cuda" if torch.cuda.is_available()'),
    ],
)
def test_torchs_own_care_for_failures_goes_on(how, torch_says, simnet_says, capfd):
    if how == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, out, err = spawns(capfd, how)
    assert code == 1
    assert torch_says in err
    last = err.splitlines()[-1]
    assert last.startswith("simnet: ")
    assert simnet_says in last
    assert "virtual time" not in out
    assert "EndedError" not in err


def test_exit_codes_survive_where_nobody_cares_for_them(capfd):
    code, out, err = spawns(capfd, "raise", "--plainly", "--size", "3")
    assert "codes 1 1 1\n" in out
    assert code == 1  # the script itself ended well
    assert err.count("ValueError: on purpose") == 2  # the process, and the run


def test_a_script_may_try_again(capfd):
    code, out, err = spawns(capfd, "again")
    assert code == 0, err
    assert "caught True\n" in out
    assert "ValueError: on purpose" in err
    assert "[rank 0] sum 1\n" in out
    assert out.count("spawns.py: 2 ranks") == 1


def test_a_script_without_process_groups_just_runs(capfd):
    code, out, err = spawns(capfd, "nothing")
    assert (code, out) == (0, "no process group here\n")
    assert err == "simnet: no process has called init_process_group: nothing was simulated\n"


def test_a_world_too_large_for_the_network_is_refused(capfd):
    code, _, err = spawns(capfd, "well", "--size", "4")
    assert code == 1
    assert err.endswith("simnet: ValueError: ranks=4: the network has hosts for 1 to 3\n")


def test_a_program_adopts_the_processes_of_a_trainer():
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "adopts.py")], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    # All ranks say 9 or 10 first, which the network has no room for, and then what is right.
    outcomes = found["outcomes"]
    assert outcomes[0] == "ValueError('ranks=9: the network has hosts for 1 to 4')"
    (time,) = [each for each in outcomes if isinstance(each, float)]
    assert time > 0.02  # two cables of 10 ms between any two
    assert outcomes[-1] == "KeyError('on purpose')"
    assert "KeyError: 'on purpose'" in found["caught"]
    assert found["notes"][-1].startswith("on rank 1 at virtual time 0.")
    assert "Exception ignored" not in done.stderr
