"""`simulate_many`: one piece of work under many parameters of the links at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnet.arrays import frozen
from simnet.collectives import Collective, Flows, Plan, plan
from simnet.engine import FluidModel, KernelModel, NetworkModel, RunsAhead, kernel
from simnet.engine.many import work_out_many
from simnet.engine.program import FloatArray, Program, compile_flows, compile_schedule
from simnet.network import Network
from simnet.progress import ProgressLine
from simnet.scenarios import Scenarios
from simnet.seeds import checked_seed
from simnet.transport import Transport, choose_transport
from simnet.units import format_size, format_time
from simnet.version import __version__

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ManyResult:
    """What `simnet.simulate_many` returns: arrays with one row a scenario.

    Attributes
    ----------
    net : Network
        The network whose links were varied.
    work : Collective or Flows
        What was asked for.
    plan : Plan or None
        The algorithm that ran in all scenarios, and why; None for flows.
    rank_times : (S, N) array of float
        When each rank left, absolute seconds; NaN for a rank that took no part.
    tier : (S,) array of str
        What found the times: "max-plus", "events" or "reference".
    transport, version : str
        What computed it.
    seed : int
        The seed of jitter and loss, in every scenario.
    """

    net: Network = field(repr=False)
    work: Collective | Flows
    plan: Plan | None
    rank_times: FloatArray
    tier: NDArray[np.str_]
    transport: str
    version: str
    seed: int

    def __len__(self) -> int:
        """How many scenarios there are."""
        return len(self.rank_times)

    def __repr__(self) -> str:
        """A line: what ran, how the times are spread, what found them."""
        if isinstance(self.work, Collective):
            what = f"{self.work.kind} of {format_size(self.work.size)} by {self.algorithm}"
        else:
            what = f"{len(self.work)} flows"
        low, middle, high = (format_time(each) for each in self.quantile([0.05, 0.5, 0.95]))
        names, counts = np.unique(self.tier, return_counts=True)
        tiers = ", ".join(f"{count:,} by {name}" for name, count in zip(names, counts, strict=True))
        return (
            f"<{len(self):,} scenarios of {what}: median {middle}, 5 to 95 %: {low} to {high}; "
            f"{tiers}>"
        )

    @property
    def algorithm(self) -> str | None:
        """What ran; None for flows."""
        return self.plan.algorithm if self.plan else None

    @cached_property
    def time(self) -> FloatArray:
        """When the last rank left, seconds from virtual 0; (S,)."""
        return frozen(np.nanmax(self.rank_times, axis=1, initial=0.0))

    def quantile(self, q: float | Sequence[float]) -> Any:
        """The time that a share `q` of the scenarios stays within, seconds; like numpy.quantile."""
        return np.quantile(self.time, np.asarray(q, dtype=np.float64))

    def to_dataframe(self) -> pd.DataFrame:
        """A row a scenario: time in seconds, the rank that left last, and the tier."""
        import pandas as pd

        left = np.nan_to_num(self.rank_times, nan=-1.0)
        slowest = left.argmax(axis=1) if left.shape[1] else np.full(len(self), -1)
        columns = {"time": self.time, "slowest_rank": slowest, "tier": self.tier}
        return pd.DataFrame(columns).rename_axis("scenario")


def simulate_many(
    net: Network,
    work: Collective | Flows,
    scenarios: Scenarios | Mapping[str, ArrayLike],
    *,
    seed: int | None = 0,
    transport: str | Transport | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> ManyResult:
    """Run one piece of work under many parameters of the links.

    The algorithm is planned and all routes are found once, on `net`; then scenario i takes the
    times that `simulate` finds on ``scenarios.network(net, i)`` with that algorithm. Scenarios
    in which nothing shares a link are worked out side by side, a million or so per second; the
    others, and all where jitter or loss is drawn, one by one.

    Parameters
    ----------
    net : Network
        Where it runs.
    work : Collective or Flows
        What runs, alone on the network.
    scenarios : Scenarios or mapping
        Bandwidth and latency of the links; see `simnet.scenarios`. A mapping has the keys
        "bandwidth" (bytes/s), "latency" (s) or both, each of shape (S, L).
    seed : int or None
        Root of the random streams of jitter and loss, the same in every scenario; None draws one.
    transport : {"ideal", "retransmit"} or Transport, optional
        As for `simulate`.
    threads : int, optional
        How many threads to use; by default one a core. The result does not depend on it.
    quiet : bool
        Show no progress on stderr; a line comes after a second.

    Returns
    -------
    ManyResult
        `time` and `tier` of each scenario, `rank_times` of each rank in it.

    Raises
    ------
    TypeError, ValueError
        For anything that is not as described above, in one line.
    """
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    if not isinstance(work, Collective | Flows):
        raise TypeError(
            f"work {work!r:.60}: one simnet.collectives.… collective or simnet.flows(…)"
        )
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads={threads!r}: a whole number, at least 1, or None")
    table = _scenarios(scenarios)
    table.check_network(net)
    seed = checked_seed(seed)
    chosen = choose_transport(transport, lossy=net.is_lossy)
    planned, program, arrivals = _program(net, work)
    line = ProgressLine(quiet=quiet)

    def on_step(known: int) -> None:
        line.show(lambda wall: f"simnet: {known:,} of {len(table):,} scenarios, {wall:.0f} s")

    try:
        left, tier = _work_out(
            net, program, arrivals, table, chosen, seed, threads or _cores(), on_step
        )
    finally:
        line.close()
    _check_ends(net, left, table)
    return ManyResult(
        net=net,
        work=work,
        plan=planned,
        rank_times=frozen(_by_rank(left, program.ranks, net.num_ranks)),
        tier=frozen(tier),
        transport=chosen.name,
        version=__version__,
        seed=seed,
    )


def _scenarios(given: Any) -> Scenarios:
    if isinstance(given, Scenarios):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"scenarios={given!r:.60}: a simnet.Scenarios, or a mapping of arrays")
    unknown = set(given) - {"bandwidth", "latency"}
    if unknown:
        raise ValueError(
            f"scenarios: {sorted(unknown, key=str)[0]!r} is not 'bandwidth', 'latency'"
        )
    return Scenarios(**given)


def _program(net: Network, work: Collective | Flows) -> tuple[Plan | None, Program, FloatArray]:
    """The plan, what it sends, and when the rank at each place arrives."""
    if isinstance(work, Flows):
        program = compile_flows(work, net.num_ranks)
        return None, program, np.zeros(len(program.ranks))
    planned = plan(work, net)
    ranks = work.ranks if work.ranks is not None else tuple(range(net.num_ranks))
    return planned, compile_schedule(planned.schedule, ranks), work.arrival_times(len(ranks))


def _work_out(
    net: Network,
    program: Program,
    arrivals: FloatArray,
    table: Scenarios,
    transport: Transport,
    seed: int,
    threads: int,
    on_step: Callable[[int], None],
) -> tuple[FloatArray, NDArray[np.str_]]:
    """When the rank at each place leaves in each scenario, and what told."""
    compiled = kernel() == KernelModel.name
    if compiled and not KernelModel(net, transport, seed).draws:
        bandwidth, latency = (
            getattr(net.links, name)[None, :] if given is None else given
            for name, given in (("bandwidth", table.bandwidth), ("latency", table.latency))
        )
        left, alone = work_out_many(
            net, program, arrivals, bandwidth, latency, threads=threads, on_step=on_step
        )
        return left, np.where(alone, "max-plus", "events")
    make = KernelModel if compiled else FluidModel
    left = np.empty((len(table), len(program.ranks)))
    for scenario in range(len(table)):
        model = make(table.network(net, scenario), transport, seed)
        left[scenario] = _carry_out(model, program, arrivals)
        on_step(scenario + 1)
    return left, np.full(len(table), "events" if compiled else kernel())


def _check_ends(net: Network, left: FloatArray, table: Scenarios) -> None:
    """Refuse scenarios in which something ends later than any number of seconds."""
    for scenario in np.flatnonzero(~np.isfinite(left).all(axis=1)).tolist():
        links = table.network(net, scenario).links
        slowest, longest = int(links.bandwidth.argmin()), int(links.latency.argmax())
        raise ValueError(
            f"scenario {scenario}: ends later than any number of seconds, with "
            f"{links.bandwidth[slowest]} bytes/s over {net.link_name(slowest)} and "
            f"{links.latency[longest]} s over {net.link_name(longest)}"
        )


def _carry_out(model: NetworkModel, program: Program, arrivals: FloatArray) -> FloatArray:
    """When the rank at each place leaves."""
    job = model.post(program, 0.0)
    model.arrive_all(job, arrivals)
    never = float("inf")
    while (time := model.next_time()) < never:
        if isinstance(model, RunsAhead):
            model.run(time, never)
        else:
            model.advance(time)
    return np.array([job.left.get(rank, never) for rank in program.ranks])


def _by_rank(left: FloatArray, ranks: tuple[int, ...], num_ranks: int) -> FloatArray:
    """A column for every rank of the network; NaN for those that take no part."""
    if ranks == tuple(range(num_ranks)):
        return left
    rank_times = np.full((len(left), num_ranks), np.nan)
    rank_times[:, list(ranks)] = left
    return rank_times


def _cores() -> int:
    """Cores that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
