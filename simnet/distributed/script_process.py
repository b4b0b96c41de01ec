"""A script that runs once, in a process of its own, and starts its ranks itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from simnet.distributed.door import Door
from simnet.distributed.gathering import gathering
from simnet.distributed.nursery import die_with_parent
from simnet.distributed.script import Script, said_of_error
from simnet.workload.run import Run

if TYPE_CHECKING:
    from simnet.distributed.coordinator import MakePlan, Outcome

BOOT = (
    "import sys; from multiprocessing.connection import Connection; "
    "job = Connection(int(sys.argv[1])); sys.path[:] = job.recv(); "
    "from simnet.distributed.script_process import main; main(job)"
)
END_S = 1.0  # wall time for a script that is told to end
LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script has ended.

    Attributes
    ----------
    outcomes : tuple of Run or BaseException
        How each world of its processes has ended, in order.
    failures : tuple of BaseException
        Why processes have failed that were no ranks.
    code : int
        The script's exit code; negative for a signal.
    """

    outcomes: tuple[Outcome, ...]
    failures: tuple[BaseException, ...]
    code: int

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those of the worlds that have ended well."""
        return tuple(each for each in self.outcomes if isinstance(each, Run))

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """What worlds have ended with; where there was none, why a process has failed."""
        errors = tuple(each for each in self.outcomes if isinstance(each, BaseException))
        return errors or (self.failures[:1] if self.code else ())

    @property
    def well(self) -> bool:
        """Whether the script and its last world have ended well."""
        return not self.code and not isinstance((None, *self.outcomes)[-1], BaseException)


def run_once(script: Script, make_plan: MakePlan, *, virtual_time: bool = False) -> Ended:
    """Run a script; processes of its that call init_process_group are ranks.

    Parameters
    ----------
    script : Script
        What is run.
    make_plan : callable
        See `simnet.distributed.coordinator.MakePlan`.
    virtual_time : bool
        Let `time` mean the rank's clock, in ranks.
    """
    with gathering() as place:
        door = Door(address=place.address, key=place.key, virtual_time=virtual_time)
        with _started(script, door) as process:
            # Only now: it imports torch, as the script's process does meanwhile.
            from simnet.distributed.coordinator import Coordinator

            coordinator = Coordinator(place, make_plan)
            coordinator.serve(lambda: process.poll() is None)
            code = process.wait()
        return Ended(
            outcomes=tuple(coordinator.outcomes),
            failures=tuple(coordinator.failures()),
            code=code,
        )


@contextmanager
def _started(script: Script, door: Door) -> Iterator[subprocess.Popen[bytes]]:
    """Start the script's process, and end it with all that it has started.

    It has a session of its own: an interrupt of the terminal comes to the run, which ends it.
    """
    job, other = Pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT, str(other.fileno())],
        pass_fds=[other.fileno()],
        start_new_session=True,
    )
    other.close()
    try:
        with job:
            job.send(sys.path)
            job.send((script, door))
        yield process
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and every other one of its group."""
    if process.poll() is not None and _is_empty(process, LOOK_S * 10):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if _is_empty(process, END_S):
            return


def _is_empty(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether no process of the group is left, at last after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        process.poll()  # takes the dead one away
        if not _lives(process.pid):
            return True
        time.sleep(LOOK_S)
    return False


def _lives(group: int) -> bool:
    """Whether a group has a process that is not dead; a dead one may wait long for its end."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    about = [_state_and_group(path) for path in Path("/proc").glob("[0-9]*/stat")]
    return not about or any(state != "Z" and its == str(group) for state, its in about)


def _state_and_group(path: Path) -> tuple[str, str]:
    try:
        state, _, group, *_ = path.read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return "Z", ""
    return state, group


def main(job: Connection) -> None:
    """Be the script's process."""
    die_with_parent()
    script: Script
    script, door = job.recv()
    job.close()
    from simnet.distributed.adoptee import adoptable
    from simnet.distributed.no_cuda import NoCudaError

    with adoptable(door) as here:
        try:
            here.live(script.execute)
        except NoCudaError:
            sys.exit(1)  # the run has heard of it, and says so
        except Exception as error:
            sys.stderr.write(said_of_error(error))
            sys.exit(1)
