"""Asking a process from outside which line of the user's code it is in, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from simnet.ranks.errors import EndedError
from simnet.ranks.where import user_line

ASK, END = signal.SIGUSR2, signal.SIGINT
ANSWER_S = 1.0  # wall time for an answer
LOOK_EVERY_S = 0.02


def answer_where(folder: str, number: int) -> None:
    """Let this process, which is a rank, say in a file where it is whenever it is asked."""

    def answer(_: int, frame: FrameType | None) -> None:
        path = _answer(folder, number)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(user_line(frame) if frame is not None else "")
        unfinished.rename(path)

    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(ASK, answer)
        _answer(folder, number).touch()  # else the signal would kill


def ask_where(folder: str, number: int, pid: int) -> str:
    """The line of the user's code in which a rank's process is; empty if it does not say."""
    path = _answer(folder, number)
    end = time.monotonic() + ANSWER_S
    with contextlib.suppress(OSError):
        os.truncate(path, 0)
        os.kill(pid, ASK)
        while time.monotonic() < end:
            said = path.read_text()
            if said:
                return said
            time.sleep(LOOK_EVERY_S)
    return ""


def end_when_told(is_ending: Callable[[], bool]) -> None:
    """Let a signal end the rank's code wherever it is, unless it is ending anyway.

    The keyboard's interrupt, which is the same signal, reaches the run only.
    """

    def end(*_: object) -> None:
        signal.signal(END, signal.SIG_IGN)
        if not is_ending():
            raise EndedError

    signal.signal(END, end)


def _answer(folder: str, number: int) -> Path:
    return Path(folder, f"where-{number}")
