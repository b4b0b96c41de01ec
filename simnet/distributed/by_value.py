"""A function packed for another process: by value wherever the other could not import it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import cloudpickle

from simnet.distributed.portable import pickled


def pack_function(function: Any, name: str = "train") -> bytes:
    """Pack a function or a model, with what it needs of modules that only this process can import.

    Parameters
    ----------
    function : object
        What is packed.
    name : str
        What the user calls it.

    Raises
    ------
    TypeError
        If something that it needs cannot be packed; says what.
    """
    try:
        with _by_value(_not_importable()):
            return pickled(function)
    except Exception as error:
        raise TypeError(f"{name}: cannot be sent to processes: {error}") from error


def _not_importable() -> list[ModuleType]:
    """Modules of source files that another process would not find under their names."""
    roots: dict[str, bool] = {"__main__": True}
    found = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        root = name.partition(".")[0]
        if root not in roots:
            roots[root] = root in sys.stdlib_module_names or _can_be_found(root)
        if not roots[root] and isinstance(path, str) and path.endswith(".py"):
            found.append(module)
    return found


def _can_be_found(name: str) -> bool:
    """Whether a module that is loaded would be found where it was loaded from."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            return loaded is None or spec.origin == loaded
    return False


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    known = set(cloudpickle.list_registry_pickle_by_value())
    registered = []
    for module in modules:
        name = getattr(module, "__name__", None)
        if name in sys.modules and name not in known:
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
