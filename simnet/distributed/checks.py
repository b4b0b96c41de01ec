"""What a call may be given, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from simnet.distributed.exchange import COMBINE, UNSIGNED
from simnet.ranks.call import Call
from simnet.ranks.seat import current

BITWISE = ("BAND", "BOR", "BXOR")
ORDERED = ("MIN", "MAX")
NOT_UNSIGNED = ("SUM", *ORDERED)
_names: dict[int, str] = {}  # of reductions: torch takes its time to spell them


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
        if not tensor.is_cpu:
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
    kind = getattr(op, "op", op)
    number = int(kind)
    name = _names.get(number)
    if name is None:
        name = _names[number] = str(kind).rpartition(".")[2]
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
    if name in NOT_UNSIGNED and dtype in UNSIGNED:
        raise TypeError(f"{call}: {name} of {dtype_name(tensor)} is not defined; use int64")


def check_parts(
    call: Call, inputs: Sequence[Tensor], targets: Sequence[Tensor], position: int
) -> None:
    """Check that a rank's inputs and outputs go together, and are as many as its group asks for.

    Parameters
    ----------
    call : Call
        What is called.
    inputs, targets : sequence of Tensor
        In the order that `simnet.distributed.exchange` defines.
    position : int
        The rank's in the group.

    Raises
    ------
    TypeError
        For outputs of another type than the inputs.
    ValueError
        For too few or too many tensors, and for a part of another size than what goes into it.
    """
    kind, ranks = call.kind, f"a group of {len(call.ranks)} ranks"
    if inputs and targets and inputs[0].dtype != targets[0].dtype:
        own, other = map(dtype_name, (inputs[0], targets[0]))
        raise TypeError(f"{kind}: outputs of {other} for inputs of {own}; {ranks} wants {own}")
    found, wanted = (len(inputs), len(targets)), _numbers(call, inputs, targets, position)
    if found != wanted:
        raise ValueError(
            f"{kind}: {found[0]} inputs and {found[1]} outputs; "
            f"{ranks} has {wanted[0]} and {wanted[1]} here"
        )
    if not inputs or not targets:
        return
    for source, target in _pairs(call, len(inputs), len(targets), position):
        given, taken = inputs[source].numel(), targets[target].numel()
        if given != taken:
            raise ValueError(
                f"{kind}: output {target} of {taken} elements for input {source} of {given}; "
                f"{ranks} wants as many in both"
            )


def _numbers(
    call: Call, inputs: Sequence[Tensor], targets: Sequence[Tensor], position: int
) -> tuple[int, int]:
    """How many inputs and outputs a rank must have."""
    ranks = len(call.ranks)
    at_root = ranks if position == call.root else 0
    return {
        "all_gather": (len(inputs), len(inputs) * ranks),
        "reduce_scatter": (len(targets) * ranks, len(targets)),
        "all_to_all": (ranks, ranks),
        "gather": (1, at_root),
        "scatter": (at_root, 1),
    }.get(call.kind, (len(inputs), len(targets)))


def _pairs(call: Call, inputs: int, targets: int, position: int) -> Iterator[tuple[int, int]]:
    """Which input and which output must have the same size: only the rank's own if uneven."""
    ranks = len(call.ranks)
    for part in (position,) if call.splits or call.uneven else range(ranks):
        if call.kind == "all_gather":
            yield from ((each, each * ranks + part) for each in range(inputs))
        elif call.kind == "reduce_scatter":
            yield from ((each * ranks + part, each) for each in range(targets))
        elif call.kind == "all_to_all":
            yield part, part
        elif call.kind == "gather":
            yield 0, part
        elif call.kind == "scatter":
            yield part, 0


def check_peer(call: str, peer: int, ranks: int) -> int:
    """The other end of a message, if the group has it.

    Raises
    ------
    ValueError
        If it does not.
    """
    if not 0 <= peer < ranks:
        raise ValueError(f"{call}: peer {peer}; a group of {ranks} ranks has 0 to {ranks - 1}")
    return peer


def dtype_name(tensor: Tensor) -> str:
    """A tensor's type, without "torch."."""
    return str(tensor.dtype).removeprefix("torch.")


def num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def total(tensors: Sequence[Tensor]) -> int:
    """Bytes of several tensors."""
    return sum(map(num_bytes, tensors))
