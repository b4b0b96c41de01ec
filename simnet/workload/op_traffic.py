"""Bytes that calls of torch's operations read and write.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

# What only allocates, looks or wraps.
_FREE = {
    *("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"),
    *("_unsafe_view", "set_", "resize_", "resize_as_", "_local_scalar_dense", "is_same_size"),
    *("_sparse_coo_tensor_with_dims_and_tensors", "_coalesced_", "record_stream"),
}
# Traffic between ranks is the network's to charge, and the profiler's marks are no work.
_FREE_NAMESPACES = {
    *("c10d", "c10d_functional", "_c10d_functional", "_c10d_functional_autograd"),
    *("profiler", "prim"),
}
# What writes its first argument without reading it.
_OVERWRITES = {
    *("copy_", "zero_", "fill_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_"),
    *("_foreach_copy_", "_foreach_zero_"),
}
# What reads only those elements of its first argument that it returns.
_GATHERS = {
    *("embedding", "index", "_unsafe_index", "index_select", "gather", "take", "masked_select"),
    *("nll_loss_forward", "nll_loss2d_forward"),
}
# What changes only those elements of its first argument that its other arguments are for.
_SCATTERS = {
    *("index_put_", "_index_put_impl_", "index_add_", "index_copy_", "index_fill_", "put_"),
    *("scatter_", "scatter_add_", "scatter_reduce_"),
}

_SEQUENCES = (list, tuple)
_HOLDERS = (Tensor, list, tuple)


class Traffic(NamedTuple):
    """How an operation touches memory.

    Attributes
    ----------
    free : bool
        It touches none: a view, an allocation.
    changed : tuple of int
        Positions of the arguments that it reads and writes.
    returns_new : bool
        What it returns is memory that it has written, and none of its arguments.
    gathers : bool
        It reads only those elements of the first argument that it returns.
    scatters : bool
        It changes only those elements of the first argument that the others are for.
    """

    free: bool = False
    changed: tuple[int, ...] = ()
    returns_new: bool = True
    gathers: bool = False
    scatters: bool = False

    @classmethod
    def of(cls, operation: Any) -> Traffic:
        """That of an operation that torch dispatches to, from its schema and its name."""
        schema = getattr(operation, "_schema", None)
        if schema is None:  # a higher-order operator
            return cls()
        name = operation.overloadpacket.__name__
        changed = [
            position for position, argument in enumerate(schema.arguments) if argument.is_write
        ]
        return cls(
            free=operation.is_view
            or torch.Tag.inplace_view in operation.tags
            or name in _FREE
            or operation.namespace in _FREE_NAMESPACES,
            changed=() if name in _OVERWRITES else tuple(changed),
            returns_new=all(returned.alias_info is None for returned in schema.returns),
            gathers=name in _GATHERS,
            scatters=name in _SCATTERS,
        )

    def bytes_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> int:
        """Bytes read and written by a call."""
        if self.scatters:
            others = [tensor_bytes(arg) for arg in args[1:]]
            return sum(others) + 2 * min(tensor_bytes(args[0]), max(others, default=0))
        new = tensor_bytes(out) if self.returns_new else 0
        total = tensor_bytes(args) + new
        if kwargs:  # out= is written, anything else read: once each
            total += tensor_bytes(tuple(kwargs.values()))
        for position in self.changed:  # that of out= is beyond args
            total += tensor_bytes(args[position]) if position < len(args) else 0
        if self.gathers:
            total -= max(tensor_bytes(args[0]) - new, 0)
        return total


def tensor_bytes(value: Any) -> int:
    """Bytes of memory behind a tensor, or all tensors of a (nested) sequence.

    Elements that an expanded tensor repeats are in memory once.
    """
    if isinstance(value, Tensor):
        if value.layout is not torch.strided:
            return _sparse_bytes(value)
        return _expanded_bytes(value) if 0 in value.stride() else value.nbytes
    total = 0
    if isinstance(value, _SEQUENCES):
        for each in value:
            if isinstance(each, _HOLDERS):
                total += tensor_bytes(each)
    return total


def _expanded_bytes(tensor: Tensor) -> int:
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride else min(size, 1)
    return count * tensor.element_size()


def _sparse_bytes(tensor: Tensor) -> int:
    """Indices and values where they can be told, else as if it were dense."""
    if tensor.layout is not torch.sparse_coo:
        return tensor.numel() * tensor.element_size()
    block = 1
    for size in tensor.shape[tensor.sparse_dim() :]:
        block *= size
    return tensor._nnz() * (8 * tensor.sparse_dim() + block * tensor.element_size())
