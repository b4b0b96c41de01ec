"""`simulate`: work on a network in, a result out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import simpy

from simnet.arrays import frozen
from simnet.collectives import Collective, Flows
from simnet.engine import OVER, Clock, Fabric, Observer, make_model
from simnet.network import Network
from simnet.report.result import Result, WorkResult
from simnet.seeds import checked_seed
from simnet.transport import Transport, choose_transport
from simnet.units import parse_time
from simnet.version import __version__

Process = Callable[[Clock, Fabric], Generator[simpy.Event, Any, Any]]


class StuckError(RuntimeError):
    """Nothing more can happen, but work is left: who waits is in the message."""


def simulate(
    net: Network,
    *work: Collective | Flows,
    processes: Sequence[Process] = (),
    seed: int | None = 0,
    fabric: str = "fluid",
    transport: str | Transport | None = None,
    protocol: str | None = None,
    until: float | str | None = None,
    observer: Observer | None = None,
    engine: str = "auto",
) -> Result:
    """Run any mix of collectives, flows and SimPy processes on a network.

    All work given shares one virtual clock that begins at 0; pieces that overlap in time share
    the links. Times are derived as the reference model defines them (`simnet.engine.reference`).

    Parameters
    ----------
    net : Network
        Where it runs.
    *work : Collective or Flows
        What runs: `simnet.collectives.all_reduce("100MB")`, `simnet.flows(...)`, …; each begins
        at its own start or arrivals.
    processes : sequence of callables
        Your own SimPy processes: each is called with ``(env, fabric)`` and returns a generator,
        which may ``yield env.timeout(1.0)``, ``yield fabric.send(0, 1, "10MB")`` or
        ``yield fabric.submit(all_reduce("1MB")).done``. A process that one of them starts with
        ``env.process`` belongs to the run while something waits for it.
    seed : int or None
        Root of the random streams of jitter and loss; None draws one and records it.
    fabric : {"fluid"}
        The network model.
    transport : {"ideal", "retransmit"} or Transport, optional
        None is ideal where nothing is lost and retransmit where any link has loss.
    protocol : None
        A library's protocol habits; none is built yet.
    until : float or str, optional
        Stop the clock after this instant; what has not ended by then has the finish NaN. By
        default the run ends when all work and all processes have ended.
    observer : Observer, optional
        Told of transfers and rates as they happen.
    engine : {"auto", "kernel", "symmetry", "max-plus", "events", "reference"}
        What computes the times: the compiled kernel or the Python reference, which agree to
        1e-9. "auto" is the kernel where it was compiled and no observer is given. The kernel
        takes the cheapest of its tiers that can; the name of one leaves out the others, but for
        "events", on which all fall back.

    Returns
    -------
    Result
        Times, bytes, bandwidths and bounds, with seed and version.

    Raises
    ------
    TypeError, ValueError
        For anything that is not as described above, in one line.
    StuckError
        When work is left that nothing can move any more.
    """
    _check_arguments(net, work, processes, fabric, protocol, observer)
    seed = checked_seed(seed)
    chosen = choose_transport(transport, lossy=net.is_lossy)
    clock = Clock()
    model = make_model(net, chosen, seed, engine=engine, observer=observer)
    # All that may call the fabric is a process on the clock.
    shell = Fabric(clock, net, model, ahead=True)
    for item in work:
        shell.submit(item)
    running = [clock.process(_generator(process, clock, shell)) for process in processes]
    _run(clock, shell, running, None if until is None else parse_time(until))
    result = collect(shell, chosen.name, seed)
    shell.close()
    return result


def collect(fabric: Fabric, transport: str, seed: int) -> Result:
    """What a network has done until now, as a result.

    Parameters
    ----------
    fabric : Fabric
        Holds the operations, in the order of posting, and the model.
    transport : str
        Name of the transport.
    seed : int
        The run's seed.
    """
    return Result(
        net=fabric.net,
        works=tuple(
            WorkResult(
                work=each.work, plan=each.plan, job=each.job, net=fabric.net, start=each.start
            )
            for each in fabric.operations
        ),
        link_bytes=frozen(fabric.model.carried(fabric.env.now)),
        end=float(fabric.env.now),
        transport=transport,
        fabric="fluid",
        engine=fabric.model.name,
        version=__version__,
        seed=seed,
    )


def _check_arguments(
    net: Network,
    work: Sequence[Any],
    processes: Sequence[Any],
    fabric: str,
    protocol: Any,
    observer: Any,
) -> None:
    """Refuse what simulate cannot take, one line each."""
    if not isinstance(net, Network):
        raise TypeError(f"net={net!r}: a simnet.Network; wrap a graph: simnet.Network(graph)")
    for item in work:
        if not isinstance(item, Collective | Flows):
            raise TypeError(
                f"work {item!r:.60}: a simnet.collectives.… collective or simnet.flows(…), one each"
            )
    if callable(processes):
        raise TypeError(f"processes={processes!r}: a list of functions; write processes=[…]")
    for process in processes:
        if not callable(process):
            raise TypeError(f"process {process!r}: a function of (env, fabric), not yet called")
    if fabric != "fluid":
        raise ValueError(f"fabric={fabric!r}: not built; write 'fluid'")
    if protocol is not None:
        raise ValueError(f"protocol={protocol!r}: not built; leave it None")
    if observer is not None and not isinstance(observer, Observer):
        raise TypeError(f"observer={observer!r}: an instance of simnet.engine.Observer")


def _generator(process: Process, clock: Clock, fabric: Fabric) -> Generator[simpy.Event, Any, Any]:
    generator = process(clock, fabric)
    if not isinstance(generator, Generator):
        raise TypeError(f"process {process!r}: returned {generator!r}, not a generator (no yield?)")
    return generator


def _run(clock: Clock, fabric: Fabric, running: list[simpy.Process], until: float | None) -> None:
    """Run the clock until all processes and all that was posted have ended, or until a time."""
    stop = None if until is None else clock.at(until, priority=OVER)
    while stop is None or not stop.processed:
        waiting: list[simpy.Event] = [*running, *(each.done for each in fabric.operations)]
        waiting = [event for event in waiting if not event.processed]
        if not waiting:
            return
        end: simpy.Event = clock.all_of(waiting)
        _run_until(clock, fabric, end if stop is None else end | stop)


def _run_until(clock: Clock, fabric: Fabric, end: simpy.Event) -> None:
    try:
        clock.run(until=end)
    except RuntimeError as error:
        if end.triggered or "No scheduled events left" not in str(error):
            raise
        endless = [each.endless() for each in fabric.operations]
        for what in filter(None, endless):
            raise ValueError(what) from None
        waiting = [each.describe() for each in fabric.operations if not each.done.triggered]
        raise StuckError(
            f"nothing can happen after {clock.now} s, but there is left: "
            f"{'; '.join(waiting) or 'a process that waits for an event nobody triggers'}"
        ) from None
