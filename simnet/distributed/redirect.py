"""torch's own functions, redirected for ranks for the time of a run.

In code that belongs to no rank every one of them does what it always did.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C import _distributed_c10d as c10d_core
from torch.nn.parallel import DistributedDataParallel

from simnet.distributed.backend import BACKEND, DEFAULT_TIMEOUT, announce, create
from simnet.distributed.process_group import SimProcessGroup
from simnet.ranks.seat import Seat, current

C10D = dist.distributed_c10d
Function = Callable[..., Any]


@contextmanager
def redirected(join: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Redirect what has to be, and put it back.

    Parameters
    ----------
    join : callable
        ``join(arguments)`` does what a rank's own init_process_group asks for.
    """
    from simnet.distributed.replace import replaced, replaced_attribute

    with ExitStack() as undo:
        for function, make in (
            (C10D.init_process_group, lambda original: _init(original, join)),
            (C10D.monitored_barrier, _monitored_barrier),
            (C10D.split_group, _split_group),
        ):
            undo.enter_context(replaced(function, make))
        for holder, name, make in (
            (C10D, "_new_process_group_helper", _helper),
            (C10D, "_get_default_timeout", _default_timeout),
            (torch._C.Future, "wait", _future_wait),
            (torch._C.Future, "done", _future_done),
            (DistributedDataParallel, "_register_builtin_comm_hook", _builtin_hook),
        ):
            undo.enter_context(replaced_attribute(holder, name, make))
        yield


def for_ranks(make: Callable[[Function, Seat], Function]) -> Callable[[Function], Function]:
    """Make a replacement that acts inside ranks only.

    `make(original, seat)` returns what a rank's call goes to.
    """

    def wrapper(original: Function) -> Function:
        def call(*args: Any, **kwargs: Any) -> Any:
            seat = current()
            return (original if seat is None else make(original, seat))(*args, **kwargs)

        return call

    return wrapper


def _init(original: Function, join: Callable[[dict[str, Any]], None]) -> Function:
    signature = inspect.signature(original)

    def init_process_group(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if given.get("backend") == BACKEND and "store" in given:
            return original(*args, **kwargs)  # the run's own call
        return join(given) if current() is not None else original(*args, **kwargs)

    return init_process_group


@for_ranks
def _default_timeout(original: Function, seat: Seat) -> Function:
    return lambda backend: DEFAULT_TIMEOUT


@for_ranks
def _helper(original: Function, seat: Seat) -> Function:
    """Every group of a rank is the run's, whatever backend the program asks for."""
    signature = inspect.signature(original)

    def new_process_group(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        timeout = given.arguments.get("timeout")
        given.arguments |= {"backend": dist.Backend(BACKEND), "device_id": None}
        given.arguments["backend_options"] = None
        with announce(timeout):
            return original(*given.args, **given.kwargs)

    return new_process_group


@for_ranks
def _monitored_barrier(original: Function, seat: Seat) -> Function:
    def monitored_barrier(
        group: Any = None, timeout: Any = None, wait_all_ranks: bool = False
    ) -> None:
        group = group or C10D._get_default_group()
        if not isinstance(group, SimProcessGroup):
            return  # of another group
        if isinstance(timeout, int | float):
            timeout = timedelta(seconds=timeout)
        group.monitored_barrier(timeout or DEFAULT_TIMEOUT, wait_all_ranks=wait_all_ranks)

    return monitored_barrier


@for_ranks
def _split_group(original: Function, seat: Seat) -> Function:
    """torch splits groups of accelerators' backends only; here any group can be split."""

    def split_group(
        parent_pg: Any = None,
        split_ranks: Any = None,
        timeout: timedelta | None = None,
        pg_options: Any = None,
        group_desc: str | None = None,
        backend: Any = None,
    ) -> Any:
        parent = parent_pg or C10D._get_default_group()
        own = [sorted(part) for part in split_ranks or () if parent.rank() in part]
        if not split_ranks or any(not part for part in split_ranks):
            raise ValueError("split_group: split_ranks is empty, or one of its lists is")
        if not own:
            return None
        ranks = [dist.get_global_rank(parent, position) for position in own[0]]
        name = C10D._process_group_name(ranks, use_hashed_name=True)
        with announce(timeout or DEFAULT_TIMEOUT):
            group = create(seat, tuple(ranks), name)
        group._set_group_name(name)
        group._set_group_desc(group_desc or f"{parent.group_desc}:split")
        C10D._register_pg_in_world(
            group,
            backend_name=dist.Backend(BACKEND),
            store=group.get_group_store(),
            group_name=name,
            backend_config=str(C10D.BackendConfig(dist.Backend(BACKEND))),
            rank_mapping={rank: position for position, rank in enumerate(ranks)},
        )
        return group

    return split_group


@for_ranks
def _builtin_hook(original: Function, seat: Seat) -> Function:
    """torch's hooks in C++ want futures of a type that Python cannot make: take their twins."""
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    def register(self: DistributedDataParallel, kind: Any) -> None:
        fp16 = kind == c10d_core.BuiltinCommHookType.FP16_COMPRESS
        hook = default_hooks.fp16_compress_hook if fp16 else default_hooks.allreduce_hook
        self.register_comm_hook(None, hook)

    return register


# Futures: torch waits for them in C++, where no rank could give up its turn


@for_ranks
def _future_wait(original: Function, seat: Seat) -> Function:
    def wait(self: Any) -> Any:
        while not torch_done(self) and seat.wait_any():
            pass
        seat.caught_up()
        return original(self)

    return wait


@for_ranks
def _future_done(original: Function, seat: Seat) -> Function:
    def done(self: Any) -> bool:
        if not original(self) and seat.watching:
            seat.glance()
        return bool(original(self))

    return done


torch_done = torch._C.Future.done
