"""The data plane: whose tensor gets what, and when it can; knows nothing of the network.

Tensors move in wall time, as soon as the ranks whose data are needed have made their calls. When
a rank goes on is decided by the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from simnet.distributed.call import Call

COMBINE: dict[str, Callable[..., Tensor]] = {
    "SUM": torch.add,
    "AVG": torch.add,
    "PRODUCT": torch.mul,
    "MIN": torch.minimum,
    "MAX": torch.maximum,
}


class Exchange(Protocol):
    """How the data of one operation move; positions are those in the group."""

    def join(self, position: int, tensor: Tensor | None) -> Iterable[int]:
        """Take in a rank's tensor; returns the positions whose data have become complete."""


class NoData:
    """A barrier: nothing moves."""

    def join(self, position: int, tensor: Tensor | None) -> Iterable[int]:
        """Every rank is complete by itself."""
        return (position,)


class Reduction:
    """An all_reduce: every rank gets all tensors combined in rank order, when the last is there."""

    def __init__(self, size: int, op: str) -> None:
        self._tensors: list[Tensor | None] = [None] * size
        self._missing = size
        self._op = op

    def join(self, position: int, tensor: Tensor | None) -> Iterable[int]:
        """Take in a rank's tensor; the last one to come completes all."""
        self._tensors[position] = tensor
        self._missing -= 1
        if self._missing:
            return ()
        tensors = [tensor for tensor in self._tensors if tensor is not None]
        self._tensors = []
        result = reduce_in_order(tensors, self._op)
        for target in tensors:
            put(target, result)
        return range(len(tensors))


class Distribution:
    """A broadcast: every rank gets the root's tensor as it was when the root called."""

    def __init__(self, size: int, root: int) -> None:
        self._size, self._root = size, root
        self._source: Tensor | None = None
        self._targets: dict[int, Tensor] = {}
        self._joined = 0

    def join(self, position: int, tensor: Tensor | None) -> Iterable[int]:
        """Take in a rank's tensor; it is complete if the root has been here."""
        assert tensor is not None
        self._joined += 1
        if position == self._root:
            # The root may be gone, and its tensor changed, before the last rank comes.
            alone = self._joined == self._size
            self._source = tensor.detach() if alone else tensor.detach().clone()
            for target in self._targets.values():
                put(target, self._source)
            return (position, *self._targets)
        self._targets[position] = tensor
        if self._source is None:
            return ()
        put(tensor, self._source)
        return (position,)


def exchange_for(call: Call) -> Exchange:
    """The exchange that a call takes part in."""
    if call.kind == "all_reduce":
        return Reduction(len(call.ranks), call.op)
    if call.kind == "broadcast":
        return Distribution(len(call.ranks), call.root)
    return NoData()


@torch.no_grad()
def reduce_in_order(tensors: list[Tensor], op: str) -> Tensor:
    """Combine tensors of one size, first to last, in their own type.

    The order is that of the ranks whatever the algorithm and the network, so the result is the
    same to the bit for all of them.
    """
    result = tensors[0].detach().reshape(-1).clone()
    for tensor in tensors[1:]:
        COMBINE[op](result, tensor.detach().reshape(-1), out=result)
    return result.div_(len(tensors)) if op == "AVG" else result


@torch.no_grad()
def put(target: Tensor, values: Tensor) -> None:
    """Copy values into a tensor of the same number of elements, whatever its strides."""
    target.detach().copy_(values.reshape(target.shape))
