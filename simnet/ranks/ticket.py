"""A rank's part of an operation: what it can wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import simpy

from simnet.ranks.call import Call


class Gathering(Protocol):
    """Where ranks come one after the other."""

    last_came: float


class Ticket:
    """What a rank holds of a call it has made.

    Attributes
    ----------
    number : int
        Its place among the rank's calls.
    call : Call
        What the rank asked for.
    issued : float
        When, virtual seconds.
    over : bool
        Whether the rank's own part is over.
    known : bool
        Whether the rank knows: of its calls it knows what was so when it last went on.
    ended : float
        When it was; NaN until then.
    error : Exception or None
        What the rank gets to hear when it waits.
    source : int
        Position in the group of who sent what a recv took; -1 elsewhere and until then.
    algorithm : str
        How the call was to be carried out: a name, or "auto".
    peers_came : float
        When the last rank that had come came: a rank that waited until then waited for peers.
    meeting : Gathering or None
        Where it waits for peers, until it is over.
    inside : callable or None
        ``inside()`` says in words what a rank that waits here waits for, until it is over.
    """

    __slots__ = (
        "_callbacks",
        "_env",
        "_outputs",
        "_parts",
        "algorithm",
        "call",
        "ended",
        "error",
        "inside",
        "issued",
        "known",
        "meeting",
        "number",
        "over",
        "peers_came",
        "source",
    )

    def __init__(self, number: int, call: Call, env: simpy.Environment, parts: int) -> None:
        self.number, self.call = number, call
        self.issued = float(env.now)
        self._env = env
        self._callbacks: list[Callable[[Ticket], object]] | None = []
        self.over = self.known = False
        self.ended = float("nan")
        self.error: Exception | None = None
        self.source = -1
        self.algorithm = ""
        self.peers_came = self.issued
        self.meeting: Gathering | None = None
        self.inside: Callable[[], str] | None = None
        self._outputs: Callable[[], Sequence[Any]] | None = None
        self._parts = parts

    def needs(self, event: simpy.Event) -> None:
        """Count an event as one of the ticket's parts."""
        if event.callbacks is None:
            self.part_over()
        else:
            event.callbacks.append(self.part_over)

    def part_over(self, _: simpy.Event | None = None) -> None:
        """Note that one part is over; the last one ends the ticket."""
        self._parts -= 1
        if self._parts == 0 and not self.over:
            self._end()

    def then(self, callback: Callable[[Ticket], object]) -> None:
        """Call something when the ticket, which is not over, is."""
        assert self._callbacks is not None
        self._callbacks.append(callback)

    def describe(self) -> str:
        """What a rank that waits here waits for, in words."""
        return self.call.describe() if self.inside is None else self.inside()

    def fail(self, error: Exception) -> None:
        """End the ticket at once: the rank hears why when it waits."""
        if not self.over:
            self.error = error
            self._end()

    def give(self, outputs: Callable[[], Sequence[Any]]) -> None:
        """Say where the data come from that the rank copies once the ticket is over."""
        self._outputs = outputs

    def outputs(self) -> Sequence[Any]:
        """The data for the rank's tensors; asked for once."""
        outputs, self._outputs = self._outputs, None
        return () if outputs is None or self.error is not None else outputs()

    def _end(self) -> None:
        self.over = True
        self.inside = None  # lets go of what the call's data hang on
        self.ended = float(self._env.now)
        if self.meeting is not None:
            self.peers_came, self.meeting = self.meeting.last_came, None
        callbacks, self._callbacks = self._callbacks, None  # a run keeps every ticket
        for callback in callbacks or ():
            callback(self)
