"""A run or a replay as a row: what `--json` writes, and what tables show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from simnet.workload.run import OperationRecord, Run

Row = dict[str, Any]
SPENT = ("compute", "exposed", "hidden", "idle")


def run_row(run: Run) -> Row:
    """A run as plain values.

    Returns
    -------
    dict
        ranks, time (s), last (the rank that ended last) and its compute, exposed, hidden and idle
        (s), bytes_on_wire, retransmitted_bytes, busiest (link) and its utilisation, compute_model,
        transport, approximate, seed; by_rank, a list of mappings with rank, finish, compute,
        exposed, hidden, idle (s); operations, a list with kind, algorithm, count, bytes,
        bytes_on_wire and time (s), added up.
    """
    last = int(np.argmax(run.rank_times))
    network = run.network
    return {
        "ranks": len(run.rank_times),
        "time": run.time,
        "last": last,
        **_spent(run, last),
        "bytes_on_wire": run.bytes_on_wire,
        "retransmitted_bytes": network.retransmitted_bytes,
        "busiest": network.bottleneck,
        "utilisation": float(network.utilisation.max(initial=0.0)) if run.bytes_on_wire else 0.0,
        "compute_model": run.compute,
        "transport": network.transport,
        "approximate": run.trace.approximate,
        "seed": run.seed,
        "by_rank": [
            {"rank": rank, "finish": float(finish), **_spent(run, rank)}
            for rank, finish in enumerate(run.rank_times.tolist())
        ],
        "operations": _added_up(run),
    }


def flat(row: Row) -> list[Row]:
    """A row per rank, of plain values only: what `--csv` writes of a run."""
    common = {
        key: value
        for key, value in row.items()
        if not isinstance(value, list) and key not in (*SPENT, "last")
    }
    return [common | each for each in row["by_rank"]]


def plain(row: Row) -> Row:
    """Without its lists: what `--csv` writes of a replay."""
    return {key: value for key, value in row.items() if not isinstance(value, list)}


def _spent(run: Run, rank: int) -> dict[str, float]:
    return dict(zip(SPENT, run.spent[rank].tolist(), strict=True))


def _added_up(run: Run) -> list[Row]:
    """Operations by kind and algorithm, in order of their first."""
    groups: dict[tuple[str, str], list[OperationRecord]] = {}
    for operation in run.records:
        groups.setdefault((operation.kind, operation.algorithm), []).append(operation)
    return [
        {
            "kind": kind,
            "algorithm": algorithm,
            "count": len(group),
            "bytes": sum(each.size for each in group),
            "bytes_on_wire": sum(each.bytes_on_wire for each in group),
            "time": float(np.nansum([each.finish - each.start for each in group])),
        }
        for (kind, algorithm), group in groups.items()
    ]
