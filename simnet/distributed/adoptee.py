"""A process that may become a rank: it does so when it calls init_process_group.

Processes that multiprocessing starts from it, by whatever method, may become ranks too. Nothing
else about them changes: their exit codes and exceptions reach whoever started them.
"""

from __future__ import annotations

import functools
import inspect
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import FunctionType
from typing import Any
from urllib.parse import parse_qs, urlparse
from weakref import WeakSet

import torch.distributed as dist

from simnet.distributed.backend import register
from simnet.distributed.door import FAILURE, Door
from simnet.distributed.no_cuda import explained
from simnet.distributed.portable import pack_error
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.rank_process import (
    ProcessWorld,
    RankSettings,
    connect,
    forwarded_output,
    make_seat,
)
from simnet.distributed.redirect import redirected
from simnet.distributed.replace import replaced, replaced_attribute
from simnet.distributed.steps import steps_told
from simnet.distributed.virtual_time import virtual_time
from simnet.distributed.world import bind
from simnet.ranks.errors import EndedError, RankLostError
from simnet.ranks.seat import current, enter_process, leave_process

LINGER_S = 1.0  # wall time that a rank outlives its run
PATIENCE_S = 0.5  # wall time for a process that is told to end
Given = dict[str, Any]


class Adoptee:
    """This process, as far as it may become a rank.

    Parameters
    ----------
    door : Door
        Where it finds the run.
    """

    def __init__(self, door: Door) -> None:
        self.door = door
        self._seat: ProcessSeat | None = None
        self._world: ProcessWorld
        self._undo = ExitStack()
        self._started: WeakSet[BaseProcess] = WeakSet()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let init_process_group make this process a rank, and pass that on to its children."""
        with ExitStack() as undo:
            if self.door.virtual_time:
                undo.enter_context(virtual_time(_of_main()))
            undo.enter_context(replaced(dist.distributed_c10d.init_process_group, self._init))
            undo.enter_context(replaced_attribute(BaseProcess, "start", self._start))
            yield

    def live(self, code: Callable[[], object]) -> None:
        """Run the process's own code; tell the run how it has ended if it was a rank."""
        try:
            code()
        except EndedError as ended:
            self._seat = None
            self._undo.__exit__(EndedError, ended, ended.__traceback__)
            # Whoever has started the ranks is to hear of the one that failed, and ends the others.
            time.sleep(LINGER_S)
            raise SystemExit(1) from None
        except BaseException as error:
            self._leave(reason(error))
            raise
        self._leave(None)

    def end_started(self) -> None:
        """End the processes that this one has started and that still run."""
        running = [process for process in self._started if process.is_alive()]
        for process in running:
            process.terminate()
        for process in running:
            process.join(PATIENCE_S)
            if process.is_alive():
                process.kill()

    def _init(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        def init_process_group(*args: Any, **kwargs: Any) -> None:
            self._join(signature.bind(*args, **kwargs).arguments)

        return init_process_group

    def _start(self, original: Callable[[BaseProcess], None]) -> Callable[[BaseProcess], None]:
        def start(process: BaseProcess) -> None:
            if current() is not None:  # what a rank starts helps it, and is no rank
                original(process)
                return
            vars(process)["_bootstrap"] = Birth(self.door, process)
            try:
                original(process)
            finally:
                del vars(process)["_bootstrap"]
            self._started.add(process)

        return start

    def _join(self, given: Given) -> None:
        """Do what the program's init_process_group asks for."""
        number, world_size = asked_for(given)
        if current() is None:
            self._seat = None  # after a fork of a rank it is still there
        elif not dist.is_initialized() and self._is_other_than(number, world_size):
            self._leave(None)
        if self._seat is None:
            self._become(number, world_size, given)
        bind(self._world, given)

    def _is_other_than(self, number: int, world_size: int) -> bool:
        seat = self._seat
        return seat is not None and (seat.number, seat.world_size) != (number, world_size)

    def _become(self, number: int, world_size: int, given: Given) -> None:
        """Wait until the world is complete and it is this rank's turn."""
        door = self.door
        greeting = ("rank", number, world_size, os.getpid(), str(given.get("backend") or ""))
        try:
            connection = connect(door.address, door.key, *greeting)
            verb, said = connection.recv()
        except (OSError, EOFError):
            raise RuntimeError("init_process_group: the run of simnet is over") from None
        if verb == "refused":
            connection.close()
            raise said
        settings: RankSettings = said
        seat = make_seat(connection, number, settings)
        seat.begin()
        self._seat, self._world = seat, ProcessWorld(seat)
        with ExitStack() as undo:
            register()
            enter_process(seat)
            undo.callback(leave_process)
            undo.enter_context(redirected(self._join))
            undo.enter_context(steps_told())
            if door.forward:
                undo.enter_context(forwarded_output(seat))
            undo.enter_context(seat.at_work())
            self._undo = undo.pop_all()

    def _leave(self, error: BaseException | None) -> None:
        """Be a rank no more, and say why."""
        seat, self._seat = self._seat, None
        if seat is None or current() is not seat:
            if error is not None:
                self._leave_word(error)
            return
        try:
            self._undo_all(error)
        except EndedError:
            return
        except Exception as raised:
            error = raised
        with suppress(EndedError):  # the run is over
            seat.tell("end", None, None if error is None else _packed(error))
            seat.send_kept()
        if error is None:
            seat.close()  # else it closes when the process has ended, which the run waits for

    def _undo_all(self, error: BaseException | None) -> None:
        if error is not None:
            self._undo.__exit__(type(error), error, error.__traceback__)
            return
        if dist.is_initialized():
            dist.destroy_process_group()
        self._undo.close()

    def _leave_word(self, error: BaseException) -> None:
        """Leave an error where the run finds it, without waiting for the run."""
        folder = os.path.dirname(self.door.address)
        name = FAILURE + secrets.token_hex(8)
        with suppress(OSError):
            path = os.path.join(folder, name)
            with open(f"{path}.part", "wb") as file:
                file.write(_packed(error))
            os.rename(f"{path}.part", path)


@dataclass(slots=True)
class Birth:
    """Stands for a process's `_bootstrap` until the process has begun: then it may be a rank."""

    door: Door
    process: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Begin the process's life."""
        process = self.process
        vars(process).pop("_bootstrap", None)
        # A forked process has inherited all of it.
        inherited = _HERE and _HERE[-1].door == self.door
        with nullcontext(_HERE[-1]) if inherited else adoptable(self.door) as here:
            process.run = functools.partial(here.live, process.run)
            return process._bootstrap(*args, **kwargs)


_HERE: list[Adoptee] = []


@contextmanager
def adoptable(door: Door) -> Iterator[Adoptee]:
    """Let this process and those that it starts be ranks of a run, until the block ends."""
    with present(Adoptee(door)) as here:
        yield here


@contextmanager
def present(here: Adoptee) -> Iterator[Adoptee]:
    """Let this process be what `here` says, until the block ends."""
    with here.installed():
        _HERE.append(here)
        try:
            yield here
        finally:
            _HERE.remove(here)


def innermost() -> Adoptee | None:
    """What this process is; None if it can become no rank."""
    return _HERE[-1] if _HERE else None


def _of_main() -> Callable[..., Any] | None:
    """A function of the main module: a spawned process has a copy of it, functions their own."""
    main = sys.modules["__main__"]
    found = (each for each in vars(main).values() if isinstance(each, FunctionType))
    return next((each for each in found if each.__module__ == main.__name__), None)


def asked_for(given: Given) -> tuple[int, int]:
    """Rank and world size of an init_process_group, from wherever torch takes them.

    Raises
    ------
    ValueError
        If one of them is nowhere.
    """
    query = parse_qs(urlparse(str(given.get("init_method") or "")).query)
    found = []
    for name, variable in (("rank", "RANK"), ("world_size", "WORLD_SIZE")):
        value = given.get(name, -1)
        if value in (None, -1):
            value = query.get(name, [os.environ.get(variable)])[0]
        if value is None:
            raise ValueError(
                f"init_process_group: no {name} is given and {variable} is not set; a script "
                "that expects a launcher is started by `simnet run --ranks N`"
            )
        try:
            found.append(int(value))
        except ValueError:
            raise ValueError(
                f"init_process_group: {name} {value!r}: a whole number, here or in {variable}"
            ) from None
    return found[0], found[1]


def _packed(error: BaseException) -> bytes:
    """An error for the run; to whoever else it goes, it is as it was."""
    told = explained(error)
    packed = pack_error(told)
    if told is error:
        del getattr(error, "__notes__", [])[-1:]  # where it happened, which its traceback says
    return packed


def reason(error: BaseException) -> BaseException | None:
    """Why a process has ended, by what has come out of its code."""
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return None
        # torch's spawn leaves with a code where its function has raised.
        return error.__context__ or RankLostError(
            f"a process has ended with exit code {error.code}"
        )
    return error if isinstance(error, Exception) else RankLostError(type(error).__name__)
