"""The network of worlds that come together by themselves, one after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from simnet.distributed.door import FAILURE
from simnet.distributed.exchange import make_exchange
from simnet.distributed.gathering import Gathering
from simnet.distributed.launch import Plan
from simnet.distributed.output import prefixed_output
from simnet.distributed.portable import unpack_error
from simnet.distributed.process_driver import ProcessDriver
from simnet.distributed.process_run import rank_settings
from simnet.distributed.progress import Progress
from simnet.distributed.watchdog import Watchdog
from simnet.distributed.wire import Parcels
from simnet.distributed.world import one_run
from simnet.ranks.errors import RankLostError, StallError
from simnet.ranks.member import Member
from simnet.ranks.session import Session
from simnet.workload.run import Run, make_run
from simnet.workload.trace import make_trace

MakePlan = Callable[[int], Plan]
"""Everything about a run but its program, for a world size; a ValueError refuses it."""

Outcome = Run | BaseException

LOOK_S = 0.2  # wall time between two looks whether there is still a program
EXIT_S = 2.0  # wall time for a process that has failed to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """A process that waits in init_process_group for the others of its world."""

    connection: Connection
    world_size: int
    pid: int

    @property
    def gone(self) -> bool:
        """Whether it has ended: it has nothing to say, so what there is to read is the end."""
        return self.connection.poll(0)


class Coordinator:
    """Takes in processes, and is their network once a world is complete.

    Parameters
    ----------
    place : Gathering
        Where processes connect.
    make_plan : callable
        ``make_plan(world_size)``: everything about the run of a world but its program.
    on_outcome : callable
        Called with each outcome when it is there.

    Attributes
    ----------
    outcomes : list of Run or BaseException
        How each world has ended, in order; an error that repeats is there once.
    members : set of int
        The processes that are ranks of a world that goes on.
    """

    def __init__(
        self,
        place: Gathering,
        make_plan: MakePlan,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.members: set[int] = set()
        self._place, self._make_plan, self._on_outcome = place, make_plan, on_outcome
        self._now: Callable[[], float] = float
        self._waiting: dict[int, Applicant] = {}
        self._plan: Plan
        self._last = 0.0
        self._announced: set[str] = set()

    def serve(self, goes_on: Callable[[], bool]) -> None:
        """Carry out worlds until `goes_on()` says that no more will come."""
        while goes_on():
            came = self._place.accept(LOOK_S)
            for number, one in list(self._waiting.items()):
                if one.gone:
                    self._waiting.pop(number).connection.close()
            if came is not None:
                connection, (_, number, world_size, pid, backend) = came
                self._announce(backend)
                self._take_in(
                    number, Applicant(connection=connection, world_size=world_size, pid=pid)
                )
            if self._waiting and len(self._waiting) == self._plan.num_ranks:
                self._begin(goes_on)
            elif self._waiting and time.monotonic() - self._last > self._plan.watchdog:
                self._refuse_all(StallError(self._incomplete()))
        self._refuse_all(RankLostError("init_process_group: the program has ended"), note=False)

    @property
    def time(self) -> float:
        """Virtual time of the world that goes on, else of the last one; 0 before the first."""
        return self._now()

    def failures(self) -> list[BaseException]:
        """Why processes have failed that were no ranks, the earliest first."""
        files = Path(self._place.folder).glob(f"{FAILURE}*")
        whole = [path for path in files if not path.suffix]
        return [
            unpack_error(path.read_bytes())
            for path in sorted(whole, key=lambda path: path.stat().st_mtime_ns)
        ]

    def _announce(self, backend: str) -> None:
        if backend not in self._announced:
            self._announced.add(backend)
            sys.stderr.write(said_of_backend(backend))
            sys.stderr.flush()

    # Taking in

    def _take_in(self, number: int, one: Applicant) -> None:
        """Let one wait for the others of its world, unless it fits none."""
        try:
            if not self._waiting:
                self._plan = self._make_plan(one.world_size)
            self._check(number, one.world_size)
        except (ValueError, TypeError) as error:
            self._note(error)
            _refuse(one, error)
            return
        self._waiting[number] = one
        self._last = time.monotonic()

    def _check(self, number: int, world_size: int) -> None:
        count = self._plan.num_ranks
        if world_size != count:
            raise ValueError(
                f"init_process_group: rank {number} says world_size={world_size}, "
                f"rank {min(self._waiting)} says {count}"
            )
        if not 0 <= number < count:
            raise ValueError(f"init_process_group: rank={number}, but ranks are 0 to {count - 1}")
        if number in self._waiting:
            raise ValueError(f"init_process_group: two processes say rank={number}")

    def _incomplete(self) -> str:
        missing = [
            str(number) for number in range(self._plan.num_ranks) if number not in self._waiting
        ]
        present = ", ".join(map(str, sorted(self._waiting)))
        return (
            f"init_process_group: of {self._plan.num_ranks} ranks, {present} have called it, and "
            f"{', '.join(missing)} have not for {self._plan.watchdog:g} s of wall time"
        )

    def _refuse_all(self, error: Exception, *, note: bool = True) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting and note:
            self._note(error)
        for one in waiting.values():
            _refuse(one, error)

    def _note(self, outcome: Outcome) -> None:
        last = self.outcomes[-1] if self.outcomes else None
        if isinstance(outcome, Run) or repr(outcome) != repr(last):
            self.outcomes.append(outcome)
            self._on_outcome(outcome)

    # A world

    def _begin(self, goes_on: Callable[[], bool]) -> None:
        """Be the network of those that wait, until all have ended."""
        world, self._waiting = self._waiting, {}
        self.members = {one.pid for one in world.values()}
        try:
            self._note(self._carry_out(self._plan, world, goes_on))
        except Exception as error:
            self._note(error)
        finally:
            self.members = set()
            for one in world.values():
                one.connection.close()

    def _carry_out(
        self, plan: Plan, world: Mapping[int, Applicant], goes_on: Callable[[], bool]
    ) -> Run:
        session = Session(plan.conditions, make_exchange)
        self._now = lambda: session.clock.now
        progress = Progress(session, quiet=plan.quiet)
        watchdog = Watchdog(plan.watchdog, lambda: _look(progress, goes_on))
        parcels = Parcels(self._place.folder)
        settings = rank_settings(plan, self._place.folder, num_threads=0)
        drivers = []
        with ExitStack() as undo:
            undo.enter_context(one_run())
            undo.callback(progress.close)
            undo.enter_context(prefixed_output(plan.num_ranks))
            for number, one in sorted(world.items()):
                with suppress(OSError):
                    one.connection.send(("welcome", settings[number]))
                drivers.append(AdoptedDriver(one.connection, one.pid, parcels, watchdog))
            session.run(drivers, progress.show)
        trace = make_trace(session, plan.compute_name, plan.poll_interval)
        run = make_run(session, plan.compute_name, trace)
        self._now = lambda: run.time
        return run


class AdoptedDriver(ProcessDriver):
    """Speaks with a rank whose process somebody else has started."""

    def _on_end(self, member: Member, result: bytes | None, error: Any) -> None:
        # The others are ended only when this one's exit code is there: whoever started them then
        # takes it, and not theirs, for the reason.
        if error is not None:
            with suppress(OSError):
                self._connection.poll(EXIT_S)
        super()._on_end(member, result, error)


def _look(progress: Progress, goes_on: Callable[[], bool]) -> None:
    """While a rank is waited for: show progress, and give up ranks whose program has ended."""
    progress.show()
    if not goes_on():
        raise RankLostError("the program has ended, and left ranks behind")


def said_of_backend(backend: str) -> str:
    """What is said of the backend that a program asks for, as a line."""
    asked = f"init_process_group({backend!r})" if backend else "init_process_group()"
    return f"simnet: {asked}: simnet's network carries it instead\n"


def _refuse(one: Applicant, error: Exception) -> None:
    with suppress(OSError):
        one.connection.send(("refused", error))
    one.connection.close()
