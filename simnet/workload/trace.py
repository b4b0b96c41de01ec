"""A recording of a run: what every rank did, in order, and what decides how long that takes.

A trace holds no tensors and no code. On disk it is one Parquet file: a row a deed of a rank, and
a JSON header in the file's metadata under the key ``simnet``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.ranks.call import Call, with_algorithm
from simnet.ranks.recorder import Entry
from simnet.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

    from simnet.ranks.session import Session

FORMAT = 1
METADATA_KEY = b"simnet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where a trace comes from.

    Attributes
    ----------
    version : str
        The simnet that recorded it.
    engine : str
        The network model that gave its times.
    seed : int
        The run's seed.
    transport : str
        The transport's name.
    ranks : int
        World size.
    hosts : tuple of int
        The network's rank of each rank.
    lossy : bool
        Whether the network had loss.
    compute : str
        How computation was charged, in words.
    approximate : bool
        Whether the program's control flow looked at time (polls, receives from any rank,
        timeouts that passed) or a callback made calls: elsewhere the program itself might have
        done other things.
    time : float
        When the last rank ended, virtual seconds.
    poll_interval : float
        Virtual seconds that a look cost.
    """

    version: str
    engine: str
    seed: int
    transport: str
    ranks: int
    hosts: tuple[int, ...]
    lossy: bool
    compute: str
    approximate: bool
    time: float
    poll_interval: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trace:
    """What the ranks of a run did.

    Attributes
    ----------
    header : Header
        Where it comes from.
    entries : tuple of tuple of Entry
        By rank, everything it did, in order.
    calls : tuple of tuple of Call
        By rank, its calls; entries refer to them by number.
    """

    header: Header
    entries: tuple[tuple[Entry, ...], ...]
    calls: tuple[tuple[Call, ...], ...]

    def __repr__(self) -> str:
        """A line: how many ranks did how much."""
        calls = sum(map(len, self.calls))
        return f"<Trace of {self.header.ranks} ranks: {calls} calls, {self.header.time:.9g} s>"

    @property
    def approximate(self) -> bool:
        """Whether a replay elsewhere is an approximation: see `Header`."""
        return self.header.approximate

    def save(self, path: str | Path) -> None:
        """Write it to a Parquet file."""
        import pyarrow.parquet as pq

        pq.write_table(_table(self), str(path), compression="zstd")

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read it from a Parquet file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is no trace, is damaged, or has a format this version does not know.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise FileNotFoundError(f"trace {path}: no such file")
        try:
            table = pq.read_table(str(path))
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"trace {path}: not a Parquet file: {error}") from None
        try:
            return _from_table(table)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"trace {path}: {error}") from None


def make_trace(session: Session, compute: str, poll_interval: float) -> Trace:
    """The recording of a session that has ended."""
    recorders = [member.recorder for member in session.members]
    conditions = session.conditions
    return Trace(
        header=Header(
            version=__version__,
            engine=session.fabric.model.name,
            seed=conditions.seed,
            transport=conditions.transport.name,
            ranks=len(recorders),
            hosts=conditions.hosts,
            lossy=conditions.net.is_lossy,
            compute=compute,
            approximate=any(recorder.timely for recorder in recorders),
            time=max(member.finish for member in session.members),
            poll_interval=poll_interval,
        ),
        entries=tuple(tuple(recorder.entries) for recorder in recorders),
        calls=tuple(
            tuple(with_algorithm(ticket.call, ticket.algorithm) for ticket in member.tickets)
            for member in session.members
        ),
    )


# On disk

_ENTRY_COLUMNS = Entry._fields
_CALL_COLUMNS = [each.name for each in fields(Call)]
_LISTS = ("tickets", "ranks", "shape", "splits", "sends", "receives")


def _schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[str, Any] = {name: pa.list_(pa.int64()) for name in _LISTS}
    types |= dict.fromkeys(("begin", "end", "seconds"), pa.float64())
    types |= dict.fromkeys(
        ("action", "name", "kind", "group", "dtype", "op", "algorithm", "where"),
        pa.dictionary(pa.int32(), pa.string()),
    )
    types |= dict.fromkeys(("count", "size", "root", "peer", "tag", "bucket"), pa.int64())
    types |= {"uneven": pa.bool_(), "free": pa.bool_()}
    columns = [*_ENTRY_COLUMNS, *_CALL_COLUMNS]
    return pa.schema([("rank", pa.int32()), *((name, types[name]) for name in columns)])


def _table(trace: Trace) -> pa.Table:
    import pyarrow as pa

    rows: dict[str, list[Any]] = {name: [] for name in ("rank", *_ENTRY_COLUMNS, *_CALL_COLUMNS)}
    for rank, entries in enumerate(trace.entries):
        for entry in entries:
            call = trace.calls[rank][entry.tickets[0]] if entry.action == "issue" else None
            rows["rank"].append(rank)
            for name in _ENTRY_COLUMNS:
                rows[name].append(getattr(entry, name))
            for name in _CALL_COLUMNS:
                rows[name].append(None if call is None else getattr(call, name))
    header = {"format": FORMAT} | {
        each.name: getattr(trace.header, each.name) for each in fields(Header)
    }
    schema = _schema().with_metadata({METADATA_KEY: json.dumps(header).encode()})
    return pa.table(rows, schema=schema)


def _from_table(table: pa.Table) -> Trace:
    header = _header(table)
    entries: list[list[Entry]] = [[] for _ in range(header.ranks)]
    calls: list[list[Call]] = [[] for _ in range(header.ranks)]
    missing = [name for name in _schema().names if name not in table.column_names]
    if missing:
        raise ValueError(f"column {missing[0]} is missing")
    for row in table.to_pylist():
        rank = row["rank"]
        if not 0 <= rank < header.ranks:
            raise ValueError(f"a row of rank {rank}, but there are {header.ranks}")
        entry = Entry(**{name: _value(row[name]) for name in _ENTRY_COLUMNS})
        if entry.action == "issue":
            calls[rank].append(Call(**{name: _value(row[name]) for name in _CALL_COLUMNS}))
        entries[rank].append(entry)
    _check(entries, calls)
    return Trace(header=header, entries=tuple(map(tuple, entries)), calls=tuple(map(tuple, calls)))


def _header(table: pa.Table) -> Header:
    text = (table.schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise ValueError("a Parquet file, but no trace of simnet: it has no header")
    given = json.loads(text)
    if given.pop("format", None) != FORMAT:
        raise ValueError(f"its format is not {FORMAT}, the one that simnet {__version__} reads")
    header = Header(**given | {"hosts": tuple(given.get("hosts", ()))})
    if len(header.hosts) != header.ranks:
        raise ValueError(f"its header names {len(header.hosts)} hosts for {header.ranks} ranks")
    return header


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


ACTIONS = frozenset(
    {
        "issue",
        "compute",
        "pause",
        "resume",
        "wait",
        "interrupt",
        "poll",
        "expire",
        "lookup",
        "publish",
        "withdraw",
        "phase",
        "end",
    }
)


def _check(entries: Sequence[Sequence[Entry]], calls: Sequence[Sequence[Call]]) -> None:
    """Refuse what could not be replayed."""
    for rank, own in enumerate(entries):
        if not own or own[-1].action != "end":
            raise ValueError(f"the deeds of rank {rank} do not end: the file is cut off")
        issued = 0
        for entry in own:
            if entry.action not in ACTIONS:
                raise ValueError(f"rank {rank}: unknown action {entry.action!r}")
            if entry.action == "issue":
                if entry.tickets != (issued,):
                    raise ValueError(f"rank {rank}: call {issued} is missing")
                issued += 1
            elif entry.action == "interrupt" and not entry.tickets:
                raise ValueError(f"rank {rank}: a wait for nothing was interrupted")
            elif any(not 0 <= ticket < issued for ticket in entry.tickets):
                raise ValueError(f"rank {rank}: waits for a call that it has not made")
        if issued != len(calls[rank]):
            raise ValueError(f"rank {rank}: {issued} calls announced, {len(calls[rank])} described")
