"""The run's loop: the clock goes on while ranks live; then who waits, if nothing can happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from simnet.engine import Clock
from simnet.ranks.errors import DeadlockError
from simnet.ranks.member import Member
from simnet.ranks.polls import Polls
from simnet.ranks.turns import Turns

INFINITY = float("inf")
PATIENCE_S = 1.0  # wall time for all ranks to end
HURRY_S = 0.2  # the same after another interrupt


def run_members(
    clock: Clock,
    members: Sequence[Member],
    polls: Polls,
    turns: Turns,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Run the clock until every rank has ended, then until nothing is left on it.

    Parameters
    ----------
    clock : Clock
        The run's clock.
    members : sequence of Member
        The ranks.
    polls : Polls
        Those of the ranks that look whether something has happened.
    turns : Turns
        Lets them go on; all have asked for their first turn.
    on_step : callable
        Called now and then, to show progress.

    Raises
    ------
    DeadlockError
        If ranks are left, all of them wait, and nothing is left on the clock but looks, and
        the spans of ranks that look, for ever.
    BaseException
        Whatever a rank raised, with a note that says which and when. The others are stopped.
    """
    try:
        while len(turns.ended) < len(members):
            if clock.peek() > clock.now:
                polls.place()
                on_step()
                in_vain = polls.is_vain(lambda: [each.number for each in members if each.busy])
                if in_vain or clock.peek() == INFINITY:
                    raise DeadlockError(_deadlock(clock, members))
            before = len(turns.ended)
            clock.step()
            # Raised here and not on the clock: SimPy would rebuild it from its arguments.
            for player in turns.ended[before:]:
                if player.error is not None:
                    raise _noted(player.error, members[player.number])
        clock.run()
    except BaseException as error:
        for left in _stop(members):
            error.add_note(left)
        raise
    _stop(members)


def _stop(members: Sequence[Member]) -> list[str]:
    """Make every rank end; returns in words what is left. An interrupt makes it quicker."""
    until = time.monotonic() + PATIENCE_S
    left = []
    for member in members:
        while True:
            try:
                left.append(member.driver.stop(member, until))
                break
            except KeyboardInterrupt:
                until = min(until, time.monotonic() + HURRY_S)
    return [words for words in left if words]


def _noted(error: BaseException, member: Member) -> BaseException:
    note = f"on rank {member.number} at virtual time {member.finish:.9g} s"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error


def _deadlock(clock: Clock, members: Sequence[Member]) -> str:
    states = "; ".join(member.state() for member in members)
    return f"deadlock at virtual time {clock.now:.9g} s: {states}"
