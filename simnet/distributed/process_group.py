"""The c10d process group: torch.distributed's calls, described for the run and issued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from simnet.distributed.checks import (
    check_parts,
    check_peer,
    check_tensors,
    dtype_name,
    num_bytes,
    op_name,
    total,
)
from simnet.distributed.known_group import KnownGroup
from simnet.distributed.monitored import monitored_barrier
from simnet.distributed.sparse import sparse_all_reduce
from simnet.distributed.work import INFINITY, SimWork, Together
from simnet.ranks.call import ANY_SOURCE, Call
from simnet.ranks.seat import Seat
from simnet.ranks.where import user_line

Tensors = Sequence[Tensor]
KEPT_WORKS, KEPT_BYTES = 64, 4096
KEPT_CALLS = 1024
DEFAULT_TIMEOUT = timedelta(minutes=30)
"""Stands for a timeout that the program did not give; told by identity."""


class SimProcessGroup(KnownGroup):
    """A group of ranks of a run; each rank has its own object for it.

    Parameters
    ----------
    seat : Seat
        The rank whose object it is.
    ranks : tuple of int
        The group's global ranks, in group order.
    group_id : str
        The same on all ranks; empty for the default group.
    timeout : float
        Virtual seconds that a call may take; infinite where the program gave none.
    store : Store
        The group's part of the run's store.
    """

    def __init__(
        self,
        seat: Seat,
        ranks: tuple[int, ...],
        group_id: str,
        timeout: float = INFINITY,
        store: Any = None,
    ) -> None:
        super().__init__(seat, ranks, group_id, timeout, store)
        self.monitored: dict[tuple[int, int], SimWork] = {}  # see `monitored_barrier`
        self._recent: deque[SimWork] = deque(maxlen=KEPT_WORKS)
        self._together: list[SimWork] | None = None
        self._calls: dict[tuple[Any, ...], Call] = {}

    # Reductions

    def allreduce(self, tensors: Any, opts: Any = None) -> SimWork:  # type: ignore[override]
        """Combine one tensor a rank, in place."""
        if len(tensors) == 1 and tensors[0].layout != torch.strided:
            return sparse_all_reduce(self, tensors[0], op_name("all_reduce", (), opts))
        given = check_tensors("all_reduce", tensors)
        return self._issue("all_reduce", given, given, opts, op=op_name("all_reduce", given, opts))

    def allreduce_coalesced(self, tensors: Any, opts: Any = None) -> SimWork:
        """Combine several tensors a rank as one call, in place."""
        return self.allreduce(tensors, opts)

    def reduce(self, tensors: Any, opts: Any) -> SimWork:  # type: ignore[override]
        """Combine tensors on the root, in place."""
        given = check_tensors("reduce", tensors)
        root = self._root(opts)
        target = given if root == self._position else ()
        op = op_name("reduce", given, opts)
        return self._issue("reduce", given, target, opts, results=given, op=op, root=root)

    def reduce_scatter(self, outputs: Any, inputs: Any, opts: Any = None) -> SimWork:  # type: ignore[override]
        """Combine lists of tensors; position p of the group gets the p-th."""
        targets = check_tensors("reduce_scatter", outputs)
        chunks = check_tensors("reduce_scatter", [chunk for chunks in inputs for chunk in chunks])
        return self._scatter_sums(chunks, targets, opts)

    def reduce_scatter_single(self, output: Tensor, given: Tensor, opts: Any = None) -> SimWork:
        """Combine tensors; position p of the group gets the p-th part."""
        return self.reduce_scatter_single_coalesced([output], [given], opts)

    def reduce_scatter_single_coalesced(
        self, outputs: Any, inputs: Any, opts: Any = None
    ) -> SimWork:
        """The same for several tensors as one call."""
        targets = check_tensors("reduce_scatter", outputs)
        given = check_tensors("reduce_scatter", inputs)
        chunks = [part for tensor in given for part in self._parts("reduce_scatter", tensor)]
        return self._scatter_sums(chunks, targets, opts)

    def _scatter_sums(self, chunks: Tensors, targets: Tensors, opts: Any) -> SimWork:
        op = op_name("reduce_scatter", chunks, opts)
        return self._issue("reduce_scatter", chunks, targets, opts, op=op, parts=chunks)

    # Copies

    def broadcast(self, tensors: Any, opts: Any) -> SimWork:  # type: ignore[override]
        """Copy the root's tensors to all."""
        given = check_tensors("broadcast", tensors)
        root = self._root(opts)
        own = root == self._position
        inputs, targets = (given, ()) if own else ((), given)
        return self._issue("broadcast", inputs, targets, opts, results=given, root=root)

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> SimWork:
        """Copy every rank's tensor to all: lists of one tensor a rank."""
        given = check_tensors("all_gather", inputs)
        targets = check_tensors("all_gather", [part for parts in outputs for part in parts])
        return self._issue("all_gather", given, targets, opts, parts=targets)

    def allgather_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> SimWork:
        """The same for several tensors as one call: a list of output lists by rank."""
        given = check_tensors("all_gather", inputs)
        columns = [part for column in zip(*outputs, strict=True) for part in column]
        return self._issue("all_gather", given, check_tensors("all_gather", columns), opts)

    def all_gather_single(self, output: Tensor, given: Tensor, opts: Any = None) -> SimWork:
        """Copy every rank's tensor into one tensor, in rank order."""
        return self.all_gather_single_coalesced([output], [given], opts)

    def all_gather_single_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> SimWork:
        """The same for several tensors as one call."""
        given = check_tensors("all_gather", inputs)
        wholes = check_tensors("all_gather", outputs)
        targets = [part for whole in wholes for part in self._parts("all_gather", whole)]
        return self._issue("all_gather", given, targets, opts, results=wholes)

    def gather_bytes(
        self,
        given: Tensor,
        room: Tensors,
        *,
        results: Tensors,
        deliver: Callable[[Tensors], None],
    ) -> SimWork:
        """Copy every rank's bytes to all; `deliver` takes them, and `results` are the work's."""
        return self._issue(
            "all_gather", [given], room, None, results=results, deliver=deliver, parts=room
        )

    def gather(self, outputs: Any, inputs: Any, opts: Any) -> SimWork:  # type: ignore[override]
        """Copy every rank's tensor to the root."""
        given = check_tensors("gather", inputs)
        root = self._root(opts)
        room = [part for parts in outputs for part in parts] if root == self._position else []
        targets = check_tensors("gather", room)
        return self._issue(
            "gather", given, targets, opts, root=root, size=total(given) * self.size()
        )

    def scatter(self, outputs: Any, inputs: Any, opts: Any) -> SimWork:  # type: ignore[override]
        """Give every rank one of the root's tensors."""
        targets = check_tensors("scatter", outputs)
        root = self._root(opts)
        parts = [part for parts in inputs for part in parts] if root == self._position else []
        given = check_tensors("scatter", parts)
        size = total(targets) * self.size()
        return self._issue("scatter", given, targets, opts, root=root, size=size, shaped=targets)

    def alltoall(self, outputs: Any, inputs: Any, opts: Any = None) -> SimWork:
        """Give every rank one tensor of a list, and get one of each."""
        given = check_tensors("all_to_all", inputs)
        targets = check_tensors("all_to_all", outputs)
        return self._exchange(given, targets, opts, results=targets)

    def all_to_all_single(  # the order of arguments is torch's
        self, output: Tensor, given: Tensor, output_splits: Any, input_splits: Any, opts: Any = None
    ) -> SimWork:
        """Give every rank a part of a tensor, and get one of each; parts may differ in size."""
        check_tensors("all_to_all", [output, given])
        if output_splits or input_splits:
            sent = self._split("all_to_all", given, input_splits)
            taken = self._split("all_to_all", output, output_splits)
            return self._exchange(sent, taken, opts, results=[output])
        sent, taken = (self._parts("all_to_all", each) for each in (given, output))
        return self._issue(
            "all_to_all", sent, taken, opts, results=[output], size=num_bytes(given), shaped=[given]
        )

    def _exchange(self, sent: Tensors, taken: Tensors, opts: Any, *, results: Tensors) -> SimWork:
        return self._issue(
            "all_to_all", sent, taken, opts, results=results, uneven=True, count=0,
            sends=tuple(map(num_bytes, sent)), receives=tuple(map(num_bytes, taken)),
        )  # fmt: skip

    # Meeting

    def barrier(self, opts: Any = None) -> SimWork:
        """Wait for all."""
        return self._issue("barrier", (), (), opts)

    def monitored_barrier(self, timeout: timedelta, wait_all_ranks: bool = False) -> None:
        """Wait for all; rank 0 names those that have not come within a virtual time."""
        limit = INFINITY if timeout is DEFAULT_TIMEOUT else timeout.total_seconds()
        monitored_barrier(self, limit, self._ranks, wait_all_ranks=wait_all_ranks)

    # Messages

    def send(self, tensors: Any, dst: int, tag: int) -> SimWork:
        """Send to a position of the group."""
        given = [tensor.detach().clone() for tensor in check_tensors("send", tensors)]
        peer = check_peer("send", dst, self.size())
        return self._issue("send", given, (), None, peer=peer, tag=tag)

    def recv(self, tensors: Any, src: int, tag: int) -> SimWork:
        """Receive from a position of the group."""
        return self._receive(tensors, check_peer("recv", src, self.size()), tag)

    def recv_anysource(self, tensors: Any, tag: int) -> SimWork:
        """Receive from whoever is in first."""
        return self._receive(tensors, ANY_SOURCE, tag)

    def _receive(self, tensors: Any, peer: int, tag: int) -> SimWork:
        given = check_tensors("recv", tensors)
        return self._issue("recv", (), given, None, shaped=given, results=given, peer=peer, tag=tag)

    # Calls that belong together

    def _start_coalescing(self, device: Any = None) -> None:
        self._together = []

    def _end_coalescing(self, device: Any = None) -> Together:
        works, self._together = self._together or [], None
        return Together(works)

    # How a call is made

    def _issue(
        self,
        kind: str,
        inputs: Tensors,
        targets: Tensors,
        opts: Any,
        *,
        results: Tensors | None = None,
        shaped: Tensors = (),
        parts: Tensors = (),
        deliver: Callable[[Tensors], None] | None = None,
        **about: Any,
    ) -> SimWork:
        """Describe a call and make it.

        `shaped` are the tensors that say what the call is about (the inputs, else the targets);
        `parts`, one a rank, may differ in size.
        """
        given = *map(_outline, (inputs, targets, shaped)), len(parts), *about.items()
        shaped = shaped or inputs or targets
        key = kind, user_line(), given
        call = self._calls.get(key)
        if call is None:
            call = self._describe(kind, key[1], shaped, parts, about)
            check_parts(call, inputs, targets, self._position)
            if len(self._calls) >= KEPT_CALLS:
                self._calls.clear()
            self._calls[key] = call
        self._sequence += 1
        shown = targets if results is None else results
        timeout = self._op_timeout(opts)
        work = SimWork(self._seat, call, inputs, targets, shown, timeout, deliver)
        # C++ may hold a work whose Python half nobody else does, and ask it later: so for the
        # flags by which DistributedDataParallel's join counts ranks.
        if call.size <= KEPT_BYTES:
            self._recent.append(work)
        if self._together is not None:
            self._together.append(work)
        return work

    def _describe(
        self, kind: str, where: str, shaped: Tensors, parts: Tensors, about: dict[str, Any]
    ) -> Call:
        """A call in words and numbers: training makes the same ones again and again."""
        about.setdefault("size", self._size(kind, shaped))
        about.setdefault("count", sum(tensor.numel() for tensor in shaped))
        return Call(
            kind=kind,
            group=self._group_id,
            ranks=self._ranks,
            shape=tuple(shaped[0].shape) if len(shaped) == 1 else (),
            dtype=dtype_name(shaped[0]) if shaped else "",
            where=where,
            **self._uneven(kind, parts, about),
        )

    def _size(self, kind: str, shaped: Tensors) -> int:
        """Bytes as nccl-tests counts them."""
        return total(shaped) * (self.size() if kind == "all_gather" else 1)

    def _uneven(self, kind: str, parts: Tensors, about: dict[str, Any]) -> dict[str, Any]:
        """Note the parts' sizes where they differ: all ranks know all, and agree on them."""
        sizes = tuple(map(num_bytes, parts))
        if len(parts) != self.size() or len(set(sizes)) <= 1:
            return about
        return about | {"splits": sizes, "size": sum(sizes), "count": sum(map(Tensor.numel, parts))}

    def _root(self, opts: Any) -> int:
        root = int(opts.rootRank)
        if not 0 <= root < self.size():
            raise ValueError(
                f"root {root}: a group of {self.size()} ranks has 0 to {self.size() - 1}"
            )
        return root

    def _op_timeout(self, opts: Any) -> float:
        given = getattr(opts, "timeout", None)
        seconds = given.total_seconds() if given is not None else -1.0
        return seconds if seconds > 0 else self._timeout

    def _parts(self, call: str, tensor: Tensor) -> list[Tensor]:
        """A tensor cut into one part a rank, as views."""
        ranks, tensor = self.size(), tensor.detach()
        if tensor.numel() % ranks:
            raise ValueError(
                f"{call}: {tensor.numel()} elements cannot be divided by {ranks} ranks"
            )
        if tensor.is_contiguous():
            return list(tensor.view(-1).tensor_split(ranks))
        if len(tensor) % ranks:
            raise ValueError(f"{call}: a tensor of {len(tensor)} rows must be contiguous here")
        return list(tensor.tensor_split(ranks))

    def _split(self, call: str, tensor: Tensor, splits: Any) -> list[Tensor]:
        """A tensor cut along its first dimension, as views."""
        ranks, rows = self.size(), len(tensor)
        lengths = list(splits) if splits else [rows // ranks] * ranks
        if len(lengths) != ranks or sum(lengths) != rows:
            raise ValueError(
                f"{call}: splits {lengths} do not add up to {rows} rows for {ranks} ranks"
            )
        return list(torch.split(tensor.detach(), lengths))


def _outline(tensors: Tensors) -> tuple[Any, ...]:
    """What of some tensors a call is described and checked by."""
    return tuple([(tensor.dtype, tensor.shape) for tensor in tensors])


# How other versions of torch call the same.
for _old, _new in {
    "_allgather_base": "all_gather_single",
    "allgather_into_tensor_coalesced": "all_gather_single_coalesced",
    "_reduce_scatter_base": "reduce_scatter_single",
    "reduce_scatter_tensor_coalesced": "reduce_scatter_single_coalesced",
    "alltoall_base": "all_to_all_single",
    "start_coalescing": "_start_coalescing",
    "end_coalescing": "_end_coalescing",
}.items():
    setattr(SimProcessGroup, _old, getattr(SimProcessGroup, _new))
