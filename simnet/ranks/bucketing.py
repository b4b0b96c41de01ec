"""Small all_reduces gathered into larger ones, as a program with buckets would send them."""

from __future__ import annotations

from simnet.ranks.call import Call

BUCKETED = ("all_reduce",)


class Bucket:
    """What one rank has called and the network has not yet carried.

    Data of a call that goes into the bucket are exchanged as ever, and cost no time. The bucket
    is sent as one all_reduce, which the rank waits for, when it holds enough bytes, and before
    anything else that the rank does on the clock: another call, time that it spends, a look, a
    training step's end.

    Parameters
    ----------
    limit : int
        Bytes that a bucket holds.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._last: Call | None = None
        self._size = 0

    def takes(self, call: Call) -> bool:
        """Whether a call goes into buckets at all."""
        return call.kind in BUCKETED and not call.free and call.size < self.limit

    def is_of(self, call: Call) -> bool:
        """Whether what is in the bucket and a call may go together."""
        last = self._last
        return last is None or (last.kind, last.group, last.ranks) == (
            call.kind,
            call.group,
            call.ranks,
        )

    def put(self, call: Call) -> bool:
        """Add a call; returns whether the bucket is full."""
        self._last = call
        self._size += call.size
        return self._size >= self.limit

    def empty(self) -> Call | None:
        """Take everything out: the call that carries it, if there is anything."""
        last, size = self._last, self._size
        self._last, self._size = None, 0
        if last is None:
            return None
        return Call(
            kind=last.kind,
            group=last.group,
            ranks=last.ranks,
            size=size,
            op="SUM",
            where=last.where,
            algorithm=last.algorithm,
        )
