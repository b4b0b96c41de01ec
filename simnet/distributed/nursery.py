"""The process from which ranks are forked: it has imported torch, and nothing of the user's.

It is told over its standard input what to do, forks one process a rank, says how each has ended,
and ends them all when its input ends: so none outlives the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

GRACE_S = 0.6  # wall time for a rank to clean up when it is told to end
GROUP_GRACE_S = 0.2  # wall time for what a rank has started, once the rank has ended
PR_SET_PDEATHSIG = 1

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
    from simnet.distributed.world import IMPORTED_FIRST

    # An optimizer would import them in a rank, and the rank's measured time would count it.
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    address, key = job["address"], bytes.fromhex(job["key"])
    told = threading.Event()
    try:
        connection = connect(address, key, "nursery", os.getpid())
        numbers, settings, packed = connection.recv()
    except (EOFError, OSError):
        told.set()
    else:
        gc.freeze()  # else each rank's collector would look at torch, and copy it
        left = {_fork(address, key, number, settings, packed): number for number in numbers}
        groups = list(left)
        threading.Thread(target=_end_with_input, args=(left, told), daemon=True).start()
        _look_after(connection, left)
        _end_groups(groups)
    if told.is_set():  # the run has gone, perhaps without a chance to clean up
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)
    os._exit(0)  # unloading torch takes its time


def _fork(address: str, key: bytes, number: int, settings: bytes, packed: bytes) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)  # what the rank starts is ended with it
        die_with_parent()
        from simnet.distributed.rank_process import be_rank, connect

        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        try:
            connection = connect(address, key, "rank", number, os.getpid())
        except (OSError, EOFError):  # the run has gone
            os._exit(status)
        own = cloudpickle.loads(settings)[number]
        be_rank(connection, number, own, lambda seat: cloudpickle.loads(packed)(seat))
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def die_with_parent() -> None:
    """Let the system kill this process when the one that has started it ends, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _look_after(connection: Connection, left: dict[int, int]) -> None:
    """Say how each rank ends, until all have."""
    while left:
        child, status = os.waitpid(-1, 0)
        number = left.pop(child, None)
        if number is not None:
            with contextlib.suppress(OSError):
                connection.send((number, os.waitstatus_to_exitcode(status)))


def _end_with_input(left: dict[int, int], told: threading.Event) -> None:
    """End the ranks when the run has gone, in whatever way; first in a way that lets them clean up.

    Not through sys.stdin, whose lock would outlive the thread.
    """
    while os.read(0, 4096):
        pass
    told.set()
    _signal(left, signal.SIGINT)
    _wait_until(lambda: not left, GRACE_S)
    _signal(left, signal.SIGKILL)


def _signal(left: dict[int, int], number: int) -> None:
    for child in list(left):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def _end_groups(groups: list[int]) -> None:
    """End what ranks have started and left, after a moment for what ends by itself."""
    _wait_until(lambda: not any(map(_is_there, groups)), GROUP_GRACE_S)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _wait_until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
