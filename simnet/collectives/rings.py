"""Ring algorithms: every rank sends to its neighbour, step after step.

Each transfer of step k + 1 waits for its sender's send and receive of step k (MPI sendrecv).

References
----------
Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
J. Parallel Distrib. Comput. 69(2), 2009, https://doi.org/10.1016/j.jpdc.2008.09.002

"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.expansion import Repeat, Step, Steps
from simnet.collectives.representative import Turn, sendrecv
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import Sequencer, make_schedule, step
from simnet.collectives.symmetry import Reflection, Rotation, Translations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rings:
    """Disjoint rings of one length that run side by side.

    Place i is slot ``slot[i]`` of the `Sequencer`, on rank ``slot[i] % num_ranks``. It is at
    ``position[i]`` of its ring and sends to place ``to[i]``, at ``position[i] + way[i]`` (1 or
    -1). The ring works on `length` pieces: piece p is the `width` cells from
    ``base[i] + p * stride`` on.
    """

    slot: IntArray
    num_ranks: int
    position: IntArray
    to: IntArray
    way: IntArray
    base: IntArray
    length: int
    width: int = 1
    stride: int = 1

    def reduce_scatter(self, order: Sequencer) -> Steps:
        """Yield steps after which each place holds the sum of the piece of its position."""
        yield from self._steps(order, range(1, self.length), reduces=True)

    def all_gather(self, order: Sequencer) -> Steps:
        """Yield steps that bring the piece of each position to every place."""
        yield from self._steps(order, range(self.length - 1), reduces=False)

    def _steps(self, order: Sequencer, behind: range, *, reduces: bool) -> Steps:
        """In step k let each place send the piece of the position ``behind[k]`` behind it."""
        src, dst = self.slot, self.slot[self.to]

        def base(back: IntArray | int) -> IntArray:
            piece = (self.position - self.way * back) % self.length
            cells: IntArray = self.base + piece * self.stride
            return cells

        for again, back in enumerate(behind[:2]):
            one = step(
                src % self.num_ranks,
                dst % self.num_ranks,
                base=base(back),
                count=self.width,
                modulus=self.width,
                reduces=reduces,
                deps=order.sendrecv(src),
            )
            times = len(behind) - 1 if again else 1
            order.took(src, dst, times)
            if again:
                yield Repeat(first=one, times=times, base=lambda k: base(behind[1] + k))
            else:
                yield one


def one_way(ranks: IntArray, num_ranks: int) -> Rings:
    """Return one ring through `ranks` of a group of `num_ranks`, one cell a position."""
    positions = np.arange(len(ranks))
    return Rings(
        slot=ranks,
        num_ranks=num_ranks,
        position=positions,
        to=np.roll(positions, -1),
        way=np.ones_like(positions),
        base=np.zeros_like(positions),
        length=len(ranks),
    )


def both_ways(num_ranks: int) -> Rings:
    """Return a ring to the right on the even cells and one to the left on the odd cells."""
    ranks = np.arange(num_ranks)
    return Rings(
        slot=np.arange(2 * num_ranks),
        num_ranks=num_ranks,
        position=np.concatenate([ranks, ranks]),
        to=np.concatenate([np.roll(ranks, -1), np.roll(ranks, 1) + num_ranks]),
        way=np.repeat([1, -1], num_ranks),
        base=np.repeat([0, 1], num_ranks),
        length=num_ranks,
        stride=2,
    )


def ring(collective: Collective, num_ranks: int) -> Schedule:
    """Send to the next rank, N - 1 steps of S/N bytes; all_reduce: 2(N - 1) steps.

    An all_reduce is a reduce-scatter followed by an all-gather.

    Parameters
    ----------
    collective
        An all_reduce, reduce_scatter or all_gather.
    num_ranks
        Number of ranks N.

    """
    return _ring(collective, num_ranks, "ring", directions=1)


def bidirectional_ring(collective: Collective, num_ranks: int) -> Schedule:
    """Run half the data of every piece round the ring one way, half the other way, at once.

    Parameters
    ----------
    collective
        An all_reduce, reduce_scatter or all_gather.
    num_ranks
        Number of ranks N.

    """
    return _ring(collective, num_ranks, "bidirectional_ring", directions=2)


def _ring(collective: Collective, num_ranks: int, algorithm: str, *, directions: int) -> Schedule:
    kind = collective.kind
    phases = (kind != "all_gather") + (kind != "reduce_scatter")
    blocks = num_ranks if kind == "all_reduce" else 1

    def steps() -> Steps:
        order = Sequencer(directions * num_ranks)
        both = directions == 2
        rings = both_ways(num_ranks) if both else one_way(np.arange(num_ranks), num_ranks)
        if kind != "all_gather":
            yield from rings.reduce_scatter(order)
        if kind != "reduce_scatter":
            yield from rings.all_gather(order)

    def turn() -> Turn:
        count = phases * (num_ranks - 1)
        halves = np.arange(count) < (num_ranks - 1 if kind != "all_gather" else 0)
        return sendrecv(
            np.tile([1, num_ranks - 1][:directions], count),
            1,
            np.repeat(halves, directions),
            slots=directions,
        )

    turns = (Rotation(num_ranks), Reflection(num_ranks))
    return make_schedule(
        collective,
        num_ranks,
        algorithm=algorithm,
        steps=steps,
        count=phases * directions * num_ranks * (num_ranks - 1),
        cells_per_block=directions * blocks,
        symmetry=turns[:directions],
        translations=Translations((num_ranks,)),
        turn=turn,
    )


def ring_all_to_all(collective: Collective, num_ranks: int) -> Schedule:
    """Pass every block on round the ring until it is there: only neighbours talk.

    In step k each rank passes on the N - k blocks that have further to go.

    Parameters
    ----------
    collective
        An all_to_all.
    num_ranks
        Number of ranks N.

    """

    def steps() -> Iterator[Step]:
        ranks = np.arange(num_ranks)
        order = Sequencer(num_ranks)
        right = (ranks + 1) % num_ranks
        for k in range(1, num_ranks):
            yield step(
                ranks,
                right,
                base=(ranks - k + 1) % num_ranks * num_ranks,
                first=right,
                count=num_ranks - k,
                modulus=num_ranks,
                deps=order.sendrecv(ranks),
            )
            order.took(ranks, right)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="ring",
        steps=steps,
        count=num_ranks * (num_ranks - 1),
        widest=num_ranks - 1,
        symmetry=(Rotation(num_ranks),),
        translations=Translations((num_ranks,)),
        turn=lambda: sendrecv(1, num_ranks - np.arange(1, num_ranks), False),
    )
