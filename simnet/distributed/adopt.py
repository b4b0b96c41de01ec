"""Processes that a program itself starts become ranks: for launchers of their own, as ExoGym's.

The network of their worlds is in a process of its own, so that the program's interrupts and
interpreter are its own.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from simnet.distributed.door import Door
from simnet.distributed.gathering import gathering
from simnet.workload.run import Run

BOOT = (
    "import sys; from multiprocessing.connection import Connection; "
    "run = Connection(int(sys.argv[1])); sys.path[:] = run.recv(); "
    "from simnet.distributed.adopt import main; main(run)"
)
END_S = 1.0  # wall time for a process to end by itself


@dataclass(slots=True)
class Adoption:
    """What has become of the processes that were started.

    Attributes
    ----------
    outcomes : list of Run or BaseException
        How each world has ended, in order: there once the block has been left.
    failures : list of BaseException
        Why processes have failed that were no ranks, likewise.
    """

    outcomes: list[Any] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """Those of the worlds that have ended well."""
        return [each for each in self.outcomes if isinstance(each, Run)]

    @property
    def error(self) -> BaseException | None:
        """What the last world has ended with, or else a process that was no rank; None if fine."""
        if self.outcomes:
            last = self.outcomes[-1]
            return last if isinstance(last, BaseException) else None
        return self.failures[0] if self.failures else None


@contextmanager
def adopted(make_plan: Any, *, virtual_time: bool = False) -> Iterator[Adoption]:
    """Let processes that the block starts with multiprocessing be ranks on a simulated network.

    A process becomes a rank when it calls ``init_process_group``, for any backend: its rank and
    the world size are those that it gives there. Worlds come one after the other; each is a run
    of its own, whose clock begins when its last rank has called. Random numbers stay the
    program's own. Whoever starts the processes sees their exit codes and exceptions as ever.

    Parameters
    ----------
    make_plan : callable
        ``make_plan(world_size)`` returns a `simnet.distributed.launch.Plan`; a ValueError refuses
        the world. It travels by cloudpickle.
    virtual_time : bool
        Let `time` mean the rank's clock, in ranks.

    Yields
    ------
    Adoption
        Filled when the block has been left, however it has.
    """
    from simnet.distributed.adoptee import adoptable

    adoption = Adoption()
    with _coordinator(make_plan) as run:
        address, key = run.recv()
        door = Door(address=address, key=key, virtual_time=virtual_time, forward=False)
        try:
            with adoptable(door) as here:
                try:
                    yield adoption
                except Exception:
                    raise
                except BaseException:  # an interrupt: nothing is to be left running
                    here.end_started()
                    raise
        finally:
            _collect(run, adoption)


def _collect(run: Connection, adoption: Adoption) -> None:
    """Say that nothing more will come, and hear how all has ended."""
    with contextlib.suppress(OSError, EOFError):
        run.send("finish")
        outcomes, failures = pickle.loads(run.recv_bytes())
        adoption.outcomes = [*map(pickle.loads, outcomes)]
        adoption.failures = [*map(pickle.loads, failures)]


@contextmanager
def _coordinator(make_plan: Any) -> Iterator[Connection]:
    """Start the network's process, and end it."""
    run, other = Pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT, str(other.fileno())],
        pass_fds=[other.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    other.close()
    try:
        run.send(sys.path)
        run.send_bytes(cloudpickle.dumps(make_plan))
        yield run
    finally:
        run.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(run: Connection) -> None:
    """Be the network's process: open a place, say where, carry out worlds until told to finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program says when it is interrupted
    packed = run.recv_bytes()
    with gathering() as place:
        run.send((place.address, place.key))
        from simnet.distributed.coordinator import Coordinator

        coordinator = Coordinator(place, pickle.loads(packed))
        with contextlib.suppress(EOFError, OSError):  # the program has gone
            coordinator.serve(lambda: not run.poll(0))
            run.recv()
            found = [*map(_packed, coordinator.outcomes)], [*map(_packed, coordinator.failures())]
            run.send_bytes(pickle.dumps(found))


def _packed(outcome: Any) -> bytes:
    try:
        packed: bytes = cloudpickle.dumps(outcome)
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(outcome).__name__}: {outcome}"))
    return packed
