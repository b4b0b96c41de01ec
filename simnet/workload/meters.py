"""The meters of the compute models: what has accrued on a rank, and which step it is in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from simnet.workload.devices import Device
from simnet.workload.optimizer_steps import unwatch, watch

if TYPE_CHECKING:
    from simnet.workload.op_cost import OpCosts


class StepMeter:
    """What meters share: the seconds not taken yet, the step and its factor.

    A step is over when `step` is called or, as long as that has not happened, when an optimizer
    has stepped.

    Parameters
    ----------
    factor_of : callable
        ``factor_of(k)`` is how many times as long step k takes.
    """

    def __init__(self, factor_of: Callable[[int], float]) -> None:
        self._factor_of = factor_of
        self._step = 0
        self._factor = factor_of(0)
        self._seconds = 0.0
        self._running = False
        self._told = False
        self._updating: object | None = None
        self._untaken_updates = 0

    # What a run calls

    def begin(self) -> None:
        """The rank's code starts."""
        watch(self)
        self.resume()

    def end(self) -> None:
        """The rank's code is over."""
        self.pause()
        unwatch()

    def pause(self) -> None:
        """What follows is not the rank's own work."""
        if self._running:
            self._bank()
            self._running = False

    def resume(self) -> None:
        """The rank's code goes on."""
        self._running = True

    def take(self) -> float:
        """Virtual seconds of computation since the last take."""
        self._bank()
        seconds, self._seconds = self._seconds, 0.0
        self._untaken_updates = 0
        return seconds

    def step(self) -> None:
        """A training step is over; from the first call on, optimizers do not say so any more."""
        if not self._told:
            self._told = True
            self._take_back_updates()
        self._charge()
        self._next_step(self._step + 1)

    # What optimizers call

    def update_begins(self, optimizer: object) -> None:
        """An optimizer of the rank is about to update its parameters."""
        # An optimizer that wraps another begins first: only the outer one counts. If an update
        # has raised, its end was never seen and the same optimizer begins again.
        counts = self._updating is None or self._updating is optimizer
        if self._running and not self._told and counts:
            self._updating = optimizer
            self._charge()

    def update_ended(self, optimizer: object) -> None:
        """It has updated them."""
        if self._updating is optimizer:
            self._updating = None
            if not self._told:
                self._untaken_updates += 1
                self._next_step(self._step + 1)

    # What kinds of meters differ in

    def _bank(self) -> None:
        """Turn what has been metered since the last time into seconds, by this step's factor."""

    def _charge(self) -> None:
        """The step's computation is over."""

    def _take_back_updates(self) -> None:
        """Undo what optimizers have said of the step that is reported otherwise only now."""
        self._next_step(self._step - self._untaken_updates)

    def _next_step(self, step: int) -> None:
        self._bank()
        self._step = step
        self._factor = self._factor_of(step)


class FixedMeter(StepMeter):
    """Charges every step the same time.

    Parameters
    ----------
    factor_of : callable
        See `StepMeter`.
    per_step : float
        Seconds.
    """

    def __init__(self, factor_of: Callable[[int], float], per_step: float) -> None:
        super().__init__(factor_of)
        self._per_step = per_step

    def _charge(self) -> None:
        self._seconds += self._per_step * self._factor

    def _take_back_updates(self) -> None:
        super()._take_back_updates()
        self._seconds = 0.0


class MeasuredMeter(StepMeter):
    """Times the thread's use of the processor.

    Parameters
    ----------
    factor_of : callable
        See `StepMeter`.
    scale : float
        Virtual seconds per second.
    """

    def __init__(self, factor_of: Callable[[int], float], scale: float) -> None:
        super().__init__(factor_of)
        self._scale = scale
        self._since = 0.0

    def resume(self) -> None:
        """The rank's code goes on."""
        if not self._running:
            self._running = True
            self._since = time.thread_time()

    def _bank(self) -> None:
        if self._running:
            now = time.thread_time()
            self._seconds += (now - self._since) * self._scale * self._factor
            self._since = now


class RooflineMeter(StepMeter):
    """Adds up what torch's operations cost on a device.

    Parameters
    ----------
    factor_of : callable
        See `StepMeter`.
    device : Device
        What would execute them.
    efficiency : float
        The fraction of its peaks that is reached.
    """

    def __init__(
        self, factor_of: Callable[[int], float], device: Device, efficiency: float
    ) -> None:
        super().__init__(factor_of)
        self._device, self._efficiency = device, efficiency
        self._costs: OpCosts | None = None

    def begin(self) -> None:
        """The rank's code starts: from now on its operations are seen."""
        from simnet.workload.op_cost import OpCosts

        self._bank()
        self._costs = OpCosts(self._device)
        self._costs.install()
        super().begin()

    def end(self) -> None:
        """The rank's code is over."""
        super().end()
        if self._costs is not None:
            self._costs.remove()
            self._costs = None

    def pause(self) -> None:
        """What follows is not the rank's own work."""
        super().pause()
        if self._costs is not None:
            self._costs.counting = False

    def resume(self) -> None:
        """The rank's code goes on."""
        super().resume()
        if self._costs is not None:
            self._costs.counting = True

    def _bank(self) -> None:
        if self._costs is not None:
            self._seconds += self._costs.take() / self._efficiency * self._factor
