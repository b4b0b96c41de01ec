"""What kind of ranks a run has, and on which hosts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simnet.network import Network
from simnet.ranks.placing import place

MOST_THREADS = 256


@dataclass(frozen=True, slots=True)
class Threads:
    """Ranks as threads of this process, which take turns.

    Attributes
    ----------
    count : int or None
        How many; None for one a host.
    data : bool
        False moves no data: shapes only, as for tensors on the meta device.
    """

    count: int | None = None
    data: bool = True


@dataclass(frozen=True, slots=True)
class Processes:
    """Ranks as processes of their own.

    Attributes
    ----------
    count : int or None
        How many; None for one a host.
    """

    count: int | None = None


def threads(count: int | None = None, *, data: bool = True) -> Threads:
    """Ranks as threads of this process: quick to start, at most 256.

    Parameters
    ----------
    count : int, optional
        How many; one a host by default.
    data : bool
        False moves no data between ranks: only shapes count, tensors keep what they hold.
    """
    return Threads(_count(count), data)


def processes(count: int | None = None) -> Processes:
    """Ranks as processes of their own: they compute at the same time, and share nothing.

    Parameters
    ----------
    count : int, optional
        How many; one a host by default.
    """
    return Processes(_count(count))


Ranks = int | Threads | Processes | None


def _count(count: Any) -> int | None:
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise TypeError(f"ranks={count!r}: a whole number, or None for one rank a host")
    return int(count)


def kind_of(ranks: Ranks) -> Threads | Processes:
    """What `ranks=` means: a plain number or None means threads."""
    return ranks if isinstance(ranks, Threads | Processes) else Threads(_count(ranks))


def hosts_of(
    net: Network, kind: Threads | Processes, hosts: Sequence[Hashable] | None
) -> tuple[int, ...]:
    """The network's rank of each rank of a run; see `simnet.ranks.placing.place`.

    Raises
    ------
    ValueError
        If there are not as many hosts, or more ranks than can be threads.
    """
    found = place(net, kind.count, hosts)
    if isinstance(kind, Threads) and len(found) > MOST_THREADS:
        raise ValueError(
            f"ranks={len(found)}: at most {MOST_THREADS} as threads; "
            f"write ranks=simnet.processes({len(found)})"
        )
    return found
