"""Who a process group is, as torch asks: names, rank and size, devices, store, timeout."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from simnet.ranks.seat import Seat


class KnownGroup(dist.ProcessGroup):
    """A group that does nothing yet: see `simnet.distributed.process_group.SimProcessGroup`.

    Parameters
    ----------
    seat, ranks, group_id, timeout, store
        See there.
    """

    # What torch asks of a backend before it uses what only some have.
    supports_coalescing = supports_splitting = supports_time_estimate = False

    def __init__(
        self, seat: Seat, ranks: tuple[int, ...], group_id: str, timeout: float, store: Any
    ) -> None:
        # Without a store, as torch's bindings allow and its stubs do not say.
        super().__init__(ranks.index(seat.number), len(ranks))  # type: ignore[call-arg]
        self._seat, self._ranks, self._group_id = seat, ranks, group_id
        self._position = ranks.index(seat.number)
        self._timeout, self._store = timeout, store
        self._name = self._description = ""
        self._sequence = 0

    def getBackendName(self) -> str:  # noqa: N802 (torch's name)
        """How torch calls the backend."""
        return "simnet"

    def rank(self) -> int:
        """The rank's position in the group."""
        return self._position

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

    @property
    def _device_types(self) -> list[torch.device]:
        """Where tensors may be; torch takes the first for its own."""
        kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available()
        return [torch.device(kind) for kind in kinds]

    def _get_backend(self, device: Any) -> Any:
        """What carries a device's tensors: the group itself."""
        return self

    def get_group_store(self) -> Any:
        """The group's part of the run's store."""
        return self._store

    def set_timeout(self, timeout: timedelta) -> None:
        """Let calls from now on fail after so much virtual time."""
        self._timeout = timeout.total_seconds()

    def _set_sequence_number_for_group(self) -> None:
        """Nothing to do: the run counts calls itself."""

    def _get_sequence_number_for_group(self) -> int:
        return self._sequence

    def shutdown(self) -> None:
        """Nothing is held."""

    def abort(self) -> None:
        """Nothing is held."""
