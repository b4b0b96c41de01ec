"""What a collective is: its kind, its size, who takes part, and when they arrive.

A `Collective` says what shall be done and never how: an algorithm turns it into a
`simnet.collectives.Schedule`, and `simnet.collectives.layout` gives the pre- and postcondition
that the schedule has to meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnet.units import parse_size, parse_time

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

KINDS = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
    "send",
    "permutation",
    "barrier",
)
ROOTED_KINDS = ("broadcast", "reduce", "gather", "scatter")
PAIRED_KINDS = ("send", "permutation")
MAX_SIZE = 2**53  # bytes (9 PB): up to here every byte count is exact in double precision
"""Most bytes of anything: sizes live in int64 arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One collective operation over a group of ranks.

    Use `all_reduce`, `broadcast` and the other functions of `simnet.collectives` to make one:
    they also read sizes and times given as text.

    Attributes
    ----------
    kind
        One of `KINDS`.
    size
        Bytes, as nccl-tests counts them: the whole buffer of a rank (all_reduce, broadcast,
        reduce), the input of a rank (reduce_scatter, all_to_all), the gathered output
        (all_gather, gather), the root's input (scatter), one message (send, permutation).
        With `splits`, the largest input of a rank.
    root
        Position in the group of the root of a broadcast, reduce, gather or scatter.
    ranks
        Ranks of the network that take part, in group order; None means all of them. Every
        other rank number of a collective (`root`, `pairs`, the rows of `splits`, the order
        of `arrivals`) is a position in this group.
    algorithm
        A name, "auto", or a function ``(collective, num_ranks, **options) -> Schedule``.
    start
        Virtual time at which every rank arrives, in seconds.
    arrivals
        Virtual time at which each group rank arrives, in seconds; replaces `start`.
    segment
        Most bytes of one transfer; the data is cut into equal parts that pipeline. None: uncut.
    channels
        Number of equal lanes that the data is cut into; lane i runs on channel `channel` + i.
    in_flight
        How many transfers of one (source, destination, channel) may be started at a time.
    channel
        The first channel number.
    pairs
        (sender, receiver) of each message of a send or a permutation; follows from `perm` there.
    perm
        The rank that each rank of a permutation sends to; a rank that maps to itself does not.
    splits
        Bytes from each rank (row) to each rank (column) of an uneven all_to_all.
    options
        Options of the algorithm, by name.
    """

    kind: str
    size: int
    root: int = 0
    ranks: tuple[int, ...] | None = None
    algorithm: str | Callable[..., Any] = "auto"
    start: float = 0.0
    arrivals: tuple[float, ...] | None = None
    segment: int | None = None
    channels: int = 1
    in_flight: int = 1
    channel: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    perm: tuple[int, ...] | None = None
    splits: tuple[tuple[int, ...], ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check every field that can be checked without knowing the world size."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown collective {self.kind!r}; known are {', '.join(KINDS)}")
        self._check_numbers()
        self._check_group()
        self._check_kind()
        self._check_messages()
        if self.group_size is not None:
            self.check_num_ranks(self.group_size)

    @property
    def group_size(self) -> int | None:
        """Number of ranks, where the collective itself tells it; None where it does not."""
        if self.ranks is not None:
            return len(self.ranks)
        if self.arrivals is not None:
            return len(self.arrivals)
        given = self.splits if self.perm is None else self.perm
        return None if given is None else len(given)

    def arrival_times(self, num_ranks: int) -> FloatArray:
        """Return when each group rank arrives: read-only, shape (num_ranks,), seconds."""
        self.check_num_ranks(num_ranks)
        times = np.full(num_ranks, self.start)
        if self.arrivals is not None:
            times[:] = self.arrivals
        times.flags.writeable = False
        return times

    def check_num_ranks(self, num_ranks: int) -> None:
        """Raise ValueError unless this collective can run over a group of `num_ranks`."""
        check_count(self.kind, "number of ranks", num_ranks, least=1)
        for name in ("ranks", "arrivals", "splits", "perm"):
            given = getattr(self, name)
            if given is not None and len(given) != num_ranks:
                raise ValueError(
                    f"{self.kind}: {name} has {len(given)} entries for a group of {num_ranks} ranks"
                )
        if self.kind in ROOTED_KINDS:
            self._check_rank("root", self.root, num_ranks)
        for sender, receiver in self.pairs:
            self._check_rank("sender", sender, num_ranks)
            self._check_rank("receiver", receiver, num_ranks)

    def _check_rank(self, name: str, rank: int, num_ranks: int) -> None:
        if not 0 <= rank < num_ranks:
            raise ValueError(
                f"{self.kind}: {name} {rank} is not a rank of a group of {num_ranks} "
                f"(0 to {num_ranks - 1})"
            )

    def _check_numbers(self) -> None:
        check_count(self.kind, "size", self.size, least=0)
        if self.size > MAX_SIZE:
            raise ValueError(f"{self.kind}: size is {self.size}; must be at most {MAX_SIZE} bytes")
        check_count(self.kind, "root", self.root, least=0)
        check_count(self.kind, "channels", self.channels, least=1)
        check_count(self.kind, "in_flight", self.in_flight, least=1)
        check_count(self.kind, "channel", self.channel, least=0)
        if self.segment is not None:
            check_count(self.kind, "segment", self.segment, least=1)
        for time in (self.start, *(self.arrivals or ())):
            if not (math.isfinite(time) and time >= 0):
                raise ValueError(f"{self.kind}: arrival at {time} s; times are finite and >= 0")

    def _check_group(self) -> None:
        if self.arrivals is not None and self.start != 0.0:
            raise ValueError(f"{self.kind}: give start or arrivals, not both")
        if self.ranks is None:
            return
        if not self.ranks:
            raise ValueError(f"{self.kind}: ranks is empty; a group has at least one rank")
        # One look at all of them; who is at fault is found out below.
        whole = set(map(type, self.ranks)) == {int} and min(self.ranks) >= 0
        if whole and len(set(self.ranks)) == len(self.ranks):
            return
        seen: set[int] = set()
        for rank in self.ranks:
            check_count(self.kind, "rank", rank, least=0)
            if rank in seen:
                raise ValueError(f"{self.kind}: rank {rank} is twice in ranks")
            seen.add(rank)

    def _check_kind(self) -> None:
        if self.splits is not None and self.kind != "all_to_all":
            raise ValueError(f"{self.kind}: splits are for all_to_all")
        if self.root and self.kind not in ROOTED_KINDS:
            raise ValueError(f"{self.kind}: root is for {', '.join(ROOTED_KINDS)}")
        if self.kind == "barrier" and (self.size, self.segment, self.channels) != (0, None, 1):
            raise ValueError("barrier: carries no data, so no size, segment or channels")
        for row in self.splits or ():
            if len(row) != len(self.splits or ()):
                raise ValueError(
                    f"all_to_all: splits of {len(self.splits or ())} rows has a row of {len(row)}"
                )
            for size in row:
                check_count("all_to_all", "split", size, least=0)
        if self.splits is not None and self.size != max(map(sum, self.splits), default=0):
            raise ValueError("all_to_all: size is not that of the largest row of splits")

    def _check_messages(self) -> None:
        if (self.perm is not None) != (self.kind == "permutation"):
            raise ValueError(f"{self.kind}: perm is for permutation, which needs one")
        if self.perm is not None:
            if sorted(self.perm) != list(range(len(self.perm))) or not self.perm:
                given = f"{list(self.perm)!r:.60}"
                raise ValueError(f"permutation: {given} is not an order of ranks 0 to N - 1")
            moved = tuple((rank, to) for rank, to in enumerate(self.perm) if rank != to)
            object.__setattr__(self, "pairs", moved)
        if self.pairs and self.kind not in PAIRED_KINDS:
            raise ValueError(f"{self.kind}: pairs are for send and permutation")
        if self.kind == "send" and len(self.pairs) != 1:
            raise ValueError("send: needs exactly one pair (src, dst)")
        for sender, receiver in self.pairs:
            if sender == receiver:
                raise ValueError(f"{self.kind}: rank {sender} sends to itself")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flows:
    """Independent flows: each is a connection of its own, never queued behind another.

    Attributes
    ----------
    src, dst
        Ranks of the network; int64, shape (n,), read-only, as all arrays here.
    size
        Bytes.
    start
        Virtual time at which each is posted, in seconds.
    channel
        Channel number, which picks among routes of equal length.
    """

    src: IntArray
    dst: IntArray
    size: IntArray
    start: FloatArray
    channel: IntArray

    def __len__(self) -> int:
        """Return the number of flows."""
        return len(self.src)


def flows(
    src: ArrayLike,
    dst: ArrayLike,
    size: ArrayLike,
    start: ArrayLike = 0.0,
    channel: ArrayLike = 0,
) -> Flows:
    """Describe independent flows by arrays; a single value stands for all flows.

    Parameters
    ----------
    src, dst
        Rank numbers.
    size
        Bytes, or text such as "10MB".
    start
        Seconds, or text such as "5ms".
    channel
        Channel numbers.

    Raises
    ------
    ValueError
        If lengths differ, a number is negative or not finite, a byte count or a rank is not
        whole, or a flow goes from a rank to itself.

    """
    columns = {
        "src": _whole("src", src),
        "dst": _whole("dst", dst),
        "size": _whole("size", _parsed(size, parse_size)),
        "channel": _whole("channel", channel),
    }
    try:
        times = np.atleast_1d(np.asarray(_parsed(start, parse_time), dtype=np.float64))
    except TypeError:
        raise TypeError(f"flows: start must be seconds or text, not {start!r:.60}") from None
    if times.ndim != 1:
        raise ValueError(f"flows: start must be one-dimensional, not of shape {times.shape}")
    wrong = np.flatnonzero(~(np.isfinite(times) & (times >= 0)))
    if len(wrong):
        raise ValueError(f"flows: start[{wrong[0]}] = {times[wrong[0]]}; must be finite and >= 0")
    lengths = {name: len(column) for name, column in columns.items()} | {"start": len(times)}
    count = max((n for n in lengths.values() if n != 1), default=min(lengths.values()))
    if 0 in lengths.values():
        count = 0
    for name, length in lengths.items():
        if length not in (1, count):
            raise ValueError(f"flows: {name} has {length} entries, others have {count}")
    spread = {name: _spread(column, count) for name, column in columns.items()}
    same = np.flatnonzero(spread["src"] == spread["dst"])
    if len(same):
        raise ValueError(f"flows: flow {same[0]} goes from rank {spread['src'][same[0]]} to itself")
    return Flows(**spread, start=_spread(times, count))


def _parsed(values: Any, parse: Callable[[Any], Any]) -> Any:
    """Read text into SI numbers, one by one, and leave arrays of numbers alone."""
    if isinstance(values, str):
        return parse(values)
    if isinstance(values, np.ndarray) and values.dtype.kind in "UO":
        values = values.tolist()
    if isinstance(values, Sequence) and any(isinstance(value, str) for value in values):
        return [parse(value) for value in values]
    return values


def _whole(name: str, values: Any) -> IntArray:
    try:
        given = np.atleast_1d(np.asarray(values))
        if given.dtype == np.bool_:
            raise TypeError
        numbers = given.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"flows: {name} must be numbers, not {values!r:.60}") from None
    if given.ndim != 1:
        raise ValueError(f"flows: {name} must be one-dimensional, not of shape {given.shape}")
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0) & (numbers % 1 == 0)))
    if len(wrong):
        raise ValueError(f"flows: {name}[{wrong[0]}] = {given[wrong[0]]}; must be whole and >= 0")
    large = np.flatnonzero(numbers > MAX_SIZE)
    if len(large):
        raise ValueError(f"flows: {name}[{large[0]}] = {given[large[0]]}; at most {MAX_SIZE}")
    return given.astype(np.int64)


def _spread(column: Any, count: int) -> Any:
    spread = np.ascontiguousarray(np.broadcast_to(column, count)).copy()
    spread.flags.writeable = False
    return spread


def check_count(where: str, name: str, value: object, *, least: int) -> None:
    """Raise TypeError or ValueError unless `value` is a whole number >= `least`."""
    if type(value) is not int and (
        isinstance(value, bool) or not isinstance(value, int | np.integer)
    ):
        raise TypeError(f"{where}: {name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{where}: {name} is {value}; must be at least {least}")


def check_list(where: str, name: str, values: object) -> list[Any]:
    """Return the entries of a list, tuple or array; raise TypeError where it is none."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{where}: {name} must be a list, not {values!r:.60}")
    return list(values)
