"""What a message pays beyond its share of the links: a transport plans its rounds.

A transport is any object with a ``name`` and a method ``rounds``; pass your own to
``simnet.simulate(..., transport=...)``.
"""

from __future__ import annotations

from simnet.transport.base import Ideal, Round, Transport, choose_transport
from simnet.transport.retransmit import Retransmit

__all__ = ["Ideal", "Retransmit", "Round", "Transport", "choose_transport"]
