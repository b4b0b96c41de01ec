"""The max-plus tier: one pass over a schedule, for work in which no link is ever oversubscribed.

Where every transfer always drains at the rate that it has alone, a start is the latest of what it
waits for and an end a sum: the times are the longest paths through the schedule (an expression in
the max-plus algebra; Baccelli, Cohen, Olsder and Quadrat, Synchronization and Linearity, 1992).
That holds as long as at every instant the solo rates of the transfers that drain over a link sum
to at most its bandwidth, which the pass checks as it goes; a rank's local reduction is a link of
its own. Where it does not hold, or a connection would take its transfers in another order than
that of ids, the pass says so and nothing is guessed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from simnet.arrays import frozen
from simnet.engine.kernel import load_core
from simnet.engine.program import FloatArray, IntArray, Program, columns
from simnet.engine.timeline import Timeline
from simnet.network import Network

MOST_IN_FLIGHT = 16
"""Transfers of one connection under way at once that the pass keeps apart."""
PIECE = 1 << 12
"""Transfers looked at before the first of them is carried out: what a pass in vain costs."""


def max_plus(
    net: Network, program: Program, posted: float, arrivals: FloatArray
) -> Timeline | None:
    """Work out a job in one pass: a `simnet.engine.timeline.Tier`.

    Parameters
    ----------
    net : Network
        At rest, nothing in it drawn.
    program : Program
        What is to be sent; it is streamed and never expanded as a whole.
    posted : float
        When it was posted, absolute seconds.
    arrivals : (P,) array of float
        When the rank at each place of the program arrives, absolute seconds.

    Returns
    -------
    Timeline or None
        None where transfers share a link, where a connection's order is not that of ids, where
        an end is past all numbers, and where the kernel was not compiled.

    Raises
    ------
    ValueError
        For a schedule that cannot be carried out.
    """
    if program.in_flight > MOST_IN_FLIGHT:
        return None
    try:
        load_core()
    except ImportError:
        return None
    job = net, program, posted, arrivals
    run = _carry_out(*job, starts=None)
    if run is not None and run.in_doubt():
        run = _swept(*job)
    if run is None:
        return None
    left, link_bytes = np.empty(len(program.ranks)), np.zeros(net.num_links, dtype=np.int64)
    run.finish(left, link_bytes)
    if not np.isfinite(left).all():
        return None

    @functools.cache
    def times() -> tuple[FloatArray, FloatArray]:
        starts, ends = np.empty(len(program)), np.empty(len(program))
        _carry_out(*job, starts=starts, ends=ends)
        return frozen(starts), frozen(ends)

    return Timeline(tier="max-plus", left=frozen(left), link_bytes=frozen(link_bytes), times=times)


def _carry_out(
    net: Network,
    program: Program,
    posted: float,
    arrivals: FloatArray,
    *,
    starts: FloatArray | None,
    ends: FloatArray | None = None,
) -> Any:
    """Run over all transfers; None where that does not apply.

    Starts need not be kept for the pass itself, and half the memory is half of what it waits for.
    """
    run = load_core().MaxPlus(
        np.concatenate([net.links.bandwidth, net.reduce_bandwidth]),
        net.num_links,
        np.array(program.ranks, dtype=np.int64),
        np.ascontiguousarray(arrivals, dtype=np.float64),
        program.in_flight,
        starts,
        np.empty(len(program)) if ends is None else ends,
    )
    for piece in _pieces(program, posted):
        done = run.run(*piece)
        if isinstance(done, bytes):
            _connect(run, net, np.frombuffer(done, dtype=np.int64).reshape(-1, 3), program.ranks)
            done = run.run(*piece)
        if not done:
            return None
    return run


def _swept(net: Network, program: Program, posted: float, arrivals: FloatArray) -> Any:
    """Look once more at the links whose transfers do not come in order of time; None: shared."""
    run = _carry_out(net, program, posted, arrivals, starts=np.empty(len(program)))
    first = 0
    for piece in _pieces(program, posted):
        run.collect(first, *piece)
        first += len(piece[0]) * piece[-1]
    return run if run.sweep() else None


def _connect(run: Any, net: Network, keys: IntArray, ranks: tuple[int, ...]) -> None:
    """Give the connections between two places each that come up their routes and delays."""
    rank_of = np.asarray(ranks, dtype=np.int64)
    src, dst = rank_of[keys[:, 0]], rank_of[keys[:, 1]]
    offsets, links = net.routes_of(src, dst, keys[:, 2])
    run.connect(offsets, links, net.overhead[src] + net.latencies_of(offsets, links))


def _pieces(program: Program, posted: float) -> Iterator[tuple[Any, ...]]:
    """The columns of some transfers at a time, and how often they come."""
    first = 0
    for repeated in program.repeats():
        given, count = columns(repeated), len(repeated.block)
        if repeated.times > 1:
            yield *given, None, repeated.times
        else:
            *each, offsets, deps = given
            for begin in range(0, count, PIECE):
                end = min(begin + PIECE, count)
                release = program.releases
                yield (
                    *(column[begin:end] for column in each),
                    offsets[begin : end + 1],
                    deps,
                    None if release is None else posted + release[first + begin : first + end],
                    1,
                )
        first += len(repeated)
