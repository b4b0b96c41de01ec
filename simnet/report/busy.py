"""When ranks are busy: spans of transfers, rows of bars that do not overlap, shares of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simnet.report.result import Result

Seconds = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Transfers that were started, one entry each; joins left out.

    Attributes
    ----------
    work : (n,) array of int
        Which of the result's works.
    src, dst : (n,) array of int
        Global ranks.
    start, end : (n,) array of float
        Seconds; what had not ended ends at `horizon`.
    horizon : float
        The last time seen, seconds.
    """

    work: Numbers
    src: Numbers
    dst: Numbers
    start: Seconds
    end: Seconds
    horizon: float

    def __len__(self) -> int:
        """How many transfers."""
        return len(self.work)


def find_spans(result: Result) -> Spans:
    """All transfers of all works."""
    parts = [
        (
            np.full(len(work.job.program), number, dtype=np.int64),
            np.array(work.job.program.src, dtype=np.int64),
            np.array(work.job.program.dst, dtype=np.int64),
            np.array(work.job.start, dtype=np.float64),
            np.array(work.job.end, dtype=np.float64),
        )
        for number, work in enumerate(result.works)
    ]
    empty = (*(np.empty(0, dtype=np.int64),) * 3, *(np.empty(0),) * 2)
    work, src, dst, start, end = (np.concatenate(part) for part in zip(empty, *parts, strict=True))
    kept = (src != dst) & np.isfinite(start)
    seen = np.concatenate([start[kept], end[kept], result.rank_times])
    horizon = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
    return Spans(
        work=work[kept],
        src=src[kept],
        dst=dst[kept],
        start=start[kept],
        end=np.where(np.isfinite(end[kept]), end[kept], horizon),
        horizon=horizon,
    )


def rows_within(lane: Numbers, start: Seconds, end: Seconds) -> tuple[Numbers, Numbers]:
    """The row within its lane where each span overlaps no other, and how many rows it needs.

    First come, first free row. The second array counts the rows of the span's own busy period,
    which ends when nothing in the lane is under way. Both of shape (spans,).
    """
    row, period = np.zeros((2, len(lane)), dtype=np.int64)
    rows_of_period: list[int] = []
    close = 1e-9 * float(end.max(initial=0.0))
    current, free = -1, list[float]()
    for i in np.lexsort((end, start, lane)).tolist():
        begin = float(start[i]) + close
        if lane[i] != current or max(free) <= begin:
            current, free = int(lane[i]), []
            rows_of_period.append(0)
        place = next((k for k, until in enumerate(free) if until <= begin), len(free))
        free[place : place + 1] = [float(end[i])]
        row[i], period[i] = place, len(rows_of_period) - 1
        rows_of_period[-1] = max(rows_of_period[-1], len(free))
    return row, np.array(rows_of_period, dtype=np.int64)[period]


def busy_shares(
    lane: Numbers, start: Seconds, end: Seconds, num_lanes: int, edges: Seconds
) -> Seconds:
    """The share of each bin of time in which a lane has at least one span, (lanes, bins)."""
    shares = np.zeros((num_lanes, len(edges) - 1))
    order = np.lexsort((start, lane))
    lane, start, end = lane[order], start[order], end[order]
    bounds = np.searchsorted(lane, np.arange(num_lanes + 1))
    for number, (first, last) in enumerate(pairwise(bounds.tolist())):
        if first == last:
            continue
        begins, ends = _union(start[first:last], end[first:last])
        spent = np.concatenate([[0.0], np.cumsum(ends - begins)])
        knots = np.stack([begins, ends], axis=1).ravel()
        busy = np.interp(edges, knots, np.repeat(spent, 2)[1:-1])
        shares[number] = np.diff(busy) / np.diff(edges)
    return np.clip(shares, 0.0, 1.0)


def _union(start: Seconds, end: Seconds) -> tuple[Seconds, Seconds]:
    """The spans merged where they touch, given in order of start."""
    reached = np.maximum.accumulate(end)
    new = np.concatenate([[True], start[1:] > reached[:-1]])
    return start[new], reached[np.concatenate([new[1:], [True]])]
