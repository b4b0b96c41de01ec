"""Bytes on the wire: what a job brings onto the directed cables of its network."""

from __future__ import annotations

import numpy as np

from simnet.collectives.schedule import Transfers
from simnet.engine.job import Job
from simnet.engine.program import IntArray, Program
from simnet.network import CABLE, Network


class Cables:
    """Counts bytes on cables; what a program brings is remembered, for programs repeat.

    Parameters
    ----------
    net : Network
        Gives the routes.
    """

    def __init__(self, net: Network) -> None:
        self._net = net
        self._is_cable = net.links.kind == CABLE
        self._totals: dict[Program, int] = {}

    def bytes_of(self, job: Job) -> int:
        """Bytes of a job summed over directed cables, retransmissions included."""
        program = job.program
        if job.done and not job.retransmitted_bytes:
            if program not in self._totals:
                self._totals[program] = self._total(program)
            return self._totals[program]
        begun = ~np.isnan(job.starts)
        crossed = [self._crossed(program, block) for block in program.blocks()]
        sent = program.sizes + np.asarray(job.retransmitted, dtype=np.int64)
        return int((sent * np.concatenate(crossed))[begun].sum())

    def _total(self, program: Program) -> int:
        blocks = program.blocks()
        return sum(int((block.size * self._crossed(program, block)).sum()) for block in blocks)

    def _crossed(self, program: Program, block: Transfers) -> IntArray:
        """How many cables each transfer of a block crosses."""
        ranks = np.asarray(program.ranks, dtype=np.int64)
        _, links = routes = self._net.routes_of(ranks[block.src], ranks[block.dst], block.channel)
        before = np.concatenate([[0], np.cumsum(self._is_cable[links])])
        crossed: IntArray = np.diff(before[routes[0]])
        return crossed
