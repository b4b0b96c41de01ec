"""A job that the kernel has carried out, now or when its like came for the first time."""

from __future__ import annotations

from collections.abc import Callable

from simnet.arrays import frozen
from simnet.engine.job import Job, LosslessJob
from simnet.engine.program import FloatArray, Program


class EpisodeJob(LosslessJob):
    """A job of an episode; its times are those of `source`, moved by `shift` seconds.

    Parameters
    ----------
    program, number, order
        See `simnet.engine.job.Job`.
    carry_out : callable
        Lets the kernel do what has been played back until now, so that there is a source.
    """

    def __init__(
        self,
        program: Program,
        number: int,
        order: tuple[object, ...],
        carry_out: Callable[[], None],
    ) -> None:
        super().__init__(program, number, order)
        self._carry_out = carry_out
        self.index = 0  # in its episode
        self.source: Job | None = None
        self.shift = 0.0
        self.played = False  # to its end
        self.entered: set[int] = set()

    def carried_out(self) -> Job:
        """The kernel's own job behind this one."""
        if self.source is None and not self.played:
            self._carry_out()
        if self.source is None:
            raise RuntimeError("what was played back here is not kept any more")
        return self.source

    @property
    def starts(self) -> FloatArray:
        """When each transfer was started, seconds; NaN until then."""
        return frozen(self.carried_out().starts + self.shift)

    @property
    def ends(self) -> FloatArray:
        """When each transfer ended, seconds; NaN until then."""
        return frozen(self.carried_out().ends + self.shift)

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""
        return self.entered
