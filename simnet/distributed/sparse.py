"""all_reduce of sparse tensors, as gloo does it: sizes are gathered, then indices and values.

The sizes are waited for, so that everyone knows how much everyone sends; the rest goes on by
itself. The sum goes in rank order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simnet.distributed.work import SimWork

if TYPE_CHECKING:
    from simnet.distributed.process_group import SimProcessGroup


def sparse_all_reduce(group: SimProcessGroup, tensor: Tensor, op: str) -> SimWork:
    """Sum sparse COO tensors over a group, in place.

    Raises
    ------
    TypeError
        For another reduction, or another sparse layout.
    """
    if op != "SUM" or tensor.layout != torch.sparse_coo:
        raise TypeError(f"all_reduce: {op} of {tensor.layout} tensors; only SUM of sparse_coo")
    own = tensor.detach().coalesce()
    indices, values = own.indices(), own.values()
    counts = [torch.empty(1, dtype=torch.int64) for _ in range(group.size())]
    group.allgather([counts], [torch.tensor([indices.shape[1]])]).wait()
    entry = 8 * indices.shape[0] + values.element_size() * values.shape[1:].numel()
    room = [torch.empty(int(count) * entry, dtype=torch.uint8) for count in counts]

    def add_up(received: Sequence[Tensor]) -> None:
        total = None
        for count, data in zip(counts, received, strict=True):
            cut = 8 * indices.shape[0] * int(count)
            part = torch.sparse_coo_tensor(
                data[:cut].view(torch.int64).view(indices.shape[0], -1),
                data[cut:].view(values.dtype).view(-1, *values.shape[1:]),
                tensor.shape,
                check_invariants=False,
            )
            total = part if total is None else total + part
        assert total is not None
        with torch.no_grad():
            tensor.copy_(total.coalesce())

    packed = torch.cat([each.contiguous().view(-1).view(torch.uint8) for each in (indices, values)])
    return group.gather_bytes(packed, room, results=[tensor], deliver=add_up)
