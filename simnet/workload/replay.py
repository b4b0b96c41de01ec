"""`replay`: the deeds of a recorded run on a network, without its program and its tensors."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from simnet.network import Network
from simnet.ranks.algorithms import Algorithm, chosen_algorithms
from simnet.ranks.call import Call
from simnet.ranks.data import no_data
from simnet.ranks.member import Member
from simnet.ranks.placing import place
from simnet.ranks.recorder import Entry
from simnet.ranks.session import Conditions, Session
from simnet.ranks.ticket import Ticket
from simnet.ranks.waits import Lookup, Poll, Sleep, Wait, Why
from simnet.seeds import checked_seed
from simnet.transport import Transport, choose_transport
from simnet.workload.run import Run, make_run
from simnet.workload.trace import Header, Trace, make_trace

RECORDED = "recorded"
NAMED = ("ideal", "retransmit")
INFINITY, NONE = float("inf"), float("nan")


class ReplayWarning(UserWarning):
    """A replay is an approximation, or comes from another engine."""


def replay(
    trace: Trace | str | Path,
    net: Network,
    *,
    hosts: Sequence[Hashable] | None = None,
    seed: int | str | None = RECORDED,
    algorithm: Algorithm | Mapping[str, Algorithm] | None = None,
    transport: str | Transport | None = None,
    engine: str = "auto",
) -> Run:
    """Run a recording on a network.

    On the network on which it was recorded the virtual times are the same to the bit; on another
    they are those that the run would have had.

    Parameters
    ----------
    trace : Trace, str or Path
        A recording, or a file of one.
    net : Network
        Where it runs.
    hosts : sequence, optional
        The host of each rank, by its name; by default those with the recorded numbers, or the
        first ones where there are no such.
    seed : int or None
        Root of the random streams of jitter and loss; by default the recorded one; None draws one.
    algorithm : str, callable, or mapping of str to either, optional
        As for `simnet.run`, in place of what was recorded for the kinds named.
    transport : {"ideal", "retransmit"} or Transport, optional
        By default what the recording was given, if it was given one; else ideal where nothing is
        lost and retransmit where any link has loss.
    engine : {"auto", "kernel", "reference"}
        What computes the network's times; see `simnet.run`.

    Returns
    -------
    Run
        Without results.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above, or the network has too few hosts.
    DeadlockError
        If ranks wait for what never comes: where the recorded program looked at time.

    Warns
    -----
    ReplayWarning
        If the program's control flow looked at time, so that elsewhere it might have done other
        things, or another engine recorded it.
    """
    recording = trace if isinstance(trace, Trace) else Trace.load(trace)
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    header = recording.header
    conditions = Conditions(
        net=net,
        hosts=_hosts(header, net, hosts),
        transport=choose_transport(_transport(header, transport), lossy=net.is_lossy),
        seed=header.seed if seed == RECORDED else checked_seed(seed),  # type: ignore[arg-type]
        algorithms={},
        engine=engine,
    )
    session = Session(conditions, no_data)
    _warn(recording, session)
    drivers = [
        Player(entries, _rerouted(calls, algorithm), header.poll_interval)
        for entries, calls in zip(recording.entries, recording.calls, strict=True)
    ]
    session.run(drivers)
    compute = header.compute
    return make_run(session, compute, make_trace(session, compute, header.poll_interval))


def _hosts(header: Header, net: Network, hosts: Sequence[Hashable] | None) -> tuple[int, ...]:
    """The hosts asked for, else the recorded ones where the network has so many."""
    if hosts is None and max(header.hosts) < net.num_ranks:
        return header.hosts
    return place(net, header.ranks, hosts)


def _transport(header: Header, transport: str | Transport | None) -> str | Transport | None:
    """The transport asked for, else the recorded one where somebody had chosen it."""
    usual = choose_transport(None, lossy=header.lossy).name
    if transport is not None or header.transport == usual:
        return transport
    if header.transport in NAMED:
        return header.transport
    warnings.warn(
        f"replay: recorded with the transport {header.transport!r} of the program's own; give it "
        "as transport=",
        ReplayWarning,
        stacklevel=4,
    )
    return None


def _warn(trace: Trace, session: Session) -> None:
    header = trace.header
    if trace.approximate:
        warnings.warn(
            "replay: the recorded program looked at time (polls, receives from any rank, timeouts) "
            "or made calls in callbacks, so elsewhere than where it was recorded this is an "
            "approximation",
            ReplayWarning,
            stacklevel=3,
        )
    if header.engine != session.fabric.model.name:
        warnings.warn(
            f"replay: recorded by the engine {header.engine!r}, replayed by "
            f"{session.fabric.model.name!r}: times may differ by rounding",
            ReplayWarning,
            stacklevel=3,
        )


def _rerouted(
    calls: Sequence[Call], algorithm: Algorithm | Mapping[str, Algorithm] | None
) -> list[Call]:
    """The calls, with other algorithms for the kinds that are named."""
    if algorithm is None:
        return list(calls)
    chosen = chosen_algorithms(algorithm)
    rerouted = []
    for call in calls:
        name = chosen.get(call.kind)
        if name is None:
            rerouted.append(call)
        elif isinstance(name, str):
            rerouted.append(replace(call, algorithm=name))
        else:
            rerouted.append(replace(call, algorithm=name(call.kind, call.size, call.ranks)))
    return rerouted


class Player:
    """Does what a rank did (a `simnet.ranks.member.Driver`).

    Parameters
    ----------
    entries : sequence of Entry
        What it did.
    calls : sequence of Call
        Its calls.
    poll_interval : float
        Virtual seconds that a look costs.
    """

    def __init__(
        self, entries: Sequence[Entry], calls: Sequence[Call], poll_interval: float
    ) -> None:
        self._entries, self._calls = entries, iter(calls)
        self._next = 0
        self._poll_interval = poll_interval
        self._made: list[Ticket] = []
        self._spans: list[tuple[float, Why]] = []  # within each other, by callbacks
        self._awaited: list[int] = []
        self._polled: list[int] = []

    def go(self, member: Member) -> None:
        """Everything happens in `settle`."""

    def settle(self, member: Member) -> Wait | None:
        """Go on until the next wait."""
        while not member.ended:
            wait = self._unfinished() or self._do(member, self._take())
            if wait is not None:
                return wait
        return None

    def stop(self, member: Member, until: float) -> str:
        """Nothing is held."""
        return ""

    def where(self, member: Member) -> str:
        """Where the recorded program waited is where it made the call."""
        return ""

    def _unfinished(self) -> Wait | None:
        """What the last deed still lacks: it had ended with certain calls over."""
        awaited = self._missing(self._awaited)
        if awaited:
            return Sleep(tickets=(awaited[0],))
        if self._missing(self._polled):
            return Poll(interval=self._poll_interval)
        return None

    def _missing(self, numbers: list[int]) -> list[Ticket]:
        return [self._made[number] for number in numbers if not self._made[number].known]

    def _tickets(self, entry: Entry) -> tuple[Ticket, ...]:
        return tuple(self._made[number] for number in entry.tickets)

    def _take(self) -> Entry:
        self._next += 1
        return self._entries[self._next - 1]

    def _do(self, member: Member, entry: Entry) -> Wait | None:
        self._awaited, self._polled = [], []
        wait: Wait | None = getattr(self, f"_{entry.action}")(member, entry)
        return wait

    def _issue(self, member: Member, entry: Entry) -> None:
        self._made.append(member.issue(next(self._calls), ()))

    def _compute(self, member: Member, entry: Entry) -> Wait | None:
        return self._span(member, entry, "compute")

    def _pause(self, member: Member, entry: Entry) -> Wait | None:
        return self._span(member, entry, "idle")

    def _span(self, member: Member, entry: Entry, why: Why) -> Wait | None:
        """Begin a span; one that a call interrupted is left when the call is over."""
        assert entry.seconds is not None
        self._spans = [each for each in self._spans if each[0] > member.now]
        self._spans.append((member.now + entry.seconds, why))
        return self._rest_of_span(entry)

    def _resume(self, member: Member, entry: Entry) -> Wait | None:
        while len(self._spans) > 1 and self._spans[-1][0] <= member.now:
            self._spans.pop()
        if member.now >= self._spans[-1][0] and not self._deeds_follow(entry):
            return None  # the calls that interrupted it have taken longer here
        return self._rest_of_span(entry)

    def _rest_of_span(self, entry: Entry) -> Wait:
        follow = self._deeds_follow(entry)
        self._awaited = list(entry.tickets) if follow else []
        until, why = self._spans[-1]
        return Sleep(
            tickets=self._tickets(entry),
            until=INFINITY if follow else until,
            why=why,
            duration=NONE if entry.seconds is None else entry.seconds,
        )

    def _deeds_follow(self, entry: Entry) -> bool:
        """Whether a callback did something when a call interrupted a span.

        What a callback did belongs after its call, so the span is held until that is over; without
        deeds an interruption is nothing.
        """
        return bool(entry.tickets) and self._ahead().action != "resume"

    def _ahead(self) -> Entry:
        return self._entries[self._next]

    def _interrupt(self, member: Member, entry: Entry) -> Wait | None:
        """A wait that a callback came into; without deeds of the callback that is nothing."""
        awaited, *others = self._tickets(entry)
        if self._ahead().action not in ("interrupt", "wait", "expire"):
            self._awaited = list(entry.tickets[1:])
        if awaited.known:
            return None
        return Sleep(tickets=(awaited,), others=tuple(others))

    def _wait(self, member: Member, entry: Entry) -> Wait | None:
        self._awaited = list(entry.tickets)
        tickets = self._tickets(entry)
        known = [ticket for ticket in tickets if ticket.known]
        for ticket in known:
            member.recorder.found_over(ticket, member.now)
        return None if known else Sleep(tickets=tickets)

    def _poll(self, member: Member, entry: Entry) -> Wait:
        self._polled = list(entry.tickets)
        return Poll(interval=self._poll_interval)

    def _expire(self, member: Member, entry: Entry) -> Wait | None:
        # To the bit where it began at the same instant: the sum may round otherwise.
        assert entry.seconds is not None
        until = entry.end if member.now == entry.begin else member.now + entry.seconds
        return Sleep(until=until) if until > member.now else None

    def _lookup(self, member: Member, entry: Entry) -> Wait | None:
        keys = tuple(entry.name.split("\n"))
        if entry.seconds is not None:
            return self._expire(member, entry)
        if member.hub.board.has(keys):
            member.recorder.found(keys, member.now)
            return None
        return Lookup(keys=keys)

    def _publish(self, member: Member, entry: Entry) -> None:
        member.recorder.wrote(entry.action, entry.name, member.now)
        member.hub.board.set(entry.name, b"")

    def _withdraw(self, member: Member, entry: Entry) -> None:
        member.recorder.wrote(entry.action, entry.name, member.now)
        member.hub.board.delete_key(entry.name)

    def _phase(self, member: Member, entry: Entry) -> None:
        member.recorder.phase(entry.name, member.now)

    def _end(self, member: Member, entry: Entry) -> None:
        member.end(None, None)
