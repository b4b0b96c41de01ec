"""What a feature of torch.distributed is to the tests, and the list of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

WORLD_SIZE = 4
FEATURES: dict[str, "Feature"] = {}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A small program that uses one thing, and what must come out.

    Attributes
    ----------
    name, group : str
        What it is called, and the heading it stands under.
    program : callable
        ``program(rank, world_size)``, run on 4 ranks with the default group standing; what it
        returns can be pickled.
    reference : "gloo" or callable
        What the results are compared with: those of gloo, or ``reference(rank, world_size)``.
    no_gloo : str
        Why gloo cannot run the program; empty if it can.
    exact : bool
        Whether results must be the reference's to the bit.
    processes_only : str
        Why ranks cannot be threads; empty if they can.
    refused : str
        A regular expression: the error that the program ends with, on gloo too unless `no_gloo`.
    warns : tuple of str
        Regular expressions for the warnings that torch itself gives.
    slow : bool
        Whether it takes more than some seconds.
    """

    name: str
    group: str
    program: Callable[[int, int], Any]
    reference: Any = "gloo"
    no_gloo: str = ""
    exact: bool = False
    processes_only: str = ""
    refused: str = ""
    warns: tuple[str, ...] = ()
    slow: bool = False


def feature(name: str, *, group: str, program: Any = None, **marks: Any) -> Any:
    """Register a program under a name: a decorator, or a call if `program` is given."""
    if program is None:
        return partial(_register, name, group, marks)
    return _register(name, group, marks, program)


def _register(name: str, group: str, marks: dict[str, Any], program: Any) -> Any:
    assert name not in FEATURES, f"{name}: registered twice"
    entry = Feature(name=name, group=group, program=program, **marks)
    assert entry.no_gloo == "" or entry.refused or callable(entry.reference), name
    FEATURES[name] = entry
    return program


def raises(error: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any]) -> str:
    """The name of the error that the call raises, which is one of those expected."""
    try:
        call()
    except error as caught:
        return type(caught).__name__
    raise AssertionError("no error was raised")
