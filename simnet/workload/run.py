"""What a run was: results and times by rank, every operation, the recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.engine import Operation
from simnet.ranks.call import Call
from simnet.ranks.recorder import hidden
from simnet.ranks.session import Session
from simnet.report.result import Result
from simnet.units import format_size, format_time
from simnet.workload.trace import Trace

if TYPE_CHECKING:
    import pandas as pd


NOT_CHARGED = "not charged"
"""How computation is charged where there is no model and the program charges none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """One operation of a run.

    Attributes
    ----------
    kind : str
        What torch.distributed calls it.
    size : int
        Bytes, as `simnet.collectives` counts them.
    ranks : tuple of int
        Who took part; sender and receiver of a message.
    algorithm : str
        What ran.
    start, finish : float
        When the first rank came and when the last one left, seconds; NaN if some never left.
    bytes_on_wire : int
        Bytes summed over directed cables, retransmissions included.
    where : str
        "file:line" of the first caller's code.
    """

    kind: str
    size: int
    ranks: tuple[int, ...]
    algorithm: str
    start: float
    finish: float
    bytes_on_wire: int
    where: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """What `simnet.run` and `simnet.replay` return.

    Attributes
    ----------
    results : tuple
        What the training function returned, by rank; empty for a replay.
    rank_times : (N,) array of float
        When each rank ended, virtual seconds; read-only.
    spent : (N, 4) array of float
        Seconds that each rank computed, waited for communication under way, had communication
        under way while it did something else, and was idle; read-only.
    records : tuple of OperationRecord
        Every operation in the order of its first call; `operations` is their table.
    network : Result
        The same operations as the network saw them. Who asks for single transfers
        (`Result.transfers`, `Result.plot_timeline`) has them all carried out once more.
    trace : Trace
        The recording: what each rank did, in order.
    compute : str
        How computation was charged.
    """

    results: tuple[Any, ...]
    rank_times: NDArray[np.float64]
    spent: NDArray[np.float64]
    records: tuple[OperationRecord, ...]
    network: Result
    trace: Trace
    compute: str

    def __repr__(self) -> str:
        """A line: how many ranks, how long, how much."""
        return (
            f"<Run of {len(self.rank_times)} ranks: {format_time(self.time)} virtual, "
            f"{len(self.records)} operations, {format_size(self.bytes_on_wire)} on the wire, "
            f"compute {self.compute}>"
        )

    @property
    def time(self) -> float:
        """When the last rank ended, virtual seconds."""
        return float(self.rank_times.max())

    @property
    def bytes_on_wire(self) -> int:
        """Bytes summed over all directed cables, retransmissions included."""
        return self.network.bytes_on_wire

    @property
    def ranks(self) -> pd.DataFrame:
        """A row per rank: finish, compute, exposed, hidden, idle, in virtual seconds.

        compute + exposed + idle = finish. *exposed* is waiting for communication that was under
        way, *hidden* is communication under way while the rank did something else, *idle* is
        waiting for others to come.
        """
        import pandas as pd

        columns = dict(zip(("compute", "exposed", "hidden", "idle"), self.spent.T, strict=True))
        table = pd.DataFrame({"finish": self.rank_times, **columns})
        table.index.name = "rank"
        return table

    @property
    def operations(self) -> pd.DataFrame:
        """A row per operation, in order of first calls; the columns of OperationRecord."""
        import pandas as pd

        columns = [each.name for each in fields(OperationRecord)]
        rows = [[getattr(each, name) for name in columns] for each in self.records]
        return pd.DataFrame(rows, columns=columns)

    @property
    def links(self) -> pd.DataFrame:
        """A row per directed link: what it is, bytes carried, utilisation."""
        return self.network.links

    @property
    def seed(self) -> int:
        """The seed of jitter, loss and the ranks' `random` and `numpy.random`."""
        return self.network.seed

    @property
    def version(self) -> str:
        """The simnet that computed it."""
        return self.network.version

    def to_dict(self) -> dict[str, Any]:
        """Times, ranks, operations and provenance, ready for JSON."""
        return {
            "version": self.version,
            "seed": self.seed,
            "time": self.time,
            "bytes_on_wire": self.bytes_on_wire,
            "compute": self.compute,
            "approximate": self.trace.approximate,
            "ranks": self.ranks.reset_index().to_dict("records"),
            "operations": [
                {key: _jsonable(value) for key, value in asdict(each).items()}
                for each in self.records
            ],
        }


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if value != value else value


def make_run(session: Session, compute: str, trace: Trace) -> Run:
    """Sum up a session that has ended."""
    members = session.members
    spent = []
    for member in members:
        account = member.recorder.account
        covered = hidden(member.tickets, account.exposed)
        idle = max(member.finish - account.compute - account.exposed, 0.0)
        spent.append((account.compute, account.exposed, covered, idle))
    if compute == NOT_CHARGED and any(row[0] for row in spent):
        compute = "as the program charges it"
    return Run(
        results=tuple(member.result for member in members),
        rank_times=frozen(np.array([member.finish for member in members])),
        spent=frozen(np.array(spent).reshape(-1, 4)),
        records=tuple(_records(session)),
        network=session.network_result(),
        trace=trace,
        compute=compute,
    )


def _records(session: Session) -> Iterator[OperationRecord]:
    for call, position, operations in session.hub.calls:
        if call.free or call.empty or not operations:
            continue  # the network carries nothing for it
        ended = [_finish(each) for each in operations]
        plans = dict.fromkeys(each.plan.algorithm for each in operations if each.plan)
        yield OperationRecord(
            kind=call.kind,
            size=call.size,
            ranks=_took_part(call, position),
            algorithm=", ".join(plans) or "direct",
            start=min(float(each.start) for each in operations),
            finish=max(ended),
            bytes_on_wire=sum(each.bytes_on_wire for each in operations),
            where=call.where,
        )


def _took_part(call: Call, position: int) -> tuple[int, ...]:
    if call.kind == "send":
        return (call.ranks[position], call.ranks[call.peer])
    return call.ranks


def _finish(operation: Operation) -> float:
    job = operation.job
    return max(job.left.values(), default=operation.start) if job.done else float("nan")
