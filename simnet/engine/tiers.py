"""The cheapest way that gives the right times, job by job: the choice between tiers.

A job that has the network to itself, all of whose ranks' arrivals are known when the first of
them comes, is worked out at once by the first tier that can; its departures are then told one
after the other. Whatever comes in before it is over (another job's ranks, a look at what has been
carried) makes the tier hand its state down: the event-driven kernel carries out, from the job's
beginning, what was posted and who arrived, and goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from simnet.arrays import frozen
from simnet.engine.fabric import Departure
from simnet.engine.job import Job, LosslessJob
from simnet.engine.kernel import KernelModel
from simnet.engine.program import MOST_BYTES, FloatArray, IntArray, Program
from simnet.engine.timeline import Tier, Timeline
from simnet.network import Network

INFINITY = float("inf")
FEW_FLOWS = 64
"""Flows below which the kernel is asked at once."""


class GivesUp:
    """A tier that is no longer asked about a program which it has declined so many times.

    For tiers whose declining costs something, in runs that post the same programs again and again.
    """

    def __init__(self, tier: Tier, times: int = 2) -> None:
        self._tier, self._times = tier, times
        self._declined: WeakKeyDictionary[Program, int] = WeakKeyDictionary()

    def __call__(
        self, net: Network, program: Program, posted: float, arrivals: FloatArray
    ) -> Timeline | None:
        """Work out a job, or decline."""
        declined = self._declined.get(program, 0)
        if declined >= self._times:
            return None
        timeline = self._tier(net, program, posted, arrivals)
        if timeline is None:
            self._declined[program] = declined + 1
        return timeline


class TieredModel:
    """Tiers above a kernel: `simnet.engine.fabric.NetworkModel`, and it `RunsAhead`.

    Parameters
    ----------
    net : Network
        The network.
    kernel : KernelModel
        What carries out what no tier can; nothing may be drawn in it.
    tiers : sequence of Tier
        From the cheapest on.
    """

    name = KernelModel.name

    def __init__(self, net: Network, kernel: KernelModel, tiers: Sequence[Tier]) -> None:
        self._kernel, self._tiers = kernel, tiers
        self._net = net
        self._count = 0
        self._waiting: list[TieredJob] = []  # nobody has entered yet
        self._live: dict[int, TieredJob] = {}  # under way in the kernel, by its own numbers
        self._alone: TieredJob | None = None  # has the network to itself
        self._story: _Story | None = None  # how that one goes, once it has begun
        self._done = -INFINITY  # until when the kernel has to catch up if it takes over
        self._late: list[Departure] = []
        self._now = 0.0
        self._carried = np.zeros(net.num_links, dtype=np.int64)

    # What the outside calls

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work; nothing of it moves before its ranks arrive."""
        job = TieredJob(self, program, self._count, order, time)
        self._count += 1
        if program.releases is None:
            self._waiting.append(job)
        elif program.ranks:
            self._begin(job, time)
        return job

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""
        assert isinstance(job, TieredJob)
        if rank in job.entered:
            raise ValueError(f"rank {rank} has arrived in this job already")
        self._enter(job, time)
        job.entered[rank] = time
        if job.source is not None:
            self._kernel.arrive(job.source, rank, time)

    def arrive_all(self, job: Job, times: FloatArray) -> None:
        """Let all ranks of a job enter, each at its own instant."""
        assert isinstance(job, TieredJob)
        self._enter(job, float(times.min()))
        job.entered = dict(zip(job.program.ranks, times.tolist(), strict=True))
        if job.source is not None:
            self._kernel.arrive_all(job.source, times)

    def carried(self, time: float) -> IntArray:
        """Bytes that each link has carried by `time`."""
        self._hand_down()
        self._catch_up(math.nextafter(time, INFINITY))
        return self._carried + self._kernel.carried(time)

    def next_time(self) -> float:
        """The next instant at which anything happens here, seconds; infinity for none."""
        if self._late:
            return self._now
        if self._alone is None:
            return self._kernel.next_time()
        if self._story is not None:
            return self._story.next_time
        return min(self._alone.entered.values(), default=INFINITY)

    def advance(self, time: float) -> Sequence[Departure]:
        """Carry out everything that happens at the instant `next_time()`, as one batch."""
        return self.run(time, time)

    def run(self, time: float, horizon: float) -> Sequence[Departure]:
        """Carry out `time`, then all before `horizon` until a rank leaves."""
        self._now = max(self._now, time)
        if self._alone is not None and self._story is None:
            self._work_out(self._alone)
        if self._story is not None:
            return self._tell(self._story, time, horizon)
        self._catch_up(time)  # after a tier has handed down
        if self._late:
            late, self._late = self._late, []
            return [Departure(job, ranks, time) for job, ranks, _ in late]
        return self._passed_on(self._kernel.run(time, horizon))

    # One job alone

    def _enter(self, job: TieredJob, time: float) -> None:
        """Let a job be under way when the first of its ranks comes."""
        if job in self._waiting:
            self._begin(job, time)
            self._waiting.remove(job)

    def _begin(self, job: TieredJob, time: float) -> None:
        """Let a job have the network to itself if it can, else hand down what has."""
        few = job.program.schedule is None and len(job.program) < FEW_FLOWS
        busy = self._alone is not None or self._live or self.next_time() < INFINITY
        if busy or few or not len(job.program):
            self._hand_down()
            self._give(job, time)
        else:
            self._alone = job

    def _work_out(self, job: TieredJob) -> None:
        """Ask one tier after the other; the kernel where none can tell."""
        if len(job.entered) == len(job.program.ranks):
            arrivals = np.array([job.entered[rank] for rank in job.program.ranks])
            for tier in self._tiers:
                timeline = tier(self._net, job.program, job.posted, arrivals)
                if timeline is not None:
                    self._story = _Story(job, timeline)
                    return
        self._hand_down()

    def _tell(self, story: _Story, time: float, horizon: float) -> list[Departure]:
        """Who leaves at `time`, or before the horizon."""
        if story.next_time > time and not story.next_time < horizon:
            self._done = time
            return []
        when = self._now = self._done = max(time, story.next_time)
        ranks = story.pop()
        story.job.left.update(dict.fromkeys(ranks, when))
        if story.next_time == INFINITY:
            story.job.timeline = story.timeline
            self._add_carried(story.timeline.link_bytes)
            self._alone = self._story = None
        return [Departure(story.job, ranks, when)]

    def _add_carried(self, link_bytes: IntArray) -> None:
        """Add what a job has carried; neither sum is over 2^62, so that theirs is at most 2^63."""
        if (link_bytes > MOST_BYTES - self._carried).any():
            raise ValueError("the program brings the model's bytes over 2^62")
        self._carried += link_bytes

    # Handing down

    def _hand_down(self) -> None:
        """Let the kernel carry out what the job alone has done until now, and go on from there."""
        job, self._alone, self._story = self._alone, None, None
        if job is None:
            return
        self._give(job, min(job.entered.values(), default=job.posted))
        assert job.source is not None
        for rank, time in job.entered.items():
            self._kernel.arrive(job.source, rank, time)
        self._catch_up(math.nextafter(self._done, INFINITY))

    def _give(self, job: TieredJob, time: float) -> None:
        """Post a job to the kernel when it begins, after all that were posted before it."""
        earlier = [each for each in self._waiting if each.number < job.number]
        for each in [*earlier, job]:
            if each.place is None:
                at = time if each.program.releases is None else each.posted
                each.place = self._kernel.post(each.program, at, order=each.order)
        job.source = job.place
        assert job.source is not None
        self._live[job.source.number] = job

    def _catch_up(self, before: float) -> None:
        """Let the kernel carry out every instant before one."""
        while (instant := self._kernel.next_time()) < before:
            found = self._passed_on(self._kernel.advance(instant))
            # Told by a tier they would have left a rounding later.
            self._late += [Departure(job, ranks, self._now) for job, ranks, _ in found]

    def _passed_on(self, departures: Sequence[Departure]) -> list[Departure]:
        """The kernel's departures, but of those who have left already, a rounding earlier."""
        found = []
        for source, ranks, time in departures:
            job = self._live[source.number]
            new = [rank for rank in ranks if rank not in job.left]
            if new:
                job.left.update(dict.fromkeys(new, time))
                found.append(Departure(job, new, time))
            self._now = max(self._now, time)
        for source, _, _ in departures:  # of which one job may have several
            if source.done:
                self._live.pop(source.number, None)
        return found


class _Story:
    """A timeline being told: whoever leaves at one instant leaves together."""

    def __init__(self, job: TieredJob, timeline: Timeline) -> None:
        self.job, self.timeline = job, timeline
        self._order = np.argsort(timeline.left, kind="stable")
        instants, begins = np.unique(timeline.left[self._order], return_index=True)
        self._instants: list[float] = instants.tolist()
        self._begins: list[int] = [*begins.tolist(), len(self._order)]
        self._told = 0

    @property
    def next_time(self) -> float:
        """When the next ranks leave, seconds; infinity when all have been told."""
        return self._instants[self._told] if self._told < len(self._instants) else INFINITY

    def pop(self) -> Sequence[int]:
        """The global ranks that leave next."""
        places = self._order[self._begins[self._told] : self._begins[self._told + 1]].tolist()
        self._told += 1
        ranks = self.job.program.ranks
        return ranks if len(places) == len(ranks) else [ranks[place] for place in places]


class TieredJob(LosslessJob):
    """A job worked out by a tier, or carried out by the kernel as its `source`."""

    def __init__(
        self,
        model: TieredModel,
        program: Program,
        number: int,
        order: tuple[object, ...],
        posted: float,
    ) -> None:
        super().__init__(program, number, order)
        self.posted = posted
        self.entered: dict[int, float] = {}
        self.place: Job | None = None  # in the kernel's order of posting, once it has one
        self.source: Job | None = None
        self.timeline: Timeline | None = None
        self._model = model

    @property
    def tier(self) -> str:
        """Which tier found the times."""
        return self.timeline.tier if self.timeline is not None else super().tier

    def _times(self) -> tuple[FloatArray, FloatArray]:
        if self.timeline is not None:
            return self.timeline.times()
        if self.source is None:
            self._model._hand_down()
        if self.source is None:
            nothing = np.full(len(self.program), np.nan)
            return nothing, nothing
        return self.source.starts, self.source.ends

    @property
    def starts(self) -> FloatArray:
        """When each transfer was started, seconds; NaN until then."""
        return frozen(self._times()[0])

    @property
    def ends(self) -> FloatArray:
        """When each transfer ended, seconds; NaN until then."""
        return frozen(self._times()[1])

    @property
    def arrived(self) -> set[int]:
        """The global ranks that have entered."""
        return {rank for rank, time in self.entered.items() if time <= self._model._now}
