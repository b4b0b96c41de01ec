"""The clock, the contract of a network model, and the reference model."""

from __future__ import annotations

from simnet.engine.clock import OVER, Clock
from simnet.engine.fabric import Departure, Fabric, NetworkModel, Observer, Operation
from simnet.engine.job import Job, Program
from simnet.engine.reference import FluidModel

__all__ = [
    "OVER",
    "Clock",
    "Departure",
    "Fabric",
    "FluidModel",
    "Job",
    "NetworkModel",
    "Observer",
    "Operation",
    "Program",
]
