"""What a training program's own computation costs on the virtual clock.

Three models: a fixed time a step (`Fixed`), the roofline of a device applied to every operation
that torch executes (`Roofline`), and the time that this machine takes (`Measured`). A model of
your own is any object with a ``name`` and a method ``meter`` (`ComputeModel`).

Torch is imported when a meter begins, not before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from simnet.ranks.meter import Meter
from simnet.units import format_time, parse_time
from simnet.workload.devices import DEVICES, Device, find_device
from simnet.workload.meters import FixedMeter, MeasuredMeter, RooflineMeter
from simnet.workload.pace import Pace, Straggler, as_number

__all__ = [
    "DEVICES",
    "ComputeModel",
    "Device",
    "Fixed",
    "Measured",
    "Meter",
    "Roofline",
    "Straggler",
]


@runtime_checkable
class ComputeModel(Protocol):
    """What a run asks of a model of computation."""

    @property
    def name(self) -> str:
        """How summaries call it."""

    def meter(self, rank: int, seed: int) -> Meter:
        """A new meter for this rank; `seed` is the run's."""


@dataclass(frozen=True, slots=True)
class Fixed(Pace):
    """Every training step computes for the same time.

    It is charged when ``simnet.step()`` is called or, where that never happens, before an
    optimizer's update. A program in which several optimizers step in one iteration has to call
    ``simnet.step()``; from its first call on, optimizers no longer count on that rank.

    Parameters
    ----------
    per_step : float or str
        Seconds, or text such as "20ms".
    speed, jitter, straggler
        See `Pace`.
    """

    per_step: float | str

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        try:
            object.__setattr__(self, "per_step", parse_time(self.per_step))
        except (TypeError, ValueError) as error:
            raise type(error)(f"per_step: {error}") from None

    @property
    def name(self) -> str:
        """Such as "20 ms a step"."""
        return f"{format_time(float(self.per_step))} a step{self.describe()}"

    def meter(self, rank: int, seed: int) -> FixedMeter:
        """A new meter for this rank."""
        return FixedMeter(self.factors(rank, seed), float(self.per_step))


@dataclass(frozen=True, slots=True)
class Roofline(Pace):
    """Every operation takes as long as its arithmetic or its memory traffic at a device's peak.

    An operation of F flops that reads and writes B bytes takes
    max(F / peak of its number format, B / memory bandwidth) / efficiency. Flops are counted for
    matrix products, convolutions, attention (all scores, causal or not) and LSTMs, forward and
    backward; whatever else there is costs its traffic. Views cost nothing. Nothing overlaps and
    nothing is fused, as in eager torch; programs given to ``torch.compile`` run, and cost, as
    eager ones.

    Parameters
    ----------
    device : str or Device
        A name in `DEVICES`, or a device of your own.
    efficiency : float
        The fraction of the peaks that is reached, in (0, 1].
    speed, jitter, straggler
        See `Pace`.

    References
    ----------
    S. Williams, A. Waterman and D. Patterson, *Roofline: An Insightful Visual Performance Model
    for Multicore Architectures*, CACM 52(4), 2009. https://doi.org/10.1145/1498765.1498785
    """

    device: Device | str
    efficiency: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        object.__setattr__(self, "device", find_device(self.device))
        efficiency = as_number(self.efficiency, "efficiency")
        if not 0 < efficiency <= 1:
            raise ValueError(f"efficiency {efficiency}: must be in (0, 1]")
        object.__setattr__(self, "efficiency", efficiency)

    @property
    def name(self) -> str:
        """Such as "roofline of H100 (bfloat16 989.4 Tflop/s, 3.35 TB/s)"."""
        reached = "" if self.efficiency == 1 else f" × {self.efficiency:g}"
        return f"roofline of {find_device(self.device).describe()}{reached}{self.describe()}"

    def meter(self, rank: int, seed: int) -> RooflineMeter:
        """A new meter for this rank."""
        device = find_device(self.device)
        return RooflineMeter(self.factors(rank, seed), device, self.efficiency)


@dataclass(frozen=True, slots=True)
class Measured(Pace):
    """Computation takes the processor time that it takes on this machine, times a scale.

    Only the rank's own thread is timed, not the threads that torch's operations may use
    besides: ``torch.set_num_threads(1)`` makes it all of the work. Two runs never agree to the
    bit.

    Parameters
    ----------
    scale : float
        Virtual seconds per second of this machine's processor; positive.
    speed, jitter, straggler
        See `Pace`.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        Pace.__post_init__(self)
        scale = as_number(self.scale, "scale")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale {scale}: needs a positive number")
        object.__setattr__(self, "scale", scale)

    @property
    def name(self) -> str:
        """Such as "measured × 0.5"."""
        return f"measured × {self.scale:g}{self.describe()}"

    def meter(self, rank: int, seed: int) -> MeasuredMeter:
        """A new meter for this rank."""
        return MeasuredMeter(self.factors(rank, seed), self.scale)
