"""What a rank may ask of its run that takes no time, by name: threads and processes alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simnet.ranks.call import NO_CALL
from simnet.ranks.member import Member


def _step(member: Member) -> None:
    member.steps += 1


def _phase(member: Member, name: str) -> None:
    member.recorder.phase(name, member.now)


def _waited(member: Member, number: int) -> None:
    if number != NO_CALL:
        member.recorder.found_over(member.tickets[number], member.now)


def _saw(member: Member, number: int) -> None:
    member.recorder.timely = True
    _waited(member, number)


def _in_callback(member: Member) -> None:
    member.recorder.timely = True


def _found(member: Member, *keys: str) -> None:
    member.recorder.found(keys, member.now)


def _board(method: str) -> Callable[..., Any]:
    def call(member: Member, *arguments: Any) -> Any:
        if method in WRITES:
            action = "withdraw" if method == "delete_key" else "publish"
            member.recorder.wrote(action, arguments[0], member.now)
        return getattr(member.hub.board, method)(*arguments)

    return call


BOARD = (
    "has",
    "get",
    "set",
    "add",
    "append",
    "compare_set",
    "delete_key",
    "num_keys",
    "list_keys",
)

WRITES = frozenset({"set", "add", "append", "compare_set", "delete_key"})

REQUESTS: Mapping[str, Callable[..., Any]] = {
    "step": _step,
    "phase": _phase,
    "waited": _waited,
    "saw": _saw,
    "in callback": _in_callback,
    "found": _found,
    **{f"board.{method}": _board(method) for method in BOARD},
}


def answer(member: Member, method: str, arguments: tuple[Any, ...]) -> Any:
    """Answer a rank's request."""
    return REQUESTS[method](member, *arguments)
