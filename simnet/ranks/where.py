"""Which line of the user's code is running: the innermost that is neither torch's nor simnet's."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

_OWN = str(Path(__file__).parents[1])
_SKIPPED = (
    *(os.path.join(_OWN, room) + os.sep for room in ("ranks", "distributed", "engine", "workload")),
    os.sep + os.path.join("site-packages", "torch") + os.sep,
    os.sep + os.path.join("dist-packages", "torch") + os.sep,
    "<frozen",
)


def _begun_in() -> str:
    """The folder that the program began in, with a separator; empty where it is gone."""
    try:
        return os.path.join(os.getcwd(), "")
    except OSError:
        return ""


_HERE = _begun_in()
_STDLIB = sysconfig.get_path("stdlib") + os.sep


def user_line(frame: FrameType | None = None) -> str:
    """ "file:line" of the user's code, as seen from a frame; empty where there is none."""
    frame = sys._getframe(1) if frame is None else frame
    while frame is not None:
        name = frame.f_code.co_filename
        if not _is_skipped(name):
            return f"{_short(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def user_traceback(error: BaseException) -> TracebackType | None:
    """An error's traceback from the user's outermost line on; all of it where there is none."""
    part = error.__traceback__
    while part is not None and _is_skipped(part.tb_frame.f_code.co_filename):
        part = part.tb_next
    return part or error.__traceback__


def raised_at(error: BaseException) -> str:
    """ "file:line" of the user's innermost line that an error has come through; empty if none."""
    part, where = error.__traceback__, ""
    while part is not None:
        name = part.tb_frame.f_code.co_filename
        if not _is_skipped(name):
            where = f"{_short(name)}:{part.tb_lineno}"
        part = part.tb_next
    return where


@cache
def _is_skipped(name: str) -> bool:
    library = name.startswith(_STDLIB) and "-packages" not in name
    return library or any(part in name for part in _SKIPPED)


def _short(name: str) -> str:
    """A path as the user would write it from where the program began."""
    return name.removeprefix(_HERE)
