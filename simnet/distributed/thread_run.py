"""A run whose ranks are threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from simnet.distributed.exchange import make_exchange
from simnet.distributed.home import Home, polite
from simnet.distributed.kinds import Threads
from simnet.distributed.launch import Plan
from simnet.distributed.output import prefixed_output
from simnet.distributed.progress import Progress
from simnet.distributed.random_states import RandomStates
from simnet.distributed.settings import settings_restored
from simnet.distributed.steps import steps_told
from simnet.distributed.threads import ThreadDriver, ThreadSeat
from simnet.distributed.virtual_time import virtual_time
from simnet.distributed.watchdog import Watchdog
from simnet.distributed.world import default_group, one_run, rank_worlds
from simnet.ranks.data import no_data
from simnet.ranks.member import Member
from simnet.ranks.seat import Seat
from simnet.ranks.session import Session
from simnet.workload.run import Run, make_run
from simnet.workload.trace import make_trace


def run_threads(plan: Plan, train: Callable[[int, int], Any]) -> Run:
    """Carry out `simnet.run` with ranks as threads."""
    assert isinstance(plan.kind, Threads)
    moves_data = plan.kind.data
    session = Session(plan.conditions, make_exchange if moves_data else no_data)
    progress = Progress(session, quiet=plan.quiet)
    watchdog = Watchdog(plan.watchdog, progress.show)
    count, seed = plan.num_ranks, plan.conditions.seed
    with ExitStack() as undo:
        undo.enter_context(one_run())
        undo.enter_context(settings_restored())
        worlds = undo.enter_context(rank_worlds())
        undo.enter_context(steps_told())
        undo.enter_context(prefixed_output(count))
        if plan.virtual_time:
            undo.enter_context(virtual_time(train))
        states = RandomStates(count, seed)
        undo.callback(states.restore)
        undo.enter_context(polite())
        home = Home()
        undo.callback(home.leave)
        undo.callback(progress.close)

        def body(seat: Seat) -> Any:
            with default_group(worlds, seat):
                return train(seat.number, count)

        def make_seat(driver: ThreadDriver, member: Member) -> ThreadSeat:
            about = plan.seat_settings(member.number)
            return ThreadSeat(driver, member, count, moves_data=moves_data, **about)

        drivers = [
            ThreadDriver(number, body, make_seat, states.switch_to, watchdog, home)
            for number in range(count)
        ]
        session.run(drivers, progress.show)
    trace = make_trace(session, plan.compute_name, plan.poll_interval)
    return make_run(session, plan.compute_name, trace)
