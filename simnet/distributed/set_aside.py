"""torch's own process groups, set aside while a simulated default group takes their place."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from types import FunctionType
from typing import Any

import torch.distributed as dist

from simnet.distributed.world import C10D, RankWorld
from simnet.ranks.seat import Seat

NN = "torch.distributed.nn.functional"
"""Its functions bind the default group in their defaults when it is imported."""


class SetAside:
    """The groups that were there, until they are put back.

    Groups other than the default one stay what they are, and known to torch.

    Parameters
    ----------
    seat : Seat
        The rank that this process is meanwhile.
    """

    def __init__(self, seat: Seat) -> None:
        self._old = C10D._world
        self._default: Any = self._old.default_pg
        self._hook, self._method = sys.excepthook, C10D._default_pg_init_method
        self._world = self._twin(seat)
        self._rebound: list[tuple[FunctionType, tuple[Any, ...]]] = []
        if len(self._old.pg_map) > 1:
            warnings.warn(
                f"patch_distributed_functions: {len(self._old.pg_map) - 1} process groups beside "
                "the default one stay real, and a call on one may wait forever for a rank that "
                "waits on the simulated network: make them after the patch",
                stacklevel=5,
            )

    def take_over(self) -> None:
        """Let torch know of no default group: one can be made."""
        setattr(C10D, "_world", self._world)  # noqa: B010 (not an attribute for mypy)

    def rebind(self) -> None:
        """Let functions whose defaults are the group that was there mean the present one."""
        present = self._world.default_pg
        for each in vars(sys.modules.get(NN, object)).values():
            defaults = getattr(each, "__defaults__", None) or ()
            if isinstance(each, FunctionType) and self._default in defaults:
                self._rebound.append((each, defaults))
                each.__defaults__ = tuple(
                    present if value is self._default else value for value in defaults
                )

    def withdraw(self) -> None:
        """Let what torch destroys from now on be simulated groups only."""
        for function, defaults in self._rebound:
            function.__defaults__ = defaults
        self._destroyed = self._default not in self._world.pg_map
        for group in self._old.pg_map:
            for known in self._by_group(self._world):
                known.pop(group, None)

    def put_back(self) -> None:
        """Let torch know what it knew, unless the program has destroyed it meanwhile."""
        setattr(C10D, "_world", self._old)  # noqa: B010
        setattr(C10D, "_default_pg_init_method", self._method)  # noqa: B010
        sys.excepthook = self._hook
        C10D._update_default_pg(self._default)
        for group, name in self._old.pg_names.items():
            with suppress(RuntimeError):  # is known
                vars(C10D)["_register_process_group"](name, group)
        if self._destroyed:
            dist.destroy_process_group()

    def _twin(self, seat: Seat) -> RankWorld:
        """A world with the same groups, names and counts, but no default group."""
        old = self._old
        return RankWorld(
            seat,
            pg_map=dict(old.pg_map),
            pg_names=dict(old.pg_names),
            pg_group_ranks=dict(old.pg_group_ranks),
            pg_backend_config=dict(old.pg_backend_config),
            group_count=old.group_count,
            tags_to_pg={tag: list(groups) for tag, groups in old.tags_to_pg.items()},
            pg_to_tag=dict(old.pg_to_tag),
        )

    @staticmethod
    def _by_group(world: Any) -> tuple[dict[Any, Any], ...]:
        return (
            world.pg_map,
            world.pg_names,
            world.pg_group_ranks,
            world.pg_backend_config,
            world.pg_to_tag,
        )
