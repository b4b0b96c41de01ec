"""One piece of work in flight: the transfers of a schedule and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.collectives.collective import Flows
from simnet.collectives.schedule import Schedule, Transfers

NOT_YET = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is to be sent, as plain lists (one entry a transfer), for global ranks.

    Attributes
    ----------
    ranks : tuple of int
        The global rank of each group rank.
    src, dst : list of int
        Global ranks; equal for a join, which carries nothing.
    size, channel : list of int
        Bytes; number of the connection between the two.
    reduces : list of bool
        Whether the receiver reduces what arrives.
    num_deps : list of int
        How many transfers must have ended before.
    dependents : list of list of int
        Transfers that wait for this one.
    touching : dict of int to list of int
        The transfers that each global rank sends or receives.
    in_flight : int
        How many transfers of one connection may be started at once; 0 for any number.
    release : list of float
        Seconds after posting at which each transfer may start at the earliest; empty if at once.
    """

    ranks: tuple[int, ...]
    src: list[int]
    dst: list[int]
    size: list[int]
    channel: list[int]
    reduces: list[bool]
    num_deps: list[int]
    dependents: list[list[int]]
    touching: dict[int, list[int]]
    in_flight: int
    release: list[float]

    def __len__(self) -> int:
        """The number of transfers."""
        return len(self.size)


def _touching(src: Sequence[int], dst: Sequence[int], ranks: Sequence[int]) -> dict[int, list[int]]:
    """The transfers of each rank, ascending."""
    touching: dict[int, list[int]] = {rank: [] for rank in ranks}
    for transfer, (sender, receiver) in enumerate(zip(src, dst, strict=True)):
        touching[sender].append(transfer)
        if receiver != sender:
            touching[receiver].append(transfer)
    return touching


def _dependents(offsets: NDArray[np.int64], deps: NDArray[np.int64], total: int) -> list[list[int]]:
    """Turn "waits for" (CSR) into "is waited for by" (lists)."""
    dependents: list[list[int]] = [[] for _ in range(total)]
    waiting = np.repeat(np.arange(total), np.diff(offsets)).tolist()
    for transfer, dep in zip(waiting, deps.tolist(), strict=True):
        dependents[dep].append(transfer)
    return dependents


def _check(transfers: Transfers, num_ranks: int) -> None:
    """Refuse what could not be carried out; a schedule may be the user's own."""
    waiting = np.repeat(np.arange(len(transfers)), np.diff(transfers.dep_offsets))
    wrong = {
        "is between ranks that the group does not have": (
            (np.minimum(transfers.src, transfers.dst) < 0)
            | (np.maximum(transfers.src, transfers.dst) >= num_ranks)
        ),
        "has a negative size": transfers.size < 0,
        "has a negative channel": transfers.channel < 0,
    }
    for what, where in wrong.items():
        if where.any():
            raise ValueError(f"schedule: transfer {int(np.argmax(where))} {what}")
    late = (transfers.deps >= waiting) | (transfers.deps < 0)
    if late.any():
        transfer = int(waiting[np.argmax(late)])
        raise ValueError(f"schedule: transfer {transfer} depends on one that is not before it")


def compile_schedule(schedule: Schedule, ranks: tuple[int, ...]) -> Program:
    """Expand a schedule for the given global ranks (one a group rank)."""
    transfers = schedule.transfers(chunks=False)
    _check(transfers, len(ranks))
    to_global = np.asarray(ranks, dtype=np.int64)
    src = to_global[transfers.src].tolist()
    dst = to_global[transfers.dst].tolist()
    return Program(
        ranks=ranks,
        src=src,
        dst=dst,
        size=transfers.size.tolist(),
        channel=transfers.channel.tolist(),
        reduces=transfers.reduces.tolist(),
        num_deps=np.diff(transfers.dep_offsets).tolist(),
        dependents=_dependents(transfers.dep_offsets, transfers.deps, len(src)),
        touching=_touching(src, dst, ranks),
        in_flight=schedule.in_flight,
        release=[],
    )


def compile_flows(flows: Flows, num_ranks: int) -> Program:
    """Independent flows: no dependencies, nothing queues.

    Raises
    ------
    ValueError
        For an end that is no rank of the network.
    """
    src, dst = flows.src.tolist(), flows.dst.tolist()
    for name, ends in (("src", src), ("dst", dst)):
        for flow, rank in enumerate(ends):
            if not 0 <= rank < num_ranks:
                raise ValueError(f"flow {flow}: {name}={rank}, but ranks are 0 … {num_ranks - 1}")
    ranks = tuple(sorted({*src, *dst}))
    return Program(
        ranks=ranks,
        src=src,
        dst=dst,
        size=flows.size.tolist(),
        channel=flows.channel.tolist(),
        reduces=[False] * len(src),
        num_deps=[0] * len(src),
        dependents=[[] for _ in src],
        touching=_touching(src, dst, ranks),
        in_flight=0,
        release=flows.start.tolist(),
    )


class Job:
    """A program being carried out.

    Parameters
    ----------
    program : Program
        What is to be sent.
    number : int
        Its place in the order of posting.
    order : tuple
        What decides between two jobs whose transfers come to one connection at the same instant,
        before `number` does.

    Attributes
    ----------
    start, end : list of float
        Seconds per transfer: when it was started, when it ended; NaN until then.
    left : dict of int to float
        When each global rank left; only those that have.
    """

    def __init__(self, program: Program, number: int, order: tuple[object, ...] = ()) -> None:
        self.program = program
        self.number = number
        self.order = order
        total = len(program)
        self.start = [NOT_YET] * total
        self.end = [NOT_YET] * total
        self.retransmitted = [0] * total
        self.arrived: set[int] = set()
        self.left: dict[int, float] = {}
        held = 1 if program.release else 0
        self._pending = [
            held + deps + 1 + (sender != receiver)
            for deps, sender, receiver in zip(
                program.num_deps, program.src, program.dst, strict=True
            )
        ]
        self._open = {rank: len(transfers) for rank, transfers in program.touching.items()}

    @property
    def done(self) -> bool:
        """Whether every rank has left."""
        return len(self.left) == len(self.program.ranks)

    def arrive(self, rank: int) -> list[int]:
        """Let a rank in; returns the transfers that nothing holds back any more."""
        self.arrived.add(rank)
        return self._release(self.program.touching[rank])

    def release(self, transfer: int) -> list[int]:
        """Note that a transfer's own start has come; returns it if nothing else holds it back."""
        return self._release([transfer])

    def finish(self, transfer: int, time: float) -> list[int]:
        """Note a transfer's end; returns the transfers that nothing holds back any more."""
        self.end[transfer] = time
        src, dst = self.program.src[transfer], self.program.dst[transfer]
        self._open[src] -= 1
        if dst != src:
            self._open[dst] -= 1
        return self._release(self.program.dependents[transfer])

    def leave(self, rank: int, time: float) -> bool:
        """Let a rank out if its own part is over and it has not left; returns whether it did."""
        if rank in self.left or rank not in self.arrived or self._open[rank]:
            return False
        self.left[rank] = time
        return True

    def _release(self, transfers: list[int]) -> list[int]:
        """Take one hold off each; returns those that had no other."""
        ready = []
        for transfer in transfers:
            self._pending[transfer] -= 1
            if not self._pending[transfer]:
                ready.append(transfer)
        return ready
