"""The clock, the contract of a network model, the reference model and the compiled one."""

from __future__ import annotations

from simnet.engine.clock import OVER, Clock
from simnet.engine.episodes import EpisodesModel
from simnet.engine.fabric import (
    Departure,
    Fabric,
    NetworkModel,
    Observer,
    Operation,
    RunsAhead,
)
from simnet.engine.job import Job, Program
from simnet.engine.kernel import KernelModel
from simnet.engine.models import kernel, make_model
from simnet.engine.reference import FluidModel

__all__ = [
    "OVER",
    "Clock",
    "Departure",
    "EpisodesModel",
    "Fabric",
    "FluidModel",
    "Job",
    "KernelModel",
    "NetworkModel",
    "Observer",
    "Operation",
    "Program",
    "RunsAhead",
    "kernel",
    "make_model",
]
