"""A run put together: network, clock, meeting place, and one member a rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from simnet.engine import Clock, Fabric, History, KernelModel, make_model
from simnet.network import Network
from simnet.ranks.algorithms import Algorithm
from simnet.ranks.data import MakeExchange
from simnet.ranks.hub import Hub
from simnet.ranks.loop import run_members
from simnet.ranks.member import Driver, Member
from simnet.ranks.polls import Polls
from simnet.ranks.recorder import Recorder
from simnet.ranks.turns import Turns
from simnet.report.result import Result
from simnet.simulation import collect
from simnet.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What decides the times of a run, besides its program.

    Attributes
    ----------
    net : Network
        Where it runs.
    hosts : tuple of int
        The network's rank of each rank of the run.
    transport : Transport
        What a message pays beyond its share.
    seed : int
        Root of the random streams.
    algorithms : mapping
        See `simnet.ranks.hub.Hub`.
    engine : str
        See `simnet.engine.make_model`.
    """

    net: Network
    hosts: tuple[int, ...]
    transport: Transport
    seed: int
    algorithms: Mapping[str, Algorithm] = field(default_factory=dict)
    engine: str = "auto"


class Session:
    """A run that has not begun.

    Parameters
    ----------
    conditions : Conditions
        What decides its times.
    make_exchange : callable
        Makes what moves an operation's data.
    """

    def __init__(self, conditions: Conditions, make_exchange: MakeExchange) -> None:
        self.conditions = conditions
        self.clock = Clock()
        make = partial(make_model, conditions.net, conditions.transport, conditions.seed)
        model = make(engine=conditions.engine, repeats=True)
        again = "events" if model.name == KernelModel.name else model.name
        history = History(partial(make, engine=again))
        self.fabric = Fabric(self.clock, conditions.net, model, history=history)
        self.hub = Hub(self.fabric, conditions.hosts, conditions.algorithms, make_exchange)
        self.polls = Polls(self.clock)
        self.members: list[Member] = []
        self._turns = Turns(self.clock)

    def add(self, driver: Driver) -> Member:
        """Add the next rank."""
        number = len(self.members)
        member = Member(number, self.hub, self.polls, driver, Recorder(), self._turns)
        self._turns.ask(member)
        self.members.append(member)
        return member

    def run(self, drivers: Sequence[Driver], on_step: Callable[[], None] = lambda: None) -> None:
        """Add ranks, and run until all have ended; see `run_members` for what it raises."""
        for driver in drivers:
            self.add(driver)
        run_members(self.clock, self.members, self.polls, self._turns, on_step)

    def network_result(self) -> Result:
        """What the network has seen."""
        return collect(self.fabric, self.conditions.transport.name, self.conditions.seed)
