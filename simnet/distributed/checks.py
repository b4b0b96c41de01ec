"""What a call may be given, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from simnet.distributed.exchange import COMBINE
from simnet.ranks.seat import current

BITWISE = ("BAND", "BOR", "BXOR")
ORDERED = ("MIN", "MAX")


def check_tensors(call: str, tensors: Any) -> list[Tensor]:
    """The tensors of a call, if ranks can exchange them.

    Raises
    ------
    TypeError
        For sparse tensors, for different types in one call, and for what is no tensor.
    ValueError
        For tensors that are not in host memory where ranks are threads.
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for tensor in given:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{call}: {type(tensor).__name__} where a tensor is wanted")
        if tensor.layout != torch.strided:
            raise TypeError(f"{call}: {tensor.layout} tensors are not carried; use to_dense()")
        if tensor.dtype != given[0].dtype:
            raise TypeError(
                f"{call}: tensors of {dtype_name(given[0])} and {dtype_name(tensor)} in one call"
            )
        if tensor.device.type != "cpu":
            _check_device(call, tensor)
    return given


def _check_device(call: str, tensor: Tensor) -> None:
    seat = current()
    if seat is not None and not seat.moves_data:
        return
    if tensor.device.type == "meta" or getattr(seat, "shares_memory", True):
        raise ValueError(
            f"{call}: a tensor on {tensor.device}; ranks that are threads exchange CPU tensors "
            "only: move it, or use ranks=simnet.processes(n)"
        )


def op_name(call: str, tensors: Sequence[Tensor], opts: Any) -> str:
    """The reduction's name, if it is defined for the tensors' type; a factor behind PREMUL_SUM.

    Raises
    ------
    TypeError
        If it is not.
    """
    op: Any = opts.reduceOp if opts is not None else dist.ReduceOp.SUM
    name = str(getattr(op, "op", op)).rpartition(".")[2]
    if name not in COMBINE:
        raise TypeError(f"{call}: no reduction {name}; there are {', '.join(COMBINE)}")
    if tensors:
        _check_op(call, name, tensors[0])
    if name == "PREMUL_SUM":
        _, factor = op.__getstate__()
        return f"{name} {float(factor)!r}"
    return name


def _check_op(call: str, name: str, tensor: Tensor) -> None:
    dtype = tensor.dtype
    inexact = dtype.is_floating_point or dtype.is_complex
    if name in ("AVG", "PREMUL_SUM") and not inexact:
        raise TypeError(f"{call}: {name} of {dtype_name(tensor)} is not defined; use SUM")
    if name in BITWISE and inexact:
        raise TypeError(f"{call}: {name} of {dtype_name(tensor)} is not defined; use integers")
    if name in ORDERED and dtype.is_complex:
        raise TypeError(f"{call}: {name} of {dtype_name(tensor)} is not defined; it has no order")


def dtype_name(tensor: Tensor) -> str:
    """A tensor's type, without "torch."."""
    return str(tensor.dtype).removeprefix("torch.")


def num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def total(tensors: Sequence[Tensor]) -> int:
    """Bytes of several tensors."""
    return sum(map(num_bytes, tensors))
