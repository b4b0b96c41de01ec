"""What happens inside a process that is a rank."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any

import cloudpickle
import torch
import torch.distributed as dist

from simnet.distributed.backend import register
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.random_states import fresh
from simnet.distributed.redirect import redirected
from simnet.distributed.virtual_time import virtual_time
from simnet.distributed.wire import Parcels
from simnet.distributed.world import C10D, bind
from simnet.ranks.errors import EndedError
from simnet.ranks.seat import Seat, enter_process
from simnet.workload.compute import ComputeModel


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings:
    """What a process has to know to be a rank.

    Attributes
    ----------
    world_size : int
        How many ranks there are.
    folder : str
        Where large tensors are left.
    seed : int
        The run's seed.
    num_threads : int
        Threads of torch within one operation.
    compute : ComputeModel or None
        What charges computation.
    poll_interval : float
        Virtual seconds that a look costs.
    virtual_time : bool
        Whether `time` means the rank's clock.
    """

    world_size: int
    folder: str
    seed: int
    num_threads: int
    compute: ComputeModel | None
    poll_interval: float
    virtual_time: bool


class ProcessWorld:
    """What `bind` asks of a rank's torch world, where the process has but one."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.bound = seat, False

    @property
    def default_pg(self) -> Any:
        """The default group, if it stands."""
        return C10D._world.default_pg


def connect(address: str, key: bytes, *greeting: Any) -> Connection:
    """Connect to a run and say who this is."""
    connection = Client(address, family="AF_UNIX", authkey=key)
    connection.send(greeting)
    return connection


def be_rank(connection: Connection, number: int, settings: RankSettings, body: Body) -> None:
    """Be a rank until `body` has ended; what it returns or raises goes to the run."""
    seat = make_seat(connection, number, settings)
    result, error = None, None
    try:
        seat.begin()
        with rank_world(seat, settings):
            result = cloudpickle.dumps(metered(seat, lambda: body(seat)))
    except EndedError:
        return
    except BaseException as raised:
        error = portable(raised)
    seat.tell("end", result, error)
    seat.flush()


Body = Callable[[ProcessSeat], Any]


def make_seat(connection: Connection, number: int, settings: RankSettings) -> ProcessSeat:
    """What this process's code has of the run."""
    model = settings.compute
    return ProcessSeat(
        connection,
        Parcels(settings.folder),
        number,
        settings.world_size,
        meter=None if model is None else model.meter(number, settings.seed),
        poll_interval=settings.poll_interval,
    )


@contextmanager
def rank_world(seat: ProcessSeat, settings: RankSettings) -> Iterator[None]:
    """Make torch, `random`, `time` and the output those of a rank."""
    os.environ |= {
        "RANK": str(seat.number),
        "LOCAL_RANK": str(seat.number),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(seat.world_size),
        "LOCAL_WORLD_SIZE": str(seat.world_size),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": os.environ.get("MASTER_PORT", "29500"),
    }
    torch.set_num_threads(settings.num_threads)
    fresh(seat.number, settings.seed).put_in()
    register()
    enter_process(seat)
    world = ProcessWorld(seat)
    with ExitStack() as undo:
        undo.enter_context(redirected(lambda given: bind(world, given)))
        if settings.virtual_time:
            undo.enter_context(virtual_time())
        undo.enter_context(_forwarded_output(seat))
        yield
        if dist.is_initialized():
            dist.destroy_process_group()


def metered(seat: Seat, body: Callable[[], Any]) -> Any:
    """Run a rank's code, what it computes measured, and charged until its end."""
    if seat.meter is None:
        return body()
    seat.meter.begin()
    try:
        seat.meter.resume()
        result = body()
        seat.now()
        return result
    finally:
        seat.meter.pause()
        seat.meter.end()


def portable(error: BaseException) -> bytes:
    """An exception for the run's process, with where it happened as a note."""
    lines = traceback.format_exception(error)
    note = "in the rank's process:\n" + "".join(lines)
    try:
        error.add_note(note)
        packed = cloudpickle.dumps(error)
        cloudpickle.loads(packed)
    except Exception:
        said = "".join(traceback.format_exception_only(error)).strip()
        stand_in = RuntimeError(f"{type(error).__name__}: {said}")
        stand_in.add_note(note)
        packed = cloudpickle.dumps(stand_in)
    return bytes(packed)


class ForwardedLines(io.TextIOBase):
    """A text stream that goes to the run's process, which knows where the user looks."""

    def __init__(self, seat: ProcessSeat, name: str) -> None:
        super().__init__()
        self._seat, self._name = seat, name

    def write(self, text: str) -> int:
        """Send the text."""
        if text:
            self._seat.tell("print", self._name, text)
        return len(text)

    def flush(self) -> None:
        """Send it now."""
        self._seat.flush()

    def writable(self) -> bool:
        """Always."""
        return True


@contextmanager
def _forwarded_output(seat: ProcessSeat) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = ForwardedLines(seat, "stdout"), ForwardedLines(seat, "stderr")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
