"""A schedule: the transfers that make a collective, expanded to arrays on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import Collective, IntArray
from simnet.collectives.layout import Layout
from simnet.collectives.symmetry import RankMap, Translations

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """A run of consecutive transfers of a schedule, as read-only arrays.

    A transfer's id is its position in the schedule. A transfer with ``src == dst`` is a *join*:
    it takes no time and carries nothing, it only gathers dependencies.

    Attributes
    ----------
    first_id
        Id of the first transfer here.
    src, dst
        Group ranks; int64, shape (n,).
    size
        Bytes; int64, shape (n,).
    reduces
        Whether the receiver reduces what comes into its buffer (else it overwrites).
    channel
        Channel number.
    chunk_offsets, chunks
        Transfer i carries ``chunks[chunk_offsets[i]:chunk_offsets[i + 1]]``. Empty where the
        expansion was asked to leave chunks out.
    dep_offsets, deps
        Transfer i starts when ``deps[dep_offsets[i]:dep_offsets[i + 1]]`` have ended: ids in the
        schedule, each smaller than the transfer's own.
    """

    first_id: int = 0
    src: IntArray
    dst: IntArray
    size: IntArray
    reduces: BoolArray
    channel: IntArray
    chunk_offsets: IntArray
    chunks: IntArray
    dep_offsets: IntArray
    deps: IntArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.src, self.dst, self.size, self.reduces, self.channel):
            array.flags.writeable = False
        for array in (self.chunk_offsets, self.chunks, self.dep_offsets, self.deps):
            array.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of transfers."""
        return len(self.src)

    @property
    def joins(self) -> BoolArray:
        """Which transfers are joins; shape (n,)."""
        joined: BoolArray = self.src == self.dst
        return joined

    def deps_of(self, position: int) -> IntArray:
        """Return the ids that the transfer at a position here depends on."""
        return self.deps[self.dep_offsets[position] : self.dep_offsets[position + 1]]

    def chunks_of(self, position: int) -> IntArray:
        """Return the chunks that the transfer at a position here carries."""
        return self.chunks[self.chunk_offsets[position] : self.chunk_offsets[position + 1]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeated:
    """Transfers that come several times, one copy after the other, as the steps of a ring do.

    In every copy, ids and dependencies are ``len(block)`` above those of the copy before; where
    there are several, each waits only for the ``len(block)`` transfers before it.

    Attributes
    ----------
    block
        The first copy, without chunks.
    times
        How many copies there are.
    sizes
        Bytes, where copies differ in them; shape (times, n), else None.
    """

    block: Transfers
    times: int = 1
    sizes: IntArray | None = None

    def __len__(self) -> int:
        """Return the number of transfers of all copies."""
        return len(self.block) * self.times

    def copies(self) -> Iterator[Transfers]:
        """Yield one copy after the other."""
        for time in range(self.times):
            behind = time * len(self.block)
            yield replace(
                self.block,
                first_id=self.block.first_id + behind,
                size=self.block.size if self.sizes is None else self.sizes[time],
                deps=self.block.deps + behind,
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Representative:
    """One transfer for each N of a schedule that its translations map onto each other.

    Representative i goes from place 0 to place ``to[i]``; from every other place p the schedule
    has one that goes to ``translations.add(p, to[i])`` and is like it in all else, and it waits
    for transfers that are translations of representatives `deps`.

    Attributes
    ----------
    translations
        The group, and the rank at each of its places.
    to
        Places; int64, shape (n,); 0 for a join.
    size, reduces, channel, dep_offsets, deps
        As in `Transfers`; `deps` are representatives.
    runs, copies
        The schedule's transfers, in order, are ``copies[0]`` translations of representative
        ``runs[0]``, then ``copies[1]`` of ``runs[1]``, and so on.
    """

    translations: Translations
    to: IntArray
    size: IntArray
    reduces: BoolArray
    channel: IntArray
    dep_offsets: IntArray
    deps: IntArray
    runs: IntArray
    copies: IntArray

    def __len__(self) -> int:
        """Return the number of representatives."""
        return len(self.to)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """The transfers of one algorithm for one collective over a number of ranks.

    Nothing is expanded until asked for: a ring over 16,384 ranks (537 million transfers) is an
    object of a few hundred bytes, and `blocks` yields one step at a time.

    Attributes
    ----------
    collective
        What it does.
    num_ranks
        Size of the group; ranks in transfers are 0 to ``num_ranks - 1``.
    algorithm
        Name of the algorithm.
    num_transfers
        Number of transfers, joins included.
    layout
        How the data is cut into chunks.
    expand
        Function that yields the blocks; its argument says whether with chunks. Without, those of
        which there are several alike may be `Repeated`.
    symmetry
        Generators of a group of rank permutations, each of which maps the set of transfers
        (source, destination, bytes, channel, order on a connection, dependencies) onto itself.
        Empty where none is known.
    representative
        Function that returns one transfer for all that a group of translations maps onto each
        other; None where that is not known.
    """

    collective: Collective
    num_ranks: int
    algorithm: str
    num_transfers: int
    layout: Layout
    expand: Callable[[bool], Iterator[Transfers | Repeated]]
    symmetry: tuple[RankMap, ...] = ()
    representative: Callable[[], Representative] | None = None

    @property
    def in_flight(self) -> int:
        """How many transfers of one (source, destination, channel) may be started at a time."""
        return self.collective.in_flight

    def blocks(self, *, chunks: bool = True) -> Iterator[Transfers]:
        """Yield the transfers in order, some (usually a step) at a time.

        Parameters
        ----------
        chunks
            False leaves the chunk sets out, which a simulation does not need and which can be
            far larger than the rest.

        """
        for block in self.expand(chunks):
            if isinstance(block, Repeated):
                yield from block.copies()
            else:
                yield block

    def repeats(self) -> Iterator[Repeated]:
        """Yield the transfers in order, without chunks; those that come again only once."""
        for block in self.expand(False):
            yield block if isinstance(block, Repeated) else Repeated(block=block)

    def transfers(self, *, chunks: bool = True) -> Transfers:
        """Return all transfers at once; memory grows with their number."""
        return from_blocks(list(self.blocks(chunks=chunks)))

    def verify(self) -> None:
        """Prove symbolically that this schedule implements its collective.

        Memory and time grow with the square of the number of transfers: meant for tests, some
        ten thousand transfers at most.

        Raises
        ------
        simnet.collectives.ScheduleError
            A ValueError that names the transfer, rank or chunk at fault.

        """
        from simnet.collectives.verify import verify

        verify(self)


def from_transfers(
    collective: Collective,
    num_ranks: int,
    transfers: Transfers,
    *,
    algorithm: str = "custom",
    layout: Layout | None = None,
    symmetry: tuple[RankMap, ...] = (),
) -> Schedule:
    """Make a schedule from explicit transfers, for an algorithm of your own.

    Parameters
    ----------
    collective, num_ranks
        What it does, over how many ranks.
    transfers
        All transfers.
    algorithm
        Its name.
    layout
        How the data is cut into the chunks that `transfers` names; None: one chunk a block.
    symmetry
        Rank permutations that map the transfers onto themselves.

    """
    from simnet.collectives.layout import block_sizes

    collective.check_num_ranks(num_ranks)
    if layout is None:
        sizes, repeats = block_sizes(collective, num_ranks)
        layout = Layout(block_sizes=sizes, repeats=repeats)
    return Schedule(
        collective=collective,
        num_ranks=num_ranks,
        algorithm=algorithm,
        num_transfers=len(transfers),
        layout=layout,
        expand=lambda _: iter((transfers,) if len(transfers) else ()),
        symmetry=symmetry,
    )


def from_blocks(blocks: list[Transfers]) -> Transfers:
    """Join consecutive blocks of a schedule, of which the first begins it."""
    if len(blocks) == 1:
        return blocks[0]

    def column(name: str) -> IntArray:
        none = np.empty(0, dtype=np.int64)
        return np.concatenate([none, *(getattr(block, name) for block in blocks)])

    def offsets(name: str) -> IntArray:
        counts = [np.diff(getattr(block, name)) for block in blocks]
        return np.concatenate([np.zeros(1, dtype=np.int64), *counts]).cumsum()

    return Transfers(
        src=column("src"),
        dst=column("dst"),
        size=column("size"),
        reduces=column("reduces").astype(np.bool_, copy=False),
        channel=column("channel"),
        chunk_offsets=offsets("chunk_offsets"),
        chunks=column("chunks"),
        dep_offsets=offsets("dep_offsets"),
        deps=column("deps"),
    )
