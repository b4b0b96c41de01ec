"""What the kernel has carried out once is played back when it comes again.

A training run posts the same collectives thousands of times. From the instant a network leaves
its rest until it is at rest again is an *episode*; what happens in it depends on what is posted
and who arrives when, counted from its beginning, and on nothing before. So episodes are kept as
a tree: a node for every stimulus, in it who left between that one and the next. An episode that
takes a way through the tree costs nothing but its departures; where it leaves the tree, the
kernel carries it out from its beginning, and the tree grows.

Times counted from the beginning are the same to ten digits, not to the bit, so a time played
back differs from one carried out by less than 1e-10 of the episode's length. What comes in at one
instant is taken in an order of its own, so that times do not depend on who called first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from simnet.engine.episode_job import EpisodeJob
from simnet.engine.fabric import Departure
from simnet.engine.job import Job
from simnet.engine.kernel import KernelModel
from simnet.engine.program import FloatArray, IntArray, Program

INFINITY = float("inf")
MOST_NODES = 50_000
"""Stimuli remembered; from then on the tree grows no more."""
MOST_JOBS = 64
"""Jobs of an episode; one with more is not remembered further."""


@dataclass(slots=True, eq=False)
class Node:
    """A point in an episode: what has happened is the way that leads here.

    Attributes
    ----------
    outputs : list of (float, tuple of (int, int))
        Who leaves from here on if nothing else comes: seconds from the beginning, and the job's
        number in the episode with the place in its group.
    known_until : float
        Seconds from the beginning until which there is no other output.
    over : bool
        Whether the episode ends with the last output.
    children : dict
        By how many outputs came before it, and what the next stimulus is.
    jobs : list of weak references to Job
        Of an episode that ended here: what the kernel carried out, as long as somebody holds it.
    begin : float
        When that episode began, seconds.
    """

    outputs: list[tuple[float, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    known_until: float = 0.0
    over: bool = False
    children: dict[tuple[Any, ...], Node] = field(default_factory=dict)
    jobs: Sequence[ref[Job]] = ()
    begin: float = 0.0


class EpisodesModel:
    """A kernel that remembers: `simnet.engine.fabric.NetworkModel`, and it `RunsAhead`.

    Parameters
    ----------
    kernel : KernelModel
        What carries out what has not been seen; nothing may be drawn in it.
    """

    name = KernelModel.name

    def __init__(self, kernel: KernelModel) -> None:
        self._kernel = kernel
        self._root = Node()
        self._nodes = 1
        self._count = 0
        self._played: Counter[Program] = Counter()
        # The episode under way:
        self._begin: float | None = None
        self._node, self._seen = self._root, 0
        self._taken_up = 0
        self._orders: list[tuple[object, ...]] = []  # of its jobs
        self._jobs: list[EpisodeJob] = []  # while it is played back
        self._sources: list[ref[Job]] = []  # once it is carried out
        self._log: list[tuple[Any, ...]] = []
        self._live = False
        self._lost = False
        self._unfinished = 0
        self._owners: dict[int, EpisodeJob] = {}
        self._late: list[Departure] = []
        self._posted: list[tuple[EpisodeJob, float]] = []
        self._came: list[tuple[EpisodeJob, int, float]] = []
        self._comes = INFINITY  # the earliest of them
        self._now = 0.0

    # What the outside calls

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work; nothing of it moves before its ranks arrive."""
        job = EpisodeJob(program, self._count, order, self._take_over)
        self._count += 1
        self._posted.append((job, time))
        self._comes = min(self._comes, time)
        return job

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""
        assert isinstance(job, EpisodeJob)
        if job.done:
            raise ValueError(f"rank {rank} arrives in a job that is over")
        job.entered.add(rank)
        self._came.append((job, rank, time))
        self._comes = min(self._comes, time)

    def arrive_all(self, job: Job, times: FloatArray) -> None:
        """Let all ranks of a job enter, each at its own instant."""
        for rank, time in zip(job.program.ranks, times.tolist(), strict=True):
            self.arrive(job, rank, time)

    def carried(self, time: float) -> IntArray:
        """Bytes that each link has carried by `time`."""
        self._take_in()
        if self._begin is not None:
            if not self._live:
                self._carry_out()
            self._catch_up(time)
        carried = self._kernel.carried(time)
        for program, times in self._played.items():
            carried += times * self._kernel.bytes_of(program)
        return carried

    def next_time(self) -> float:
        """The next instant at which anything happens here, seconds; infinity for none."""
        if self._comes < INFINITY:
            return self._comes
        if self._begin is None:
            return INFINITY
        if self._late:
            return self._now
        if self._live:
            return self._kernel.next_time()
        node = self._node
        if self._seen < len(node.outputs):
            return max(self._now, self._begin + node.outputs[self._seen][0])
        return INFINITY if node.over else max(self._now, self._begin + node.known_until)

    def advance(self, time: float) -> Sequence[Departure]:
        """Carry out everything that happens at the instant `next_time()`, as one batch."""
        return self.run(time, time)

    def run(self, time: float, horizon: float) -> Sequence[Departure]:
        """Carry out `time`, then all before `horizon` until a rank leaves."""
        self._take_in()
        self._now = max(self._now, time)
        if self._begin is None:
            return []
        if not self._live:
            found = self._play(time)
            if found is not None:
                return found
            self._carry_out()
        self._catch_up(time)
        late, self._late = self._late, []
        if not late:
            return self._run_live(time, horizon)
        if self._is_over():
            self._end_episode()
        return [Departure(job, ranks, time) for job, ranks, _ in late]

    # What comes in

    def _take_in(self) -> None:
        """Take up what has been posted and who has come since the last instant."""
        posted, self._posted = self._posted, []
        came, self._came = self._came, []
        self._comes = INFINITY
        for job, time in sorted(posted, key=lambda each: each[0].order):
            self._take_up(job, time)
        places = ((time, job.index, job.program.places[rank], job) for job, rank, time in came)
        for time, index, place, job in sorted(places, key=lambda each: each[:3]):
            entry = ("arrive", job, job.program.ranks[place], time)
            if self._lost:
                self._apply(entry)
            else:
                self._note((index, place, self._since(time)), entry)

    def _take_up(self, job: EpisodeJob, time: float) -> None:
        if self._begin is None:
            self._start_episode(time)
        self._unfinished += bool(job.program.ranks)
        job.index = self._taken_up
        self._taken_up += 1
        entry = ("post", job, time)
        if job.index == MOST_JOBS:
            self._lose()
        if self._lost:
            self._apply(entry)
            return
        # Jobs are told apart by their order, not by what it is.
        turn = tuple((job.order > other) - (job.order < other) for other in self._orders)
        self._orders.append(job.order)
        if not self._live:
            self._jobs.append(job)
        self._note((job.program, turn, self._since(time)), entry)

    # Episodes

    def _start_episode(self, time: float) -> None:
        self._begin = self._now = time
        self._node, self._seen = self._root, 0
        self._taken_up = self._unfinished = 0
        self._orders, self._jobs, self._sources, self._log = [], [], [], []
        self._live = self._lost = False

    def _end_episode(self) -> None:
        self._begin = None
        self._owners, self._jobs, self._log = {}, [], []

    def _lose(self) -> None:
        """Remember no more of this episode: the kernel carries it out to its end."""
        if not self._live:
            self._carry_out()
        self._lost = True
        self._orders, self._sources = [], []

    def _since(self, time: float) -> float:
        """Seconds from the beginning, to ten digits."""
        assert self._begin is not None
        after = time - self._begin
        return float(f"{after:.10g}") if after else 0.0

    def _note(self, stimulus: tuple[Any, ...], entry: tuple[Any, ...]) -> None:
        """Go on to the node of a stimulus; carry the episode out where it is new."""
        key = (self._seen, *stimulus)
        child = self._node.children.get(key)
        if child is None and not self._live:
            self._carry_out()
        if self._live:
            self._see_quiet()
            self._apply(entry)
        else:
            self._log.append(entry)
        if child is None:
            child = Node()
            if self._nodes < MOST_NODES:
                self._nodes += 1
                self._node.children[key] = child
        self._node, self._seen = child, 0

    def _see_quiet(self) -> None:
        """Note until when nobody leaves if nothing else comes."""
        assert self._begin is not None
        until = self._kernel.next_time() - self._begin
        self._node.known_until = max(self._node.known_until, until)

    # Played back

    def _play(self, time: float) -> list[Departure] | None:
        """Who leaves at `time`; None where nobody knows."""
        assert self._begin is not None
        node, found = self._node, []
        while self._seen < len(node.outputs):
            after, left = node.outputs[self._seen]
            if self._begin + after > time:
                break
            self._seen += 1
            for number, place in left:
                job = self._jobs[number]
                rank = job.program.ranks[place]
                self._leave(job, rank, time)
                found.append(Departure(job, (rank,), time))
        if self._seen == len(node.outputs):
            if node.over:
                self._finish_played(node)
            elif not found and time >= self._begin + node.known_until:
                return None
        self._log.append(("advance", time))
        return found

    def _finish_played(self, node: Node) -> None:
        assert self._begin is not None
        for job, source in zip(self._jobs, node.jobs, strict=True):
            job.source, job.shift = source(), self._begin - node.begin
            job.played = True
            self._played[job.program] += 1
        self._end_episode()

    # Carried out

    def _take_over(self) -> None:
        """Let the kernel go on with what has come until now, for who looks into a job."""
        self._take_in()
        self._carry_out()

    def _carry_out(self) -> None:
        """Let the kernel do what has been played back until now; it goes on from there."""
        self._live = True
        log, self._log = self._log, []
        for entry in log:
            self._apply(entry)
        self._catch_up(self._now)
        self._jobs = []

    def _apply(self, entry: tuple[Any, ...]) -> None:
        if entry[0] == "post":
            _, job, time = entry
            job.source = self._kernel.post(job.program, time, order=job.order)
            self._owners[job.source.number] = job
            if not self._lost:
                self._sources.append(ref(job.source))
        elif entry[0] == "arrive":
            _, job, rank, time = entry
            self._kernel.arrive(job.source, rank, time)
        else:
            self._catch_up(math.nextafter(entry[1], INFINITY))

    def _catch_up(self, time: float) -> None:
        """Let the kernel carry out every instant before `time`."""
        while (instant := self._kernel.next_time()) < time:
            departures = self._kernel.advance(instant)
            for departure in departures:
                job = self._owners[departure.job.number]
                for rank in departure.ranks:
                    if rank not in job.left:
                        # Played back it would have left a rounding later.
                        self._leave(job, rank, self._now)
                        self._late.append(Departure(job, (rank,), self._now))
            self._disown(departures)

    def _run_live(self, time: float, horizon: float) -> list[Departure]:
        assert self._begin is not None
        found: list[Departure] = []
        left = []
        when = time
        departures = self._kernel.run(time, horizon)
        for departure in departures:
            job, when = self._owners[departure.job.number], departure.time
            # Played back, some left a rounding earlier: no output of this node.
            for rank in [rank for rank in departure.ranks if rank not in job.left]:
                if not self._lost:
                    left.append((job.index, job.program.places[rank]))
                self._leave(job, rank, when)
                found.append(Departure(job, (rank,), when))
        self._disown(departures)
        self._now = max(self._now, when)
        over = self._is_over()
        if not self._lost:
            self._record(when, tuple(left), over)
        if over:
            self._end_episode()
        return found

    def _record(self, when: float, left: tuple[tuple[int, int], ...], over: bool) -> None:
        """Grow the present node by an output, or learn that none comes for a while."""
        assert self._begin is not None
        node = self._node
        if left:
            if self._seen == len(node.outputs):
                node.outputs.append((when - self._begin, left))
            self._seen += 1
        if over:
            node.over, node.begin = True, self._begin
            node.jobs = self._sources
        elif self._seen == len(node.outputs):
            self._see_quiet()

    def _disown(self, departures: Sequence[Departure]) -> None:
        """Let go of the jobs that are over; of one job there may be several departures."""
        for departure in departures:
            if departure.job.done:
                self._owners.pop(departure.job.number, None)

    def _is_over(self) -> bool:
        return not self._unfinished and self._kernel.next_time() == INFINITY

    def _leave(self, job: EpisodeJob, rank: int, time: float) -> None:
        job.left[rank] = time
        self._unfinished -= job.done
