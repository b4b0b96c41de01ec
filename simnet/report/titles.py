"""What ran, in a few words."""

from __future__ import annotations

from simnet.network import Network
from simnet.report.result import Result, WorkResult
from simnet.units import format_size, format_time


def work_title(work: WorkResult) -> str:
    """What a work was: "all_reduce 100 MB · ring"."""
    if work.algorithm is None:
        return f"{len(work.job.program)} flows {format_size(work.size)}"
    size = f" {format_size(work.size)}" if work.size else ""
    return f"{work.kind}{size} · {work.algorithm}"


def network_title(net: Network) -> str:
    """What a network is: "ring(8), mobile"."""
    name = str(net.graph.graph.get("name") or f"network of {net.num_ranks} hosts")
    return f"{name}, {net.profile}" if net.profile else name


def result_title(result: Result) -> str:
    """What ran, where, and how long it took, in two lines."""
    alone = len(result.works) == 1
    what = work_title(result.works[0]) if alone else f"{len(result.works)} works"
    time = result.time
    ran = f"in {format_time(time)}" if time == time else "not ended"
    return f"{what}\n{network_title(result.net)} · {ran}"
