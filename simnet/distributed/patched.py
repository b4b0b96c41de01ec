"""A process in which `simnet.patch_distributed_functions` has been called."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import util
from multiprocessing.process import BaseProcess
from typing import Any

import torch.distributed as dist

from simnet.distributed.adoptee import Adoptee, Given, innermost, present, reason
from simnet.distributed.door import Door
from simnet.distributed.kinds import Processes
from simnet.distributed.launch import Plan, make_plan
from simnet.distributed.network_process import NetworkProcess
from simnet.distributed.pointing import ASK
from simnet.distributed.set_aside import SetAside
from simnet.distributed.siblings import door_to, met
from simnet.distributed.world import bind
from simnet.guide import NetworkSimulator, Topology
from simnet.ranks.seat import current
from simnet.workload.run import Run

CLOSED = Door(address="", key=b"", forward=False, patched=True)
AFTER_CHILDREN = -1  # of multiprocessing's finalizers: when it has joined its processes
LAUNCHED = ("RANK", "WORLD_SIZE")  # what launchers set in ranks


class Patched(Adoptee):
    """This process: it starts the network when it first needs one.

    That is when it starts a process, which may become a rank, or becomes a rank itself. In the
    latter case it shares the network with those that others have started beside it.

    Parameters
    ----------
    sim : NetworkSimulator
        What the cables are like.
    topology : NetworkTopology, networkx graph, Network or None
        Who is wired to whom.
    """

    def __init__(self, sim: NetworkSimulator, topology: Topology) -> None:
        super().__init__(CLOSED)
        self.sim, self.topology = sim, topology
        self._network: NetworkProcess | None = None
        self._process = os.getpid()
        self._launched = all(name in os.environ for name in LAUNCHED)
        self._installed = ExitStack()
        self._aside: SetAside | None = None
        self._was_rank = False
        self._time = 0.0
        self._finalizer: util.Finalize | None = None

    def install(self) -> None:
        """Let what is told of in the class's words happen from now on."""
        with self._installed:
            self._installed.callback(self._close)
            self._installed.enter_context(present(self))
            self.sim.show(self.time)
            if dist.is_initialized():
                self._replace_default_group()
            self._installed = self._installed.pop_all()

    def undo(self) -> tuple[Run, ...]:
        """Let torch be as it was; returns the runs of the worlds that processes started here were.

        A rank leaves its world, and does not wait for the others.
        """
        if not self.is_here:
            return ()
        outcomes: list[Any] = []
        self._leave(None)
        if self._network is not None and not self._was_rank:
            self._time = self.time()
            outcomes, _ = self._network.finish()
        self._installed.close()
        return tuple(each for each in outcomes if isinstance(each, Run))

    @property
    def is_here(self) -> bool:
        """Whether it was this very process, and not one that has forked it, that was patched."""
        return os.getpid() == self._process

    def time(self) -> float:
        """Virtual time for whoever is no rank: of the process as it left, or of its children."""
        if self._network is not None and not self._was_rank:
            told = self._network.time()
            self._time = self._time if math.isnan(told) else told
        return self._time

    # The network

    def _open(self) -> NetworkProcess:
        """Start the network's process unless it is there."""
        if self._network is None:
            plan = functools.partial(plan_for, self.sim, self.topology)
            self._network = NetworkProcess(plan, says=True)
            util.register_after_fork(self, Patched._forked)
            self._care_for_exit()
        return self._network

    def _close(self) -> None:
        network, self._network = self._network, None
        self.door = CLOSED
        if self._finalizer is not None:
            self._finalizer.cancel()
        if network is not None:
            network.close(spare=self._was_rank)

    def _forked(self) -> None:
        """In a process that was forked: the network is the other's to end."""
        network, self._network = self._network, None
        self._finalizer = None
        if network is not None:
            network.forget()

    def _care_for_exit(self) -> None:
        """Let nothing be left behind when the process ends without an undo."""
        if self._finalizer is None or not self._finalizer.still_active():
            self._finalizer = util.Finalize(None, self._end, exitpriority=AFTER_CHILDREN)

    # Processes that are started here

    def _start(self, original: Callable[[BaseProcess], None]) -> Callable[[BaseProcess], None]:
        starts_rank = super()._start(original)

        def start(process: BaseProcess) -> None:
            if current() is not None or self._launched or innermost() is not self:
                original(process)
                return
            if self.door == CLOSED:
                network = self._open()
                self.door = door_to(network.address, network.key)
            starts_rank(process)

        return start

    # Being a rank

    def _become(self, number: int, world_size: int, given: Given) -> None:
        hook, answer, door = sys.excepthook, signal.getsignal(ASK), self.door
        with ExitStack() as undo:
            undo.callback(setattr, self, "door", door)
            if not self._knows_its_network():
                self._process = os.getpid()
                network = self._open() if number == 0 else None
                self.door = undo.enter_context(met(number, world_size, given, network))
            super()._become(number, world_size, given)
        self._was_rank = self.is_here
        self._undo.callback(setattr, sys, "excepthook", hook)
        self._undo.callback(_set_signal, answer)
        self._care_for_exit()

    def _knows_its_network(self) -> bool:
        """Whether the network is that of the processes started here, and not that of siblings."""
        is_main = multiprocessing.parent_process() is None and not self._launched
        return self.door != CLOSED and (is_main or not self.is_here)

    def _leave(self, error: BaseException | None) -> None:
        seat, aside = self._seat, self._aside
        if seat is None or aside is None:
            super()._leave(error)
        else:
            aside.withdraw()
            super()._leave(error)
            aside.put_back()
            self._aside = None
        if seat is not None:
            self._time = seat.time

    def _end(self) -> None:
        """The process ends: leave, saying why if it is known, and let the network end."""
        if self._seat is not None:
            error = sys.exception() or getattr(sys, "last_value", None)
            self._leave(None if error is None else reason(error))
        self._close()

    def _replace_default_group(self) -> None:
        """Be a rank at once, in the place of a process group that stands already."""
        store = dist.distributed_c10d._get_default_store()
        given = {"backend": dist.get_backend(), "store": store}
        self._become(dist.get_rank(), dist.get_world_size(), given)
        assert self._seat is not None
        self._aside = SetAside(self._seat)
        self._aside.take_over()
        bind(self._world, {})
        self._aside.rebind()


def plan_for(sim: NetworkSimulator, topology: Topology, world_size: int) -> Plan:
    """Everything about the run of a world of patched processes but its program."""
    net = sim.network(world_size, topology)
    return make_plan(net, Processes(world_size), quiet=True)


def _set_signal(answer: Any) -> None:
    if signal.getsignal(ASK) != answer:
        signal.signal(ASK, answer)
