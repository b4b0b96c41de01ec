"""Bytes on the wire: what a job brings onto the directed cables of its network."""

from __future__ import annotations

import numpy as np

from simnet.engine.job import Job
from simnet.engine.program import IntArray, Program
from simnet.network import CABLE, Network


class Cables:
    """How many cables each transfer of a program crosses; remembered, for programs repeat.

    Parameters
    ----------
    net : Network
        Gives the routes.
    """

    def __init__(self, net: Network) -> None:
        self._net = net
        self._is_cable = net.links.kind == CABLE
        self._counts: dict[Program, tuple[IntArray, int]] = {}

    def bytes_of(self, job: Job) -> int:
        """Bytes of a job summed over directed cables, retransmissions included."""
        program = job.program
        found = self._counts.get(program)
        if found is None:
            found = self._counts[program] = self._count(program)
        crossed, total = found
        if job.done and not job.retransmitted_bytes:
            return total
        begun = ~np.isnan(job.starts)
        sent = program.sizes + np.asarray(job.retransmitted, dtype=np.int64)
        return int((sent * crossed)[begun].sum())

    def _count(self, program: Program) -> tuple[IntArray, int]:
        """Cables of each transfer, and the bytes on all of them if nothing is sent again."""
        offsets, links = self._net.routes_of(
            program.sources, program.destinations, program.channels
        )
        before = np.concatenate([[0], np.cumsum(self._is_cable[links])])
        crossed = before[offsets[1:]] - before[offsets[:-1]]
        return crossed, int((program.sizes * crossed).sum())
