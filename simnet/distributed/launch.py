"""`run`: a training function on a network in, what it returned and when out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simnet.arrays import frozen
from simnet.collectives import Collective
from simnet.distributed.rank import current
from simnet.engine import Clock, Fabric, FluidModel, Operation
from simnet.network import CABLE, Network
from simnet.report.result import Result
from simnet.seeds import checked_seed
from simnet.simulation import collect
from simnet.transport import Transport, choose_transport

if TYPE_CHECKING:
    import pandas as pd

    from simnet.distributed.threads import ThreadRank

SIMULATED = ("all_reduce", "broadcast", "barrier")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """One collective of a run.

    Attributes
    ----------
    kind : str
        What torch.distributed calls it.
    size : int
        Bytes of the tensor.
    ranks : tuple of int
        Who took part.
    algorithm : str
        What ran.
    start, finish : float
        When the first rank came and when the last one left, seconds; NaN if some never left.
    bytes_on_wire : int
        Bytes summed over directed cables, retransmissions included.
    """

    kind: str
    size: int
    ranks: tuple[int, ...]
    algorithm: str
    start: float
    finish: float
    bytes_on_wire: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `simnet.run` returns.

    Attributes
    ----------
    results : tuple
        What the training function returned, by rank.
    rank_times : (N,) array of float
        When each rank ended, virtual seconds; read-only.
    operations : tuple of OperationRecord
        Every collective in the order of its first call.
    network : Result
        The same collectives as the network saw them.
    """

    results: tuple[Any, ...]
    rank_times: NDArray[np.float64]
    operations: tuple[OperationRecord, ...] = field(repr=False)
    network: Result = field(repr=False)

    @property
    def time(self) -> float:
        """When the last rank ended, virtual seconds."""
        return float(self.rank_times.max())

    @property
    def bytes_on_wire(self) -> int:
        """Bytes summed over all directed cables, retransmissions included."""
        return self.network.bytes_on_wire

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


def run(
    train: Callable[[int, int], Any],
    net: Network,
    ranks: int | None = None,
    *,
    seed: int | None = 0,
    algorithm: str | Mapping[str, str] = "auto",
    transport: str | Transport | None = None,
) -> Run:
    """Train on a simulated network: real tensors, virtual time.

    Each rank is a thread, and exactly one runs at a time: the one that is first in virtual time.
    Its collectives are carried out, and its clock moves on by what they would have taken on the
    network. Computation takes no virtual time but what `simnet.compute` charges.

    Parameters
    ----------
    train : callable
        ``train(rank, world_size)``: ordinary torch.distributed code. The default process group
        stands already; an ``init_process_group`` of its own, for any backend, is bound to it.
    net : Network
        Where it runs; rank i is on host i.
    ranks : int, optional
        How many ranks, on the first so many hosts; by default one a host.
    seed : int or None
        Root of the random streams of jitter, loss, and the ranks' `random` and `numpy.random`
        (torch's generator begins with torch's default seed, as in a fresh process); None draws
        one and records it.
    algorithm : str or mapping of str to str
        The algorithm of every all_reduce, or of each kind named:
        ``{"all_reduce": "ring", "broadcast": "chain"}``. "auto" for kinds not named.
    transport : {"ideal", "retransmit"} or Transport, optional
        None is ideal where nothing is lost and retransmit where any link has loss.

    Returns
    -------
    Run
        Results and end by rank, every collective, bytes.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above; MismatchError (a ValueError) if ranks make
        different calls where they must make the same.
    DeadlockError
        If every rank waits for something that will never come; says who waits in which call.
    NotImplementedError
        For a torch.distributed call that is not simulated yet.
    RuntimeError
        If a run is under way in this process already.
    BaseException
        Whatever `train` raises on any rank, with a note of rank and virtual time.
    """
    if current() is not None:
        raise RuntimeError("simnet.run: called inside a rank of a run; runs do not nest")
    count = _check_arguments(train, net, ranks)
    algorithms = _algorithms(algorithm)
    seed = checked_seed(seed)
    chosen = choose_transport(transport, lossy=net.is_lossy)
    fabric = Fabric(Clock(), net, FluidModel(net, chosen, seed))
    members = _carry_out(train, fabric, count, algorithms, seed)
    return Run(
        results=tuple(member.result for member in members),
        rank_times=frozen(np.array([member.finish for member in members])),
        operations=tuple(_record(net, operation) for operation in fabric.operations),
        network=collect(fabric, chosen.name, seed),
    )


def _check_arguments(train: Any, net: Any, ranks: Any) -> int:
    """Refuse what cannot run; returns the number of ranks."""
    if not callable(train):
        raise TypeError(f"train={train!r}: a function of (rank, world_size)")
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    if ranks is None:
        return net.num_ranks
    if isinstance(ranks, bool) or not isinstance(ranks, int | np.integer):
        raise TypeError(f"ranks={ranks!r}: a whole number, or None for one rank a host")
    if not 1 <= ranks <= net.num_ranks:
        raise ValueError(f"ranks={ranks}: the network has hosts for 1 to {net.num_ranks}")
    return int(ranks)


def _algorithms(algorithm: str | Mapping[str, str]) -> dict[str, str]:
    """The algorithm of each kind that is named."""
    if isinstance(algorithm, str):
        return {"all_reduce": algorithm}
    if not isinstance(algorithm, Mapping):
        raise TypeError(f"algorithm={algorithm!r}: a name, or a mapping of kinds to names")
    for kind in algorithm:
        if kind not in SIMULATED:
            raise ValueError(f"algorithm of {kind!r}: kinds are {', '.join(SIMULATED)}")
    return dict(algorithm)


def _carry_out(
    train: Callable[[int, int], Any],
    fabric: Fabric,
    count: int,
    algorithms: Mapping[str, str],
    seed: int,
) -> list[ThreadRank]:
    """Run the ranks; torch is imported here and not before."""
    from torch._C._distributed_c10d import HashStore

    from simnet.distributed.exchange import exchange_for
    from simnet.distributed.hub import Hub
    from simnet.distributed.random_states import RandomStates
    from simnet.distributed.threads import ThreadRank, run_ranks
    from simnet.distributed.world import RankWorld, default_group, rank_worlds

    hub = Hub(fabric, algorithms, exchange_for)
    store = HashStore()
    with rank_worlds() as worlds:
        states = RandomStates(count, seed)

        def body(rank: ThreadRank) -> Any:
            with default_group(worlds, RankWorld(rank, count, hub, store)):
                return train(rank.number, count)

        members = [
            ThreadRank(number, fabric.env, body, states.switch_to) for number in range(count)
        ]
        try:
            run_ranks(fabric.env, members)
        finally:
            states.restore()
    return members


def _record(net: Network, operation: Operation) -> OperationRecord:
    work, program, job = operation.work, operation.job.program, operation.job
    assert isinstance(work, Collective)
    assert operation.plan is not None
    kinds = net.links.kind
    on_wire = sum(
        (size + again) * int((kinds[net.route(src, dst, channel)] == CABLE).sum())
        for src, dst, size, channel, again, start in zip(
            program.src,
            program.dst,
            program.size,
            program.channel,
            job.retransmitted,
            job.start,
            strict=True,
        )
        if src != dst and start == start
    )
    return OperationRecord(
        kind=work.kind,
        size=work.size,
        ranks=program.ranks,
        algorithm=operation.plan.algorithm,
        start=float(operation.start),
        finish=max(job.left.values()) if job.done else float("nan"),
        bytes_on_wire=on_wire,
    )
