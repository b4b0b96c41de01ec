"""What a live run keeps of jobs that are over, and how their single transfers are found again.

A run of thousands of steps makes more transfers than there is memory for. So of a job that is
over only who came and who left when is kept; whoever asks when its transfers ran has all that
came to the network carried out once more.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.engine.job import ArrayJob, Job
from simnet.engine.program import FloatArray, Program

if TYPE_CHECKING:
    from simnet.engine.fabric import NetworkModel


class Posted(NamedTuple):
    """What came to a network model of one job.

    Attributes
    ----------
    program : Program
        What was to be sent.
    time : float
        When it was posted, seconds.
    order : tuple
        See `simnet.engine.job.Job`.
    arrivals : array of float
        When the rank at each place comes, seconds; NaN until that is known.
    """

    program: Program
    time: float
    order: tuple[object, ...]
    arrivals: array[float]


class History:
    """All that came to a network model.

    Parameters
    ----------
    make_model : callable
        Makes another model of the same network, transport and seed.

    Attributes
    ----------
    posted : list of Posted
        In the order of posting.
    """

    def __init__(self, make_model: Callable[[], NetworkModel]) -> None:
        self.posted: list[Posted] = []
        self._make_model = make_model
        self._again: list[Job] = []

    def kept(self, job: Job, index: int) -> PastJob:
        """What is kept of a job that is over, the one of ``posted[index]``."""
        known = job.tier, job.retransmitted_bytes
        return PastJob(job.program, job.number, job.order, job.left, known, (self, index))

    def arrived(self) -> None:
        """A rank has come: what was carried out once more is not all any more."""
        self._again = []

    def carried_out(self, index: int) -> Job:
        """The job of ``posted[index]``, carried out once more with all others."""
        if len(self._again) != len(self.posted):
            self._again = self._carry_out()
        return self._again[index]

    def _carry_out(self) -> list[Job]:
        model, jobs = self._make_model(), []
        for program, posted, order, arrivals in self.posted:
            job = model.post(program, posted, order=order)
            jobs.append(job)
            for rank, time in zip(program.ranks, arrivals, strict=True):
                if time == time:
                    model.arrive(job, rank, time)
        while (instant := model.next_time()) < float("inf"):
            model.advance(instant)
        return jobs


class PastJob(ArrayJob):
    """What a live run keeps of a job that is over."""

    def __init__(
        self,
        program: Program,
        number: int,
        order: tuple[object, ...],
        left: dict[int, float],
        known: tuple[str, int],
        place: tuple[History, int],
    ) -> None:
        super().__init__(program, number, order)
        self.left = left
        self._known, self._place = known, place

    def _again(self) -> Job:
        history, index = self._place
        return history.carried_out(index)

    @property
    def tier(self) -> str:
        """Which tier found the times."""
        return self._known[0]

    @property
    def starts(self) -> FloatArray:
        """When each transfer was started, seconds."""
        return self._again().starts

    @property
    def ends(self) -> FloatArray:
        """When each transfer ended, seconds."""
        return self._again().ends

    @property
    def retransmitted(self) -> list[int]:
        """Bytes of each transfer that were sent again."""
        return self._again().retransmitted

    @property
    def retransmitted_bytes(self) -> int:
        """Sum of `retransmitted`."""
        return self._known[1]

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered: all."""
        return set(self.program.ranks)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is what is kept."""
        kept = self.program, self.number, self.order, self.left, self._known, self._place
        return PastJob, kept
