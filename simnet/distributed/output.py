"""What ranks print, each line behind the rank's number."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simnet.ranks.seat import current


class RankLines(io.TextIOBase):
    """A text stream that puts "[rank 3] " before the lines of ranks; others' pass as they are.

    Lines of a rank come out whole: what has no end yet is kept until it has, and of what is
    written over (as progress bars are) the last remains.
    """

    def __init__(self, stream: Any, width: int) -> None:
        super().__init__()
        self._stream, self._width = stream, width
        self._begun: dict[int, str] = {}

    def write(self, text: str) -> int:
        """Write, a rank's lines behind its number."""
        seat = current()
        if seat is None:
            self._stream.write(text)
            return len(text)
        *lines, rest = (self._begun.pop(seat.number, "") + text).split("\n")
        prefix = self._prefix(seat.number)
        self._stream.write("".join(f"{prefix}{_last(line)}\n" for line in lines))
        if rest:
            self._begun[seat.number] = _last(rest)
        return len(text)

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def finish(self) -> None:
        """Write what has no end of line."""
        for number, rest in sorted(self._begun.items()):
            self._stream.write(f"{self._prefix(number)}{rest}\n")
        self._begun.clear()

    def _prefix(self, number: int) -> str:
        return f"[rank {number:>{self._width}}] "

    def writable(self) -> bool:
        """Always."""
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _last(text: str) -> str:
    """What of a text is to be seen after carriage returns; those at its end are still to come."""
    seen = text.rstrip("\r")
    return seen.rpartition("\r")[2] + text[len(seen) :]


@contextmanager
def prefixed_output(count: int) -> Iterator[None]:
    """Let what the ranks of a run print say whose it is."""
    before = sys.stdout, sys.stderr
    width = len(str(count - 1))
    streams = [RankLines(stream, width) for stream in before if stream is not None]
    if len(streams) < 2:
        yield
        return
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.finish()
        sys.stdout, sys.stderr = before
