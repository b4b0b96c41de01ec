"""What of torch.distributed is global: one of each for every rank, and put back afterwards."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import CellType
from typing import Any

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as c10d_core

from simnet.distributed.hub import Hub
from simnet.distributed.process_group import SimProcessGroup
from simnet.distributed.rank import Rank, current

C10D = dist.distributed_c10d
BACKEND = "simnet"

# They bind the default group in their functions' defaults when imported: that must be the
# caller's and not some rank's, so they are imported before any rank begins.
IMPORTED_FIRST = ("torch._dynamo", "torch.distributed.nn.functional", "torch.distributed.tensor")

_ONE_RUN = threading.Lock()  # guards torch's own global state, of which there is one a process


@dataclass(slots=True, eq=False)
class RankWorld:
    """What torch keeps about process groups (its ``_World``), for one rank."""

    rank: Rank
    num_ranks: int
    hub: Hub
    store: Any
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

    def enter(self, world: RankWorld) -> None:
        """Give the calling thread a world of its own."""
        self._thread.world = world

    def here(self) -> Any:
        """The calling thread's world."""
        return getattr(self._thread, "world", self.outside)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.here(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.here(), name, value)


@contextmanager
def rank_worlds() -> Iterator[Worlds]:
    """Let the ranks' threads have worlds of their own; everything is put back at the end.

    Raises
    ------
    RuntimeError
        If a run is under way in this process already, or torch is set up in a way that no
        backend of its own can follow.
    """
    if current() is not None or not _ONE_RUN.acquire(blocking=False):
        raise RuntimeError("simnet.run: a run is under way in this process; runs do not nest")
    try:
        with ExitStack() as undo:
            _check_torch()
            for name in IMPORTED_FIRST:
                importlib.import_module(name)
            _register()
            for holder, attribute in (
                (C10D, "_world"),
                (C10D, "_default_pg_init_method"),
                (sys, "excepthook"),
            ):
                undo.callback(setattr, holder, attribute, getattr(holder, attribute))
            worlds = Worlds(C10D._world)
            setattr(C10D, "_world", worlds)  # noqa: B010 (not an attribute for mypy)
            isolate_threads = getattr(c10d_core, "_set_thread_isolation_mode")  # noqa: B009
            isolate_threads(True)
            undo.callback(isolate_threads, False)
            undo.enter_context(_redirected(dist.init_process_group, worlds))
            yield worlds
    finally:
        _ONE_RUN.release()


@contextmanager
def default_group(worlds: Worlds, world: RankWorld) -> Iterator[None]:
    """In a rank's thread: the default process group, until the rank's function has ended."""
    worlds.enter(world)
    _init(world)
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _init(world: RankWorld) -> None:
    rank = world.rank.number
    bare = inspect.unwrap(dist.init_process_group)
    bare(BACKEND, store=world.store, rank=rank, world_size=world.num_ranks)


def _check_torch() -> None:
    """Refuse settings under which torch goes round a backend or waits in wall time."""
    if not isinstance(C10D._world, C10D._World):
        raise RuntimeError(f"simnet.run: torch's process groups are held by {C10D._world!r}")
    if getattr(C10D, "_use_torchcomms_enabled", bool)():
        raise RuntimeError("simnet.run: torchcomms goes round backends; switch it off in torch")
    if getattr(C10D, "_is_barrier_after_init", bool)():
        raise RuntimeError("simnet.run: TORCH_DIST_INIT_BARRIER=1 makes ranks wait; unset it")


def _register() -> None:
    """Tell torch of the backend, once a process."""
    if BACKEND not in dist.Backend.backend_list:
        dist.Backend.register_backend(BACKEND, _create, extended_api=True, devices=["cpu"])


def _create(options: Any, _: Any) -> SimProcessGroup:
    """Make a rank's object for a group (torch calls it)."""
    world = C10D._world.here() if isinstance(C10D._world, Worlds) else None
    if not isinstance(world, RankWorld):
        raise RuntimeError("backend 'simnet': there is one only inside a rank of simnet.run")
    ranks = tuple(options.global_ranks_in_group)
    group_id = options.group_id if ranks else ""
    return SimProcessGroup(world.rank, ranks or tuple(range(world.num_ranks)), group_id, world.hub)


# A program's own init_process_group


@contextmanager
def _redirected(function: Callable[..., Any], worlds: Worlds) -> Iterator[None]:
    """Send a rank's call of torch's init_process_group to the group that it has.

    The function that torch's outermost decorator calls is exchanged, so that names bound by
    ``from torch.distributed import init_process_group`` before the run are followed too.
    """
    cell = _decorated(function)
    original = cell.cell_contents

    @functools.wraps(original)
    def init_process_group(*args: Any, **kwargs: Any) -> Any:
        world = worlds.here()
        if not isinstance(world, RankWorld):
            return original(*args, **kwargs)
        given = inspect.signature(original).bind(*args, **kwargs).arguments
        return _bind(world, given)

    cell.cell_contents = init_process_group
    try:
        yield
    finally:
        cell.cell_contents = original


def _decorated(function: Callable[..., Any]) -> CellType:
    """The cell in which a decorator keeps the function that it calls."""
    closure = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    if "func" not in closure:
        raise RuntimeError(
            f"simnet.run: torch {torch.__version__} builds init_process_group in an unknown way"
        )
    return closure["func"]


def _bind(world: RankWorld, given: dict[str, Any]) -> None:
    """Accept a rank's init_process_group if it fits the run."""
    expected = {"rank": world.rank.number, "world_size": world.num_ranks}
    for name, value in expected.items():
        if given.get(name, -1) not in (-1, value):
            raise ValueError(f"init_process_group: {name}={given[name]}, but here it is {value}")
    if world.default_pg is None:
        _init(world)
    elif world.bound:
        raise ValueError("trying to initialize the default process group twice!")
    world.bound = True
