"""Where ranks, timers and a network model meet: what a model answers to, and its SimPy shell."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import total_ordering
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import simpy
from numpy.typing import NDArray

from simnet.collectives import Collective, Flows, Plan, flows, plan
from simnet.engine.cables import Cables
from simnet.engine.clock import LAST, Clock
from simnet.engine.history import History, Posted
from simnet.engine.job import NOT_YET, Job
from simnet.engine.program import Program, compile_flows, compile_schedule
from simnet.network import Network


class Departure(NamedTuple):
    """Some ranks' own parts of a job are over: what the world outside a network can see."""

    job: Job
    ranks: Sequence[int]
    time: float


class Observer:
    """Told what a network model does; every method does nothing until overridden."""

    def on_start(self, job: Job, transfer: int, time: float) -> None:
        """A transfer has started."""

    def on_end(self, job: Job, transfer: int, time: float) -> None:
        """A transfer has ended."""

    def on_rates(self, time: float, link_rates: NDArray[np.float64]) -> None:
        """The links' rates (bytes/s, shape (L,)) from `time` until the next call."""


class NetworkModel(Protocol):
    """What the fabric asks of a network model: a pure core that knows nothing of SimPy.

    A model is at rest between calls. It must give the same times however often `next_time` is
    asked and whatever else happens on the clock in between.
    """

    @property
    def name(self) -> str:
        """How results call the engine."""

    def post(self, program: Program, time: float, *, order: tuple[object, ...] = ()) -> Job:
        """Take up a piece of work at `time`; nothing of it moves before its ranks arrive."""

    def arrive(self, job: Job, rank: int, time: float) -> None:
        """Let a global rank enter a job at an instant that has not passed."""

    def arrive_all(self, job: Job, times: NDArray[np.float64]) -> None:
        """Let all ranks of a job enter, each at its own instant; in the order of their places."""

    def carried(self, time: float) -> NDArray[np.int64]:
        """Bytes that each link has carried by `time`, which `next_time()` has not passed."""

    def next_time(self) -> float:
        """The next instant at which anything happens here, seconds; infinity for none."""

    def advance(self, time: float) -> Sequence[Departure]:
        """Carry out everything that happens at `time` = `next_time()`, as one batch."""


@runtime_checkable
class RunsAhead(NetworkModel, Protocol):
    """A model that can carry out many instants at a time, as long as nobody outside would act."""

    def run(self, time: float, horizon: float) -> Sequence[Departure]:
        """Carry out `time`, then all before `horizon` until a rank leaves.

        Every instant is a batch of its own, as with `advance`; who leaves, leaves at one instant.
        """


class Departures(Mapping[int, simpy.Event]):
    """Each rank's event of leaving a job, made when it is asked for."""

    def __init__(self, env: Clock, job: Job) -> None:
        self._env, self._job = env, job
        self._made: dict[int, simpy.Event] = {}

    def __getitem__(self, rank: int) -> simpy.Event:
        """The event of a global rank; one that has left already is over, with its time."""
        event = self._made.get(rank)
        if event is None:
            if rank not in self._job.program.places:
                raise KeyError(rank)
            event = self._made[rank] = self._env.event()
            if rank in self._job.left:
                event._ok, event._value = True, self._job.left[rank]
                event.callbacks = None  # type: ignore[assignment]  # as SimPy marks what is over
        return event

    def __iter__(self) -> Iterator[int]:
        """The global ranks, in the order of the group."""
        return iter(self._job.program.ranks)

    def __len__(self) -> int:
        """How many ranks take part."""
        return len(self._job.program.ranks)

    def __contains__(self, rank: object) -> bool:
        """Whether a global rank takes part."""
        return rank in self._job.program.places

    def waited_for(self, ranks: Sequence[int]) -> list[tuple[int, simpy.Event]]:
        """Of some ranks those whose events somebody has asked for."""
        made = self._made
        return [(rank, made[rank]) for rank in ranks if rank in made] if made else []


class Operation:
    """A piece of work on the clock.

    Attributes
    ----------
    work : Collective or Flows
        What was asked for.
    job : Job
        Its transfers, and how far each has come.
    plan : Plan or None
        Which algorithm runs and why; None for flows.
    left : mapping of int to simpy.Event
        Per global rank: triggered when the rank's own part is over, with the time as value. An
        event is made when it is first asked for.
    done : simpy.Event
        Triggered when every rank has left, with the time as value.
    start : float
        When the first rank arrives, or the first flow starts, seconds; infinity before any rank
        of a collective is announced.
    announced : array of float
        When the rank at each place arrives, seconds; NaN until that is known.
    """

    def __init__(
        self, fabric: Fabric, work: Collective | Flows, job: Job, plan: Plan | None
    ) -> None:
        self._fabric = fabric
        self.work = work
        self.job = job
        self.announced = array("d", (NOT_YET,)) * len(job.program.ranks)
        self.start = float(fabric.env.now + job.program.first_release)
        self.plan = plan
        self.left = Departures(fabric.env, job)
        self.done = fabric.env.event()
        self._bytes_on_wire: int | None = None

    def arrive(self, rank: int, time: float | None = None) -> None:
        """Let a global rank enter, now or at a later instant (seconds)."""
        self._fabric.arrive(self, rank, self._fabric.env.now if time is None else time)

    @property
    def bytes_on_wire(self) -> int:
        """Bytes summed over directed cables, retransmissions included."""
        known = self._bytes_on_wire
        return self._fabric.cables.bytes_of(self.job) if known is None else known

    def close(self, history: History, index: int) -> None:
        """Keep no more than a history does of what is over, and whose events have all come."""
        if self.job.retransmitted_bytes:
            self._bytes_on_wire = self.bytes_on_wire
        self.job = history.kept(self.job, index)
        self.left = Departures(self._fabric.env, self.job)

    def describe(self) -> str:
        """Who has not left and who has not even come, in words."""
        kind = self.work.kind if isinstance(self.work, Collective) else "flows"
        ranks = set(self.job.program.ranks)
        missing = sorted(ranks - self.job.arrived)
        inside = sorted(self.job.arrived - set(self.job.left))
        return f"{kind}: ranks {inside} wait, ranks {missing} have not arrived"

    def endless(self) -> str | None:
        """What has begun and would end later than any number of seconds, in words, if anything."""
        job, net = self.job, self._fabric.net
        if self.done.triggered:
            return None
        begun = np.flatnonzero(np.isfinite(job.starts) & np.isnan(job.ends))
        if not len(begun):
            return None
        program, transfer = job.program, int(begun[0])
        src, dst = program.src[transfer], program.dst[transfer]
        route = net.route(src, dst, program.channel[transfer])
        slowest = int(route[np.argmin(net.links.bandwidth[route])])
        return (
            f"transfer {transfer}: {program.size[transfer]} bytes from rank {src} to rank {dst} "
            f"after {net.route_latency(src, dst, program.channel[transfer])} s, at most "
            f"{net.links.bandwidth[slowest]} bytes/s over {net.link_name(slowest)}: "
            "ends later than any number of seconds"
        )


class Fabric:
    """A network model on the clock: work is posted to it, and its events can be waited for.

    Parameters
    ----------
    env : Clock
        The SimPy environment of the run.
    net : Network
        The network.
    model : NetworkModel
        What moves the bytes.
    ahead : bool
        Let a model that can (`RunsAhead`) go on by itself up to the clock's horizon. Only where
        everything that may call the fabric stands on the clock or is heeded by it (`Clock.heed`).
    history : History, optional
        Told of all that comes to the model; of a job that is over no more than it keeps is kept.
    """

    def __init__(
        self,
        env: Clock,
        net: Network,
        model: NetworkModel,
        *,
        ahead: bool = False,
        history: History | None = None,
    ) -> None:
        self.env = env
        self.net = net
        self.model = model
        self.cables = Cables(net)
        self.operations: list[Operation] = []
        self._operation_of: dict[int, Operation] = {}
        self._history = history
        self._ahead = model if ahead and isinstance(model, RunsAhead) else None
        self._held: Sequence[Departure] = ()
        self._programs: dict[Collective, tuple[Plan, Program]] = {}
        self._wake: simpy.Event | None = None
        self._wake_time = float("inf")

    def post(self, work: Collective | Flows, *, sequence: int = 0) -> Operation:
        """Announce a collective or flows; ranks enter with `Operation.arrive`.

        Parameters
        ----------
        work : Collective or Flows
            What to do. Its own start and arrivals are not looked at: see `submit`.
        sequence : int
            Decides which of two operations goes first on a connection that both come to at the
            same instant; equal ones are ordered by what they are, not by when they were posted.
        """
        if isinstance(work, Flows):
            chosen, program = None, compile_flows(work, self.net.num_ranks)
        else:
            chosen, program = self._program(work)
        order = (sequence, _Content(program))
        job = self.model.post(program, self.env.now, order=order)
        operation = Operation(self, work, job, chosen)
        if self._history is not None:
            self._remember(self._history, operation, order)
        self.operations.append(operation)
        if program.ranks:
            self._operation_of[job.number] = operation
        else:
            operation.start = float(self.env.now)
            operation.done.succeed(self.env.now)
        self._plan_wake()
        return operation

    def submit(self, work: Collective | Flows, *, sequence: int = 0) -> Operation:
        """Post work whose ranks arrive by themselves, `start` or `arrivals` seconds from now."""
        operation = self.post(work, sequence=sequence)
        ranks = operation.job.program.ranks
        after = np.zeros(len(ranks)) if isinstance(work, Flows) else work.arrival_times(len(ranks))
        if ranks:
            times = self.env.now + after
            operation.announced[:] = array("d", times.tolist())
            if operation.job.program.releases is None:
                operation.start = float(times.min())
            self.model.arrive_all(operation.job, times)
            self._plan_wake()
        return operation

    def send(self, src: int, dst: int, size: int | str, *, channel: int = 0) -> simpy.Event:
        """Send `size` bytes from one rank to another now; the event triggers when they are there.

        For SimPy processes of your own: ``time = yield fabric.send(0, 1, "10MB")``.
        """
        return self.submit(flows([src], [dst], [size], channel=channel)).done

    def arrive(self, operation: Operation, rank: int, time: float) -> None:
        """Let a rank enter an operation at `time`, seconds, now or later."""
        if rank not in operation.left:
            raise ValueError(f"rank {rank} has no part in this operation: {sorted(operation.left)}")
        if not self.env.now <= time < float("inf"):
            raise ValueError(f"rank {rank} arrives at {time} s, but it is {self.env.now} s")
        place = operation.job.program.places[rank]
        if operation.announced[place] == operation.announced[place]:
            raise ValueError(f"rank {rank} has arrived in this operation already")
        operation.announced[place] = time
        if self._history is not None:
            self._history.arrived()
        if operation.job.program.releases is None:
            operation.start = min(operation.start, time)
        self.model.arrive(operation.job, rank, time)
        self._plan_wake()

    def close(self) -> None:
        """Let go of all operations: what they hold goes with the last that is held elsewhere."""
        self.operations.clear()
        self._operation_of.clear()

    def _remember(self, history: History, operation: Operation, order: tuple[object, ...]) -> None:
        """Note what has been posted, and close it when all has happened that its end brings."""
        index, program = len(history.posted), operation.job.program
        history.posted.append(Posted(program, self.env.now, order, operation.announced))
        assert operation.done.callbacks is not None
        # The first of its callbacks, after all of the ranks': their events came before.
        operation.done.callbacks.append(lambda _: operation.close(history, index))

    def _program(self, work: Collective) -> tuple[Plan, Program]:
        """Plan and expand a collective, once for all that differ in arrival only."""
        key = work
        if work.start or work.arrivals is not None:
            key = replace(work, start=0.0, arrivals=None)
        found = self._programs.get(key)
        if found is None:
            chosen = plan(key, self.net)
            ranks = key.ranks if key.ranks is not None else tuple(range(self.net.num_ranks))
            found = self._programs[key] = (chosen, compile_schedule(chosen.schedule, ranks))
        return found

    def _plan_wake(self) -> None:
        """Keep exactly one valid wake-up on the clock, at the model's next instant."""
        time = self._held[0].time if self._held else max(self.model.next_time(), self.env.now)
        if time == self._wake_time:
            return
        self._wake_time = time
        self._wake = None
        if time < float("inf"):
            # Last in its instant, so that all that the outside does then is one batch.
            self._wake = self.env.at(time, priority=LAST)
            self._wake.callbacks.append(self._on_wake)

    def _on_wake(self, event: simpy.Event) -> None:
        if event is not self._wake:
            return
        time, self._wake_time = self._wake_time, float("inf")
        departures, self._held = self._held, ()
        if not departures and self._ahead is not None:
            departures = self._ahead.run(time, self.env.horizon())
            if departures and departures[0].time > time:
                departures, self._held = (), departures
        elif not departures:
            departures = self.model.advance(time)
        self._tell(departures)
        self._plan_wake()

    def _tell(self, departures: Sequence[Departure]) -> None:
        """Trigger what is waited for: of the ranks that leave at one instant, in their order."""
        waited: list[tuple[int, Job, simpy.Event, float]] = []
        for job, ranks, time in departures:
            events = self._operation_of[job.number].left.waited_for(ranks)
            waited += [(rank, job, event, time) for rank, event in events]
        if len(waited) > 1:
            waited.sort(key=lambda each: (each[0], each[1].order, each[1].number))
        for _, _, event, time in waited:
            event.succeed(time)
        for job, _, time in departures:
            if job.done and job.number in self._operation_of:
                self._operation_of.pop(job.number).done.succeed(time)


@total_ordering
class _Content:
    """What orders two pieces of work that nobody has put in an order: what they send."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Content):
            return NotImplemented
        if self._program is other._program:
            return True
        return self._program.content == other._program.content

    def __lt__(self, other: _Content) -> bool:
        return self._program.content < other._program.content

    __hash__ = None  # type: ignore[assignment]
