"""Small all_reduces gathered into larger ones, as a program with buckets would send them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from simnet.engine import Operation
from simnet.ranks.call import KEPT_CALLS, Call

BUCKETED = "all_reduce"
FLUSH = "flush"
"""The kind of a call that sends what is in its group's bucket, and waits for all that is sent."""


def goes_into_bucket(call: Call, limit: int) -> bool:
    """Whether a call of some bytes, but less than `limit`, is one that buckets gather."""
    return call.kind == BUCKETED and not call.free and 0 < call.size < limit


@lru_cache(KEPT_CALLS)
def bucketed(call: Call, limit: int) -> Call:
    """The call as one whose bytes go with others' in buckets of `limit` bytes."""
    return replace(call, free=True, bucket=limit)


@lru_cache(KEPT_CALLS)
def flushing(last: Call, limit: int) -> Call:
    """The call that sends what a group's bucket holds, of which `last` came last."""
    return replace(last, kind=FLUSH, size=0, bucket=limit)


class Buckets:
    """The buckets of one group, which begin and end with the same calls on every rank.

    Data of a call that goes into a bucket are exchanged as ever. A bucket ends with the call that
    fills it, or when a rank that has put all that it holds does something else on the clock, and
    is sent as one all_reduce. A rank takes part once it has made the bucket's last call: those
    that have gone past it already, at once.

    Parameters
    ----------
    hosts : sequence of int
        The network's rank of each position of the group.
    limit : int
        Bytes that fill a bucket.
    post : callable
        ``post(size, number)`` posts an all_reduce of so many bytes that goes with call `number`
        of the group.

    Attributes
    ----------
    last_came : float
        When the last rank that has ended a bucket or taken part in one did, virtual seconds.
    """

    def __init__(
        self, hosts: Sequence[int], limit: int, post: Callable[[int, int], Operation]
    ) -> None:
        self._hosts, self._limit, self._post = hosts, limit, post
        self._bytes = [0]  # in all calls before each
        self._numbers: list[int] = []  # of each call in the group
        self._end = 0  # of the last bucket that has ended
        self._sent: dict[int, Operation] = {}  # by the end of their buckets
        self._made: Counter[int] = Counter()  # by each position
        self._under_way: dict[int, list[Operation]] = {}
        self.last_came = float("nan")

    def put(self, position: int, size: int, number: int) -> list[Operation]:
        """A rank has made the next call; returns what goes with it, if it ends a bucket."""
        self._made[position] += 1
        made = self._made[position]
        if made == len(self._bytes):
            self._bytes.append(self._bytes[-1] + size)
            self._numbers.append(number)
            if self._bytes[made] - self._bytes[self._end] >= self._limit:
                self._send(made)
        return self._taken_part(position, made)

    def flush(self, position: int) -> list[Operation]:
        """A rank does something else; returns what of it is under way, and itself enters."""
        made = self._made[position]
        if made > self._end:
            operation = self._send(made)
            self._taken_part(position, made)
            past = [each for each, theirs in self._made.items() if theirs >= made]
            for each in sorted(past):
                if each != position:
                    self._taken_part(each, made)
                operation.arrive(self._hosts[each])
        host = self._hosts[position]
        under_way = self._under_way.get(position, [])
        self._under_way[position] = [each for each in under_way if not each.left[host].processed]
        return self._under_way[position]

    def _send(self, end: int) -> Operation:
        """End a bucket."""
        size = self._bytes[end] - self._bytes[self._end]
        self._end = end
        self._sent[end] = self._post(size, self._numbers[end - 1])
        return self._sent[end]

    def _taken_part(self, position: int, made: int) -> list[Operation]:
        """The operation of the bucket that ends with a call, noted as the rank's."""
        operation = self._sent.get(made)
        if operation is None:
            return []
        self.last_came = float(operation.done.env.now)
        self._under_way.setdefault(position, []).append(operation)
        return [operation]
