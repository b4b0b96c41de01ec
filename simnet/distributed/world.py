"""What of torch.distributed is global: one of each for a thread rank, put back afterwards."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch.distributed as dist
from torch._C import _distributed_c10d as c10d_core

from simnet.distributed.backend import BACKEND, register
from simnet.distributed.redirect import redirected
from simnet.distributed.store import SimStore
from simnet.ranks.seat import Seat, current

C10D = dist.distributed_c10d

# They bind the default group in their functions' defaults when imported: that must be the
# caller's and not some rank's, so they are imported before any rank begins.
IMPORTED_FIRST = ("torch._dynamo", "torch.distributed.nn.functional", "torch.distributed.tensor")

_ONE_RUN = threading.Lock()  # guards torch's own global state, of which there is one a process


@dataclass(slots=True, eq=False)
class RankWorld:
    """What torch keeps about process groups (its ``_World``), for one rank."""

    seat: Seat
    bound: bool = False
    default_pg: Any = None
    pg_map: dict[Any, Any] = field(default_factory=dict)
    pg_names: dict[Any, str] = field(default_factory=dict)
    pg_group_ranks: dict[Any, dict[int, int]] = field(default_factory=dict)
    pg_backend_config: dict[Any, str] = field(default_factory=dict)
    group_count: int = 0
    tags_to_pg: dict[str, list[Any]] = field(default_factory=dict)
    pg_to_tag: dict[Any, str] = field(default_factory=dict)
    pg_coalesce_state: dict[Any, list[Any]] = field(default_factory=dict)
    comms: list[Any] = field(default_factory=list)

    @property
    def pg_config_info(self) -> Any:
        """A description of every group, as torch makes it."""
        return vars(C10D._World)["pg_config_info"].fget(self)


class Worlds:
    """Stands where torch's world stood: a rank's thread sees its own, any other the caller's."""

    def __init__(self, outside: Any) -> None:
        object.__setattr__(self, "outside", outside)
        object.__setattr__(self, "_thread", threading.local())
        object.__setattr__(self, "_inside", set())
        object.__setattr__(self, "_over", threading.Event())

    def enter(self, world: RankWorld) -> None:
        """Give the calling thread a world of its own."""
        self._thread.world = world
        self._inside.add(threading.get_ident())

    def leave(self) -> None:
        """The calling thread, which has a world of its own, ends."""
        self._inside.discard(threading.get_ident())
        if self._over.is_set() and vars(C10D)["_world"] is self:
            self.withdraw()

    def withdraw(self) -> None:
        """Put the caller's world back, once no stuck thread is left that could reach it."""
        self._over.set()
        if not self._inside:
            outside = self.outside
            while isinstance(outside, Worlds) and not outside._inside:
                outside = outside.outside
            setattr(C10D, "_world", outside)  # noqa: B010 (not an attribute for mypy)

    def here(self) -> Any:
        """The calling thread's world."""
        return getattr(self._thread, "world", self.outside)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.here(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.here(), name, value)


@contextmanager
def one_run() -> Iterator[None]:
    """Hold the right to run, of which there is one a process.

    Raises
    ------
    RuntimeError
        If a run is under way in this process already, or torch is set up in a way that no
        backend of its own can follow.
    """
    if current() is not None or not _ONE_RUN.acquire(blocking=False):
        raise RuntimeError("simnet.run: a run is under way in this process; runs do not nest")
    try:
        check_torch()
        yield
    finally:
        _ONE_RUN.release()


@contextmanager
def rank_worlds() -> Iterator[Worlds]:
    """Let the ranks' threads have worlds of their own; everything is put back at the end."""
    with ExitStack() as undo:
        for name in IMPORTED_FIRST:
            importlib.import_module(name)
        register()
        for holder, attribute in (
            (C10D, "_default_pg_init_method"),
            (sys, "excepthook"),
        ):
            undo.callback(setattr, holder, attribute, getattr(holder, attribute))
        worlds = Worlds(C10D._world)
        undo.callback(worlds.withdraw)
        setattr(C10D, "_world", worlds)  # noqa: B010 (not an attribute for mypy)
        isolate_threads = getattr(c10d_core, "_set_thread_isolation_mode")  # noqa: B009
        isolate_threads(True)
        undo.callback(isolate_threads, False)
        undo.enter_context(redirected(lambda given: bind(worlds.here(), given)))
        yield worlds


@contextmanager
def default_group(worlds: Worlds, seat: Seat) -> Iterator[None]:
    """In a rank's thread: the default process group, until the rank's function has ended."""
    worlds.enter(RankWorld(seat))
    init(seat)
    try:
        yield
    finally:
        try:
            if dist.is_initialized():
                dist.destroy_process_group()
        finally:
            worlds.leave()


def init(seat: Seat, **given: Any) -> None:
    """Make a rank's default process group."""
    bare = inspect.unwrap(C10D.init_process_group)
    store = SimStore(seat)
    arguments = {"store": store, "rank": seat.number, "world_size": seat.world_size}
    if given.get("timeout") is not None:
        arguments["timeout"] = given["timeout"]
    bare(BACKEND, **arguments)
    # torch keeps the C++ half of a store only; without the other one it can do nothing.
    vars(C10D._get_default_group())["_default_store"] = store


def check_torch() -> None:
    """Refuse settings under which torch goes round a backend."""
    if not isinstance(C10D._world, C10D._World | Worlds):
        raise RuntimeError(f"simnet.run: torch's process groups are held by {C10D._world!r}")
    if getattr(C10D, "_use_torchcomms_enabled", bool)():
        raise RuntimeError("simnet.run: torchcomms goes round backends; switch it off in torch")


def bind(world: Any, given: dict[str, Any]) -> None:
    """Accept a rank's init_process_group if it fits the run."""
    seat = world.seat
    expected = {"rank": seat.number, "world_size": seat.world_size}
    for name, value in expected.items():
        if given.get(name, -1) not in (-1, value):
            raise ValueError(f"init_process_group: {name}={given[name]}, but here it is {value}")
    if world.default_pg is None:
        init(seat, **given)
    elif world.bound:
        raise ValueError("trying to initialize the default process group twice!")
    elif given.get("timeout") is not None:
        world.default_pg.set_timeout(given["timeout"])
    world.bound = True
