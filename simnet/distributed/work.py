"""The handle of a call: what ``async_op=True`` returns."""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from simnet.distributed.hub import Ticket


class SimWork(dist.Work):
    """A call under way on the virtual clock.

    `wait` may be called any number of times; it moves the rank's clock to the end of its own
    part, or does nothing if that has passed.
    """

    def __init__(self, ticket: Ticket, tensors: list[Tensor]) -> None:
        super().__init__()
        self._ticket, self._tensors = ticket, tensors

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        """Wait in virtual time until this rank's part is over; a timeout is not looked at."""
        self._ticket.wait()
        return True

    def synchronize(self) -> None:
        """The same as `wait`."""
        self._ticket.wait()

    def is_completed(self) -> bool:
        """True after the end; before it this would be a poll, which is not simulated yet."""
        self._must_be_over("is_completed")
        return True

    def is_success(self) -> bool:
        """True after the end."""
        self._must_be_over("is_success")
        return True

    def exception(self) -> None:
        """None: a call that fails raises where it is made."""

    def result(self) -> list[Tensor]:
        """The tensors, after the end."""
        self._must_be_over("result")
        return self._tensors

    def get_future(self) -> Future[list[Tensor]]:
        """A future of the tensors, after the end."""
        self._must_be_over("get_future")
        future: Future[list[Tensor]] = torch.futures.Future()
        future.set_result(self._tensors)
        return future

    def _must_be_over(self, name: str) -> None:
        if not self._ticket.over:
            raise NotImplementedError(
                f"Work.{name} before the work has ended is not simulated yet: call wait() first"
            )
