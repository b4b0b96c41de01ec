"""`time` for ranks whose programs ask it: their virtual clocks instead of the wall's."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from simnet.ranks.seat import current

READ_S = ("time", "monotonic", "perf_counter")
READ_NS = ("time_ns", "monotonic_ns", "perf_counter_ns")


@contextmanager
def virtual_time(train: Callable[..., Any] | None = None) -> Iterator[None]:
    """Let the functions of `time` mean a rank's virtual clock, in ranks.

    Names that the module of `train` has taken from `time` by ``from time import …`` are followed,
    and those of the modules of what it wraps; those of other modules are not.
    """
    stand_ins = {
        "sleep": _sleeping(time.sleep),
        **{name: _reading(getattr(time, name), 1) for name in READ_S},
        **{name: _reading(getattr(time, name), 10**9) for name in READ_NS},
    }
    originals = {name: getattr(time, name) for name in stand_ins}
    taken = [
        (scope, key, name)
        for scope in _scopes(train)
        for key, value in scope.items()
        for name, original in originals.items()
        if value is original
    ]
    for name, stand_in in stand_ins.items():
        setattr(time, name, stand_in)
    for scope, key, name in taken:
        scope[key] = stand_ins[name]
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(time, name, original)
        for scope, key, name in taken:
            scope[key] = originals[name]


def _scopes(train: Any) -> list[dict[str, Any]]:
    """The globals of a callable's function, and of the functions it wraps."""
    scopes: dict[int, dict[str, Any]] = {}
    seen: set[int] = set()
    while train is not None and id(train) not in seen:
        seen.add(id(train))
        scope = getattr(train, "__globals__", None)
        if isinstance(scope, dict):
            scopes[id(scope)] = scope
        train = _wrapped(train)
    return list(scopes.values())


def _wrapped(train: Any) -> Any:
    """What a callable calls in the end, as far as it can be seen; None for a bare function."""
    if isinstance(train, partial):
        return train.func
    for name in ("__wrapped__", "__func__"):
        inner = getattr(train, name, None)
        if callable(inner):
            return inner
    call = None if inspect.isfunction(train) else getattr(type(train), "__call__", None)  # noqa: B004
    return call if inspect.isfunction(call) else None


def _reading(original: Callable[[], Any], units: int) -> Callable[[], Any]:
    def read() -> Any:
        seat = current()
        if seat is None:
            return original()
        seconds = seat.now()
        return seconds if units == 1 else round(seconds * units)

    return read


def _sleeping(original: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        seat = current()
        if seat is None:
            original(seconds)
        elif seconds < 0:
            raise ValueError("sleep length must be non-negative")
        elif seconds > 0:
            seat.spend(seconds, "idle")

    return sleep
