"""Results and exceptions on their way from a rank's process to its run."""

from __future__ import annotations

import io
import pickle
import traceback
from collections import ChainMap
from types import CodeType
from typing import Any, ClassVar

import cloudpickle

from simnet.ranks.where import user_traceback


class Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler, but code keeps the name of its file: errors name its lines."""

    dispatch_table: ClassVar[Any] = ChainMap(
        {CodeType: lambda code: _reduced_code(code)}, cloudpickle.Pickler.dispatch_table
    )


def _reduced_code(code: CodeType) -> tuple[Any, ...]:
    function, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _code, (code.co_filename, function, arguments)


def _code(filename: str, function: Any, arguments: tuple[Any, ...]) -> CodeType:
    code: CodeType = function(*arguments).replace(co_filename=filename)
    return code


def pickled(what: Any) -> bytes:
    """Pickle anything, functions and classes of `__main__` by value."""
    with io.BytesIO() as file:
        Packer(file).dump(what)
        return file.getvalue()


def pack_error(error: BaseException, place: str = "in the rank's process") -> bytes:
    """Pickle an exception, with a note of its traceback unless `place` is empty.

    It is rebuilt without its class's own ``__init__``, whose arguments nobody knows, and without
    what of it cannot be pickled; where that fails too, a RuntimeError stands for it.
    """
    said = "".join(traceback.format_exception_only(error)).strip()
    stand_in = RuntimeError(said)
    if place:
        lines = traceback.format_exception(type(error), error, user_traceback(error))
        note = f"{place}:\n" + "".join(lines).rstrip()
        stand_in.add_note(note)
        error.add_note(note)
    for portable in (_as_it_is, _Rebuilt):
        try:
            packed = pickled(portable(error))
            pickle.loads(packed)
        except Exception:
            continue
        return pickle.dumps((packed, stand_in))
    return pickle.dumps((pickle.dumps(stand_in), stand_in))


def unpack_error(packed: bytes) -> BaseException:
    """The exception, or its stand-in if its class is not known here."""
    own, stand_in = pickle.loads(packed)
    try:
        error: BaseException = pickle.loads(own)
    except Exception:
        error = stand_in
    return error


def _builtin(error: BaseException) -> type[BaseException]:
    """The first class of an exception that is Python's own."""
    found = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
    assert issubclass(found, BaseException)
    return found


def _as_it_is(error: BaseException) -> Any:
    own = [each for each in type(error).__mro__ if each.__module__ != "builtins"]
    if any("__init__" in vars(each) and "__reduce__" not in vars(each) for each in own):
        raise TypeError("its arguments are not those of its __init__")
    return error


class _Rebuilt:
    """Pickles as an exception made by its builtin class from its state."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error, base = self._error, _builtin(self._error)
        reduced: Any = base.__reduce__(error)
        arguments = tuple(each if _can_go(each) else repr(each) for each in reduced[1])
        state = {key: value for key, value in vars(error).items() if _can_go(value)}
        return _rebuild, (type(error), base, arguments, state)


def _rebuild(kind: Any, base: Any, arguments: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = base.__new__(kind, *arguments)
    base.__init__(error, *arguments)
    vars(error).update(state)
    return error


def _can_go(value: Any) -> bool:
    try:
        pickle.loads(pickled(value))
    except Exception:
        return False
    return True
