"""Who hears that an optimizer steps: the meter of the thread that it steps in.

Torch's hooks on all optimizers are global to the process, and ranks may be threads of one. The
hooks are there only while some meter is.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

_THREAD = threading.local()
_LOCK = threading.Lock()
_HANDLES: list[Any] = []
_WATCHED: list[int] = []  # the threads with a meter


class Listener(Protocol):
    """What wants to know of optimizers' steps."""

    def update_begins(self, optimizer: object) -> None:
        """An optimizer is about to update its parameters."""

    def update_ended(self, optimizer: object) -> None:
        """It has updated them."""


def watch(listener: Listener) -> None:
    """Tell it of the optimizers that step in the calling thread."""
    from torch.optim import optimizer

    _THREAD.listener = listener
    with _LOCK:
        if not _WATCHED:
            _HANDLES.append(optimizer.register_optimizer_step_pre_hook(_before))
            _HANDLES.append(optimizer.register_optimizer_step_post_hook(_after))
        _WATCHED.append(threading.get_ident())


def unwatch() -> None:
    """No longer tell anyone of the calling thread's optimizers."""
    if getattr(_THREAD, "listener", None) is None:
        return
    _THREAD.listener = None
    with _LOCK:
        _WATCHED.remove(threading.get_ident())
        while _HANDLES and not _WATCHED:
            _HANDLES.pop().remove()


def _before(optimizer: object, args: Any, kwargs: Any) -> None:
    listener: Listener | None = getattr(_THREAD, "listener", None)
    if listener is not None:
        listener.update_begins(optimizer)


def _after(optimizer: object, args: Any, kwargs: Any) -> None:
    listener: Listener | None = getattr(_THREAD, "listener", None)
    if listener is not None:
        listener.update_ended(optimizer)
