"""What measures or models a rank's own computation (see `simnet.workload.compute`)."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Meters one rank's computation; all calls come from the rank's own thread."""

    def begin(self) -> None:
        """The rank's code starts."""

    def end(self) -> None:
        """The rank's code is over: leave nothing behind."""

    def pause(self) -> None:
        """The rank's code has called simnet: what follows is not its own work."""

    def resume(self) -> None:
        """The rank's code goes on."""

    def take(self) -> float:
        """Virtual seconds of computation since the last take; asked while paused."""

    def step(self) -> None:
        """A training step is over."""
