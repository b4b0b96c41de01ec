"""A rank as its own code sees it: its virtual time, its calls, what it waits for."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from simnet.ranks.bucketing import bucketed, flushing, goes_into_bucket
from simnet.ranks.call import Call, freed
from simnet.ranks.meter import Meter
from simnet.ranks.waits import Lookup, Poll, Sleep, Why

POLL_INTERVAL_S = 1e-6
INFINITY = float("inf")
NOTHING = nullcontext()

_THREAD = threading.local()
_PROCESS: list[Seat] = []  # the one rank of a process that is a rank as a whole
_FORKS: list[bool] = []  # whether this process knows what to do when it is forked


class Handle(Protocol):
    """A call under way, as the rank that made it sees it."""

    known: bool  # whether it was over when the rank last went on
    issued: float
    error: Exception | None
    source: int

    def outputs(self) -> Sequence[Any]:
        """The data for the rank's tensors, once it is over; asked for once."""


class Seat(ABC):
    """What a rank's code has of the run; one for threads, one for processes.

    Parameters
    ----------
    number, world_size : int
        Which rank, of how many.
    meter : Meter or None
        What charges computation; None where it is free.
    poll_interval : float
        Virtual seconds that a look at a handle costs.
    moves_data : bool
        False where only shapes count.
    bucket : int or None
        Bytes of the buckets that gather small calls; None where they go as issued.
    """

    shares_memory = True

    def __init__(
        self,
        number: int,
        world_size: int,
        meter: Meter | None = None,
        poll_interval: float = POLL_INTERVAL_S,
        bucket: int | None = None,
        moves_data: bool = True,
    ) -> None:
        self.number, self.world_size = number, world_size
        self.meter, self.poll_interval = meter, poll_interval
        self.bucket, self.moves_data = bucket, moves_data
        self._pending: dict[Any, Callable[[], None]] = {}
        self._gathered: dict[tuple[str, tuple[int, ...]], Call] = {}  # since the last flush
        self._watched: dict[Any, None] = {}
        self._unawaited: dict[Any, bool] = {}  # whether they have a future
        self.bytes: Counter[str] = Counter()
        self.worlds = 0  # default groups that the rank has had
        self._phase, self._is_free = "", False
        self._away_depth = 0
        self._counts_steps = self._finishing = False
        self.asked: tuple[Any, ...] = ()  # of the store, since the last wait

    # What a kind of ranks has to give

    @property
    @abstractmethod
    def time(self) -> float:
        """The rank's virtual time, without charging anything."""

    @abstractmethod
    def _issue(self, call: Call, tensors: Sequence[Any]) -> Any:
        """Make a call; returns its handle."""

    @abstractmethod
    def _wait(self, wait: Sleep | Poll | Lookup) -> None:
        """Let the others go on until the wait is over; handles know then whether they are."""

    @abstractmethod
    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask something of the run that takes no time: see `simnet.ranks.requests`."""

    # What the rank's code calls

    def now(self) -> float:
        """The rank's virtual time, all its computation charged."""
        with self.away():
            return self.time

    def issue(self, call: Call, tensors: Sequence[Any], finish: Callable[[Any], None]) -> Any:
        """Make a call at the present virtual time.

        Parameters
        ----------
        call : Call
            What is asked for.
        tensors : sequence
            The rank's data.
        finish : callable
            Called with the handle, in the rank's own thread, when the rank next waits or looks
            and the call is over.
        """
        self.bytes[self._phase] += call.size
        if self._is_free:
            call = freed(call)
        with self.away():
            if self.bucket is not None:
                return self._issue_bucketed(self.bucket, call, tensors, finish)
            return self._issue_now(call, tensors, finish)

    def _issue_now(self, call: Call, tensors: Sequence[Any], finish: Callable[[Any], None]) -> Any:
        if self._finishing:
            self.note("in callback")
        handle = self._issue(call, tensors)
        self._pending[handle] = lambda: finish(handle)
        self._unawaited[handle] = False
        return handle

    def _issue_bucketed(
        self, limit: int, call: Call, tensors: Sequence[Any], finish: Callable[[Any], None]
    ) -> Any:
        """Let a call's bytes go with others if they may, else after what is in buckets."""
        if goes_into_bucket(call, limit):
            self._gathered[call.group, call.ranks] = call
            call = bucketed(call, limit)
        elif not call.empty:
            self.flush()
        return self._issue_now(call, tensors, finish)

    def flush(self) -> None:
        """Send what is in buckets, and wait for all that is sent."""
        gathered, self._gathered = self._gathered, {}
        for last in gathered.values():
            handle = self._issue(flushing(last, self.bucket or 0), ())
            while not handle.known:
                self._rest(Sleep(tickets=(handle,)))

    def watch(self, handle: Any) -> None:
        """Let every wait be interrupted when the call is over, so that `finish` is called then."""
        if handle in self._unawaited:
            self._unawaited[handle] = True
        if not handle.known:
            self._watched[handle] = None

    def wait(self, handle: Any, until: float = INFINITY) -> bool:
        """Wait for a call, or until a virtual time; returns whether the call is over."""
        with self.away():
            self._note_over(handle)
            while not handle.known and self.time < until:
                others = tuple([each for each in self._interrupters() if each is not handle])
                self._rest(Sleep((handle,), until, others=others))
            self._settle()
        return bool(handle.known)

    def wait_any(self) -> bool:
        """Wait until one of the watched calls is over; returns whether there was one."""
        with self.away():
            if not self._watched:
                return False
            if len(self._interrupters()) < len(self._watched):
                self._settle()  # some are over, and in a callback have waited for this
            else:
                self._rest(Sleep(tickets=self._interrupters()))
        return True

    def _interrupters(self) -> tuple[Any, ...]:
        """The watched calls that may yet come into a wait."""
        return tuple(handle for handle in self._watched if not handle.known)

    def look(self, handle: Any) -> bool:
        """Whether a call is over; takes a poll interval where that is not known."""
        with self.away():
            self.flush()
            if handle.known:
                self.note("saw", handle.number)
            else:
                self._rest(Poll(interval=self.poll_interval))
            self._settle()
        return bool(handle.known)

    def caught_up(self) -> None:
        """A future is waited for that is complete: whatever futures there are may be the reason."""
        for handle in [each for each, future in self._unawaited.items() if future and each.known]:
            self._note_over(handle)

    def _note_over(self, handle: Any) -> None:
        """Tell of a first wait that does not wait: elsewhere it might have to."""
        if self._unawaited.pop(handle, None) is not None and handle.known:
            self.note("waited", handle.number)

    @contextmanager
    def phase(self, name: str, *, free: bool = False) -> Iterator[None]:
        """What happens inside belongs to a phase; `bytes` counts its calls by it.

        Calls of a free phase move their data and cost no time, and what the rank computes in it
        is not charged; they still wait for the data. A phase inside it that is not free costs.
        """
        before = self._phase, self._is_free
        self._enter_phase(name, free)
        try:
            yield
        finally:
            self._enter_phase(*before)

    def _enter_phase(self, name: str, free: bool) -> None:
        with self.away():
            self.flush()
        if free != self._is_free:
            self._meter_rests(free)
        self._phase, self._is_free = name, free
        self.note("phase", name)

    def _meter_rests(self, rests: bool) -> None:
        if self.meter is None:
            return
        self._away_depth += 1 if rests else -1
        (self.meter.pause if rests else self.meter.resume)()

    @property
    def watching(self) -> bool:
        """Whether any call is watched."""
        return bool(self._watched)

    def glance(self) -> None:
        """Look whether anything is over; takes a poll interval."""
        with self.away():
            self.flush()
            self._rest(Poll(interval=self.poll_interval))

    def spend(self, seconds: float, why: Why = "compute") -> None:
        """Let virtual time pass: computing, or pausing ("idle")."""
        with self.away():
            self.flush()
            if self._finishing:
                self.note("in callback")
            self._spend(seconds, why)

    def lookup(self, keys: Sequence[str], until: float = INFINITY) -> bool:
        """Wait until keys are in the run's store, or a time; returns whether they are there."""
        with self.away():
            self.flush()
            if self.ask("board.has", list(keys)):
                self.note("found", *keys)  # elsewhere it might have to wait
                return True
            self._rest(Lookup(keys=tuple(keys), until=until))
            return bool(self.ask("board.has", list(keys)))

    def step(self) -> None:
        """A training step is over."""
        self._counts_steps = True
        if self.meter is not None:
            self.meter.step()
        self._stepped()

    def optimizer_stepped(self) -> None:
        """An optimizer has stepped: a training step's end, unless the program says those itself."""
        if not self._counts_steps:
            self._stepped()

    def _stepped(self) -> None:
        with self.away():
            self.flush()
        self.note("step")

    def note(self, method: str, *arguments: Any) -> None:
        """Tell the run something that needs no answer."""
        self.ask(method, *arguments)

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds of the run: its code calls in vain from now on."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the rank's code runs: what it computes is metered, and charged until its end."""
        if self.meter is not None:
            self.meter.begin()
            self.meter.resume()
        try:
            yield
            with self.away():
                self.flush()
        finally:
            if self.meter is not None:
                self.meter.pause()
                self.meter.end()

    def away(self) -> AbstractContextManager[None]:
        """Charge what the rank's code has computed; what happens inside is not its own work."""
        return NOTHING if self.meter is None or self._away_depth else self._unmetered(self.meter)

    @contextmanager
    def _unmetered(self, meter: Meter) -> Iterator[None]:
        self._away_depth += 1
        meter.pause()
        try:
            seconds = meter.take()
            if seconds > 0:
                self._spend(seconds, "compute")
            yield
        finally:
            self._away_depth -= 1
            meter.resume()

    def _spend(self, seconds: float, why: Why) -> None:
        until = self.time + seconds
        duration = seconds
        while True:
            self._rest(Sleep(self._interrupters(), until, why, duration))
            if not self.time < until:
                return
            duration = float("nan")

    def _rest(self, wait: Sleep | Poll | Lookup) -> None:
        self.asked = ()
        self._wait(wait)
        self._settle()

    def _settle(self) -> None:
        """Finish every call that is over."""
        for handle in [handle for handle in self._pending if handle.known]:
            finish = self._pending.pop(handle, None)
            self._watched.pop(handle, None)
            if finish is None:
                continue  # a finish of another has waited, and finished this one
            before, self._finishing = self._finishing, True
            try:
                finish()
            finally:
                self._finishing = before


def current() -> Seat | None:
    """The rank whose code this is; None outside."""
    seat: Seat | None = getattr(_THREAD, "seat", None)
    if seat is None and _PROCESS:
        return _PROCESS[0]
    return seat


def enter(seat: Seat | None) -> None:
    """Make the calling thread a rank's, or no rank's any more; processes it forks are none."""
    _mind_forks()
    _THREAD.seat = seat


def enter_process(seat: Seat) -> None:
    """Make this whole process a rank; processes that it forks are none."""
    _mind_forks()
    _PROCESS[:] = [seat]


def leave_process() -> None:
    """Make this process no rank any more."""
    _PROCESS.clear()


def _mind_forks() -> None:
    if not _FORKS:
        os.register_at_fork(after_in_child=_forget)
        _FORKS.append(True)


def _forget() -> None:
    here = getattr(_THREAD, "seat", None)
    for seat in (*_PROCESS, here) if here is not None else _PROCESS:
        seat.close()
    _PROCESS.clear()
    _THREAD.seat = None
