"""A run whose ranks are processes."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from simnet.distributed.by_value import pack_function
from simnet.distributed.exchange import make_exchange
from simnet.distributed.gathering import Gathering, await_all, gathering
from simnet.distributed.launch import Plan
from simnet.distributed.nursery import start_nursery
from simnet.distributed.output import prefixed_output
from simnet.distributed.process_driver import ProcessDriver
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.progress import Progress
from simnet.distributed.rank_process import RankSettings
from simnet.distributed.watchdog import Watchdog
from simnet.distributed.wire import Parcels
from simnet.distributed.world import init, one_run
from simnet.ranks.session import Session
from simnet.workload.run import Run, make_run
from simnet.workload.trace import make_trace

START_S = 120.0  # wall time for processes to start: importing torch from a cold disk is slow
EXIT_S = 1.0  # wall time for news of how a process has ended
END_S = 0.1  # wall time for processes to end by themselves
KILL_S = 5.0  # wall time for the nursery to end them all


def run_processes(plan: Plan, train: Callable[[int, int], Any]) -> Run:
    """Carry out `simnet.run` with ranks as processes."""

    def body(seat: ProcessSeat) -> Any:
        init(seat)
        return train(seat.number, seat.world_size)

    return run_bodies(plan, body, num_threads=torch.get_num_threads())


def run_bodies(plan: Plan, body: Callable[[ProcessSeat], Any], *, num_threads: int) -> Run:
    """Fork processes, be their network until all have ended, and leave nothing behind.

    Parameters
    ----------
    plan : Plan
        Everything about the run but its program.
    body : callable
        ``body(seat)`` is what each process executes; it travels by cloudpickle.
    num_threads : int
        Threads of torch within one operation, in each process.
    """
    session = Session(plan.conditions, make_exchange)
    progress = Progress(session, quiet=plan.quiet)
    watchdog = Watchdog(plan.watchdog, progress.show)
    packed = pack_function(body)
    with ExitStack() as undo:
        undo.enter_context(one_run())
        undo.callback(progress.close)
        undo.enter_context(prefixed_output(plan.num_ranks))
        place = undo.enter_context(gathering())
        settings = rank_settings(plan, place.folder, num_threads)
        told = pack_function(settings, "compute")
        nursery = undo.enter_context(_nursery(place, progress.show))
        nursery.connection.send((list(settings), told, packed))
        parcels = Parcels(place.folder)
        found = await_all(place, len(settings), START_S, nursery.why_dead, progress.show)
        drivers = []
        for connection, (_, number, pid) in sorted(found, key=lambda each: each[1][1]):
            undo.callback(connection.close)
            why_lost = partial(nursery.how_ended, number)
            drivers.append(ProcessDriver(connection, pid, parcels, watchdog, why_lost))
        with _few_to_collect():
            session.run(drivers, progress.show)
    trace = make_trace(session, plan.compute_name, plan.poll_interval)
    return make_run(session, plan.compute_name, trace)


@contextmanager
def _few_to_collect() -> Iterator[None]:
    """Let the collector of cycles look at what a run makes only: torch is many objects."""
    mine = not gc.get_freeze_count()
    if mine:
        gc.freeze()
    try:
        yield
    finally:
        if mine:
            gc.unfreeze()


def rank_settings(plan: Plan, folder: str, num_threads: int) -> dict[int, RankSettings]:
    """What each rank's process has to know."""
    return {
        number: RankSettings(
            world_size=plan.num_ranks,
            folder=folder,
            seed=plan.conditions.seed,
            num_threads=num_threads,
            compute=plan.compute,
            bucket=plan.bucket,
            poll_interval=plan.poll_interval,
            virtual_time=plan.virtual_time,
        )
        for number in range(plan.num_ranks)
    }


class Nursery:
    """The process that forks the ranks, as the run sees it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.connection: Connection
        self._exits: dict[int, int] = {}

    def why_dead(self) -> str:
        """How it or a rank has ended, if one has; empty if not."""
        if self.process.poll() is not None:
            return f": the process that starts them ended{_how(self.process.returncode)}"
        if hasattr(self, "connection") and self._heard(0):
            number, code = next(iter(self._exits.items()))
            return f": that of rank {number} ended{_how(code)}"
        return ""

    def how_ended(self, number: int) -> str:
        """How a rank's process has ended, in words; empty if it is not known."""
        while number not in self._exits and self._heard(EXIT_S):
            pass
        return _how(self._exits[number]) if number in self._exits else ""

    def _heard(self, seconds: float) -> bool:
        """Wait for news of a process that has ended; returns whether there was any."""
        with suppress(EOFError, OSError):
            if self.connection.poll(seconds):
                number, code = self.connection.recv()
                self._exits[number] = code
                return True
        return False


def _how(code: int) -> str:
    return f" (killed by signal {-code})" if code < 0 else f" (exit code {code})"


@contextmanager
def _nursery(place: Gathering, on_wait: Callable[[], None]) -> Iterator[Nursery]:
    process = start_nursery(place.address, place.key)
    nursery = Nursery(process)
    try:
        ((nursery.connection, _),) = await_all(place, 1, START_S, nursery.why_dead, on_wait)
    except BaseException:
        process.kill()  # it is importing torch, and has no ranks
        _end(process)
        raise
    try:
        yield nursery
    finally:
        nursery.connection.close()
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the ranks end by themselves for a moment, then let the nursery end them all."""
    assert process.stdin is not None
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    finally:
        process.stdin.close()
    try:
        process.wait(KILL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
