"""simnet: a discrete-event network simulator with a virtual clock for distributed training.

Names are loaded when first used, so that ``import simnet`` costs no torch, pandas or matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from simnet.version import __version__

if TYPE_CHECKING:
    from simnet import collectives, scenarios
    from simnet.collectives import flows
    from simnet.distributed import exogym
    from simnet.distributed.charging import compute
    from simnet.distributed.kinds import processes, threads
    from simnet.distributed.launch import run
    from simnet.distributed.patch import patch_distributed_functions
    from simnet.engine.models import kernel
    from simnet.guide import NetworkSimulator, NetworkTopology
    from simnet.many import simulate_many
    from simnet.network import Network
    from simnet.ranks.api import now, step
    from simnet.report.result import Result
    from simnet.scenarios import Scenarios
    from simnet.simulation import StuckError, simulate
    from simnet.workload.replay import replay
    from simnet.workload.run import Run
    from simnet.workload.trace import Trace

_HOME = {
    "Network": "simnet.network",
    "NetworkSimulator": "simnet.guide",
    "NetworkTopology": "simnet.guide",
    "Result": "simnet.report.result",
    "StuckError": "simnet.simulation",
    "Run": "simnet.workload.run",
    "Scenarios": "simnet.scenarios",
    "Trace": "simnet.workload.trace",
    "compute": "simnet.distributed.charging",
    "flows": "simnet.collectives",
    "kernel": "simnet.engine.models",
    "now": "simnet.ranks.api",
    "patch_distributed_functions": "simnet.distributed.patch",
    "processes": "simnet.distributed.kinds",
    "replay": "simnet.workload.replay",
    "run": "simnet.distributed.launch",
    "simulate": "simnet.simulation",
    "simulate_many": "simnet.many",
    "step": "simnet.ranks.api",
    "threads": "simnet.distributed.kinds",
}
_ELSEWHERE = {"exogym": "simnet.distributed.exogym"}
_MODULES = frozenset(
    {"collectives", "conditions", "engine", "scenarios", "testing", "transport", "units"}
)

__all__ = [
    "Network",
    "NetworkSimulator",
    "NetworkTopology",
    "Result",
    "Run",
    "Scenarios",
    "StuckError",
    "Trace",
    "__version__",
    "collectives",
    "compute",
    "exogym",
    "flows",
    "kernel",
    "now",
    "patch_distributed_functions",
    "processes",
    "replay",
    "run",
    "scenarios",
    "simulate",
    "simulate_many",
    "step",
    "threads",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES or name in _ELSEWHERE:
        value = importlib.import_module(_ELSEWHERE.get(name, f"simnet.{name}"))
    else:
        raise AttributeError(f"module 'simnet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_HOME, *_MODULES, *_ELSEWHERE})
