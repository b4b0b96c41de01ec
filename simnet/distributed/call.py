"""One rank's call of a collective, described; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from simnet.collectives import Collective

# What two ranks must agree on, and how a message calls it.
AGREED = ("kind", "count", "dtype", "op", "root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a rank asks of its group.

    Attributes
    ----------
    kind : str
        The call's name in torch.distributed.
    group : str
        The group's name, the same on all its ranks.
    ranks : tuple of int
        The group's global ranks, in group order.
    count : int
        Elements of the tensor.
    dtype : str
        Their type, without "torch."; empty where there is no tensor.
    size : int
        Bytes of the tensor.
    op : str
        How elements are reduced; empty where nothing is.
    root : int
        Position of the root in the group; -1 where there is none.
    """

    kind: str
    group: str
    ranks: tuple[int, ...]
    count: int = 0
    dtype: str = ""
    size: int = 0
    op: str = ""
    root: int = -1

    def agrees(self, other: Call) -> bool:
        """Whether both can be parts of one operation."""
        return all(getattr(self, name) == getattr(other, name) for name in AGREED)

    def describe(self) -> str:
        """The call in words: "all_reduce of 10 float32 (SUM)"."""
        data = f" of {self.count} {self.dtype}" if self.dtype else ""
        op = f" ({self.op})" if self.op else ""
        root = f" from rank {self.ranks[self.root]}" if self.root >= 0 else ""
        return f"{self.kind}{data}{op}{root}"

    def collective(self, num_ranks: int, algorithm: str) -> Collective:
        """What the network has to carry, on a network of `num_ranks` hosts."""
        everyone = self.ranks == tuple(range(num_ranks))
        return Collective(
            kind=self.kind,
            size=self.size,
            root=max(self.root, 0),
            ranks=None if everyone else self.ranks,
            algorithm=algorithm,
        )
