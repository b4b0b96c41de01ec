"""torch.compile leaves simnet's own code alone: it would trace into the process group's methods."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch._C._dynamo import eval_frame

ROOMS = ("simnet.distributed", "simnet.ranks")

_done: set[str] = set()


def leave_alone() -> None:
    """Let torch.compile skip the frames of all that simnet has loaded of what ranks call."""
    for name, module in list(sys.modules.items()):
        if name.startswith(ROOMS) and name not in _done:
            _done.add(name)
            for code in _codes(module):
                _skip(code)


def _skip(code: CodeType) -> None:
    """What torch._dynamo's skip_code does, which takes seconds to import."""
    action: Any = getattr(eval_frame, "_FrameAction")  # noqa: B009 (its stubs have no such)
    strategy: Any = getattr(eval_frame, "_FrameExecStrategy")  # noqa: B009
    put_strategy: Any = getattr(eval_frame, "set_code_exec_strategy")  # noqa: B009
    put_strategy(code, strategy(action.SKIP, action.DEFAULT))


def _codes(module: ModuleType) -> Iterator[CodeType]:
    for value in list(vars(module).values()):
        members = vars(value).values() if isinstance(value, type) else (value,)
        for member in members:
            yield from _of(member)


def _of(member: Any) -> Iterator[CodeType]:
    """The code of a function, of what a property or a class method holds, and all inside it."""
    for name in ("__func__", "fget", "fset", "__wrapped__"):
        inner = getattr(member, name, None)
        if isinstance(inner, FunctionType):
            yield from _of(inner)
    if isinstance(member, FunctionType):
        yield from _nested(member.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
