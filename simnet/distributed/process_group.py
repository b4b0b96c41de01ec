"""The c10d process group: torch.distributed's calls, handed to the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor

from simnet.distributed.call import Call
from simnet.distributed.exchange import COMBINE
from simnet.distributed.hub import Hub
from simnet.distributed.rank import Rank
from simnet.distributed.work import SimWork

# c10d's methods that stand for calls not built yet, and how torch.distributed names those calls.
NOT_SIMULATED = {
    "allreduce_coalesced": "all_reduce_coalesced",
    "reduce": "reduce",
    "allgather": "all_gather",
    "allgather_coalesced": "all_gather_coalesced",
    "all_gather_single": "all_gather_single",
    "_allgather_base": "all_gather_single",
    "all_gather_single_coalesced": "all_gather_single",
    "allgather_into_tensor_coalesced": "all_gather_single",
    "reduce_scatter": "reduce_scatter",
    "reduce_scatter_single": "reduce_scatter_single",
    "_reduce_scatter_base": "reduce_scatter_single",
    "reduce_scatter_single_coalesced": "reduce_scatter_single",
    "reduce_scatter_tensor_coalesced": "reduce_scatter_single",
    "gather": "gather",
    "scatter": "scatter",
    "alltoall": "all_to_all",
    "all_to_all_single": "all_to_all_single",
    "alltoall_base": "all_to_all_single",
    "send": "send",
    "recv": "recv",
    "recv_anysource": "recv from any source",
    "monitored_barrier": "monitored_barrier",
    "split_group": "split_group",
    "merge_remote_group": "merge_remote_group",
    "_start_coalescing": "a coalesced call",
    "start_coalescing": "a coalesced call",
    "_end_coalescing": "a coalesced call",
    "end_coalescing": "a coalesced call",
}


class SimProcessGroup(dist.ProcessGroup):
    """A group of ranks of a run; each rank has its own object for it.

    Parameters
    ----------
    rank : Rank
        The rank whose object it is.
    ranks : tuple of int
        The group's global ranks, in group order.
    group_id : str
        The same on all ranks; empty for the default group.
    hub : Hub
        Where the ranks meet.
    """

    def __init__(self, rank: Rank, ranks: tuple[int, ...], group_id: str, hub: Hub) -> None:
        # Without a store, as torch's bindings allow and its stubs do not say.
        super().__init__(ranks.index(rank.number), len(ranks))  # type: ignore[call-arg]
        self._rank, self._ranks, self._hub = rank, ranks, hub
        self._group_id = group_id
        self._name = self._description = ""

    # Who it is

    def getBackendName(self) -> str:  # noqa: N802 (torch's name)
        """How torch calls the backend."""
        return "simnet"

    def rank(self) -> int:
        """The rank's position in the group."""
        return self._ranks.index(self._rank.number)

    def size(self) -> int:
        """How many ranks the group has."""
        return len(self._ranks)

    def name(self) -> str:
        """How torch calls the backend."""
        return "simnet"

    def _set_group_name(self, name: str) -> None:
        self._name = name

    def _set_group_desc(self, desc: str) -> None:
        self._description = desc

    @property
    def group_name(self) -> str:  # type: ignore[override]
        """The name that torch gave the group."""
        return self._name

    @property
    def group_desc(self) -> str:
        """The description that torch gave the group."""
        return self._description

    def shutdown(self) -> None:
        """Nothing is held."""

    def abort(self) -> None:
        """Nothing is held."""

    # What it does

    def allreduce(  # type: ignore[override]
        self, tensors: Any, opts: Any = None
    ) -> SimWork:
        """Combine one tensor a rank, in place."""
        tensor = _only("all_reduce", tensors)
        op = _op_name(opts.reduceOp if opts is not None else dist.ReduceOp.SUM)
        if op == "AVG" and not (tensor.is_floating_point() or tensor.is_complex()):
            raise TypeError(f"all_reduce: AVG of {_dtype(tensor)} is not defined; use SUM")
        return self._issue("all_reduce", tensor, op=op)

    def broadcast(self, tensors: Any, opts: Any) -> SimWork:  # type: ignore[override]
        """Copy the root's tensor to all."""
        return self._issue("broadcast", _only("broadcast", tensors), root=int(opts.rootRank))

    def barrier(self, opts: Any = None) -> SimWork:
        """Wait for all."""
        return self._issue("barrier", None)

    def _issue(self, kind: str, tensor: Tensor | None, *, op: str = "", root: int = -1) -> SimWork:
        call = Call(
            kind=kind,
            group=self._group_id,
            ranks=self._ranks,
            count=0 if tensor is None else tensor.numel(),
            dtype="" if tensor is None else _dtype(tensor),
            size=0 if tensor is None else tensor.numel() * tensor.element_size(),
            op=op,
            root=root,
        )
        ticket = self._hub.issue(self._rank, call, tensor)
        return SimWork(ticket, [] if tensor is None else [tensor])


def _refuse(call: str) -> Callable[..., NoReturn]:
    def method(self: SimProcessGroup, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{call} is not simulated yet")

    return method


for _method, _call in NOT_SIMULATED.items():
    setattr(SimProcessGroup, _method, _refuse(_call))


def _only(call: str, tensors: Any) -> Tensor:
    """The one tensor of a call, if ranks that are threads can exchange it."""
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if len(given) != 1:
        raise NotImplementedError(f"{call} of {len(given)} tensors at once is not simulated yet")
    tensor: Tensor = given[0]
    if tensor.layout != torch.strided:
        raise NotImplementedError(f"{call} of a {tensor.layout} tensor is not simulated yet")
    if tensor.device.type != "cpu":
        raise NotImplementedError(
            f"{call} of a tensor on {tensor.device} is not simulated yet: use the CPU"
        )
    return tensor


def _op_name(op: Any) -> str:
    """The reduction's name, if it is built."""
    name = str(getattr(op, "op", op)).rpartition(".")[2]
    if name not in COMBINE:
        raise NotImplementedError(f"all_reduce with op={name} is not simulated yet")
    return name


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
