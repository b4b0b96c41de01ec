"""What a process has one of, and ranks that are threads may change: put back after a run.

Not what a first import may leave for good: filters of warnings, paths of modules, loggers.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import torch

from simnet.workload import dispatch_notes

Setting = tuple[Callable[[], Any], Callable[[Any], object]]
"""How it is read, and how it is made what was read."""


def _umask() -> int:
    present = os.umask(0o077)
    os.umask(present)
    return present


def _environment(found: dict[str, str]) -> None:
    for name in os.environ.keys() - found.keys():
        os.environ.pop(name, None)
    os.environ.update({n: value for n, value in found.items() if os.environ.get(n) != value})


def _folder() -> str | None:
    with suppress(OSError):
        return os.getcwd()
    return None


def _go_to(folder: str | None) -> None:
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)


def _attributes(owner: Any, *names: str) -> list[Setting]:
    def one(name: str) -> Setting:
        return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)

    return [one(name) for name in names]


def _collects(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(found: tuple[bool, bool]) -> None:
    enabled, warn_only = found
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def _matmul_precision() -> str | None:
    with suppress(RuntimeError):  # where the caller has set it in two ways that disagree
        return torch.get_float32_matmul_precision()
    return None


def _set_matmul_precision(precision: str | None) -> None:
    if precision is not None:
        torch.set_float32_matmul_precision(precision)


def _print_options() -> dict[str, Any]:
    return dataclasses.asdict(torch._tensor_str.PRINT_OPTS)


SETTINGS: list[Setting] = [
    (dispatch_notes.present, dispatch_notes.put),
    (torch.get_default_dtype, torch.set_default_dtype),
    (_deterministic, _set_deterministic),
    (torch.get_num_threads, torch.set_num_threads),
    (_matmul_precision, _set_matmul_precision),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (_print_options, lambda found: vars(torch._tensor_str.PRINT_OPTS).update(found)),
    *_attributes(torch.backends.cudnn, "enabled", "benchmark", "deterministic"),
    *_attributes(torch.backends.mkldnn, "enabled"),
    (np.geterr, lambda found: np.seterr(**found)),
    (np.get_printoptions, lambda found: np.set_printoptions(**found)),
    (_folder, _go_to),
    (_umask, os.umask),
    (lambda: dict(os.environ), _environment),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (gc.isenabled, _collects),
]


@contextmanager
def settings_restored() -> Iterator[None]:
    """Put back what ranks change that a process has one of, whatever happens."""
    with ExitStack() as undo:
        for read, put in SETTINGS:
            undo.callback(_put_back, read, put, read())
        yield


def _put_back(read: Callable[[], Any], put: Callable[[Any], object], before: Any) -> None:
    if read() != before:
        put(before)
