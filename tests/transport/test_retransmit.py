"""Retransmission under independent loss: exact bytes, exact waits, the right distribution."""

import numpy as np
import pytest

import simnet
import topologies
from simnet.transport import Ideal, Retransmit, choose_transport


class Script:
    """A random stream that returns what it is told."""

    def __init__(self, lost, tail):
        self.lost, self.tail = list(lost), list(tail)

    def binomial(self, count, probability):
        return self.lost.pop(0)

    def random(self):
        return self.tail.pop(0)


def test_rounds_by_hand():
    # 4,000 B: two full packets and one of 1,000 B. Two are lost, the short one among them,
    # then one more full one; RTO = max(0.2, 4 × 0.3) = 1.2 s.
    stream = Script(lost=[1, 1, 0], tail=[0.0, 0.9])
    rounds = Retransmit().rounds(4000, latency=0.3, loss=0.5, rng=stream)
    assert rounds == ((0.0, 4000), (1.2, 2500), (1.2, 1500))


def test_the_least_timeout():
    transport = Retransmit()
    assert transport.rto(0.01) == 0.2
    assert transport.rto(0.05) == 0.2
    assert transport.rto(0.1) == 0.4


def test_an_empty_message_is_a_packet_that_can_be_lost():
    rounds = Retransmit().rounds(0, latency=0.0, loss=0.5, rng=Script([], [0.4, 0.6]))
    assert rounds == ((0.0, 0), (0.2, 0))


def test_time_and_bytes_of_a_lossy_transfer_add_up():
    graph = topologies.line(2, bandwidth=1e6, latency=0.05, loss=0.1)
    result = simnet.simulate(simnet.Network(graph), simnet.flows(0, 1, 300_000))
    assert result.transport == "retransmit"
    again = result.retransmitted_bytes
    assert result.bytes_on_wire == 300_000 + again
    # 200 packets, 10 % lost: rounds last 0.2 s (the RTO) plus their bytes.
    rounds = (result.time - 0.05 - (300_000 + again) / 1e6) / 0.2
    assert rounds == pytest.approx(round(rounds), abs=1e-9)
    assert 1 <= round(rounds) <= 8
    assert again % 1500 == 0


def test_the_mean_and_the_rounds_are_those_of_independent_loss():
    # Expected bytes again: n p / (1 − p) packets; P(no round but the first) = (1 − p)^n.
    rng = np.random.default_rng(1)
    packets, loss, trials = 20, 0.05, 4000
    plans = [
        Retransmit().rounds(packets * 1500, latency=0, loss=loss, rng=rng) for _ in range(trials)
    ]
    again = np.array([sum(r.size for r in plan[1:]) / 1500 for plan in plans])
    expected = packets * loss / (1 - loss)
    assert abs(again.mean() - expected) < 5 * again.std() / trials**0.5
    single = np.mean([len(plan) == 1 for plan in plans])
    clean = (1 - loss) ** packets
    assert abs(single - clean) < 5 * (clean * (1 - clean) / trials) ** 0.5


def test_a_connection_has_its_own_stream():
    """What one connection draws does not depend on what others carry."""
    net = simnet.Network(topologies.fully_connected(3, bandwidth=1e6, latency=0.1, loss=0.2))
    alone = simnet.simulate(net, simnet.flows(0, 1, 50_000)).finish_times[0]
    beside = simnet.simulate(net, simnet.flows([0, 2], [1, 1], 50_000)).finish_times[0]
    assert beside == alone


def test_another_seed_draws_anew():
    net = simnet.Network(topologies.line(2, bandwidth=1e6, latency=0.1, loss=0.2))
    times = {simnet.simulate(net, simnet.flows(0, 1, 10**6), seed=s).time for s in range(5)}
    assert len(times) == 5


def test_choice():
    assert isinstance(choose_transport(None, lossy=False), Ideal)
    assert isinstance(choose_transport(None, lossy=True), Retransmit)
    assert isinstance(choose_transport("retransmit", lossy=False), Retransmit)
    with pytest.warns(UserWarning, match="the loss is ignored"):
        assert isinstance(choose_transport("ideal", lossy=True), Ideal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packet_bytes": 0}, "packet_bytes=0"),
        ({"min_rto": -1.0}, "min_rto=-1"),
        ({"min_rto": float("nan")}, "min_rto=nan"),
    ],
)
def test_misuse(options, message):
    with pytest.raises(ValueError, match=message):
        Retransmit(**options)


def test_a_lossy_route_needs_a_stream():
    with pytest.raises(ValueError, match="rng=None"):
        Retransmit().rounds(10, latency=0, loss=0.1, rng=None)
