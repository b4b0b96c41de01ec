"""Replacing functions of torch for the time of a run, for whoever has imported them when."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


@contextmanager
def replaced(function: Any, make: Make) -> Iterator[None]:
    """Let a function do something else; names bound to it before are followed too.

    Of a decorated function what the outermost decorator calls is exchanged, of a plain one its
    code.

    Parameters
    ----------
    function : function
        Of a module, by ``def``.
    make : callable
        ``make(original)`` returns what is called instead.
    """
    cell = _decorated(function)
    if cell is None:
        with _replaced_code(function, make):
            yield
        return
    original = cell.cell_contents
    cell.cell_contents = functools.wraps(original)(make(original))
    try:
        yield
    finally:
        cell.cell_contents = original


@contextmanager
def replaced_attribute(holder: Any, name: str, make: Make) -> Iterator[None]:
    """Let an attribute be what ``make(original)`` returns."""
    original = getattr(holder, name)
    setattr(holder, name, make(original))
    try:
        yield
    finally:
        setattr(holder, name, original)


def _decorated(function: Any) -> CellType | None:
    """The cell in which a decorator keeps the function that it calls."""
    names = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return dict(names).get("func")


# What stands in for a plain function, by its name.
_STAND_INS: dict[str, Callable[..., Any]] = {}


def _stand_in(*args: Any, **kwargs: Any) -> Any:
    """The code that a replaced plain function has: it finds its stand-in by its own code's name."""
    import sys

    from simnet.distributed.replace import _STAND_INS

    return _STAND_INS[sys._getframe().f_code.co_name](*args, **kwargs)


@contextmanager
def _replaced_code(function: FunctionType, make: Make) -> Iterator[None]:
    code = function.__code__
    original = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    name = f"{function.__module__}.{function.__qualname__}"
    _STAND_INS[name] = make(original)
    defaults, keywords = function.__defaults__, function.__kwdefaults__
    function.__code__ = _stand_in.__code__.replace(co_name=name)
    function.__defaults__ = function.__kwdefaults__ = None
    try:
        yield
    finally:
        function.__code__ = code
        function.__defaults__, function.__kwdefaults__ = defaults, keywords
        del _STAND_INS[name]
