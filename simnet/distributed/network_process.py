"""The network of processes that become ranks by themselves, in a process of its own.

So the interrupts and the interpreter of whoever starts the ranks are its own.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from simnet.distributed.gathering import gathering
from simnet.ranks.errors import DeadlockError, StallError

BOOT = (
    "import sys; from multiprocessing.connection import Connection; "
    "starter = Connection(int(sys.argv[1])); sys.path[:] = starter.recv(); "
    "from simnet.distributed.network_process import main; main(starter); "
    "import os; sys.stderr.flush(); os._exit(0)"  # taking torch down would take long
)
END_S = 1.0  # wall time for a process to end by itself

_LEFT: list[subprocess.Popen[bytes]] = []  # end by themselves, once their ranks have


class NetworkProcess:
    """The network's process, as whoever has started it sees it.

    It ends when its starter has gone or calls `close`; where the starter is a rank itself, when
    the world has ended too.

    Parameters
    ----------
    make_plan : callable
        See `simnet.distributed.coordinator.MakePlan`; it travels by cloudpickle.
    says : bool
        Let it say on stderr what no rank can: who waits for whom.

    Attributes
    ----------
    address : str
        Its socket, in a private folder that it removes at its end.
    key : bytes
        What a rank must know.
    """

    def __init__(self, make_plan: Any, *, says: bool = False) -> None:
        self._pipe, other = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT, str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        other.close()
        self.address, self.key = "", b""
        try:
            self._pipe.send(sys.path)
            self._pipe.send_bytes(cloudpickle.dumps((make_plan, says)))
            self.address, self.key = self._pipe.recv()
        except BaseException:
            self.close()
            raise

    def time(self) -> float:
        """Virtual time of the world that goes on, else of the last one; 0 before the first.

        NaN once the process has ended.
        """
        try:
            self._pipe.send("time")
            return float(self._pipe.recv())
        except (OSError, EOFError):
            return float("nan")

    def finish(self) -> tuple[list[Any], list[BaseException]]:
        """Say that nothing more will come; returns how worlds, and processes outside, ended."""
        with contextlib.suppress(OSError, EOFError):
            self._pipe.send("finish")
            outcomes, failures = pickle.loads(self._pipe.recv_bytes())
            return [*map(pickle.loads, outcomes)], [*map(pickle.loads, failures)]
        return [], []

    def close(self, *, spare: bool = False) -> None:
        """Let it end; after a moment it is killed, unless it is spared for its ranks' sake."""
        self.forget()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            if spare:
                _LEFT.append(self._process)
                return
            self._process.kill()
            self._process.wait()
            if self.address:
                shutil.rmtree(os.path.dirname(self.address), ignore_errors=True)

    def forget(self) -> None:
        """Let go of it: in a process that the starter has forked too."""
        self._pipe.close()


def main(starter: Connection) -> None:
    """Be the network's process: open a place, say where, carry out worlds until told to finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter says when it is interrupted
    pid = os.getppid()
    with contextlib.suppress(EOFError, OSError), gathering() as place:  # the starter has gone
        packed = starter.recv_bytes()
        starter.send((place.address, place.key))
        from simnet.distributed.coordinator import Coordinator

        make_plan, says = pickle.loads(packed)
        coordinator = Coordinator(place, make_plan, _say if says else lambda outcome: None)
        done = threading.Event()
        threading.Thread(target=_listen, args=(starter, coordinator, done), daemon=True).start()
        coordinator.serve(lambda: pid in coordinator.members or not done.is_set())
        found = [*map(_packed, coordinator.outcomes)], [*map(_packed, coordinator.failures())]
        starter.send_bytes(pickle.dumps(found))


def _listen(starter: Connection, coordinator: Any, done: threading.Event) -> None:
    """Answer the starter until it has no more to ask."""
    with contextlib.suppress(EOFError, OSError):
        while starter.recv() == "time":
            starter.send(coordinator.time)
    done.set()


def _say(outcome: Any) -> None:
    if isinstance(outcome, DeadlockError | StallError):
        sys.stderr.write(f"simnet: {outcome}\n")
        sys.stderr.flush()


def _packed(outcome: Any) -> bytes:
    try:
        packed: bytes = cloudpickle.dumps(outcome)
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(outcome).__name__}: {outcome}"))
    return packed
