"""ExoGym in a process that it has started: one rank, told which part of ExoGym's program it is in.

Everything here happens to ExoGym's classes in that process, which ends with the fit.
"""

from __future__ import annotations

import csv
import functools
import importlib
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from simnet.distributed.replace import replaced_attribute
from simnet.ranks.seat import Seat, current

if TYPE_CHECKING:
    Writer = csv.DictWriter[Any]
else:
    Writer = csv.DictWriter

Function = Callable[..., Any]

ALGORITHM = "algorithm"
# What of ExoGym belongs to which phase; the inner one of two counts, and SETUP all the rest.
SETUP, STEPS = "setup", "barrier"
OF_NODE = {
    "__init__": "initial",
    "train": STEPS,
    "_evaluate": "evaluate",
    "_correlation_calculation": "correlation",
    "_save_checkpoint": "checkpoint",
    "_train_step": ALGORITHM,
}
OF_LOGGER = {"log_train": "log", "log_loss": "log"}
COLUMNS: dict[str, Callable[[Seat], float]] = {
    "virtual_time": lambda seat: seat.now(),
    "bytes": lambda seat: seat.bytes[ALGORITHM],
}


class CarriedError(BaseException):
    """Takes an error past ``except Exception``: ExoGym's retry loop would swallow that."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Parts:
    """Which part of ExoGym's program this rank is in.

    Parameters
    ----------
    counted : bool
        Whether what is not the algorithm costs time too.
    """

    def __init__(self, counted: bool) -> None:
        self._counted = counted
        self._setup = ExitStack()
        self.name = SETUP

    def begin(self) -> None:
        """This process has become a rank; what is tagged as nothing else is setup."""
        self._setup.close()
        self._setup.enter_context(self.inside(SETUP))

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Leave the setup, too, when the block ends."""
        with self._setup:
            yield

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """What happens in the block belongs to a part; outside ranks that means nothing."""
        seat = current()
        if seat is None:
            yield
            return
        before, self.name = self.name, name
        try:
            with seat.phase(name, free=not self._counted and name != ALGORITHM):
                yield
        finally:
            self.name = before

    def tag(self, holder: Any, names: dict[str, str]) -> None:
        """Let functions of a class, as far as it has them, belong to parts."""
        for attribute, name in names.items():
            if hasattr(holder, attribute):
                setattr(holder, attribute, self._tagged(getattr(holder, attribute), name))

    def _tagged(self, function: Function, name: str) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.inside(name):
                return function(*args, **kwargs)

        return call

    # Of torch.distributed, as ExoGym calls it

    def init_process_group(self, original: Function) -> Function:
        """Errors go past the retry loop."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> None:
            try:
                original(*args, **kwargs)
            except Exception as error:
                raise CarriedError(error) from None
            self.begin()

        return call

    def barrier(self, original: Function) -> Function:
        """The one after every step holds nobody, or each step would wait for the slowest rank."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.name == STEPS and not self._counted:
                return None
            return original(*args, **kwargs)

        return call


@dataclass(frozen=True, slots=True)
class Node:
    """Stands for ``exogym.trainer._worker`` in the process that calls fit; travels by name.

    Attributes
    ----------
    counted : bool
        Whether the harness costs time.
    """

    counted: bool

    def __call__(self, rank: int, config: Any, results: Any) -> None:
        """Be a node of ExoGym's."""
        trainer: Any = importlib.import_module("exogym.trainer")
        logger: Any = importlib.import_module("exogym.aux.logger")
        parts = Parts(self.counted)
        parts.tag(trainer.TrainNode, OF_NODE)
        parts.tag(type(config.strategy), {"_init_node": ALGORITHM})
        _tell_steps(type(config.strategy))
        _add_columns(logger)
        for each in vars(logger).values():
            if isinstance(each, type) and each.__module__ == logger.__name__:
                parts.tag(each, {name: OF_LOGGER[name] for name in OF_LOGGER if name in vars(each)})
        try:
            with (
                replaced_attribute(dist, "init_process_group", parts.init_process_group),
                replaced_attribute(dist, "barrier", parts.barrier),
                parts.ended(),
            ):
                trainer._worker(rank, config, results)
        except CarriedError as carrier:
            raise carrier.error from None


def _tell_steps(strategy: type[Any]) -> None:
    """A training step's computation is charged before the strategy communicates, and once."""
    update = strategy.step

    @functools.wraps(update)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        seat = current()
        if seat is not None:
            seat.step()
        return update(self, *args, **kwargs)

    strategy.step = step  # of this class only: what it calls of its parents' tells nothing


def _add_columns(logger: Any) -> None:
    """Let ExoGym's own logger write what a rank knows of the network in every row of its own."""

    class DictWriter(Writer):
        def writerow(self, row: Any) -> Any:
            return super().writerow(self._filled(row))

        def writerows(self, rows: Any) -> None:
            super().writerows(map(self._filled, rows))

        def _filled(self, row: Any) -> dict[Any, Any]:
            # Rows that were read from the file have their values already.
            missing = [name for name in COLUMNS if name in self.fieldnames and name not in row]
            return {**row, **_known(missing)}

    logger.csv = types.SimpleNamespace(**{**vars(csv), "DictWriter": DictWriter})
    logger.CSVLogger._init_csv_file = _with_columns(logger.CSVLogger._init_csv_file)


def _known(columns: list[str]) -> dict[str, float]:
    seat = current()
    return {name: COLUMNS[name](seat) for name in columns if seat is not None}


def _with_columns(init: Function) -> Function:
    """A file gets its columns when it is made; one without them is not written to."""

    @functools.wraps(init)
    def init_csv_file(self: Any, path: Any, headers: Any) -> None:
        init(self, path, [*headers, *COLUMNS])
        with open(path, newline="") as file:
            there = next(csv.reader(file), [])
        missing = [name for name in COLUMNS if name not in there]
        if missing:
            raise ValueError(
                f"{path} is there already, without the columns {', '.join(missing)}: "
                "choose another run_name"
            )

    return init_csv_file
