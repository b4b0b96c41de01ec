"""`patch_distributed_functions`: a program's own torch.distributed, on a simulated network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from simnet.guide import NetworkSimulator, Topology

if TYPE_CHECKING:
    from simnet.distributed.patched import Patched
    from simnet.workload.run import Run

Undo = Callable[[], "tuple[Run, ...]"]


def patch_distributed_functions(sim: NetworkSimulator, topology: Topology = None) -> Undo:
    """Let torch.distributed run on a simulated network: every function of it, on virtual time.

    Call it where the program is set up: before it starts the processes that are its ranks, or in
    each of these, before or after ``init_process_group``. A function imported earlier by
    ``from torch.distributed import …`` is covered too. A default process group that stands already
    is set aside, and a simulated one of the same ranks takes its place. Processes that a patched
    process starts with multiprocessing are patched already; a call of theirs does nothing.

    All ranks must be on this machine. Nothing sleeps: ``sim.virtual_time`` tells a rank its clock,
    and the process that has started the ranks how far they have come.

    Parameters
    ----------
    sim : NetworkSimulator
        What the cables are like.
    topology : NetworkTopology, networkx graph or Network, optional
        Who is wired to whom; None for everybody to everybody. See `NetworkSimulator.network`.

    Returns
    -------
    callable
        Undoes it: ``undo()`` leaves the world if this process is a rank, and puts back the process
        group that was set aside. In the process that has started the ranks it ends their network
        and returns a `Run` for each of their worlds that has ended well. A program that ends
        without it leaves nothing behind.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    RuntimeError
        If this process is a rank of another simulator's already, or, where it becomes one at once,
        the ranks do not meet.

    Notes
    -----
    In a rank of `simnet.run` or of the command ``simnet run`` it warns and does nothing: the
    network is chosen there. What was made before with a process group keeps that group, as a
    `DistributedDataParallel` does: patch before making it.
    """
    if not isinstance(sim, NetworkSimulator):
        raise TypeError(f"sim={sim!r}: a simnet.NetworkSimulator")
    if topology is not None:
        sim.network(1, topology)
    from simnet.distributed.adoptee import innermost
    from simnet.distributed.patched import Patched
    from simnet.ranks.seat import current

    here = innermost()
    if isinstance(here, Patched) and here.is_here:
        if current() is not None:
            return _same(here, sim, topology)
        here.undo()
    elif here is not None or current() is not None:
        if here is None or not here.door.patched:
            warnings.warn(
                "patch_distributed_functions: nothing to do, simnet's network carries this "
                "process already; it is not this simulator's",
                stacklevel=2,
            )
        return tuple
    patched = Patched(sim, topology)
    patched.install()
    return patched.undo


def _same(here: Patched, sim: NetworkSimulator, topology: Topology) -> Undo:
    if (here.sim, here.topology) != (sim, topology):
        raise RuntimeError(
            "patch_distributed_functions: this process is a rank on another simulator's network; "
            "call the function that the first call returned before"
        )
    return here.undo
