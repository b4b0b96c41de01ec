"""The command line as a process: stdout pure, codes right, nothing loaded that is not needed."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from strict import STRICT_PYTHON

ROOT = Path(__file__).parents[2]
QUICK = ("compare", "--size", "1MB", "--topology", "star", "--ranks", "4")
MAIN = "from simnet.cli import main; main()"


def simnet(*arguments, code=MAIN, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [*STRICT_PYTHON, "-c", code, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )


def test_stdout_is_one_document_and_the_same_in_every_process():
    arguments = (*QUICK, "--profile", "mobile", "--json")
    one, other = (simnet(*arguments, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert one.returncode == other.returncode == 0
    assert one.stderr == other.stderr == b""
    assert one.stdout == other.stdout
    assert len(json.loads(one.stdout)["rows"]) == 2


def test_a_mistake_is_a_line_and_code_2():
    done = simnet(*QUICK, "--profile", "moblie", "--json")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().startswith("simnet: profile 'moblie' is unknown")
    assert done.stderr.count(b"\n") == 1


def test_a_warning_is_a_line_on_stderr():
    code = f"import warnings; warnings.filterwarnings('default', 'transport'); {MAIN}"
    done = simnet(*QUICK, "--profile", "mobile", "--transport", "ideal", "--json", code=code)
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"][0]["retransmitted_bytes"] == 0
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"simnet: warning: transport='ideal'")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--help",), ("compare", "--help"), ("train", "-h"), ("run", "-h"), ("replay", "-h")],
)
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys; from simnet.cli.app import run; assert run(sys.argv[1:]) == 0; "
        "heavy = {'torch', 'matplotlib', 'pandas', 'numpy', 'networkx', 'simpy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = simnet(*arguments, code=code)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Usage: simnet" in done.stdout
    assert done.stderr == b""


def test_the_version():
    done = simnet("--version")
    assert done.returncode == 0
    assert done.stdout.split()[0] == b"simnet"
    assert len(done.stdout.split()) == 2


def test_a_size_loads_no_torch_and_no_matplotlib():
    code = (
        "import sys; from simnet.cli.app import run; assert run(sys.argv[1:]) == 0; "
        "assert not {'torch', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    done = simnet(*QUICK, "--profile", "lan", code=code)
    assert done.returncode == 0, done.stderr.decode()


def test_a_picture_needs_no_pyplot(tmp_path):
    code = (
        "import sys; from simnet.cli.app import run; assert run(sys.argv[1:]) == 0; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = simnet(*QUICK, "--profile", "lan", "--plot", str(tmp_path / "p.png"), code=code)
    assert done.returncode == 0, done.stderr.decode()


def test_ctrl_c_is_code_130_and_leaves_nothing(tmp_path):
    code = (
        "import os, signal, time, simnet.study.compare as study; "
        "study.compare = lambda *_: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)); " + MAIN
    )
    done = simnet(*QUICK, "--profile", "lan", "--plot", str(tmp_path / "p.png"), code=code)
    assert done.returncode == 130
    assert done.stdout == b""
    assert done.stderr == b"simnet: interrupted\n"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = simnet(*QUICK, "--profile", "lan", "--json", stdout=write)
    finally:
        os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


def test_a_terminal_without_arrows():
    done = simnet(*QUICK, "--profile", "lan", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"switch?" in done.stdout or b"?switch" in done.stdout
