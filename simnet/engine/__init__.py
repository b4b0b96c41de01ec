"""The clock, the contract of a network model, the reference, the kernel and its tiers."""

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
from simnet.engine.history import History
from simnet.engine.job import Job
from simnet.engine.kernel import KernelModel
from simnet.engine.models import kernel, make_model
from simnet.engine.program import Program
from simnet.engine.reference import FluidModel
from simnet.engine.tiers import TieredModel
from simnet.engine.timeline import Tier, Timeline

__all__ = [
    "OVER",
    "Clock",
    "Departure",
    "EpisodesModel",
    "Fabric",
    "FluidModel",
    "History",
    "Job",
    "KernelModel",
    "NetworkModel",
    "Observer",
    "Operation",
    "Program",
    "RunsAhead",
    "Tier",
    "TieredModel",
    "Timeline",
    "kernel",
    "make_model",
]
