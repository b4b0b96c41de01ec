"""One program under many parameters of its links: the max-plus pass, scenario by scenario at once.

The order of a program's transfers, their dependencies and which of them might meet on a link are
the same in every scenario, so they are worked out once; what is left is arithmetic on rows of one
value a scenario, which fills wide registers and all cores. Every scenario is checked as
`simnet.engine.maxplus` checks its one: links that might be oversubscribed, orders that might turn.
A scenario that does not pass is carried out event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.engine.kernel import load_core, numbered
from simnet.engine.program import FloatArray, IntArray, Program
from simnet.network import Network

SIDE_BY_SIDE, EVENT_BY_EVENT = 512, 4
"""Scenarios that are worth a thread of their own."""
BLOCK = 50_000_000
"""Transfers that the compiled kernel works out at one go, some tenths of a second side by side."""
EVENTS_DEARER = 100
"""How many times as long a transfer may take event by event."""


def work_out_many(
    net: Network,
    program: Program,
    arrivals: FloatArray,
    bandwidth: FloatArray,
    latency: FloatArray,
    *,
    threads: int,
    on_step: Callable[[int], None] = lambda known: None,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Work out a program under many parameters of the links, with the compiled kernel.

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
    on_step : callable
        Called now and then with how many scenarios are known, to show progress.

    Returns
    -------
    left : (S, P) array of float
        When the rank at each place leaves, absolute seconds; not finite for never.
    alone : (S,) array of bool
        Whether nothing shares a link in that scenario, so that the max-plus pass has told.

    Raises
    ------
    ImportError
        If the kernel was not built.
    """
    core = load_core()
    scenarios = max(len(bandwidth), len(latency))
    left = np.full((scenarios, len(program.ranks)), np.nan)
    alone = np.zeros(scenarios, dtype=np.bool_)
    columns = _columns(net, program, arrivals)
    many, flat = core.Many(*columns), left.ravel()
    rows = np.ascontiguousarray(bandwidth).ravel(), np.ascontiguousarray(latency).ravel()
    block = max(BLOCK // max(len(program), 1), 1)
    if program.in_flight <= 1:
        count = min(threads, scenarios // SIDE_BY_SIDE)
        for done in _shared(
            lambda first, last: many.run(*rows, first, last, flat, alone), scenarios, count, block
        ):
            on_step(int(np.count_nonzero(alone[:done])))
    rest = np.flatnonzero(~alone)
    if len(rest) and len(program.ranks):
        compiled = _compiled(core, net, program, columns)
        count, block = min(threads, len(rest) // EVENT_BY_EVENT), max(block // EVENTS_DEARER, 1)
        for done in _shared(
            lambda first, last: many.events(compiled, *rows, rest[first:last], flat),
            len(rest),
            count,
            block,
        ):
            on_step(scenarios - len(rest) + done)
    return left, alone


def _shared(
    work: Callable[[int, int], object], count: int, threads: int, most: int
) -> Iterator[int]:
    """Let threads do work on blocks that make up 0 … count; yields how far all is done.

    An interrupt waits for the blocks under way.
    """
    threads = max(threads, 1)
    step = min(most, -(-count // threads)) or 1
    blocks = [(first, min(first + step, count)) for first in range(0, count, step)]
    if threads == 1:
        for first, last in blocks:
            work(first, last)
            yield last
        return
    pool = ThreadPoolExecutor(threads)
    try:
        under_way = [pool.submit(work, *block) for block in blocks]
        for future, (_, last) in zip(under_way, blocks, strict=True):
            future.result()
            yield last
    finally:
        pool.shutdown(cancel_futures=True)


def _compiled(core: Any, net: Network, program: Program, columns: tuple[Any, ...]) -> Any:
    """The program as the event loop takes it."""
    compiled = core.Program(
        np.asarray(program.ranks, dtype=np.int64), program.in_flight, net.num_ranks
    )
    compiled.add(*columns[:7], 1, len(columns[11]))
    if program.releases is not None:
        compiled.release(_column(program.releases, np.float64))
    return compiled


def _columns(net: Network, program: Program, arrivals: FloatArray) -> tuple[Any, ...]:
    """The program with its connections' routes, as the kernel takes it."""
    src, dst, channel = program.sources, program.destinations, program.channels
    numbering = load_core().Numbering(net.num_ranks)
    connection, first = numbered(numbering, src, dst, channel)
    offsets, links = net.routes_of(src[first], dst[first], channel[first])
    arrivals = np.ascontiguousarray(arrivals, dtype=np.float64)
    floor = np.maximum(arrivals[program.senders], arrivals[program.receivers])
    if program.releases is not None:
        floor = np.maximum(floor, program.releases)
    receivers: IntArray = dst[first]
    return (
        _column(program.senders),
        _column(program.receivers),
        connection,
        _column(program.sizes),
        _column(program.reducing, np.bool_),
        _column(program.dep_offsets),
        _column(program.deps),
        floor,
        arrivals,
        _column(offsets),
        _column(links),
        net.overhead[src[first]],
        receivers,
        net.reduce_bandwidth,
        net.num_links,
        program.in_flight == 1,
    )


def _column(array: NDArray[Any], dtype: Any = np.int64) -> NDArray[Any]:
    """An array as the kernel takes it."""
    return np.ascontiguousarray(array, dtype=dtype)
