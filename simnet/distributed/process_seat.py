"""A rank that is a process, as its own code sees it: what it asks goes over a socket."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from simnet.distributed.portable import unpack_error
from simnet.distributed.wire import Line, Parcels
from simnet.ranks.call import NO_CALL, Call
from simnet.ranks.errors import EndedError
from simnet.ranks.seat import Seat
from simnet.ranks.waits import Lookup, Poll, Sleep
from simnet.ranks.where import user_line

ENOUGH = 64  # messages kept back before they are sent without a wait
MOST_CALLS = 4096  # that are numbered


class RemoteHandle:
    """A call under way; the run says when it is over."""

    __slots__ = ("_outputs", "error", "issued", "known", "number", "source")

    def __init__(self, number: int, issued: float) -> None:
        self.number, self.issued = number, issued
        self.known = False
        self.error: BaseException | None = None
        self.source = -1
        self._outputs: Callable[[], Sequence[Any]] = tuple

    def end(self, source: int, error: BaseException | None, outputs: Callable[[], Any]) -> None:
        """Note that it is over."""
        self.known, self.source, self.error, self._outputs = True, source, error, outputs

    def outputs(self) -> Sequence[Any]:
        """The data for the rank's tensors; asked for once."""
        return self._outputs()


class ProcessSeat(Seat):
    """A rank that is a process.

    Parameters
    ----------
    connection : Connection
        To the run.
    parcels : Parcels
        Packs the rank's tensors.
    number, world_size, meter, poll_interval
        See `Seat`.

    Attributes
    ----------
    ended : bool
        Whether the run has ended without the rank, and the rank knows.
    """

    shares_memory = False

    def __init__(
        self, connection: Connection, parcels: Parcels, number: int, world_size: int, **about: Any
    ) -> None:
        super().__init__(number, world_size, **about)
        self._connection, self._parcels = connection, parcels
        self._line = Line(connection)
        self._now = 0.0
        self._count = 0
        self._open: dict[int, RemoteHandle] = {}
        self._calls: dict[int, tuple[Call, int]] = {}  # by identity: it keeps them
        self._kept: list[tuple[Any, ...]] = []
        self._lock, self._sending = threading.RLock(), threading.Lock()
        self.ended = False

    @property
    def time(self) -> float:
        """The rank's virtual time, as of its last wait."""
        return self._now

    def begin(self) -> None:
        """Wait for the rank's first turn."""
        self._hear()

    def _issue(self, call: Call, tensors: Sequence[Any]) -> RemoteHandle:
        with self._lock:
            handle = RemoteHandle(self._count, self._now)
            self._open[handle.number] = handle
            self._count += 1
            self.tell("issue", handle.number, self._numbered(call), self._parcels.pack(tensors))
            return handle

    def _numbered(self, call: Call) -> Call | int:
        """A call that is made again and again has a number, and is described once."""
        _, number = self._calls.get(id(call), (call, -1))
        if number < 0 and len(self._calls) < MOST_CALLS:
            number = len(self._calls)
            self._calls[id(call)] = call, number
            self.tell("call", call)
        return call if number < 0 else number

    def _wait(self, wait: Sleep | Poll | Lookup) -> None:
        with self._lock:
            if isinstance(wait, Sleep):
                numbers = [handle.number for handle in wait.tickets]
                others = [handle.number for handle in wait.others]
                self.tell("sleep", numbers, wait.until, wait.why, wait.duration, others)
            elif isinstance(wait, Poll):
                self.tell("poll", wait.interval)
            else:
                self.tell("lookup", wait.keys, wait.until)
            self._hear()

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask something of the run that takes no time."""
        with self._lock:
            self.tell("ask", method, arguments)
            return self._hear()

    def note(self, method: str, *arguments: Any) -> None:
        """Tell the run something that needs no answer."""
        with self._lock:
            self.tell("note", method, arguments)

    def tell(self, *message: Any) -> None:
        """Say something to the run that needs no answer; it is sent with the next that does."""
        self._kept.append(message)
        if len(self._kept) >= ENOUGH:
            self.send_kept()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def send_kept(self) -> None:
        """Send what has been kept."""
        if self.ended:
            raise EndedError
        with self._sending:  # other threads of the program print
            kept, self._kept = self._kept, []
            if kept:
                self._send(kept)

    def _send(self, messages: list[tuple[Any, ...]]) -> None:
        try:
            self._line.send(messages)
        except OSError:
            self._end()

    def _hear(self) -> Any:
        """Send all, and wait until the run says how it goes on."""
        self.send_kept()
        while True:
            try:
                verb, *rest = self._line.receive()
            except EOFError:  # the run has gone
                self._end()
            if verb == "go":
                self._now, ended, value = rest
                for number, source, error, data in ended:
                    outputs = functools.partial(self._parcels.unpack, data)
                    self._open.pop(number).end(source, error, outputs)
                return value
            if verb == "where":
                with self._sending:
                    self._send([("here", user_line())])
            elif verb == "raise":
                raise self._refused(*rest)
            else:
                self._end()

    def _end(self) -> NoReturn:
        self.ended = True
        raise EndedError from None

    def _refused(self, packed: bytes, numbers: Sequence[int]) -> BaseException:
        """Note which calls the run has not taken, and return why."""
        error = unpack_error(packed)
        for number in numbers:
            handle = self._open.pop(number)
            handle.number = NO_CALL
            handle.end(-1, error, tuple)
        self._count -= len(numbers)  # none has come behind them: the run counts on without them
        return error
