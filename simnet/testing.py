"""Conformance suites for your own network model, transport or schedule.

Each function raises AssertionError with what was expected, or returns None. They are what
simnet's own tests run on its own models.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import networkx as nx
import numpy as np

from simnet.collectives import Flows, Schedule, flows
from simnet.engine import Departure, Job, NetworkModel
from simnet.engine.program import compile_flows
from simnet.network import Network
from simnet.transport import Ideal, Transport

ModelFactory = Callable[[Network, Transport, int], NetworkModel]

__all__ = ["check_network_model", "check_schedule", "check_transport"]


def check_transport(transport: Transport, *, loss: float = 0.3, messages: int = 50) -> None:
    """A transport's rounds begin with the message and then only repeat parts of it.

    Parameters
    ----------
    transport : Transport
        What is checked.
    loss : float
        Loss probability of a route, used where the transport draws.
    messages : int
        How many messages of each size are planned.
    """
    for size in (0, 1, 1499, 1500, 1501, 10**6):
        clean = transport.rounds(size, latency=0.1, loss=0.0, rng=None)
        assert tuple(clean) == ((0.0, size),), f"without loss one round of {size} B, not {clean}"
        first, again = np.random.default_rng(7), np.random.default_rng(7)
        for _ in range(messages):
            rounds = transport.rounds(size, latency=0.1, loss=loss, rng=first)
            same = transport.rounds(size, latency=0.1, loss=loss, rng=again)
            assert rounds == same, f"one stream, two plans: {rounds} and {same}"
            assert rounds[0] == (0.0, size), f"the first round is the message, not {rounds[0]}"
            for before, later in itertools.pairwise(rounds):
                assert later.wait >= 0, f"a round waits {later.wait} s"
                assert 0 <= later.size <= before.size, f"{later.size} B again of {before.size} B"


def check_schedule(schedule: Schedule) -> None:
    """A schedule proves its collective, and its arrays agree with what it says of itself."""
    schedule.verify()
    transfers = schedule.transfers()
    assert len(transfers) == schedule.num_transfers, (
        f"{len(transfers)} transfers, but num_transfers is {schedule.num_transfers}"
    )
    carried = transfers.size[transfers.src == transfers.dst]
    assert not carried.any(), "a join carries bytes"
    for part in (transfers.src, transfers.dst):
        assert not len(part) or 0 <= part.min() <= part.max() < schedule.num_ranks, "no such rank"


def check_network_model(make: ModelFactory) -> None:
    """A fluid network model gives the times that the definition gives by hand.

    Parameters
    ----------
    make : callable
        ``make(net, transport, seed)`` returns a fresh model.
    """
    checks = (_rest, _latency_then_bytes, _sharing, _starts, _shared_card, _zero, _asking)
    for check in (*checks, _all_at_once):
        check(make)


def _cable(**host: float) -> Network:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from([0, 1, 2], **host)
    graph.add_edges_from([(0, 1), (0, 2), (1, 2)], bandwidth=100.0, latency=1.0)
    return Network(graph)


def _drain(model: NetworkModel, *, asks: int = 1) -> list[Departure]:
    """Advance a model until it rests; time never goes back."""
    departures: list[Departure] = []
    now = 0.0
    while True:
        time = [model.next_time() for _ in range(asks)][-1]
        if math.isinf(time):
            return departures
        assert time >= now, f"the model goes back from {now} s to {time} s"
        now = time
        found = model.advance(time)
        assert all(departure.time == time for departure in found), f"departures not at {time} s"
        departures.extend(found)


def _post(model: NetworkModel, work: Flows, num_ranks: int) -> Job:
    job = model.post(compile_flows(work, num_ranks), 0.0)
    for rank in job.program.ranks:
        model.arrive(job, rank, 0.0)
    return job


def _expect(make: ModelFactory, net: Network, work: Flows, ends: Sequence[float]) -> NetworkModel:
    model = make(net, Ideal(), 0)
    job = _post(model, work, net.num_ranks)
    departures = _drain(model)
    np.testing.assert_allclose(job.end, ends, rtol=1e-9)
    left = [rank for departure in departures for rank in departure.ranks]
    assert sorted(left) == sorted(job.program.ranks)
    assert job.done
    return model


def _rest(make: ModelFactory) -> None:
    model = make(_cable(), Ideal(), 0)
    assert math.isinf(model.next_time()), "a model without work is not at rest"
    assert not model.carried(0.0).any(), "a model without work has carried bytes"


def _latency_then_bytes(make: ModelFactory) -> None:
    model = _expect(make, _cable(), flows(0, 1, 200), [3.0])
    assert int(model.carried(3.0).sum()) == 200, "200 B over one cable"


def _sharing(make: ModelFactory) -> None:
    _expect(make, _cable(), flows([0, 0], [1, 1], [200, 100]), [4.0, 3.0])


def _starts(make: ModelFactory) -> None:
    _expect(make, _cable(), flows([0, 0], [1, 1], 100, [0.0, 0.5]), [2.5, 3.0])


def _shared_card(make: ModelFactory) -> None:
    _expect(make, _cable(egress=100.0), flows([0, 0], [1, 2], 100), [3.0, 3.0])


def _zero(make: ModelFactory) -> None:
    _expect(make, _cable(overhead=0.5), flows(0, 1, 0), [1.5])


def _all_at_once(make: ModelFactory) -> None:
    work = flows([0, 0, 1], [1, 2, 2], [70, 110, 130])
    ends = []
    for together in (False, True):
        model = make(_cable(egress=37.0), Ideal(), 0)
        job = model.post(compile_flows(work, 3), 0.0)
        times = np.array([0.25, 0.0, 1.5])
        if together:
            model.arrive_all(job, times)
        else:
            for rank, time in zip(job.program.ranks, times.tolist(), strict=True):
                model.arrive(job, rank, time)
        _drain(model)
        ends.append(list(job.end))
    assert ends[0] == ends[1], f"arrivals one by one and all at once differ: {ends}"


def _asking(make: ModelFactory) -> None:
    work = flows([0, 0, 1], [1, 2, 2], [7, 11, 13], [0.0, 0.1, 0.3])
    ends = []
    for asks in (1, 5):
        model = make(_cable(egress=37.0), Ideal(), 0)
        job = _post(model, work, 3)
        _drain(model, asks=asks)
        ends.append(list(job.end))
    assert ends[0] == ends[1], f"asking for the next instant moved times: {ends}"
