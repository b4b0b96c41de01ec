"""One rank's call of torch.distributed, described; imports no torch."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from functools import lru_cache

from simnet.collectives import Collective

# What two ranks must agree on.
AGREED = ("kind", "count", "dtype", "op", "root", "splits", "uneven", "free")
_agreed = operator.attrgetter(*AGREED)
PAIRED = ("send", "recv")
ANY_SOURCE = -1
NO_CALL = -1  # a rank's number of a call that the run has not taken
KEPT_CALLS = 256  # of those that are made of others
ANEW = "#"  # in a group's name, before which default group of the run it belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a rank asks of its group. All ranks in it are positions in the group.

    Attributes
    ----------
    kind : str
        The call's name in torch.distributed.
    group : str
        The group's name, the same on all its ranks; empty for the default group.
    ranks : tuple of int
        The run's rank at each position of the group.
    shape : tuple of int
        Of the tensor, for words; several tensors in one call count as one of all their elements.
    count : int
        Elements that all ranks must agree on.
    dtype : str
        Their type, without "torch."; empty where there is no tensor.
    size : int
        Bytes, as `simnet.collectives.Collective` counts them; of a message for send and recv.
    op : str
        How elements are reduced; empty where nothing is.
    root : int
        The root; -1 where there is none.
    splits : tuple of int
        Bytes of each rank's part of an all_gather or reduce_scatter whose parts differ.
    uneven : bool
        Whether an all_to_all gives sizes pair by pair, in `sends` and `receives`.
    sends, receives : tuple of int
        Bytes to and from each rank of such an all_to_all.
    peer : int
        The other end of a send or recv; ANY_SOURCE for a recv that takes any.
    tag : int
        Of a send or recv.
    algorithm : str
        How it is to be carried out, where the rank itself says so; empty for the run's choice.
    free : bool
        Whether the network carries nothing for it: its bytes go in a later call, with others'.
    bucket : int
        Bytes of the buckets in which its bytes go with others'; 0 for none.
    where : str
        "file:line" of the user's code.
    """

    kind: str
    group: str
    ranks: tuple[int, ...]
    shape: tuple[int, ...] = ()
    count: int = 0
    dtype: str = ""
    size: int = 0
    op: str = ""
    root: int = -1
    splits: tuple[int, ...] = ()
    uneven: bool = False
    sends: tuple[int, ...] = ()
    receives: tuple[int, ...] = ()
    peer: int = ANY_SOURCE
    tag: int = 0
    algorithm: str = ""
    free: bool = False
    bucket: int = 0
    where: str = ""

    @property
    def empty(self) -> bool:
        """Whether it is a collective of no bytes: libraries return from it at once."""
        return not self.size and self.kind not in (*PAIRED, "barrier") and not self.uneven

    def agrees(self, other: Call) -> bool:
        """Whether both can be parts of one operation."""
        return self is other or _agreed(self) == _agreed(other)

    def describe(self) -> str:
        """The call in words: "all_reduce of 10×3 float32 (SUM)"."""
        shape = "×".join(map(str, self.shape)) or ("1" if self.count == 1 else str(self.count))
        shape = "" if self.uneven else f"{shape} "
        data = f" of {shape}{self.dtype}" if self.dtype else ""
        op = f" ({self.op})" if self.op else ""
        return f"{self.kind}{data}{op}{self._partner()}"

    def _partner(self) -> str:
        if self.kind == "send":
            return f" to rank {self.ranks[self.peer]}{self._tagged()}"
        if self.kind == "recv":
            whom = "any rank" if self.peer == ANY_SOURCE else f"rank {self.ranks[self.peer]}"
            return f" from {whom}{self._tagged()}"
        if self.root < 0:
            return ""
        word = "to" if self.kind in ("reduce", "gather") else "from"
        return f" {word} rank {self.ranks[self.root]}"

    def _tagged(self) -> str:
        return f" with tag {self.tag}" if self.tag else ""

    def describe_group(self) -> str:
        """The group in words."""
        name = self.group.partition(ANEW)[0]
        if not name:
            return "the default group"
        return f"group {name} of ranks {', '.join(map(str, self.ranks))}"

    def at(self) -> str:
        """Where the user's code made the call, as the end of a sentence."""
        return f" at {self.where}" if self.where else ""


@lru_cache(KEPT_CALLS)
def works(call: Call, place: tuple[int, ...], algorithm: str) -> tuple[Collective, ...]:
    """What the network has to carry for a call: collectives that are posted together.

    Parameters
    ----------
    call : Call
        What is asked for.
    place : tuple of int
        The network's rank of each rank of the group.
    algorithm : str
        How a collective is carried out.

    Notes
    -----
    Parts that differ in size go as NCCL sends them, which has no uneven collectives: an
    all_gather as one broadcast a part, a reduce_scatter as one reduce a part.
    """
    if call.free or call.empty:
        return ()
    if call.splits:
        kind = "broadcast" if call.kind == "all_gather" else "reduce"
        return tuple(
            Collective(kind=kind, size=size, root=root, ranks=place)
            for root, size in enumerate(call.splits)
            if size
        )
    root = max(call.root, 0)
    whole = Collective(kind=call.kind, size=call.size, root=root, ranks=place, algorithm=algorithm)
    return (whole,)


@lru_cache(KEPT_CALLS)
def with_algorithm(call: Call, algorithm: str) -> Call:
    """The call as one that says how; the same object for a call that is made again."""
    return replace(call, algorithm=algorithm)


@lru_cache(KEPT_CALLS)
def freed(call: Call) -> Call:
    """The call as one that costs no time; the same object for a call that is made again."""
    return replace(call, free=True)
