"""A line about work under way, once it has taken a second of wall time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

FIRST_AFTER_S = 1.0
EVERY_S = 0.25
EVERY_PLAIN_S = 10.0  # where lines cannot be written over


class ProgressLine:
    """One line on stderr, written over where that can be.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream: TextIO | None = None if quiet else sys.stderr
        self._begin = time.monotonic()
        self._next = self._begin + FIRST_AFTER_S
        self._width = 0

    def show(self, text: Callable[[float], str]) -> None:
        """Write the line anew if it is time to; `text` is given the seconds of wall time."""
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        live = self._stream.isatty()
        self._next = now + (EVERY_S if live else EVERY_PLAIN_S)
        line = text(now - self._begin)
        if live:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Take a line that can be written over away."""
        if self._stream is not None and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
