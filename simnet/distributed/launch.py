"""`run`: a training function on a network in, what it returned and when out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simnet.distributed.kinds import Processes, Ranks, Threads, hosts_of, kind_of
from simnet.network import Network
from simnet.ranks.algorithms import Algorithm, chosen_algorithms
from simnet.ranks.seat import POLL_INTERVAL_S, current
from simnet.ranks.session import Conditions
from simnet.seeds import checked_seed
from simnet.transport import Transport, choose_transport
from simnet.units import parse_size, parse_time
from simnet.workload.compute import ComputeModel
from simnet.workload.run import NOT_CHARGED, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything about a run but its program.

    Attributes
    ----------
    conditions : Conditions
        What decides its times.
    kind : Threads or Processes
        What its ranks are.
    compute : ComputeModel or None
        What charges computation.
    bucket : int or None
        Bytes into which small all_reduces are gathered; None leaves them as issued.
    poll_interval : float
        Virtual seconds that a look at a handle costs.
    watchdog : float
        Wall seconds without computation after which a rank has stalled.
    virtual_time : bool
        Whether `time` means the rank's clock.
    quiet : bool
        Whether no progress is shown.
    """

    conditions: Conditions
    kind: Threads | Processes
    compute: ComputeModel | None
    bucket: int | None
    poll_interval: float
    watchdog: float
    virtual_time: bool
    quiet: bool

    @property
    def num_ranks(self) -> int:
        """World size."""
        return len(self.conditions.hosts)

    def seat_settings(self, number: int) -> dict[str, Any]:
        """What the seat of one rank is made of."""
        return seat_settings(
            number, self.conditions.seed, self.compute, self.bucket, self.poll_interval
        )

    @property
    def compute_name(self) -> str:
        """How computation is charged, in words."""
        return NOT_CHARGED if self.compute is None else self.compute.name


def run(
    train: Callable[[int, int], Any],
    net: Network,
    ranks: Ranks = None,
    *,
    hosts: Sequence[Hashable] | None = None,
    seed: int | None = 0,
    algorithm: Algorithm | Mapping[str, Algorithm] = "auto",
    transport: str | Transport | None = None,
    engine: str = "auto",
    compute: ComputeModel | None = None,
    bucket: int | str | None = None,
    virtual_time: bool = False,
    poll_interval: float | str = POLL_INTERVAL_S,
    watchdog: float | str = "60s",
    quiet: bool = False,
) -> Run:
    """Train on a simulated network: real tensors, virtual time.

    Ranks go on in the order of virtual time. Their collectives are carried out, and their clocks
    move on by what they would have taken on the network. Computation takes no virtual time but
    what `simnet.compute` or a compute model charges.

    Parameters
    ----------
    train : callable
        ``train(rank, world_size)``: ordinary torch.distributed code. The default process group
        stands already; an ``init_process_group`` of its own, for any backend, is bound to it.
    net : Network
        Where it runs; rank i is on host i.
    ranks : int, `simnet.threads(n)` or `simnet.processes(n)`, optional
        How many ranks, on the first so many hosts, and of which kind: a number means threads,
        which take turns, exactly one running at a time. By default one a host.
    hosts : sequence, optional
        The host of each rank, by its name in the graph.
    seed : int or None
        Root of the random streams of jitter, loss, and the ranks' `random` and `numpy.random`
        (torch's generator begins with torch's default seed, as in a fresh process); None draws
        one and records it.
    algorithm : str, callable, or mapping of str to either
        The algorithm of every all_reduce, or of each kind named:
        ``{"all_reduce": "ring", "broadcast": "chain"}``; a function of (kind, bytes, ranks of the
        group) chooses for each operation of every kind. "auto" for kinds not named.
    transport : {"ideal", "retransmit"} or Transport, optional
        None is ideal where nothing is lost and retransmit where any link has loss.
    engine : {"auto", "kernel", "reference"}
        What computes the network's times: the compiled kernel where there is one, or the
        reference that defines them.
    compute : compute model, optional
        `simnet.compute.Fixed`, `.Roofline` or `.Measured`; None charges nothing.
    bucket : int or str, optional
        Gather all_reduces of less than so many bytes into buckets of so many, as a program with
        buckets would send them; None sends every one as the program issues it.
    virtual_time : bool
        Let `time.time`, `time.monotonic`, `time.perf_counter` and `time.sleep` mean the rank's
        virtual clock.
    poll_interval : float or str
        Virtual time that a look at a handle that is not over costs.
    watchdog : float or str
        Wall time without computation after which a rank that does not come back has stalled.
    quiet : bool
        Show no progress.

    Returns
    -------
    Run
        Results and end by rank, every operation, bytes, and a trace to replay.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described above; MismatchError (a ValueError) if ranks make
        different calls where they must make the same.
    DeadlockError
        If every rank waits for something that will never come; says who waits in which call.
    WaitTimeoutError
        If a timeout passes in virtual time that the program itself has given.
    StallError
        If a rank does not come back in wall time, without computing.
    RuntimeError
        If a run is under way in this process already.
    BaseException
        Whatever `train` raises on any rank, with a note of rank and virtual time.
    """
    if current() is not None:
        raise RuntimeError("simnet.run: called inside a rank of a run; runs do not nest")
    if not callable(train):
        raise TypeError(f"train={train!r}: a function of (rank, world_size)")
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    plan = make_plan(
        net,
        kind_of(ranks),
        hosts=hosts,
        seed=seed,
        algorithm=algorithm,
        transport=transport,
        engine=engine,
        compute=compute,
        bucket=bucket,
        virtual_time=virtual_time,
        poll_interval=poll_interval,
        watchdog=watchdog,
        quiet=quiet,
    )
    return _carry_out(plan, train)


def make_plan(
    net: Network,
    kind: Threads | Processes,
    *,
    hosts: Sequence[Hashable] | None = None,
    seed: int | None = 0,
    algorithm: Algorithm | Mapping[str, Algorithm] = "auto",
    transport: str | Transport | None = None,
    engine: str = "auto",
    compute: ComputeModel | None = None,
    bucket: int | str | None = None,
    virtual_time: bool = False,
    poll_interval: float | str = POLL_INTERVAL_S,
    watchdog: float | str = "60s",
    quiet: bool = False,
) -> Plan:
    """Everything about a run but its program, checked; see `run` for what each means."""
    conditions = Conditions(
        net=net,
        hosts=hosts_of(net, kind, hosts),
        transport=choose_transport(transport, lossy=net.is_lossy),
        seed=checked_seed(seed),
        algorithms=chosen_algorithms(algorithm),
        engine=engine,
    )
    return Plan(
        conditions=conditions,
        kind=kind,
        compute=checked_model(compute),
        bucket=None if bucket is None else parse_size(bucket),
        poll_interval=positive_time("poll_interval", poll_interval),
        watchdog=positive_time("watchdog", watchdog),
        virtual_time=virtual_time,
        quiet=quiet,
    )


def _carry_out(plan: Plan, train: Callable[[int, int], Any]) -> Run:
    """Run the ranks; torch is imported here and not before."""
    if isinstance(plan.kind, Threads):
        from simnet.distributed.thread_run import run_threads as run_ranks
    else:
        from simnet.distributed.process_run import run_processes as run_ranks
    try:
        return run_ranks(plan, train)
    except Exception as error:
        from simnet.distributed.no_cuda import CHOOSE, wants_cuda

        if wants_cuda(error):
            error.add_note(CHOOSE)
        raise


def seat_settings(
    number: int,
    seed: int,
    compute: ComputeModel | None,
    bucket: int | None,
    poll_interval: float,
) -> dict[str, Any]:
    """What a rank's `Seat` is made of, by name."""
    return {
        "meter": None if compute is None else compute.meter(number, seed),
        "bucket": bucket,
        "poll_interval": poll_interval,
    }


def checked_model(compute: Any) -> ComputeModel | None:
    """A compute model, or None."""
    if compute is not None and not callable(getattr(compute, "meter", None)):
        raise TypeError(
            f"compute={compute!r}: None, or simnet.compute.Fixed, .Roofline or .Measured"
        )
    model: ComputeModel | None = compute
    return model


def positive_time(name: str, given: float | str) -> float:
    """Seconds, more than none."""
    seconds = parse_time(given)
    if not seconds > 0:
        raise ValueError(f"{name}={given!r}: a time above zero")
    return seconds
