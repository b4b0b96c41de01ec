"""Walk a schedule's dependencies: how long it takes if what is equally deep runs at one time.

Each transfer pays its overhead and route latency, then drains as slowly as the fullest link of
its route lets it, given all that is on that link at its depth; it begins when the last transfer
it waits for has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simnet.arrays import distinct
from simnet.collectives.collective import FloatArray, IntArray
from simnet.collectives.longest_paths import longest_paths
from simnet.collectives.schedule import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Transfers and the routes they take, ready to be walked.

    Attributes
    ----------
    dep_offsets, deps
        Transfer i waits for ``deps[dep_offsets[i]:dep_offsets[i + 1]]``; shape (n + 1,), (m,).
    joins, size, reduces, receiver, which
        Of each transfer: whether it takes no time, its bytes, whether and by which receiver it
        is reduced, the connection that it goes over (of a join: any that no other goes over).
    pace
        Bytes/s of the local reduction of each receiver.
    hops, links, weights
        Connection c goes over ``links[hops[c]:hops[c + 1]]``, which each of its transfers loads
        with `weights` times its bytes.
    fixed
        Seconds of overhead and latency of each connection.
    bandwidth
        Bytes/s of each link.
    """

    dep_offsets: IntArray
    deps: IntArray
    joins: BoolArray
    size: IntArray
    reduces: BoolArray
    receiver: IntArray
    pace: FloatArray
    which: IntArray
    hops: IntArray
    links: IntArray
    weights: IntArray
    fixed: FloatArray
    bandwidth: FloatArray

    def seconds(self, in_flight: int) -> float:
        """Seconds in all; a connection starts at most `in_flight` transfers at a time."""
        offsets, deps = self._with_queues(in_flight)
        depth = longest_paths(offsets, deps, (~self.joins).astype(np.float64))
        seconds = self._durations(depth.astype(np.int64))
        return float(longest_paths(offsets, deps, seconds).max())

    def _with_queues(self, in_flight: int) -> tuple[IntArray, IntArray]:
        """Dependencies with each connection's queue: wait for the one `in_flight` before."""
        order = np.argsort(self.which, kind="stable")
        behind, before = order[in_flight:], order[:-in_flight]
        queued = (self.which[behind] == self.which[before]) & ~self.joins[behind]
        waiting = np.repeat(np.arange(len(self.which)), np.diff(self.dep_offsets))
        waiting = np.concatenate([waiting, behind[queued]])
        deps = np.concatenate([self.deps, before[queued]])
        by_waiting = np.argsort(waiting, kind="stable")
        counts = np.bincount(waiting, minlength=len(self.which))
        return np.concatenate([[0], counts.cumsum()]), deps[by_waiting]

    def _durations(self, depth: IntArray) -> FloatArray:
        """Seconds of each transfer, given what else is on its links at its depth."""
        count = np.diff(self.hops)[self.which]
        owner = np.repeat(np.arange(len(self.which)), count)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        hop = self.hops[self.which][owner] + step
        link, size = self.links[hop], self.size.astype(np.float64)
        links, deepest = len(self.bandwidth), int(depth.max(initial=0)) + 1
        loads = size[owner] * self.weights[hop]
        load = _sums(depth[owner] * links + link, loads, deepest * links)
        drain = np.zeros(len(self.which))
        np.maximum.at(drain, owner, load / self.bandwidth[link])
        ranks, reducing = len(self.pace), np.where(self.reduces, size, 0.0)
        reduced = _sums(depth * ranks + self.receiver, reducing, deepest * ranks)
        reduction = np.where(self.reduces, reduced / self.pace[self.receiver], 0.0)
        seconds: FloatArray = self.fixed[self.which] + drain + reduction
        return seconds


def _sums(keys: IntArray, values: FloatArray, limit: int) -> FloatArray:
    """For each entry, the sum of the values of all entries with its key, which is below `limit`."""
    _, which = distinct(keys, limit)
    return np.bincount(which, weights=values).astype(np.float64)[which]
