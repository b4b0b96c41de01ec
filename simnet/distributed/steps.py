"""Every optimizer's step is told to the rank that takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from simnet.ranks.seat import current


@contextmanager
def steps_told() -> Iterator[None]:
    """Hook all optimizers of the process for the time of a run."""

    def stepped(*_: Any) -> None:
        seat = current()
        if seat is not None:
            seat.optimizer_stepped()

    hook = register_optimizer_step_post_hook(stepped)
    try:
        yield
    finally:
        hook.remove()
