"""The run's side of a rank that is a process (a `simnet.ranks.member.Driver`)."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from simnet.distributed.pointing import ask_where
from simnet.distributed.portable import pack_error, unpack_error
from simnet.distributed.watchdog import Watchdog
from simnet.distributed.wire import Line, Parcels
from simnet.ranks.call import Call
from simnet.ranks.errors import RankLostError
from simnet.ranks.member import Member
from simnet.ranks.requests import answer
from simnet.ranks.seat import enter
from simnet.ranks.ticket import Ticket
from simnet.ranks.waits import Lookup, Poll, Sleep, Wait, Why

ANSWER_S = 1.0  # wall time for a process that waits to say where


class ProcessDriver:
    """Speaks with one rank's process.

    Parameters
    ----------
    connection : Connection
        To the process.
    pid : int
        The process.
    parcels : Parcels
        Unpacks the rank's tensors.
    watchdog : Watchdog
        Says when a rank that does not come back has stalled.
    why_lost : callable
        Says in words how the process has ended.
    """

    def __init__(
        self,
        connection: Connection,
        pid: int,
        parcels: Parcels,
        watchdog: Watchdog,
        why_lost: Callable[[], str] = str,
    ) -> None:
        self._connection, self._pid, self._parcels = connection, pid, parcels
        self._watchdog, self._why_lost = watchdog, why_lost
        self._line = Line(connection)
        self._calls: list[Call] = []  # those that the process has numbered
        self._open: dict[int, Ticket] = {}  # by the process's own numbers
        self._inbox: list[tuple[Any, ...]] = []
        self._failed: Exception | None = None
        self._refused: list[int] = []
        self._waits = True

    def go(self, member: Member) -> None:
        """Tell the process how things stand, and that it goes on."""
        if not member.ended:
            self._reply(member, None)

    def settle(self, member: Member) -> Wait | None:
        """Take up what the process asks for until it waits or has ended."""
        while not member.ended:
            verb, *rest = self._next(member)
            wait: Wait | None = getattr(self, f"_on_{verb}")(member, *rest)
            if wait is not None:
                if self._failed is None:
                    self._waits = True
                    return wait
                # Without a note: the rank will say itself where this came up.
                self._tell("raise", pack_error(self._failed, ""), self._refused)
                self._failed, self._refused = None, []
        return None

    def stop(self, member: Member, until: float) -> str:
        """Make the process end; one that is busy finds out when it next calls."""
        with contextlib.suppress(OSError, ValueError):
            self._line.send(("stop",))
        return ""

    def where(self, member: Member) -> str:
        """The line of the user's code that waits, as the process says itself."""
        if not self._waits:
            return ask_where(self._parcels.folder, member.number, self._pid)
        self._tell("where")
        with contextlib.suppress(EOFError, OSError):
            while self._line.is_in(ANSWER_S):
                for message in self._line.receive():
                    if message[0] == "here":
                        return str(message[1])
                    self._inbox.append(message)
        return ""

    def _reply(self, member: Member, value: Any) -> None:
        over = [(number, each) for number, each in self._open.items() if each.known]
        news = []
        for number, each in over:
            del self._open[number]
            outputs = self._parcels.pack_again(each.outputs())
            news.append((number, each.source, each.error, outputs))
        self._waits = False
        self._tell("go", member.now, news, value)

    def _tell(self, *message: Any) -> None:
        try:  # noqa: SIM105 (suppress takes longer)
            self._line.send(message)
        except OSError:
            pass  # it has gone: the next message says so

    def _next(self, member: Member) -> tuple[Any, ...]:
        if not self._inbox:
            try:
                self._watchdog.follow(member, self._line.is_in, str(self._pid))
                self._inbox = self._line.receive()
            except (EOFError, OSError):
                why = self._why_lost()
                error = RankLostError(f"rank {member.number}'s process ended without a word{why}")
                return ("end", None, error)
        return self._inbox.pop(0)

    def _on_call(self, member: Member, call: Call) -> None:
        self._calls.append(call)

    def _on_issue(
        self, member: Member, number: int, call: Call | int, encoded: Sequence[Any]
    ) -> None:
        """Make a call; after one that fails none is made until the rank has heard of it."""
        call = self._calls[call] if isinstance(call, int) else call
        if self._failed is None:
            try:
                self._open[number] = member.issue(call, self._parcels.unpack(encoded))
                return
            except Exception as error:
                self._failed = error
        self._refused.append(number)

    def _on_sleep(
        self,
        member: Member,
        numbers: Sequence[int],
        until: float,
        why: Why,
        duration: float,
        others: Sequence[int],
    ) -> Wait:
        return Sleep(self._tickets(numbers), until, why, duration, self._tickets(others))

    def _tickets(self, numbers: Sequence[int]) -> tuple[Ticket, ...]:
        """Of the process's calls; one that failed has none: the rank is told before it waits."""
        return tuple([self._open[number] for number in numbers if number in self._open])

    def _on_poll(self, member: Member, interval: float) -> Wait:
        return Poll(interval=interval)

    def _on_lookup(self, member: Member, keys: Sequence[str], until: float) -> Wait:
        return Lookup(keys=tuple(keys), until=until)

    def _on_ask(self, member: Member, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            value = answer(member, method, arguments)
        except Exception as error:  # the rank's own to catch
            self._tell("raise", pack_error(error, ""), ())
        else:
            self._reply(member, value)

    def _on_note(self, member: Member, method: str, arguments: tuple[Any, ...]) -> None:
        answer(member, method, arguments)

    def _on_print(self, member: Member, stream: str, text: str) -> None:
        enter(Printing(member.number))  # type: ignore[arg-type]
        try:
            getattr(sys, stream).write(text)
        finally:
            enter(None)

    def _on_end(self, member: Member, result: bytes | None, error: Any) -> None:
        if isinstance(error, bytes):
            error = unpack_error(error)
        error = self._failed if error is None else error
        member.end(None if result is None else pickle.loads(result), error)


class Printing:
    """Whose text is being written: all that the output asks of a rank."""

    def __init__(self, number: int) -> None:
        self.number = number
