"""Every network model and transport passes its conformance suite; broken ones do not."""

import pytest

from simnet.engine import FluidModel
from simnet.testing import check_network_model, check_transport
from simnet.transport import Ideal, Retransmit, Round


@pytest.mark.parametrize("model", [FluidModel], ids=lambda model: model.name)
def test_network_model(model):
    check_network_model(model)


class Hasty(FluidModel):
    """Forgets the latency."""

    def _start(self, job, transfer, connection, time):
        connection.latency = 0.0
        super()._start(job, transfer, connection, time)


class Selfish(FluidModel):
    """Gives every flow the whole link."""

    def advance(self, time):
        departures = super().advance(time)
        table = self._table
        slots = table._active
        table._finish[slots] = table._since[slots] + table._left[slots] / 100.0
        return departures


@pytest.mark.parametrize("model", [Hasty, Selfish])
def test_a_broken_network_model_fails(model):
    with pytest.raises(AssertionError):
        check_network_model(model)


@pytest.mark.parametrize("transport", [Ideal(), Retransmit(), Retransmit(packet_bytes=1)])
def test_transport(transport):
    check_transport(transport)


class Forgetful:
    """Never sends the message itself."""

    name, draws = "forgetful", False

    def rounds(self, size, *, latency, loss, rng):
        return (Round(0.0, 0),)


class Generous(Retransmit):
    """Sends more again than was lost."""

    def rounds(self, size, *, latency, loss, rng):
        return (*super().rounds(size, latency=latency, loss=loss, rng=rng), Round(0.1, size + 1))


@pytest.mark.parametrize("transport", [Forgetful(), Generous()])
def test_a_broken_transport_fails(transport):
    with pytest.raises(AssertionError):
        check_transport(transport)
