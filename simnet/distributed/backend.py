"""The backend `simnet`: how torch makes the object of a group."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from simnet.distributed.not_compiled import leave_alone
from simnet.distributed.process_group import DEFAULT_TIMEOUT, SimProcessGroup
from simnet.distributed.store import SimStore
from simnet.distributed.work import INFINITY
from simnet.ranks.call import ANEW
from simnet.ranks.seat import Seat, current

__all__ = ["BACKEND", "DEFAULT_TIMEOUT", "DEVICES", "announce", "create", "register"]

BACKEND = "simnet"
DEVICES = ["cpu", "cuda", "mps", "xpu"]

_ANNOUNCED = threading.local()


@contextmanager
def announce(timeout: timedelta | None) -> Iterator[None]:
    """Tell the group that is made inside of its timeout.

    torch hands a timeout to backends without saying whether the program gave it.
    """
    given = timeout is not None and timeout is not DEFAULT_TIMEOUT
    _ANNOUNCED.timeout = timeout.total_seconds() if given and timeout is not None else INFINITY
    try:
        yield
    finally:
        _ANNOUNCED.timeout = INFINITY


def register() -> None:
    """Tell torch of the backend, once a process."""
    leave_alone()
    if BACKEND not in dist.Backend.backend_list:
        dist.Backend.register_backend(BACKEND, _create, extended_api=True, devices=DEVICES)


def create(seat: Seat, ranks: tuple[int, ...], group_id: str) -> SimProcessGroup:
    """A rank's object for a group; `ranks` are global, in group order."""
    timeout = getattr(_ANNOUNCED, "timeout", INFINITY)
    # What is left of a world that has been destroyed is not for its successor.
    group_id = f"{group_id}{ANEW}{seat.worlds}" if seat.worlds > 1 else group_id
    store = SimStore(seat, f"group {group_id}/" if group_id else "")
    return SimProcessGroup(seat, ranks, group_id, timeout, store)


def _create(options: Any, _: Any) -> SimProcessGroup:
    """Make a rank's object for a group (torch calls it)."""
    seat = current()
    if seat is None:
        raise RuntimeError("backend 'simnet': there is one only inside a rank of simnet.run")
    ranks = tuple(options.global_ranks_in_group)
    if not ranks:
        seat.worlds += 1
        return create(seat, tuple(range(seat.world_size)), "")
    return create(seat, ranks, options.group_id)
