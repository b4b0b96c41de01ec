"""The handle of a call: what ``async_op=True`` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from simnet.distributed.exchange import put
from simnet.ranks.call import Call
from simnet.ranks.errors import WaitTimeoutError
from simnet.ranks.seat import Seat

INFINITY = float("inf")
NONE_GIVEN = timedelta(0)  # how torch says so


class SimWork(dist.Work):
    """A call under way on the virtual clock.

    `wait` may be called any number of times; it moves the rank's clock to the end of its own
    part, or does nothing if that has passed. Its tensors are filled when it is over, in the
    rank's own thread, when the rank next waits for anything.

    Parameters
    ----------
    seat : Seat
        Whose call it is.
    call : Call
        What was called.
    inputs : sequence of Tensor
        The rank's data, in the order that `simnet.distributed.exchange` defines. What they hold
        when a wait times out is what others get: from then on the rank may change them.
    targets : sequence of Tensor
        What is filled.
    results : sequence of Tensor
        What `result` and the future give.
    deliver : callable, optional
        Takes what came, where it is not just copied into the targets.
    timeout : float
        Virtual seconds after which waiting fails; infinite where the program gave none.
    """

    def __init__(
        self,
        seat: Seat,
        call: Call,
        inputs: Sequence[Tensor],
        targets: Sequence[Tensor],
        results: Sequence[Tensor],
        timeout: float = INFINITY,
        deliver: Callable[[Sequence[Tensor]], None] | None = None,
    ) -> None:
        super().__init__()
        self._seat, self._call = seat, call
        self._deliver = deliver
        self._targets, self._results = targets, list(results)
        self._timeout = timeout
        self._future: Future[Any] | None = None
        # The exchange holds this very list until the others come (see `_keep_inputs`).
        self._inputs = list(inputs) if seat.shares_memory else []
        self._handle = seat.issue(
            call, self._inputs if seat.shares_memory else inputs, self._finish
        )

    def _finish(self, handle: Any) -> None:
        """Take what came; called once, when the call is over."""
        came = handle.outputs()
        if self._deliver is None:
            for target, values in zip(self._targets, came, strict=False):
                put(target, values)
        elif handle.error is None:
            self._deliver(came)
        self._targets, self._deliver, self._inputs = (), None, []
        if self._future is not None:
            _settle(self._future, self._results, handle.error)

    def wait(self, timeout: timedelta = NONE_GIVEN) -> bool:
        """Wait in virtual time until this rank's part is over.

        Raises
        ------
        WaitTimeoutError
            When a timeout passes first that the program gave here or to the group; torch's own
            default counts as none.
        """
        limit = timeout.total_seconds()
        until = self._handle.issued + self._timeout
        if limit > 0:
            until = min(until, self._seat.time + limit)
        if not self._seat.wait(self._handle, until):
            self._keep_inputs()
            raise WaitTimeoutError(
                f"{self._call.describe()} in {self._call.describe_group()}: timed out at virtual "
                f"time {self._seat.time:.9g} s, issued at {self._handle.issued:.9g} s"
            )
        if self._handle.error is not None:
            raise self._handle.error
        return True

    def _keep_inputs(self) -> None:
        """Put copies in the list that the exchange holds: the rank goes on without the others."""
        self._inputs[:] = [tensor.detach().clone() for tensor in self._inputs]
        self._inputs = []

    def over_by(self, time: float) -> bool:
        """Wait at most until a virtual time; returns whether it is over."""
        return self._seat.wait(self._handle, time)

    @property
    def known(self) -> bool:
        """Whether the rank knows that it is over; takes no time."""
        return bool(self._handle.known)

    def synchronize(self) -> None:
        """The same as `wait`."""
        self.wait()

    def is_completed(self) -> bool:
        """Whether this rank's part is over; a look costs a poll interval where it is not."""
        return self._seat.look(self._handle)

    def is_success(self) -> bool:
        """Whether it is over without an error."""
        return self._seat.look(self._handle) and self._handle.error is None

    def exception(self) -> Any:
        """What went wrong, if anything has."""
        return self._handle.error

    def result(self) -> list[Tensor]:
        """The tensors; waits for them."""
        self.wait()
        return self._results

    def source_rank(self) -> int:
        """Who sent what a recv took: a position in the group."""
        return int(self._handle.source)

    _source_rank = source_rank

    def get_future(self) -> Future[Any]:
        """A future of the tensors, completed in the rank's own thread when the call is over."""
        if self._future is None:
            self._future = Future()
            if self._handle.known:
                self._seat.wait(self._handle)
                if not self._future.done():
                    _settle(self._future, self._results, self._handle.error)
            else:
                self._seat.watch(self._handle)
                _drain_after_backward(self.wait)
        return self._future

    def get_future_result(self) -> Future[Any]:
        """A future of whether all went well."""
        return self.get_future().then(lambda _: None)


class Together(dist.Work):
    """Calls between start and end of a coalesced group: one handle for all."""

    def __init__(self, works: Sequence[SimWork]) -> None:
        super().__init__()
        self._works = list(works)

    def wait(self, timeout: timedelta = NONE_GIVEN) -> bool:
        """Wait for all."""
        return all(work.wait(timeout) for work in self._works)

    def synchronize(self) -> None:
        """The same as `wait`."""
        self.wait()

    def is_completed(self) -> bool:
        """Whether all are over."""
        return all(work.is_completed() for work in self._works)

    def is_success(self) -> bool:
        """Whether all are over without an error."""
        return all(work.is_success() for work in self._works)

    def exception(self) -> Any:
        """The first error, if there is one."""
        return next((work.exception() for work in self._works if work.exception()), None)

    def result(self) -> list[Tensor]:
        """All tensors."""
        return [tensor for work in self._works for tensor in work.result()]

    def get_future(self) -> Future[Any]:
        """A future of all tensors."""
        futures = [work.get_future() for work in self._works]
        return torch.futures.collect_all(futures).then(lambda _: self.result())


def _settle(future: Future[Any], results: list[Tensor], error: Exception | None) -> None:
    if error is None:
        future.set_result(results)
    else:
        future.set_exception(error)


def _drain_after_backward(wait: Callable[[], Any]) -> None:
    """Let a backward pass that is under way wait before it ends.

    DistributedDataParallel's reducer waits for futures in C++ when the pass ends, where no rank
    can give up its turn; by then this has waited for them. When the pass has no node left it is
    ending already, and the reducer (with a static graph) may wait before anything else runs.
    """
    if torch._C._current_graph_task_id() == -1:
        return  # no backward pass
    if torch._C._current_autograd_node() is None:
        wait()
    else:
        torch.autograd.Variable._execution_engine.queue_callback(wait)
