"""What a simulation found: data with provenance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simnet.collectives import Collective, Flows, Plan
from simnet.collectives.bounds import Bound, lower_bound
from simnet.engine.job import Job
from simnet.network import CABLE, Network
from simnet.report.metrics import bus_factor
from simnet.units import format_bandwidth, format_size, format_time

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LINK_KINDS = ("cable", "egress", "ingress")


def _finite(value: float) -> float | None:
    """A number that JSON knows, else None."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, eq=False, repr=False)
class WorkResult:
    """How one collective, or one set of flows, went.

    Attributes
    ----------
    work : Collective or Flows
        What was asked for.
    plan : Plan or None
        The algorithm that ran and why; None for flows.
    job : Job
        Start and end of every transfer, and when each rank left.
    net : Network
        Where it ran.
    start : float
        When the first rank arrived (or the first flow started), seconds.
    """

    work: Collective | Flows
    plan: Plan | None
    job: Job = field(repr=False)
    net: Network = field(repr=False)
    start: float

    def __repr__(self) -> str:
        """A line: what ran, how, how long."""
        how = f" by {self.algorithm}" if self.algorithm else ""
        return (
            f"<{self.kind} of {format_size(self.size)}{how} over {self.num_ranks} ranks: "
            f"{format_time(self.time)}, busbw {format_bandwidth(self.busbw, bits=False)}, "
            f"by {self.tier}>"
        )

    @property
    def kind(self) -> str:
        """The collective's name, or "flows"."""
        return self.work.kind if isinstance(self.work, Collective) else "flows"

    @property
    def size(self) -> int:
        """The collective's size as nccl-tests counts it, or all bytes of the flows."""
        work = self.work
        return work.size if isinstance(work, Collective) else sum(work.size.tolist())

    @property
    def algorithm(self) -> str | None:
        """What ran; None for flows."""
        return self.plan.algorithm if self.plan else None

    @property
    def reason(self) -> str | None:
        """Why that algorithm ran; None for flows."""
        return self.plan.reason if self.plan else None

    @property
    def tier(self) -> str:
        """What found the times: "symmetry", "max-plus" or "events", all equal; or "reference"."""
        return self.job.tier

    @property
    def num_ranks(self) -> int:
        """How many ranks took part."""
        return len(self.job.program.ranks)

    @cached_property
    def rank_times(self) -> NDArray[np.float64]:
        """When each rank of the network left, absolute seconds, shape (N,); NaN: took no part."""
        times = np.full(self.net.num_ranks, np.nan)
        times[list(self.job.left)] = list(self.job.left.values())
        times.flags.writeable = False
        return times

    @property
    def finish(self) -> float:
        """When the last rank left, absolute seconds; NaN if some have not."""
        if not self.job.done:
            return float("nan")
        return max(self.job.left.values(), default=self.start)

    @property
    def time(self) -> float:
        """Seconds from the first arrival to the last departure."""
        return self.finish - self.start

    @property
    def algbw(self) -> float:
        """Size over time, bytes/s; infinite when it took no time, NaN for flows without end."""
        if not self.time:
            return float("inf") if self.size else 0.0
        return self.size / self.time

    @property
    def busbw(self) -> float:
        """Algbw × the share of its size that a rank must send, bytes/s (see `bus_factor`).

        With uneven splits: the most that one rank must send, over time.
        """
        if isinstance(self.work, Collective) and self.work.splits is not None:
            rows = enumerate(self.work.splits)
            sent = max(sum(row) - row[rank] for rank, row in rows)
            return sent / self.time if self.time else 0.0
        factor = bus_factor(self.kind, self.num_ranks) if self.num_ranks else 0.0
        return self.algbw * factor if factor else 0.0

    @property
    def retransmitted_bytes(self) -> int:
        """Payload that was sent again."""
        return self.job.retransmitted_bytes

    @cached_property
    def bound(self) -> Bound | None:
        """The least time that any algorithm could have taken here; None for flows."""
        return lower_bound(self.work, self.net) if isinstance(self.work, Collective) else None

    @property
    def efficiency(self) -> float | None:
        """Bound over time, 0 to 1; None for flows."""
        if self.bound is None:
            return None
        return self.bound.seconds / self.time if self.time else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single transfers, ready for JSON."""
        return {
            "kind": self.kind,
            "size": self.size,
            "ranks": self.num_ranks,
            "algorithm": self.algorithm,
            "reason": self.reason,
            "tier": self.tier,
            "start": _finite(self.start),
            "finish": _finite(self.finish),
            "time": _finite(self.time),
            "algbw": _finite(self.algbw),
            "busbw": _finite(self.busbw),
            "bound": self.bound.seconds if self.bound else None,
            "binding": self.bound.binding if self.bound else None,
            "efficiency": None if self.efficiency is None else _finite(self.efficiency),
            "retransmitted_bytes": self.retransmitted_bytes,
            "rank_times": [_finite(time) for time in self.rank_times],
        }


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `simnet.simulate` returns.

    Attributes
    ----------
    net : Network
        The network that was simulated.
    works : tuple of WorkResult
        Each piece of work in the order given, then those that processes posted.
    link_bytes : (L,) array of int
        Bytes carried by each link (cables first, then network cards), retransmissions included.
    end : float
        Where the clock stopped, seconds.
    transport, fabric, engine, version : str
        What computed it.
    seed : int
        The seed of jitter and loss.
    """

    net: Network = field(repr=False)
    works: tuple[WorkResult, ...]
    link_bytes: NDArray[np.int64] = field(repr=False)
    end: float
    transport: str
    fabric: str
    engine: str
    version: str
    seed: int

    def __repr__(self) -> str:
        """A line: what ran, until when, through which bottleneck."""
        ran = repr(self.works[0]) if len(self.works) == 1 else f"{len(self.works)} works"
        return (
            f"<Result of {ran}: until {format_time(self.time)}, bottleneck {self.bottleneck}, "
            f"transport {self.transport}, seed {self.seed}>"
        )

    @property
    def time(self) -> float:
        """When the last work finished, seconds from virtual 0; NaN if some has not."""
        return float(np.max([work.finish for work in self.works], initial=0.0))

    @property
    def tier(self) -> str:
        """The works' tiers, each named once."""
        return ", ".join(dict.fromkeys(work.tier for work in self.works))

    @property
    def _only(self) -> WorkResult:
        if len(self.works) != 1:
            raise ValueError(
                f"{len(self.works)} works ran, and each has its own: ask result.works[i]"
            )
        return self.works[0]

    @property
    def algorithm(self) -> str | None:
        """What ran (one work only; else ask `works`)."""
        return self._only.algorithm

    @property
    def reason(self) -> str | None:
        """Why that algorithm ran (one work only)."""
        return self._only.reason

    @property
    def algbw(self) -> float:
        """Size over time, bytes/s (one work only)."""
        return self._only.algbw

    @property
    def busbw(self) -> float:
        """Bus bandwidth as nccl-tests defines it, bytes/s (one work only)."""
        return self._only.busbw

    @property
    def bound(self) -> Bound | None:
        """The least possible time here (one work only)."""
        return self._only.bound

    @property
    def efficiency(self) -> float | None:
        """Bound over time, 0 to 1 (one work only)."""
        return self._only.efficiency

    @property
    def bytes_on_wire(self) -> int:
        """Bytes summed over all directed cables, retransmissions included."""
        return sum(self.link_bytes[self.net.links.kind == CABLE].tolist())

    @property
    def retransmitted_bytes(self) -> int:
        """Payload that was sent again, counted once however long its route."""
        return sum(work.retransmitted_bytes for work in self.works)

    @cached_property
    def rank_times(self) -> NDArray[np.float64]:
        """When each rank left its last work, absolute seconds, shape (N,).

        NaN for a rank that took no part in anything, or has not left all it took part in.
        """
        times = np.full(self.net.num_ranks, -np.inf)
        for work in self.works:
            ranks = list(work.job.program.ranks)
            times[ranks] = np.maximum(times[ranks], work.rank_times[ranks])
        times[times == -np.inf] = np.nan
        times.flags.writeable = False
        return times

    @cached_property
    def finish_times(self) -> NDArray[np.float64]:
        """When each flow finished, absolute seconds, all flows in the order given."""
        ends = [work.job.ends for work in self.works if isinstance(work.work, Flows)]
        times = np.concatenate([np.empty(0), *ends])
        times.flags.writeable = False
        return times

    @cached_property
    def utilisation(self) -> NDArray[np.float64]:
        """Mean share of each link's bandwidth in use until the last finish, shape (L,).

        Until the clock's `end` where something has not finished.
        """
        span = self.time if math.isfinite(self.time) else self.end
        capacity = self.net.links.bandwidth * span
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(self.link_bytes > 0, self.link_bytes / capacity, 0.0)
        share.flags.writeable = False
        return share

    @property
    def bottleneck(self) -> str | None:
        """The busiest link's name (a cable rather than a card when equal); None if none moved."""
        if not self.link_bytes.any():
            return None
        return self.net.link_name(int(np.argmax(self.utilisation)))

    @cached_property
    def links(self) -> pd.DataFrame:
        """A row per directed link: what it is, bytes carried, utilisation."""
        import pandas as pd

        links, nodes = self.net.links, self.net.nodes
        return pd.DataFrame(
            {
                "link": [self.net.link_name(i) for i in range(self.net.num_links)],
                "source": [nodes[i] for i in links.source],
                "target": [nodes[i] for i in links.target],
                "kind": [LINK_KINDS[kind] for kind in links.kind],
                "bandwidth": links.bandwidth,
                "latency": links.latency,
                "bytes": self.link_bytes,
                "utilisation": self.utilisation,
            }
        )

    @cached_property
    def transfers(self) -> pd.DataFrame:
        """A row per transfer: work, global ranks, bytes, channel, start and end in seconds."""
        import pandas as pd

        tables = [
            pd.DataFrame(
                {
                    "work": number,
                    "src": work.job.program.src,
                    "dst": work.job.program.dst,
                    "size": work.job.program.size,
                    "channel": work.job.program.channel,
                    "start": work.job.start,
                    "end": work.job.end,
                    "retransmitted_bytes": work.job.retransmitted,
                }
            )
            for number, work in enumerate(self.works)
        ]
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        return table[table["src"] != table["dst"]].reset_index(drop=True) if len(table) else table

    def to_dict(self) -> dict[str, Any]:
        """Works, links and provenance, ready for JSON."""
        return {
            "version": self.version,
            "seed": self.seed,
            "fabric": self.fabric,
            "engine": self.engine,
            "tier": self.tier,
            "transport": self.transport,
            "time": _finite(self.time),
            "end": self.end,
            "bytes_on_wire": self.bytes_on_wire,
            "retransmitted_bytes": self.retransmitted_bytes,
            "bottleneck": self.bottleneck,
            "works": [work.to_dict() for work in self.works],
            "links": [
                {
                    "link": self.net.link_name(i),
                    "kind": LINK_KINDS[self.net.links.kind[i]],
                    "bytes": int(self.link_bytes[i]),
                    "utilisation": float(self.utilisation[i]),
                }
                for i in range(self.net.num_links)
            ],
        }

    def to_dataframe(self) -> pd.DataFrame:
        """A row per work: the columns of `WorkResult.to_dict` but the ranks' times."""
        import pandas as pd

        rows = [work.to_dict() for work in self.works]
        return pd.DataFrame([{k: v for k, v in row.items() if k != "rank_times"} for row in rows])

    def plot_topology(self, ax: Axes | None = None) -> Axes:
        """Draw the network, its links coloured by utilisation."""
        from simnet.report.plots import plot_topology

        return plot_topology(self, ax)

    def plot_timeline(self, ax: Axes | None = None) -> Axes:
        """Draw when each rank sends and receives."""
        from simnet.report.plots import plot_timeline

        return plot_timeline(self, ax)
