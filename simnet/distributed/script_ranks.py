"""A script that runs once a rank, each a process of its own, as under torchrun."""

from __future__ import annotations

import atexit
import inspect
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from simnet.distributed.coordinator import said_of_backend
from simnet.distributed.launch import Plan
from simnet.distributed.process_run import run_bodies
from simnet.distributed.process_seat import ProcessSeat
from simnet.distributed.replace import replaced
from simnet.distributed.script import Script
from simnet.ranks.errors import EndedError, RankLostError
from simnet.workload.run import Run


def run_script(script: Script, plan: Plan) -> Run:
    """Run a script on every rank.

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
        with replaced(dist.init_process_group, _announcing if seat.number == 0 else _as_it_is):
            try:
                self.script.execute()
            except EndedError:
                raise
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


def _as_it_is(original: Callable[..., Any]) -> Callable[..., Any]:
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
