"""What operations of torch take on a device: their arithmetic or their memory traffic.

Imports torch.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _python_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from simnet.workload import dispatch_notes
from simnet.workload.devices import Device
from simnet.workload.op_flops import Formula, formula_of
from simnet.workload.op_traffic import Traffic


class _Kind(NamedTuple):
    """What is known of an operation."""

    traffic: Traffic
    formula: Formula | None
    composite: bool  # made of others, which are priced instead

    @classmethod
    def of(cls, operation: Any) -> _Kind:
        traffic, formula = Traffic.of(operation), formula_of(operation)
        priced = traffic.free or formula is not None
        decomposes = getattr(operation, "_can_decompose", None)
        return cls(traffic, formula, not priced and decomposes is not None and decomposes())


class OpCosts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up, in the thread that it is installed in, what operations take on a device.

    It sees the backward pass too: on the CPU, autograd runs it in the thread that asks for it,
    with that thread's modes.

    Parameters
    ----------
    device : Device
        Whose peaks apply.

    Attributes
    ----------
    counting : bool
        Whether operations are counted at present.
    """

    # Flex attention and the like are passed on, and priced if torch's registry knows them.
    supports_higher_order_operators = True

    def __init__(self, device: Device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counting = False
        self._seconds = 0.0
        self._bandwidth = float(device.memory_bandwidth)
        self._peaks = _peaks(device.flops)
        self._other_peak = device.flops["float32"]
        self._kinds: dict[Any, _Kind] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else the first call imports torch._dynamo, which takes seconds, and every call passes
        # through it.
        return False

    def install(self) -> None:
        """See the operations of the calling thread from now on."""
        _ENTERED.enter(self)

    def remove(self) -> None:
        """See them no longer."""
        _ENTERED.leave(self)

    def take(self) -> float:
        """Seconds on the device since the last take."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Execute an operation and add its cost."""
        kwargs = kwargs or {}
        if types and any(map(_unwraps, types)):
            return NotImplemented
        if not self.counting:
            return func(*args, **kwargs)
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = _Kind.of(func)
        if kind.composite:
            with self:
                return func.decompose(*args, **kwargs)
        out = func(*args, **kwargs)
        if not kind.traffic.free:
            self._seconds += self._cost(kind, args, kwargs, out)
        return out

    def _cost(self, kind: _Kind, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> float:
        """The roofline: the longer of the two, since the other can go on behind it."""
        moving = kind.traffic.bytes_of(args, kwargs, out) / self._bandwidth
        if kind.formula is None:
            return moving
        dtype = next((arg.dtype for arg in args if isinstance(arg, Tensor)), None)
        peak = self._peaks.get(dtype, self._other_peak)
        return max(kind.formula(args, kwargs, out) / peak, moving)


def _peaks(flops: Mapping[str, float]) -> dict[Any, float]:
    """Peaks by torch's dtype."""
    float8 = [getattr(torch, name) for name in dir(torch) if name.startswith("float8_")]
    peaks: dict[Any, float] = {}
    for number_format, peak in flops.items():
        dtypes = float8 if number_format == "float8" else [getattr(torch, number_format)]
        peaks.update(dict.fromkeys(dtypes, peak))
    return peaks


def _unwraps(kind: type) -> bool:
    """Whether tensors of this type (DTensor and the like) execute operations on tensors inside,
    which are then seen on their own."""
    return bool(_dispatch.is_traceable_wrapper_subclass_type(kind))


class _Entered:
    """Enters and leaves modes in several threads, which torch's own notes are not made for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before: tuple[bool, ...] = ()

    def enter(self, mode: Any) -> None:
        """Enter a mode in the calling thread."""
        with self._lock:
            if not self._count:
                self._before = dispatch_notes.present()
            self._count += 1
            mode.__enter__()

    def leave(self, mode: Any) -> None:
        """Leave it."""
        with self._lock:
            mode.__exit__(None, None, None)
            self._count -= 1
            entered = (True,) * len(self._before)
            dispatch_notes.put(entered if self._count else self._before)


_dispatch: Any = _python_dispatch
_ENTERED = _Entered()
