"""Processes that a program itself starts become ranks: for launchers of their own, as ExoGym's.

The network of their worlds is in a process of its own, so that the program's interrupts and
interpreter are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simnet.distributed.door import Door
from simnet.distributed.network_process import NetworkProcess
from simnet.workload.run import Run


@dataclass(slots=True)
class Adoption:
    """What has become of the processes that were started.

    Attributes
    ----------
    outcomes : list of Run or BaseException
        How each world has ended, in order: there once the block has been left.
    failures : list of BaseException
        Why processes have failed that were no ranks, likewise.
    """

    outcomes: list[Any] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        """Those of the worlds that have ended well."""
        return [each for each in self.outcomes if isinstance(each, Run)]

    @property
    def error(self) -> BaseException | None:
        """What the last world has ended with, or else a process that was no rank; None if fine."""
        if self.outcomes:
            last = self.outcomes[-1]
            return last if isinstance(last, BaseException) else None
        return self.failures[0] if self.failures else None


@contextmanager
def adopted(make_plan: Any, *, virtual_time: bool = False) -> Iterator[Adoption]:
    """Let processes that the block starts with multiprocessing be ranks on a simulated network.

    A process becomes a rank when it calls ``init_process_group``, for any backend: its rank and
    the world size are those that it gives there. Worlds come one after the other; each is a run
    of its own, whose clock begins when its last rank has called. Random numbers stay the
    program's own. Whoever starts the processes sees their exit codes and exceptions as ever.

    Parameters
    ----------
    make_plan : callable
        ``make_plan(world_size)`` returns a `simnet.distributed.launch.Plan`; a ValueError refuses
        the world. It travels by cloudpickle.
    virtual_time : bool
        Let `time` mean the rank's clock, in ranks.

    Yields
    ------
    Adoption
        Filled when the block has been left, however it has.
    """
    from simnet.distributed.adoptee import adoptable

    adoption = Adoption()
    network = NetworkProcess(make_plan)
    try:
        door = Door(
            address=network.address, key=network.key, virtual_time=virtual_time, forward=False
        )
        with adoptable(door) as here:
            try:
                yield adoption
            except Exception:
                raise
            except BaseException:  # an interrupt: nothing is to be left running
                here.end_started()
                raise
    finally:
        adoption.outcomes, adoption.failures = network.finish()
        network.close()
