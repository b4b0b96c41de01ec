"""The process from which ranks are forked: it has imported torch, and nothing of the user's.

It is told over its standard input what to do, forks one process a rank, says how each has ended,
and ends them all when its input ends: so none outlives the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

BOOT = (
    "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
    "from simnet.distributed.nursery import main; main(job)"
)


def start_nursery(address: str, key: bytes) -> subprocess.Popen[bytes]:
    """Start it; it connects to `address` as "nursery" when it is ready to fork."""
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT], stdin=subprocess.PIPE, start_new_session=True
    )
    job = {"path": sys.path, "address": address, "key": key.hex()}
    assert process.stdin is not None
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


def main(job: dict[str, Any]) -> None:
    """Import torch, wait for work, fork, and look after the ranks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run says when it is interrupted

    from simnet.distributed.rank_process import connect

    address, key = job["address"], bytes.fromhex(job["key"])
    connection = connect(address, key, "nursery", os.getpid())
    try:
        settings, packed = connection.recv()
    except EOFError:
        return
    children = {_fork(address, key, number, settings, packed): number for number in settings}
    threading.Thread(target=_end_with_input, args=(list(children),), daemon=True).start()
    _look_after(connection, children)


def _fork(address: str, key: bytes, number: int, settings: Any, packed: bytes) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        from simnet.distributed.rank_process import be_rank, connect

        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        connection = connect(address, key, "rank", number, os.getpid())
        be_rank(connection, number, settings[number], cloudpickle.loads(packed))
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_with_input(children: list[int]) -> None:
    while os.read(0, 4096):  # not through sys.stdin, whose lock would outlive the thread
        pass
    for child in children:
        _kill(child)
    os._exit(0)


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _look_after(connection: Connection, children: dict[int, int]) -> None:
    left = dict(children)
    while left:
        child, status = os.waitpid(-1, 0)
        number = left.pop(child, None)
        if number is not None:
            with contextlib.suppress(OSError):
                connection.send((number, os.waitstatus_to_exitcode(status)))
