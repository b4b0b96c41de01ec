"""What a processor can do at most: arithmetic per second by number format, and memory traffic.

The peaks are those of dense matrix products (tensor cores where there are any), as the vendor
states them and without structured sparsity. Torch's names of formats, except that `float8` stands
for all formats of 8 bits.

The one price of `float32` is that of full precision. TF32, for which torch has to be asked
(``torch.set_float32_matmul_precision("high")``), reaches 494.7 Tflop/s on an H100, 156 on an A100
and 82.6 on an RTX 4090: a device of your own with that as its `float32` prices it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from simnet.units import format_bandwidth, parse_bandwidth
from simnet.workload.pace import as_number

__all__ = ["DEVICES", "FORMATS", "Device", "find_device"]

FORMATS = ("float64", "float32", "float16", "bfloat16", "float8", "int8")
"""The number formats that a device can have a peak for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A processor and its memory, as the roofline model sees them.

    Parameters
    ----------
    name : str
        What it is called.
    flops : mapping of str to float
        Peak arithmetic by number format (one of `FORMATS`; a ``torch.dtype`` will do), flop/s;
        a multiplication and an addition are two. `float32` has to be there: formats that are
        not given are taken to run at its rate.
    memory_bandwidth : float or str
        Peak memory traffic, reads and writes together, bytes/s or text such as "3.35TB/s".
    source : str
        Where the numbers are from.

    Raises
    ------
    TypeError
        If a number is none, or there is no name.
    ValueError
        If a number is not positive and finite, a format is unknown, or float32 is missing.
    """

    name: str
    flops: Mapping[str, float] = field(hash=False)
    memory_bandwidth: float | str
    source: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"device name {self.name!r}: give a non-empty text")
        object.__setattr__(self, "flops", self._checked_flops())
        try:
            bandwidth = parse_bandwidth(self.memory_bandwidth)
        except (TypeError, ValueError) as error:
            raise type(error)(f"device '{self.name}': memory_bandwidth: {error}") from None
        if not bandwidth > 0:
            raise ValueError(f"device '{self.name}': memory_bandwidth {bandwidth}: not positive")
        object.__setattr__(self, "memory_bandwidth", bandwidth)

    def _checked_flops(self) -> Mapping[str, float]:
        place = f"device '{self.name}': flops"
        if not isinstance(self.flops, Mapping):
            raise TypeError(f"{place} {self.flops!r}: give a mapping such as {{'float32': 1e12}}")
        checked = {}
        for key, value in self.flops.items():
            number_format = str(key).removeprefix("torch.")
            if number_format not in FORMATS:
                raise ValueError(f"{place} of {key!r}: choose from {', '.join(FORMATS)}")
            peak = as_number(value, f"{place} of {number_format}")
            if not 0 < peak < math.inf:
                raise ValueError(f"{place} of {number_format} {peak}: needs a positive number")
            checked[number_format] = peak
        if "float32" not in checked:
            raise ValueError(f"{place}: float32 is missing")
        return MappingProxyType(checked)

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dictionary cannot be pickled, which ranks as processes need.
        return _device, (self.name, dict(self.flops), self.memory_bandwidth, self.source)

    def describe(self) -> str:
        """The name, with the peak of the usual format of training and the memory's."""
        shown = next(f for f in ("bfloat16", "float16", "float32") if f in self.flops)
        memory = format_bandwidth(float(self.memory_bandwidth), bits=False)
        return f"{self.name} ({shown} {self.flops[shown] / 1e12:.4g} Tflop/s, {memory})"


def _device(name: str, flops: dict[str, float], memory_bandwidth: float, source: str) -> Device:
    return Device(name=name, flops=flops, memory_bandwidth=memory_bandwidth, source=source)


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        device.name: device
        for device in (
            Device(
                name="H100",
                flops={
                    "float64": 66.9e12,
                    "float32": 66.9e12,
                    "float16": 989.4e12,
                    "bfloat16": 989.4e12,
                    "float8": 1978.9e12,
                    "int8": 1978.9e12,
                },
                memory_bandwidth=3.35e12,
                source="https://resources.nvidia.com/en-us-tensor-core/gtc22-whitepaper-hopper; "
                "memory: https://www.nvidia.com/en-us/data-center/h100/",
            ),
            Device(
                name="A100",
                flops={
                    "float64": 19.5e12,
                    "float32": 19.5e12,
                    "float16": 312e12,
                    "bfloat16": 312e12,
                    "int8": 624e12,
                },
                memory_bandwidth=2.039e12,
                source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
                "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
            ),
            Device(
                name="RTX 4090",
                flops={
                    "float64": 82.6e12 / 64,
                    "float32": 82.6e12,
                    "float16": 165.2e12,
                    "bfloat16": 165.2e12,
                    "float8": 330.3e12,
                    "int8": 660.6e12,
                },
                memory_bandwidth=1.008e12,
                source="https://images.nvidia.com/aem-dam/Solutions/geforce/ada/"
                "nvidia-ada-gpu-architecture.pdf, appendix A",
            ),
            Device(
                name="M2",
                flops={"float32": 10 * 128 * 2 * 1.398e9},
                memory_bandwidth=100e9,
                source="arithmetic: 10 cores × 128 ALUs × 2 × 1.398 GHz, "
                "https://github.com/philipturner/applegpuinfo (commit 139570c); memory: "
                "https://www.apple.com/newsroom/2022/06/"
                "apple-unveils-m2-with-breakthrough-performance-and-capabilities/",
            ),
            Device(
                name="phone",
                flops={"float32": 728e9, "float16": 1414e9},
                memory_bandwidth=35e9,
                source="https://github.com/azhirnov/as-en/blob/"
                "a5ae1e1022ed76c411469bd1e92fcff02841e706/AE/docs/papers/bench-gpu/Adreno_660.md",
            ),
        )
    }
)
"""Processors that the roofline model knows by name.

- ``H100``: SXM5, 80 GB of HBM3; ``A100``: SXM4, 80 GB of HBM2e. Their `float64` is that of the
  tensor cores, their `float32` that of the CUDA cores.
- ``RTX 4090``: products of 16 and 8 bits that add up in float32; `float64` runs at 1/64 of the
  rate of `float32`. Adding up in float16 would double `float16` and `float8`.
- ``M2``: the GPU with 10 cores. Its 16-bit formats are no faster than `float32`, and it has no
  float64.
- ``phone``: the Adreno 660 of a Snapdragon 888 (2021), as measured on an ASUS ROG Phone 5. The
  vendor publishes no peak; units × clock × 2 gives 1.62 Tflop/s and the memory's data sheet
  51.2 GB/s. Training has reached 40-70 Gflop/s on phones of that class
  (https://arxiv.org/abs/2202.10100), an `efficiency` of 0.05 to 0.1.
"""


def find_device(which: str | Device) -> Device:
    """Look up a device by name; a Device is returned as it is.

    Parameters
    ----------
    which : str or Device
        A name in `DEVICES`, or a device of your own.

    Raises
    ------
    TypeError
        If it is neither text nor a Device.
    ValueError
        If no device has that name.
    """
    if isinstance(which, Device):
        return which
    choices = f"{', '.join(DEVICES)} or a Device"
    if not isinstance(which, str):
        raise TypeError(f"device {which!r}: give {choices}")
    if which not in DEVICES:
        raise ValueError(f"device '{which}' is unknown: choose {choices}")
    return DEVICES[which]
