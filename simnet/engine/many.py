"""One program under many parameters of its links: the max-plus pass, scenario by scenario at once.

The order of a program's transfers, their dependencies and which of them might meet on a link are
the same in every scenario, so they are worked out once; what is left is arithmetic on rows of one
value a scenario, which fills wide registers and all cores. Every scenario is checked as
`simnet.engine.maxplus` checks its one: links that might be oversubscribed, orders that might turn.
A scenario that does not pass is left to the event-driven model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.engine.kernel import load_core
from simnet.engine.numbering import Numbering
from simnet.engine.program import FloatArray, IntArray, Program
from simnet.network import Network

A_THREAD = 512
"""Scenarios that are worth a thread of their own."""


def max_plus_many(
    net: Network,
    program: Program,
    arrivals: FloatArray,
    bandwidth: FloatArray,
    latency: FloatArray,
    *,
    threads: int,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Work out a program under many parameters of the links, where the max-plus pass can.

    Parameters
    ----------
    net : Network
        Gives the routes and all that does not vary; nothing in it is drawn for a message.
    program : Program
        What is sent, posted at 0.
    arrivals : (P,) array of float
        When the rank at each place of the program arrives, seconds.
    bandwidth, latency : (S, L) or (1, L) array of float
        Bytes/s and seconds of every link, a row a scenario or one row for all.
    threads : int
        How many threads share the scenarios; the result does not depend on it.

    Returns
    -------
    left : (S, P) array of float
        When the rank at each place leaves, absolute seconds.
    holds : (S,) array of bool
        Whether that is so; where not, the row means nothing.
    """
    scenarios = max(len(bandwidth), len(latency))
    left = np.zeros((scenarios, len(program.ranks)))
    holds = np.zeros(scenarios, dtype=np.bool_)
    if program.in_flight > 1:
        return left, holds
    try:
        core = load_core()
    except ImportError:
        return left, holds
    many = core.Many(*_columns(net, program, arrivals))
    rows = np.ascontiguousarray(bandwidth).ravel(), np.ascontiguousarray(latency).ravel()
    flat = left.ravel()
    parts = max(1, min(threads, scenarios // A_THREAD))
    edges = [scenarios * part // parts for part in range(parts + 1)]

    def work(part: int) -> None:
        many.run(*rows, edges[part], edges[part + 1], flat, holds)

    if parts == 1:
        work(0)
    else:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(work, range(parts)))
    return left, holds


def _columns(net: Network, program: Program, arrivals: FloatArray) -> tuple[Any, ...]:
    """The program with its connections' routes, as the kernel takes it."""
    src, dst, channel = program.sources, program.destinations, program.channels
    connection = np.full(len(program), -1)
    apart = np.flatnonzero(src != dst)
    first = apart
    if len(apart):
        each = (src[apart], dst[apart], channel[apart])
        connection[apart], new = Numbering(net.num_ranks).numbers(*each)
        first = apart[new]
    offsets, links = net.routes_of(src[first], dst[first], channel[first])
    arrivals = np.ascontiguousarray(arrivals, dtype=np.float64)
    floor = np.maximum(arrivals[program.senders], arrivals[program.receivers])
    if program.releases is not None:
        floor = np.maximum(floor, program.releases)

    def column(array: NDArray[Any], dtype: Any = np.int64) -> NDArray[Any]:
        return np.ascontiguousarray(array, dtype=dtype)

    receivers: IntArray = dst[first]
    return (
        column(program.senders),
        column(program.receivers),
        connection,
        column(program.sizes),
        column(program.reducing, np.bool_),
        column(program.dep_offsets),
        column(program.deps),
        floor,
        arrivals,
        column(offsets),
        column(links),
        net.overhead[src[first]],
        receivers,
        net.reduce_bandwidth,
        net.num_links,
        program.in_flight == 1,
    )
