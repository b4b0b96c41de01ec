"""`simnet.exogym.install`: ExoGym's own trainer, with no edit to it, on a simulated network."""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, get_args

from simnet.distributed.adopt import adopted
from simnet.distributed.kinds import Processes
from simnet.distributed.launch import Plan, make_plan
from simnet.network import Network
from simnet.ranks.algorithms import Algorithm
from simnet.transport import Transport
from simnet.workload.compute import ComputeModel
from simnet.workload.run import Run
from simnet.workload.trace import Trace

Harness = Literal["free", "counted"]

NEEDED = {
    "": ("Trainer", "TrainNode", "_worker", "mp"),
    "Trainer": ("fit",),
    "TrainNode": ("train", "_train_step", "_evaluate"),
}
_ONE_FIT = threading.Lock()  # a fit exchanges a global of ExoGym's


@dataclass(slots=True, eq=False)
class Hook:
    """ExoGym on a network, until `uninstall` or the end of the ``with`` block.

    Attributes
    ----------
    runs : list of Run
        What each fit was on the network, in order, as far as its nodes ended well.
    """

    _bare: Callable[..., Any]
    _make: Callable[[int], Plan]
    _counted: bool
    runs: list[Run] = field(default_factory=list)
    _installed: bool = True

    @property
    def run(self) -> Run:
        """The last of `runs`.

        Raises
        ------
        RuntimeError
            If there is none.
        """
        if not self.runs:
            raise RuntimeError("simnet.exogym: no fit has ended on the network yet")
        return self.runs[-1]

    @property
    def time(self) -> float:
        """Virtual seconds of the last run."""
        return self.run.time

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of rank 0's calls in the last run by phase; "algorithm" is the strategy's own.

        The others are the harness's: "initial" copies of the model, "evaluate", and what else
        there was.
        """
        return dict(bytes_by_phase(self.run.trace))

    def uninstall(self) -> None:
        """Let fit be ExoGym's own again."""
        self._installed = False
        trainer = _trainer()
        if getattr(trainer.Trainer.fit, "_simnet", None) is self:
            trainer.Trainer.fit = self._bare

    def __enter__(self) -> Hook:
        """Be uninstalled when the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Uninstall."""
        self.uninstall()

    def _fit(self, trainer: Any, arguments: inspect.BoundArguments) -> Any:
        """What `Trainer.fit` does while this is installed."""
        if not self._installed:
            return self._bare(*arguments.args, **arguments.kwargs)
        _check_fit(arguments, self._make)
        if not _ONE_FIT.acquire(blocking=False):
            raise RuntimeError("simnet.exogym: another fit is under way in this process")
        own = trainer._worker
        try:
            from simnet.distributed.exogym_node import Node

            trainer._worker = Node(self._counted)
            return self._carry_out(arguments)
        finally:
            trainer._worker = own
            _ONE_FIT.release()

    def _carry_out(self, arguments: inspect.BoundArguments) -> Any:
        adoption = first = None
        try:
            with adopted(self._make) as adoption:
                return self._bare(*arguments.args, **arguments.kwargs)
        except Exception as error:
            first = None if adoption is None else adoption.error
            if not isinstance(first, Exception):
                raise  # not a node's: the run, if there was one, stands
            raise first from error
        finally:
            self.runs.extend(() if adoption is None else adoption.runs)
            # Error and frame would hold each other, and with them the process of fit's Manager.
            del first, adoption


def install(
    net: Network,
    *,
    seed: int | None = 0,
    algorithm: Algorithm | Mapping[str, Algorithm] = "auto",
    transport: str | Transport | None = None,
    compute: ComputeModel | None = None,
    bucket: int | str | None = None,
    watchdog: float | str = "60s",
    quiet: bool = True,
    harness: Harness = "free",
) -> Hook:
    """Let ExoGym's ``Trainer.fit``, and ``LocalTrainer.fit`` of old, train on a network.

    ExoGym itself stays as it is: only the attribute ``Trainer.fit`` is exchanged, and the nodes
    that it starts are ranks on the network, node i on host i. Every fit is a run of its own. What
    nodes raise comes out of fit as it was, with a note of rank and virtual time, and with what
    ExoGym says of it as its cause.

    What a strategy sends is told from what the harness round it does: copies of the model at the
    start, evaluations with an all_reduce of the whole model, a barrier after every step. Each is
    a phase of the run, "algorithm" for the strategy. The files ``train.csv`` and
    ``validation.csv`` get the columns ``virtual_time``, rank 0's clock in seconds, and ``bytes``,
    what rank 0's algorithm has asked for so far: the size of each call, as `simnet.collectives`
    counts it.

    Parameters
    ----------
    net : Network
        Where it runs. ``num_nodes`` must not be more than its hosts.
    seed, algorithm, transport, compute, bucket, watchdog
        As for `simnet.run`. Computation is charged between the backward pass and the strategy's
        step; ``compute.Fixed`` is so much a training step, also for DiLoCo with its two
        optimizers. ExoGym seeds its random numbers itself.
    quiet : bool
        Leave the progress to ExoGym's own bar; False adds the network's line.
    harness : {"free", "counted"}
        Whether what is not the algorithm costs virtual time. Free calls still wait for their
        data, so an evaluation brings all clocks up to the latest; the barrier after a step
        returns at once. Computation in the harness is not charged.

    Returns
    -------
    Hook
        The runs, and the way back; a context manager.

    Raises
    ------
    ImportError
        If there is no ExoGym.
    RuntimeError
        If it is installed already, or this ExoGym is built otherwise.
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Tried with ExoGym's commits 9fa323c and 9d27fc4. Nothing of it is put right here. As it stands:

    - DiLoCo on a CPU: after the first outer step the model and rank 0's master share their memory,
      so every later pseudo-gradient is 0, and the outer optimizer goes on by momentum alone.
    - The optimizer is ``optim_spec=`` in 9fa323c; in 9d27fc4 it is ``inner_optim=`` for FedAvg and
      SPARTA and ``optim_spec=`` for the others. The wrong word trains with AdamW's defaults.
    - fit returns the mean of the nodes' models in the order in which they end: its last bits
      change from fit to fit. With batch norm, 9d27fc4 cannot take that mean, and fit raises after
      the training; the run is there. Buffers are never communicated.
    - FedAvg with ``island_size`` shuffles with Python's generator, which nobody seeds.
    - fit without ``minibatch_size`` looks for one in a process of its own, which fails on Linux;
      that is refused here.
    - Where a ``run_name`` was used before, rows are added to its files; files without the new
      columns are refused.

    With ``wandb_project=`` there are no files, hence no columns; the runs are the same.
    """
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    if harness not in get_args(Harness):
        raise ValueError(f"harness={harness!r}: choose 'free' or 'counted'")
    options = {
        "seed": seed,
        "algorithm": algorithm,
        "transport": transport,
        "compute": compute,
        "bucket": bucket,
        "watchdog": watchdog,
        "quiet": quiet,
    }
    _plan(net, options, None)
    trainer = _trainer()
    make = functools.partial(_plan, net, options)
    hook = Hook(trainer.Trainer.fit, make, harness == "counted")
    _wrap(trainer, hook)
    return hook


def bytes_by_phase(trace: Trace, rank: int = 0) -> Counter[str]:
    """Bytes of a rank's calls by the phase in which it made them; "" before the first."""
    found: Counter[str] = Counter()
    phase = ""
    for entry in trace.entries[rank]:
        if entry.action == "phase":
            phase = entry.name
        elif entry.action == "issue":
            found[phase] += sum(trace.calls[rank][number].size for number in entry.tickets)
    return found


def _plan(net: Network, options: Mapping[str, Any], num_nodes: int | None) -> Plan:
    return make_plan(net, Processes(num_nodes), **options)


def _wrap(trainer: Any, hook: Hook) -> None:
    bare = hook._bare
    if getattr(bare, "_simnet", None) is not None:
        raise RuntimeError("simnet.exogym: installed already; uninstall it first")
    signature = inspect.signature(bare)

    @functools.wraps(bare)
    def fit(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs)
        return hook._fit(trainer, arguments)

    vars(fit)["_simnet"] = hook
    trainer.Trainer.fit = fit


def _trainer() -> Any:
    """ExoGym's module of that name, if it is as it has to be."""
    try:
        trainer = importlib.import_module("exogym.trainer")
    except ModuleNotFoundError as error:
        if error.name not in ("exogym", "exogym.trainer"):
            raise  # of ExoGym's own needs
        raise ImportError(
            "simnet.exogym: no exogym.trainer here; install github.com/exo-explore/gym "
            "(the wheel of that name holds no code)"
        ) from None
    for owner, names in NEEDED.items():
        holder = getattr(trainer, owner) if owner else trainer
        for name in names:
            if not hasattr(holder, name):
                place = ".".join(filter(None, ("exogym.trainer", owner, name)))
                raise RuntimeError(f"simnet.exogym: this ExoGym has no {place}")
    return trainer


def _check_fit(given: inspect.BoundArguments, make: Callable[[int], Plan]) -> None:
    """Refuse what cannot be, before any process is started."""
    whole = inspect.BoundArguments(given.signature, given.arguments.copy())
    whole.apply_defaults()
    if whole.arguments.get("minibatch_size", 0) is None:
        raise ValueError(
            "fit: give minibatch_size; ExoGym's search for one runs in a process of its own, "
            "beside the network"
        )
    make(whole.arguments["num_nodes"])
