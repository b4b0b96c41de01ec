"""What one rank does in an algorithm in which all ranks do the same.

Where a group of translations moves any rank to any other in exactly one way, each transfer of a
schedule is the translation of one that rank 0 sends: that one represents all N of them. So an
algorithm says what rank 0 sends (`Turn`), and a schedule of N² transfers is told by 2 N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from simnet.collectives.collective import IntArray
from simnet.collectives.layout import Layout
from simnet.collectives.schedule import BoolArray, Representative
from simnet.collectives.symmetry import Translations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """What rank 0 sends of one part of the data, n transfers.

    Attributes
    ----------
    to
        The rank that each goes to; 0 for a join.
    count
        Cells that each carries.
    reduces
        Whether the receiver reduces.
    dep_offsets, deps
        Transfer i waits for translations of ``deps[dep_offsets[i]:dep_offsets[i + 1]]``.
    slots
        So many follow each other within one step of the schedule.
    pieces
        Of those that a schedule yields in several steps, by position: how many ranks' in each.
    """

    to: IntArray
    count: IntArray
    reduces: BoolArray
    dep_offsets: IntArray
    deps: IntArray
    slots: int = 1
    pieces: Mapping[int, IntArray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of transfers."""
        return len(self.to)


def sendrecv(to: ArrayLike, count: ArrayLike, reduces: ArrayLike, *, slots: int = 1) -> Turn:
    """Return steps of MPI sendrecv: each waits for the one before it in its slot."""
    to, count, reduces = np.broadcast_arrays(np.atleast_1d(to), count, reduces)
    position = np.arange(len(to))
    return Turn(
        to=to,
        count=count,
        reduces=reduces.astype(np.bool_),
        dep_offsets=np.append(np.maximum(position - slots, 0), max(len(to) - slots, 0)),
        deps=position[: max(len(to) - slots, 0)],
        slots=slots,
    )


def represent(
    turn: Turn, translations: Translations, layout: Layout, channel: int
) -> Representative:
    """Repeat a turn for all parts of the data, in the order of the schedule's own transfers."""
    parts, slots = layout.parts, turn.slots
    step = np.arange(len(turn)).reshape(-1, slots)
    place = np.repeat(step, parts, axis=0).ravel()  # in the turn, step by step and part by part
    part = np.tile(np.repeat(np.arange(parts), slots), len(step))
    sizes = np.array([int(layout.part_sizes(each)[0]) for each in range(parts)], dtype=np.int64)
    counts = np.diff(turn.dep_offsets)[place]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    local = turn.deps[np.repeat(turn.dep_offsets[place], counts) + within]
    deps = local // slots * (parts * slots) + np.repeat(part, counts) * slots + local % slots
    runs, copies = _runs(turn, parts, translations.num_ranks)
    return Representative(
        translations=translations,
        to=turn.to[place],
        size=turn.count[place] * sizes[part],
        reduces=turn.reduces[place],
        channel=channel + part // layout.segments,
        dep_offsets=offsets,
        deps=deps,
        runs=runs,
        copies=copies,
    )


def _runs(turn: Turn, parts: int, num_ranks: int) -> tuple[IntArray, IntArray]:
    """Which representative the schedule's transfers follow, run by run, and how many each."""
    runs = np.arange(len(turn) * parts)
    copies = np.full(len(runs), num_ranks)
    for position in sorted(turn.pieces, reverse=True):
        pieces, begin = turn.pieces[position], position * parts
        several = np.tile(runs[begin : begin + parts], len(pieces))
        runs = np.concatenate([runs[:begin], several, runs[begin + parts :]])
        cut = np.repeat(pieces, parts)
        copies = np.concatenate([copies[:begin], cut, copies[begin + parts :]])
    return runs, copies
