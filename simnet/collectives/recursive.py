"""Recursive halving and doubling: partners at distances that are powers of two.

References
----------
Thakur, Rabenseifner and Gropp, Optimization of collective communication operations in MPICH,
Int. J. High Perform. Comput. Appl. 19(1), 2005, https://doi.org/10.1177/1094342005051521

Bruck et al., Efficient algorithms for all-to-all communications in multiport message-passing
systems, IEEE Trans. Parallel Distrib. Syst. 8(11), 1997, https://doi.org/10.1109/71.642949

Träff, Optimal, non-pipelined reduce-scatter and allreduce algorithms, 2024,
https://arxiv.org/abs/2410.14234

"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.expansion import Step
from simnet.collectives.representative import Turn, sendrecv
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import Sequencer, make_schedule, powers_below, step
from simnet.collectives.symmetry import RankMap, Rotation, Translations, bit_flips, hypercube


def recursive_halving_doubling(collective: Collective, num_ranks: int) -> Schedule:
    """All-reduce by a halving reduce-scatter (partners N/2 to 1) and a doubling all-gather.

    Where N is not a power of two, the first ranks pair up: every even one of them hands its
    whole buffer to the next and gets the result back at the end (Rabenseifner).

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.

    """
    core = _core(num_ranks)
    size = len(core)

    def steps() -> Iterator[Step]:
        order = Sequencer(num_ranks)
        yield from _fold_in(order, num_ranks, size)
        for distance in powers_below(size)[::-1]:
            kept = np.arange(size) & -distance
            yield _exchange(order, core, distance, kept ^ distance, reduces=True)
        for distance in powers_below(size):
            held = np.arange(size) & -distance
            yield _exchange(order, core, distance, held, reduces=False)
        yield from _fold_out(order, num_ranks, size)

    def turn() -> Turn:
        up = powers_below(size)
        return sendrecv(up[::-1] + up, up[::-1] + up, np.arange(2 * len(up)) < len(up))

    folded = num_ranks - size
    return make_schedule(
        collective,
        num_ranks,
        algorithm="recursive_halving_doubling",
        steps=steps,
        count=2 * size * len(powers_below(size)) + 2 * folded,
        cells_per_block=size,
        widest=size if folded else max(1, size // 2),
        symmetry=_flips(num_ranks),
        translations=hypercube(num_ranks),
        turn=None if folded else turn,
    )


def recursive_doubling(collective: Collective, num_ranks: int) -> Schedule:
    """All-reduce by exchanges of whole buffers with partners at distance 1, 2, 4, ...

    Where N is not a power of two, the first ranks pair up as in `recursive_halving_doubling`.

    Parameters
    ----------
    collective
        An all_reduce.
    num_ranks
        Number of ranks N.

    """
    core = _core(num_ranks)
    size = len(core)

    def steps() -> Iterator[Step]:
        order = Sequencer(num_ranks)
        yield from _fold_in(order, num_ranks, 1)
        for distance in powers_below(size):
            partner = core[np.arange(size) ^ distance]
            yield step(core, partner, reduces=True, deps=order.sendrecv(core))
            order.took(core, partner)
        yield from _fold_out(order, num_ranks, 1)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="recursive_doubling",
        steps=steps,
        count=size * len(powers_below(size)) + 2 * (num_ranks - size),
        symmetry=_flips(num_ranks),
        translations=hypercube(num_ranks),
        turn=None if num_ranks > size else lambda: sendrecv(powers_below(size), 1, True),
    )


def recursive_halving(collective: Collective, num_ranks: int) -> Schedule:
    """Reduce-scatter in ceil(log2 N) steps and (N - 1)/N of the data a rank, for every N.

    Partners are r XOR N/2 ... 1 for a power of two; else ranks at distances 2^k on a ring,
    Bruck's all-gather run backwards (Träff).

    Parameters
    ----------
    collective
        A reduce_scatter.
    num_ranks
        Number of ranks N.

    """
    return _logarithmic(collective, num_ranks, "recursive_halving", reduces=True)


def recursive_doubling_all_gather(collective: Collective, num_ranks: int) -> Schedule:
    """All-gather in ceil(log2 N) steps and (N - 1)/N of the data a rank, for every N.

    Partners are r XOR 1 ... N/2 for a power of two; else ranks at distances 2^k on a ring
    (Bruck).

    Parameters
    ----------
    collective
        An all_gather.
    num_ranks
        Number of ranks N.

    """
    return _logarithmic(collective, num_ranks, "recursive_doubling", reduces=False)


def dissemination(collective: Collective, num_ranks: int) -> Schedule:
    """Barrier: in step k every rank tells the one 2^k further, ceil(log2 N) steps.

    Hensgen, Finkel and Manber, Two algorithms for barrier synchronization, Int. J. Parallel
    Program. 17(1), 1988, https://doi.org/10.1007/BF01379320

    Parameters
    ----------
    collective
        A barrier.
    num_ranks
        Number of ranks N.

    """

    def steps() -> Iterator[Step]:
        ranks = np.arange(num_ranks)
        order = Sequencer(num_ranks)
        for distance in powers_below(num_ranks):
            other = (ranks + distance) % num_ranks
            yield step(ranks, other, deps=order.sendrecv(ranks))
            order.took(ranks, other)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="dissemination",
        steps=steps,
        count=num_ranks * len(powers_below(num_ranks)),
        symmetry=(Rotation(num_ranks),),
        translations=Translations((num_ranks,)),
        turn=lambda: sendrecv(powers_below(num_ranks), 0, False),
    )


def _logarithmic(
    collective: Collective, num_ranks: int, algorithm: str, *, reduces: bool
) -> Schedule:
    flips = _flips(num_ranks)
    distances = powers_below(num_ranks)

    def steps() -> Iterator[Step]:
        ranks = np.arange(num_ranks)
        order = Sequencer(num_ranks)
        for distance in distances[::-1] if reduces else distances:
            if flips:
                held = ranks & -distance
                first = held ^ distance if reduces else held
                yield _exchange(order, ranks, distance, first, reduces=reduces)
            else:
                yield _circulate(order, num_ranks, distance, reduces=reduces)

    def turn() -> Turn:
        to = np.array(distances[::-1] if reduces else distances)
        if flips:
            return sendrecv(to, to, reduces)
        count = np.minimum(to, num_ranks - to)
        return sendrecv(to if reduces else num_ranks - to, count, reduces)

    return make_schedule(
        collective,
        num_ranks,
        algorithm=algorithm,
        steps=steps,
        count=num_ranks * len(distances),
        widest=max(1, distances[-1]) if distances else 1,
        symmetry=flips or (Rotation(num_ranks),),
        translations=hypercube(num_ranks) if flips else Translations((num_ranks,)),
        turn=turn,
    )


def _exchange(
    order: Sequencer, core: IntArray, distance: int, first: IntArray, *, reduces: bool
) -> Step:
    """Let partners at a distance swap runs of `distance` cells."""
    partner = core[np.arange(len(core)) ^ distance]
    one = step(
        core,
        partner,
        base=first,
        count=distance,
        modulus=distance,
        reduces=reduces,
        deps=order.sendrecv(core),
    )
    order.took(core, partner)
    return one


def _circulate(order: Sequencer, num_ranks: int, distance: int, *, reduces: bool) -> Step:
    """Let each rank hold twice as many cells from its own on, or half as many reduced ones."""
    ranks = np.arange(num_ranks)
    other = (ranks + (distance if reduces else -distance)) % num_ranks
    one = step(
        ranks,
        other,
        first=other if reduces else ranks,
        count=min(distance, num_ranks - distance),
        modulus=num_ranks,
        reduces=reduces,
        deps=order.sendrecv(ranks),
    )
    order.took(ranks, other)
    return one


def _core(num_ranks: int) -> IntArray:
    """Return the ranks, a power of two of them, that work after the folding."""
    size = 1 << (num_ranks.bit_length() - 1)
    folded = num_ranks - size
    return np.concatenate([np.arange(1, 2 * folded, 2), np.arange(2 * folded, num_ranks)])


def _fold_in(order: Sequencer, num_ranks: int, cells: int) -> Iterator[Step]:
    yield from _fold(order, num_ranks, cells, 0, 1)


def _fold_out(order: Sequencer, num_ranks: int, cells: int) -> Iterator[Step]:
    yield from _fold(order, num_ranks, cells, 1, 0)


def _fold(order: Sequencer, num_ranks: int, cells: int, src: int, dst: int) -> Iterator[Step]:
    """Move whole buffers between the folded ranks and their partners, if there are any."""
    folded = num_ranks - (1 << (num_ranks.bit_length() - 1))
    if not folded:
        return
    pairs = np.arange(0, 2 * folded, 2)
    yield step(
        pairs + src,
        pairs + dst,
        count=cells,
        modulus=cells,
        reduces=dst == 1,
        deps=order.sendrecv(pairs + src),
    )
    order.took(pairs + src, pairs + dst)


def _flips(num_ranks: int) -> tuple[RankMap, ...]:
    """Return the symmetries of a hypercube, or none if there is no power of two of ranks."""
    return () if num_ranks & (num_ranks - 1) else bit_flips(num_ranks)
