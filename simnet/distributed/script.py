"""Scripts that know nothing of simnet: run once a rank, or once, to start ranks of their own."""

from __future__ import annotations

import atexit
import inspect
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from simnet.distributed.coordinator import said_of_backend
from simnet.distributed.launch import Plan
from simnet.distributed.no_cuda import explained
from simnet.distributed.process_run import run_bodies
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.replace import replaced
from simnet.ranks.errors import RankLostError
from simnet.ranks.where import user_traceback
from simnet.workload.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A Python program, as its command line names it.

    Attributes
    ----------
    name : str
        A file; a module's name where `is_module`.
    arguments : tuple of str
        What the program finds behind it in ``sys.argv``.
    is_module : bool
        Whether it is run as by ``python -m``.
    """

    name: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    def execute(self) -> None:
        """Run it as ``__main__``, as Python itself would.

        Raises
        ------
        NoCudaError
            If it asks for CUDA where there is none; says what to write.
        BaseException
            Whatever it raises.
        """
        sys.argv[:] = [self.name, *self.arguments]
        try:
            if self.is_module:
                sys.path[0] = os.getcwd()
                runpy.run_module(self.name, run_name="__main__", alter_sys=True)
            else:
                sys.path[0] = os.path.dirname(os.path.realpath(self.name))
                runpy.run_path(os.path.abspath(self.name), run_name="__main__")
        except Exception as error:
            told = explained(error)
            if told is error:
                raise
            raise told from None


# Once a rank


def run_script(script: Script, plan: Plan) -> Run:
    """Run a script on every rank, as torchrun does, each a process of its own.

    Raises
    ------
    BaseException
        Whatever it raises on any rank, with notes of rank, virtual time and traceback.
    """
    return run_bodies(plan, RankOfScript(script), num_threads=num_threads())


def num_threads() -> int:
    """Threads of torch within one operation: 1 unless OMP_NUM_THREADS says otherwise."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(first) if first.isdecimal() and int(first) else 1


@dataclass(frozen=True, slots=True)
class RankOfScript:
    """What each rank's process executes."""

    script: Script

    def __call__(self, seat: ProcessSeat) -> None:
        """Run the script to its end, and what it has left for its end."""
        with replaced(dist.init_process_group, _announcing if seat.number == 0 else _quiet):
            try:
                self.script.execute()
            except SystemExit as leaving:
                if leaving.code not in (None, 0):
                    raise RankLostError(_said_of_exit(leaving.code)) from None
            finally:
                _wind_up()


def _said_of_exit(code: Any) -> str:
    return f"the script ended with exit code {code}" if isinstance(code, int) else str(code)


def _wind_up() -> None:
    """What Python does at a program's end, and does not where a process is left in one leap."""
    getattr(threading, "_shutdown")()  # noqa: B009 (unknown to mypy)
    atexit._run_exitfuncs()


def _quiet(original: Callable[..., Any]) -> Callable[..., Any]:
    return original


def _announcing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Say once which backend the script asks for."""
    signature = inspect.signature(original)
    said: list[str] = []

    def init_process_group(*args: Any, **kwargs: Any) -> Any:
        backend = str(signature.bind(*args, **kwargs).arguments.get("backend") or "")
        if backend not in said:
            said.append(backend)
            sys.stderr.write(said_of_backend(backend))
        return original(*args, **kwargs)

    return init_process_group


def said_of_error(error: BaseException) -> str:
    """An error with the user's part of its traceback, as Python would print it."""
    lines = traceback.format_exception(type(error), error, user_traceback(error))
    return "".join(lines)
