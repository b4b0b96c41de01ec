"""A line about a run under way, once it has taken a second of wall time."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from simnet.ranks.session import Session
from simnet.units import format_size, format_time

FIRST_AFTER_S = 1.0
EVERY_S = 0.25
EVERY_PLAIN_S = 10.0  # where lines cannot be written over


class Progress:
    """Shows virtual time, calls or steps a second, and bytes, on stderr.

    Parameters
    ----------
    session : Session
        The run.
    quiet : bool
        Show nothing.
    """

    def __init__(self, session: Session, *, quiet: bool = False) -> None:
        self._session = session
        self._stream: TextIO | None = None if quiet else sys.stderr
        self._begin = time.monotonic()
        self._next = self._begin + FIRST_AFTER_S
        self._width = 0

    def show(self) -> None:
        """Write the line anew if it is time to."""
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        live = self._stream.isatty()
        self._next = now + (EVERY_S if live else EVERY_PLAIN_S)
        text = self._text(now - self._begin)
        if live:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Take a line that can be written over away."""
        if self._stream is not None and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def _text(self, wall: float) -> str:
        session = self._session
        if not session.members:
            return f"simnet: processes are starting, {wall:.0f} s"
        steps = sum(member.steps for member in session.members) / max(len(session.members), 1)
        done = f"{steps / wall:.3g} steps/s" if steps else f"operations: {len(session.hub.calls)}"
        size = sum(call.size for call, *_ in session.hub.calls)
        return (
            f"simnet: virtual {format_time(float(session.clock.now))}, {done}, "
            f"{format_size(size)} in calls, {wall:.0f} s"
        )
