"""torch's notes on whether any dispatch mode is entered: globals of the process, not of a thread.

Every mode sets them when it is entered and puts back what it found when it is left. Modes of
several threads, left in another order than entered, would leave them set for good, and
``torch.compile`` would do nothing any more. The stack of modes itself is a thread's.
"""

from __future__ import annotations

from typing import Any

from torch.utils import _python_dispatch

_dispatch: Any = _python_dispatch
NOTES = (
    "_is_in_torch_dispatch_mode",
    "_is_in_non_infra_torch_dispatch_mode",
    "_is_in_any_mode_without_ignore_compile_internals",
)


def present() -> tuple[bool, ...]:
    """The notes of this moment."""
    return tuple(getattr(_dispatch, note) for note in NOTES)


def put(values: tuple[bool, ...]) -> None:
    """Make them others."""
    for note, value in zip(NOTES, values, strict=True):
        setattr(_dispatch, note, value)
    _dispatch.set_is_in_mode_without_ignore_compile_internals(values[-1])
