"""What is shown of a run under way."""

from __future__ import annotations

from simnet.progress import ProgressLine
from simnet.ranks.session import Session
from simnet.units import format_size, format_time


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
        self._line = ProgressLine(quiet=quiet)

    def show(self) -> None:
        """Write the line anew if it is time to."""
        self._line.show(self._text)

    def close(self) -> None:
        """Take a line that can be written over away."""
        self._line.close()

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
