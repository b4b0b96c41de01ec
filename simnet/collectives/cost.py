"""Closed-form alpha-beta costs of every algorithm on an ideal, uniform network.

The network: N ranks, each with one full-duplex card of 1/beta bytes/s, joined by a switch (or
fabric of full bisection) that is never the bottleneck; every message pays alpha seconds, then its
bytes share the two cards it uses max-min fairly; what is reduced on arrival then takes gamma
seconds a byte at the receiver (R. W. Hockney, "The communication challenge for MPP", Parallel
Comput. 20(3), 1994, doi:10.1016/S0167-8191(06)80021-9).

Pieces are whole bytes, cut at floor(i S / n), so a largest piece has ceil(S / n). `exactness`
says where a form is exactly what the simulator finds, and where it is a bound or a model.

References
----------
R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication operations in
MPICH", Int. J. High Perform. Comput. Appl. 19(1), 2005, doi:10.1177/1094342005051521.
E. Chan, M. Heimlich, A. Purkayastha, R. van de Geijn, "Collective communication: theory, practice,
and experience", Concurrency Comput. Pract. Exp. 19(13), 2007, doi:10.1002/cpe.1206.
P. Sanders, J. Speck, J. L. Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and
scan", Parallel Comput. 35(12), 2009, doi:10.1016/j.parco.2009.09.001.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from simnet.collectives.collective import check_count
from simnet.collectives.layout import cut
from simnet.collectives.steps import powers_below
from simnet.collectives.table import find

ALWAYS = "always"  # exact for every number of ranks and size
EVEN = "even"  # exact where all pieces are of one size
POWER_OF_TWO = "power of two"  # as "even" where the number of ranks is a power of two
MODEL = "model"  # an approximation


def closed_form(
    kind: str,
    algorithm: str,
    num_ranks: int,
    size: int,
    *,
    alpha: float,
    beta: float,
    gamma: float = 0.0,
    segment: int | None = None,
    root: int = 0,
    dims: Sequence[int] | None = None,
    islands: Sequence[int] | None = None,
) -> float:
    """Seconds that a collective takes on an ideal, uniform network.

    Parameters
    ----------
    kind, algorithm : str
        As `simnet.collectives.algorithms` lists them.
    num_ranks, size : int
        N, at least 1 (one rank takes no time); S in bytes, as the collective counts it.
    alpha, beta, gamma : float
        Seconds a message, a byte on a rank's card each way, a byte of local reduction.
    segment : int, optional
        Most bytes of one transfer; only where segments follow each other on one connection.
    root : int
        Of gather and scatter, whose own block does not move.
    dims, islands : sequence of int, optional
        Sizes of the dimensions of torus, of product N; of the islands of hierarchical, of sum N.

    Returns
    -------
    float
        Seconds; see `exactness` for how they are meant.

    Raises
    ------
    ValueError
        If there is no such algorithm, none of its closed forms takes segments, or an argument is
        out of range or missing.
    """
    find(kind, algorithm)
    form = FORMS[kind, algorithm]
    check_count("closed_form", "num_ranks", num_ranks, least=1)
    check_count("closed_form", "size", size, least=0)
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"closed_form: {name} is {value}; must be finite and >= 0")
    if segment is not None:
        check_count("closed_form", "segment", segment, least=1)
        if not form.segments:
            raise ValueError(f"closed_form: none is known for {kind} by {algorithm} in segments")
    if not 0 <= root < num_ranks:
        raise ValueError(f"closed_form: root {root} is not a rank of {num_ranks}")
    case = Case(
        kind=kind, N=num_ranks, S=size, alpha=alpha, beta=beta, gamma=gamma, segment=segment,
        root=root, dims=_sizes("dims", dims, num_ranks) if algorithm == "torus" else (),
        islands=_sizes("islands", islands, num_ranks) if algorithm == "hierarchical" else (),
    )  # fmt: skip
    return float(form.seconds(case)) if num_ranks > 1 else 0.0


def exactness(kind: str, algorithm: str) -> str:
    """How a closed form is meant: `ALWAYS`, `EVEN`, `POWER_OF_TWO` or `MODEL`.

    Parameters
    ----------
    kind, algorithm : str
        As `simnet.collectives.algorithms` lists them.

    Returns
    -------
    str
        "always": exact. "even": exact where all pieces are of one size; else every step is
        charged its largest piece, which is off by a few bytes a step. "power of two": as "even"
        where N is a power of two, else an approximation. "model": an approximation. In segments
        "always" is "even", and islands of different sizes make hierarchical a model.

    Raises
    ------
    ValueError
        If there is no such algorithm.
    """
    find(kind, algorithm)
    return FORMS[kind, algorithm].exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The arguments of a closed form; `N` ranks, `S` bytes."""

    kind: str
    N: int
    S: int
    alpha: float
    beta: float
    gamma: float
    segment: int | None
    root: int
    dims: tuple[int, ...]
    islands: tuple[int, ...]

    @property
    def depth(self) -> int:
        """ceil(log2 N)."""
        return (self.N - 1).bit_length()

    @property
    def block(self) -> int:
        """ceil(S / N), the largest of N blocks."""
        return ceil_div(self.S, self.N)

    @property
    def runs(self) -> list[int]:
        """Bytes of runs of 1, 2, 4, … blocks, the last one cut short: N − 1 blocks in all."""
        blocks = (min(mask, self.N - mask) for mask in powers_below(self.N))
        return [ceil_div(count * self.S, self.N) for count in blocks]

    def send(self, size: float) -> float:
        """One message that has both cards to itself."""
        return self.alpha + size * self.beta

    def reduce(self, size: float) -> float:
        """One message that the receiver reduces."""
        return self.alpha + size * (self.beta + self.gamma)

    def segments(self, cell: int, widest: int = 1) -> int:
        """How many pieces each cell is cut into, so that `widest` of them fit a segment."""
        if self.segment is None or cell == 0:
            return 1
        if self.segment < widest:
            least = f"is too small; at least {widest}"
            raise ValueError(f"closed_form: segment of {self.segment} bytes {least}")
        return ceil_div(cell, self.segment // widest)

    def steps(self, reduced: int, plain: int, cell: int, *, sharing: int = 1) -> float:
        """Steps of a cell, reduced or not, segment by segment; `sharing` cells share the cards."""
        more = (reduced + plain) * (self.segments(cell) - 1) * self.alpha
        return more + reduced * self.reduce(sharing * cell) + plain * self.send(sharing * cell)


def ceil_div(amount: int, parts: int) -> int:
    """ceil(amount / parts)."""
    return -(-amount // parts)


def _phases(case: Case) -> tuple[int, int]:
    """How many of the two halves of an all_reduce a kind has: (reduce-scatter, all-gather)."""
    return int(case.kind != "all_gather"), int(case.kind != "reduce_scatter")


def _ring(case: Case) -> float:
    """N − 1 steps a phase. The largest block moves in every step, so uneven cuts are exact too."""
    reduced, plain = (phase * (case.N - 1) for phase in _phases(case))
    return case.steps(reduced, plain, case.block)


def _bidirectional_ring(case: Case) -> float:
    """Both directions share each card; with two ranks they even share the connection."""
    reduced, plain = (phase * (case.N - 1) for phase in _phases(case))
    whole = ceil_div(case.S, 2 * case.N)
    cell = whole if case.kind == "all_reduce" else ceil_div(case.block, 2)
    if case.N == 2:
        return case.steps(2 * reduced, 2 * plain, cell)
    return case.steps(reduced, plain, cell, sharing=2)


def _ring_all_to_all(case: Case) -> float:
    """Step k carries the N − k blocks that have further to go."""
    more = (case.segments(case.block, case.N - 1) - 1) * case.alpha
    return sum(more + case.send(ceil_div(k * case.S, case.N)) for k in range(1, case.N))


def _along_dims(case: Case, dims: Sequence[int]) -> float:
    """Rings along each dimension on what the last one left, and back."""
    total, left = 0.0, 1
    for length in dims:
        left *= length
        piece = ceil_div(case.S, left)
        total += (length - 1) * (case.reduce(piece) + case.send(piece))
    return total


def _hierarchical(case: Case) -> float:
    """Islands of one size: a torus of two dimensions. Else through the islands' leaders.

    Leaders: a binomial reduce in each island, a ring between the leaders, a binomial broadcast.
    Early leaders send into the card of late ones, which this leaves out.
    """
    if len(set(case.islands)) == 1:
        return _along_dims(case, (case.islands[0], len(case.islands)))
    depth = max((count - 1).bit_length() for count in case.islands)
    within = depth * (case.reduce(case.S) + case.send(case.S))
    return within + _along_dims(case, (len(case.islands),))


def _folded(case: Case, overlap: float) -> float:
    """What ranks beyond a power of two cost: their buffers in and out, and the overlap.

    A partner that has no one folded into it is early: its first message shares the receiver's
    card with what is folded in there. Later overlaps, from 10 ranks on, are left out.
    """
    extra = overlap * (case.beta + case.gamma)
    return case.reduce(case.S) + case.send(case.S) + extra if case.N & (case.N - 1) else 0.0


def _halving_doubling(case: Case) -> float:
    """Halving pieces S/2, S/4, … and back among a power of two of ranks (Rabenseifner)."""
    pieces = [ceil_div(case.S, 1 << level) for level in range(1, case.N.bit_length())]
    core = sum(case.reduce(piece) + case.send(piece) for piece in pieces)
    return core + _folded(case, ceil_div(case.S, 2))


def _recursive_doubling(case: Case) -> float:
    """Whole buffers with partners at distance 1, 2, 4, … among a power of two of ranks."""
    return (case.N.bit_length() - 1) * case.reduce(case.S) + _folded(case, case.S)


def _logarithmic(case: Case) -> float:
    """A run of blocks a step, twice as many each time."""
    send = case.reduce if case.kind == "reduce_scatter" else case.send
    return sum(map(send, case.runs))


def _dissemination(case: Case) -> float:
    """Empty messages in ceil(log2 N) rounds."""
    return case.depth * case.alpha


def _binomial(case: Case) -> float:
    """ceil(log2 N) messages one after the other at the root, whole or of growing runs of blocks."""
    if case.kind in ("gather", "scatter"):
        return sum(map(case.send, case.runs))
    inward = 0.0 if case.kind == "broadcast" else case.reduce(case.S)
    outward = 0.0 if case.kind == "reduce" else case.send(case.S)
    return case.depth * (inward + outward)


def _chain(case: Case) -> float:
    """A pipe of N − 1 connections: all pieces over the first, the largest one over the others."""
    count = case.segments(case.S)
    pace = case.reduce if case.kind == "reduce" else case.send
    first = count * case.alpha + pace(case.S) - case.alpha
    return first + (case.N - 2) * pace(ceil_div(case.S, count))


def _scatter_allgather(case: Case) -> float:
    """A binomial scatter, then a ring all-gather."""
    scatter = sum(map(case.send, case.runs))
    return scatter + (case.N - 1) * case.send(case.block)


def _double_binary_tree(case: Case) -> float:
    """Both trees of depth ceil(log2 N) at once, up and down, each with half of every segment.

    A level costs alpha and a segment: two halves from two children, or one from a parent beside
    the other tree's; the root's only child saves one. A further segment follows as fast as a card
    passes it, up and down: 2 S beta in all. Exact for powers of two in one segment.
    """
    count = 1 if case.segment is None else case.segments(ceil_div(case.S, 2))
    piece = 2 * ceil_div(ceil_div(case.S, 2), count)
    reduced = case.depth * piece * case.gamma
    fill = 2 * case.depth * case.alpha + (2 * case.depth - 1) * piece * case.beta + reduced
    return fill + (count - 1) * (case.alpha + 2 * piece * case.beta + piece * case.gamma)


def _direct(case: Case) -> float:
    """N − 1 messages share each card in each phase; the largest block's receiver is the last."""
    reduced, plain = (0, 1) if case.kind == "all_to_all" else _phases(case)
    return case.steps(reduced, plain, case.block, sharing=case.N - 1)


def _pairwise(case: Case) -> float:
    """N − 1 rounds of one block."""
    return (case.N - 1) * case.send(case.block)


def _flat(case: Case) -> float:
    """N − 1 messages share the root's card."""
    count = case.segments(case.S if case.kind in ("broadcast", "reduce") else case.block)
    if case.kind in ("gather", "scatter"):
        own = int(cut(np.array([case.S]), case.N)[0, case.root])
        return count * case.alpha + (case.S - own) * case.beta
    pace = case.reduce if case.kind == "reduce" else case.send
    return (count - 1) * case.alpha + pace((case.N - 1) * case.S)


def _parameter_server(case: Case) -> float:
    """All send the server their buffers at once, and each segment back while the next comes."""
    count = case.segments(case.S)
    there = (count - 1) * case.alpha + case.reduce((case.N - 1) * case.S)
    return there + case.send((case.N - 1) * ceil_div(case.S, count))


def _one_message(case: Case) -> float:
    """Every rank sends at most one message and receives at most one."""
    return (case.segments(case.S) - 1) * case.alpha + case.send(case.S)


class Form(NamedTuple):
    """A closed form, how it is meant, and whether it takes segments."""

    seconds: Callable[[Case], float]
    exact: str
    segments: bool = False


FORMS: Mapping[tuple[str, str], Form] = MappingProxyType(
    {
        ("all_reduce", "ring"): Form(_ring, ALWAYS, segments=True),
        ("all_reduce", "bidirectional_ring"): Form(_bidirectional_ring, EVEN, segments=True),
        ("all_reduce", "recursive_halving_doubling"): Form(_halving_doubling, POWER_OF_TWO),
        ("all_reduce", "recursive_doubling"): Form(_recursive_doubling, POWER_OF_TWO),
        ("all_reduce", "binomial"): Form(_binomial, ALWAYS),
        ("all_reduce", "double_binary_tree"): Form(_double_binary_tree, MODEL, segments=True),
        ("all_reduce", "direct"): Form(_direct, EVEN, segments=True),
        ("all_reduce", "parameter_server"): Form(_parameter_server, ALWAYS, segments=True),
        ("all_reduce", "hierarchical"): Form(_hierarchical, EVEN),
        ("all_reduce", "torus"): Form(lambda case: _along_dims(case, case.dims), EVEN),
        ("reduce_scatter", "ring"): Form(_ring, ALWAYS, segments=True),
        ("reduce_scatter", "bidirectional_ring"): Form(_bidirectional_ring, EVEN, segments=True),
        ("reduce_scatter", "recursive_halving"): Form(_logarithmic, EVEN),
        ("reduce_scatter", "direct"): Form(_direct, ALWAYS, segments=True),
        ("all_gather", "ring"): Form(_ring, ALWAYS, segments=True),
        ("all_gather", "bidirectional_ring"): Form(_bidirectional_ring, EVEN, segments=True),
        ("all_gather", "recursive_doubling"): Form(_logarithmic, EVEN),
        ("all_gather", "direct"): Form(_direct, ALWAYS, segments=True),
        ("all_to_all", "direct"): Form(_direct, ALWAYS, segments=True),
        ("all_to_all", "pairwise"): Form(_pairwise, EVEN),
        ("all_to_all", "ring"): Form(_ring_all_to_all, EVEN, segments=True),
        ("broadcast", "binomial"): Form(_binomial, ALWAYS),
        ("broadcast", "chain"): Form(_chain, ALWAYS, segments=True),
        ("broadcast", "flat"): Form(_flat, ALWAYS, segments=True),
        ("broadcast", "scatter_allgather"): Form(_scatter_allgather, EVEN),
        ("reduce", "binomial"): Form(_binomial, ALWAYS),
        ("reduce", "chain"): Form(_chain, ALWAYS, segments=True),
        ("reduce", "flat"): Form(_flat, ALWAYS, segments=True),
        ("gather", "binomial"): Form(_binomial, EVEN),
        ("gather", "flat"): Form(_flat, ALWAYS, segments=True),
        ("scatter", "binomial"): Form(_binomial, EVEN),
        ("scatter", "flat"): Form(_flat, ALWAYS, segments=True),
        ("send", "direct"): Form(_one_message, ALWAYS, segments=True),
        ("permutation", "direct"): Form(_one_message, ALWAYS, segments=True),
        ("barrier", "dissemination"): Form(_dissemination, ALWAYS),
    }
)
"""Every (kind, algorithm) and its closed form."""


def _sizes(name: str, given: Sequence[int] | None, num_ranks: int) -> tuple[int, ...]:
    """The dims of a torus or the sizes of islands, checked."""
    total = math.prod if name == "dims" else sum
    if given is None or min(given, default=0) < 1 or total(given) != num_ranks:
        word = "product" if name == "dims" else "sum"
        raise ValueError(f"closed_form: needs {name}=, of {word} {num_ranks}, not {given!r}")
    return tuple(given)
