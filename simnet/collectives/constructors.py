"""The public functions that describe collectives; they read sizes and times given as text.

Every one of them takes, besides its own arguments and by keyword, what `Common` lists, and
passes the other keywords on to the algorithm as its options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simnet.collectives.collective import Collective, check_count, check_list
from simnet.collectives.table import AUTO, check_options, find
from simnet.units import parse_size, parse_time

Size = int | float | str
"""Bytes, or text such as "100MB"."""


def all_reduce(size: Size, **common: Any) -> Collective:
    """Describe an all-reduce: every rank ends with the sum of all buffers.

    Parameters
    ----------
    size
        Bytes of the buffer of a rank, or text such as "100MB".
    common
        By keyword, as in every function here: `algorithm` (a name, "auto" or a function),
        `ranks` (a sub-group), `start` or `arrivals` (seconds or text; one or one a rank),
        `segment` (most bytes of a transfer), `channels`, `in_flight`, `channel` (see
        `Collective`); any other keyword is an option of the algorithm.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong; the message names it, its value and what is allowed.

    """
    return _describe("all_reduce", size, common)


def reduce_scatter(size: Size, **common: Any) -> Collective:
    """Describe a reduce-scatter: rank r ends with block r of the sum of all buffers.

    Parameters
    ----------
    size
        Bytes of the input of a rank, N blocks.
    common
        See `all_reduce`.

    """
    return _describe("reduce_scatter", size, common)


def all_gather(size: Size, **common: Any) -> Collective:
    """Describe an all-gather: every rank ends with the blocks of all.

    Parameters
    ----------
    size
        Bytes of the gathered output, N blocks.
    common
        See `all_reduce`.

    """
    return _describe("all_gather", size, common)


def all_to_all(size: Size | None = None, *, splits: Any = None, **common: Any) -> Collective:
    """Describe an all-to-all: rank r ends with block r of every rank.

    Parameters
    ----------
    size
        Bytes of the input of a rank, N blocks; left out where `splits` are given.
    splits
        Bytes or text, for uneven blocks: N rows, one a sender, of N numbers, one a receiver; or
        one such row, which then is that of every sender.
    common
        See `all_reduce`.

    """
    if splits is None:
        if size is None:
            raise ValueError("all_to_all: needs a size or splits")
        return _describe("all_to_all", size, common)
    rows = _split_rows(splits)
    largest = max(sum(row) for row in rows)
    if size is not None and parse_size(size) != largest:
        raise ValueError(
            f"all_to_all: size {size!r} contradicts splits, whose largest row has {largest} bytes"
        )
    return _describe("all_to_all", largest, common, splits=rows)


def broadcast(size: Size, root: int = 0, **common: Any) -> Collective:
    """Describe a broadcast: every rank ends with the root's buffer.

    Parameters
    ----------
    size
        Bytes of the buffer.
    root
        Position of the root in the group.
    common
        See `all_reduce`.

    """
    return _describe("broadcast", size, common, root=root)


def reduce(size: Size, root: int = 0, **common: Any) -> Collective:
    """Describe a reduce: the root ends with the sum of all buffers.

    Parameters
    ----------
    size
        Bytes of the buffer of a rank.
    root
        Position of the root in the group.
    common
        See `all_reduce`.

    """
    return _describe("reduce", size, common, root=root)


def gather(size: Size, root: int = 0, **common: Any) -> Collective:
    """Describe a gather: the root ends with the blocks of all.

    Parameters
    ----------
    size
        Bytes of the gathered output at the root, N blocks.
    root
        Position of the root in the group.
    common
        See `all_reduce`.

    """
    return _describe("gather", size, common, root=root)


def scatter(size: Size, root: int = 0, **common: Any) -> Collective:
    """Describe a scatter: rank r ends with block r of the root's input.

    Parameters
    ----------
    size
        Bytes of the root's input, N blocks.
    root
        Position of the root in the group.
    common
        See `all_reduce`.

    """
    return _describe("scatter", size, common, root=root)


def send(size: Size, *, src: int, dst: int, **common: Any) -> Collective:
    """Describe one message.

    Parameters
    ----------
    size
        Bytes.
    src, dst
        Positions of sender and receiver in the group.
    common
        See `all_reduce`.

    """
    check_count("send", "src", src, least=0)
    check_count("send", "dst", dst, least=0)
    return _describe("send", size, common, pairs=((int(src), int(dst)),))


def permutation(size: Size, perm: ArrayLike, **common: Any) -> Collective:
    """Describe a permutation: rank r sends `size` bytes to rank ``perm[r]``, all at once.

    Parameters
    ----------
    size
        Bytes of each message.
    perm
        A permutation of the ranks of the group; a rank that maps to itself sends nothing.
    common
        See `all_reduce`.

    """
    listed = np.asarray(perm).tolist()
    if not isinstance(listed, list):
        raise TypeError(f"permutation: perm must be a list of ranks, not {perm!r:.60}")
    for rank in listed:
        check_count("permutation", "rank", rank, least=0)
    return _describe("permutation", size, common, perm=tuple(listed))


def barrier(**common: Any) -> Collective:
    """Describe a barrier: no rank leaves before all have arrived.

    Parameters
    ----------
    common
        See `all_reduce`; a barrier carries no data, so neither `segment` nor `channels`.

    """
    return _describe("barrier", 0, common)


def _describe(kind: str, size: Size, common: dict[str, Any], **own: Any) -> Collective:
    """Read text, sort the common arguments from the options, and check the options."""
    fields = {name: common[name] for name in _COMMON if name in common}
    options = {name: _plain(value) for name, value in common.items() if name not in _COMMON}
    if "root" in own:
        check_count(kind, "root", own["root"], least=0)
    for name, read in _READ.items():
        if fields.get(name) is not None:
            fields[name] = read(kind, fields[name])
    if fields.get("start", 0.0) is None:
        raise TypeError(f"{kind}: start is None; seconds or text such as '5ms'")
    algorithm = fields.get("algorithm", AUTO)
    if isinstance(algorithm, str):
        if algorithm != AUTO:
            find(kind, algorithm)
        check_options(kind, algorithm, options, others=_COMMON)
    elif not callable(algorithm):
        raise TypeError(f"{kind}: algorithm must be a name or a function, not {algorithm!r}")
    return Collective(kind=kind, size=parse_size(size), options=options, **fields, **own)


def _plain(value: Any) -> Any:
    """An option's value as one that compares and hashes: arrays and lists become tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(_plain(each) for each in value) if isinstance(value, list | tuple) else value


def _read_ranks(kind: str, ranks: Any) -> tuple[int, ...]:
    listed = check_list(kind, "ranks", ranks)
    for rank in listed:
        check_count(kind, "rank", rank, least=0)
    return tuple(int(rank) for rank in listed)


def _read_arrivals(kind: str, arrivals: Any) -> tuple[float, ...]:
    return tuple(parse_time(time) for time in check_list(kind, "arrivals", arrivals))


def _split_rows(splits: Any) -> tuple[tuple[int, ...], ...]:
    listed = check_list("all_to_all", "splits", splits)
    if not listed:
        raise ValueError("all_to_all: splits is empty; it needs a number a receiver")
    nested = [isinstance(row, Iterable) and not isinstance(row, str) for row in listed]
    rows = [list(row) for row in listed] if all(nested) else [listed] * len(listed)
    for number, row in enumerate(rows):
        if len(row) != len(rows):
            raise ValueError(
                f"all_to_all: row {number} of splits has {len(row)} entries instead of {len(rows)}"
            )
    return tuple(tuple(parse_size(size) for size in row) for row in rows)


_COMMON = (
    "algorithm",
    "ranks",
    "start",
    "arrivals",
    "segment",
    "channels",
    "in_flight",
    "channel",
)
_READ: dict[str, Callable[[str, Any], Any]] = {
    "ranks": _read_ranks,
    "start": lambda _, start: parse_time(start),
    "arrivals": _read_arrivals,
    "segment": lambda _, segment: parse_size(segment),
}
