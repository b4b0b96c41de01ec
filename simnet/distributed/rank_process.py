"""What happens inside a process that is a rank."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any

import torch
import torch.distributed as dist

from simnet.distributed.backend import register
from simnet.distributed.launch import seat_settings
from simnet.distributed.pointing import answer_where, end_when_told
from simnet.distributed.portable import pack_error, pickled
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.random_states import fresh
from simnet.distributed.redirect import redirected
from simnet.distributed.steps import steps_told
from simnet.distributed.virtual_time import virtual_time
from simnet.distributed.wire import Line, Parcels
from simnet.distributed.world import C10D, bind
from simnet.ranks.errors import EndedError
from simnet.ranks.seat import Seat, current, enter_process
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
    compute, bucket, poll_interval
        See `simnet.distributed.launch.Plan`.
    virtual_time : bool
        Whether `time` means the rank's clock.
    """

    world_size: int
    folder: str
    seed: int
    num_threads: int
    compute: ComputeModel | None
    bucket: int | None
    poll_interval: float
    virtual_time: bool

    def seat(self, number: int) -> dict[str, Any]:
        """What the seat of one rank is made of."""
        return seat_settings(number, self.seed, self.compute, self.bucket, self.poll_interval)


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
    try:
        seat = make_seat(connection, number, settings)
    except Exception as raised:  # its compute model fails
        Line(connection).send([("end", None, pack_error(raised))])
        return
    result, error = None, None
    try:
        end_when_told(lambda: seat.ended)
        seat.begin()
        with rank_world(seat, settings), seat.at_work():
            result = _packed(seat, body(seat))
    except EndedError:
        return
    except BaseException as raised:
        error = pack_error(raised)
    with suppress(EndedError):
        seat.tell("end", result, error)
        seat.send_kept()


Body = Callable[[ProcessSeat], Any]


def make_seat(connection: Connection, number: int, settings: RankSettings) -> ProcessSeat:
    """What this process's code has of the run."""
    answer_where(settings.folder, number)
    return ProcessSeat(
        connection, Parcels(settings.folder), number, settings.world_size, **settings.seat(number)
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
        undo.enter_context(steps_told())
        if settings.virtual_time:
            undo.enter_context(virtual_time())
        undo.enter_context(forwarded_output(seat))
        yield
        if dist.is_initialized():
            dist.destroy_process_group()


def _packed(seat: Seat, result: Any) -> bytes:
    try:
        return pickled(result)
    except Exception as error:
        raise TypeError(
            f"train returned {type(result).__name__} on rank {seat.number}, which cannot be sent "
            f"between processes: {error}; return something else, or use simnet.threads"
        ) from error


class ForwardedLines(io.TextIOBase):
    """A text stream that goes to the run's process, which knows where the user looks.

    What a process writes that the rank has forked goes to the stream that was there before.
    """

    encoding = "utf-8"

    def __init__(self, seat: ProcessSeat, name: str) -> None:
        super().__init__()
        self._seat, self._name = seat, name
        self._before = getattr(sys, name)

    def write(self, text: str) -> int:
        """Send the text."""
        if current() is not self._seat:
            self._before.write(text)
        elif text:
            self._seat.tell("print", self._name, text)
        return len(text)

    def flush(self) -> None:
        """Send it now."""
        if current() is self._seat:
            self._seat.send_kept()
        else:
            self._before.flush()

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the stream that was there before."""
        return int(self._before.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)


@contextmanager
def forwarded_output(seat: ProcessSeat) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = ForwardedLines(seat, "stdout"), ForwardedLines(seat, "stderr")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
