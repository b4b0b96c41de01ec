"""The training program of the study: ordinary torch.distributed code, on simnet or on gloo."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from simnet.distributed import compute, now
from simnet.ranks.seat import current
from simnet.workload.data import Digits, load_digits, shard, split
from simnet.workload.models import small_cnn

STRATEGIES = ("fedavg", "all_reduce")
BUCKETS = ("fused", "as-issued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one training runs.

    Attributes
    ----------
    strategy : {"fedavg", "all_reduce"}
        What is averaged, and how often.
    rounds : int
        How many times `local_steps` steps are taken; accuracy is measured after each.
    local_steps : int
        Steps a round, H.
    step_seconds : float
        Virtual time that one step's computation costs a rank.
    batch : int
        Images a step and rank.
    learning_rate, momentum : float
        Of SGD.
    bucket : {"fused", "as-issued"}
        One flat buffer for all tensors, or one call a tensor.
    seed : int
        Decides the initial parameters, the split into training and test, and the batches.
    """

    strategy: str = "fedavg"
    rounds: int = 12
    local_steps: int = 10
    step_seconds: float = 0.01
    batch: int = 16
    learning_rate: float = 0.1
    momentum: float = 0.9
    bucket: str = "fused"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, one line each."""
        for name, known in (("strategy", STRATEGIES), ("bucket", BUCKETS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: one of {', '.join(known)}")
        for name in ("rounds", "local_steps", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number, at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate={self.learning_rate}: a positive number")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}: at least 0, less than 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankResult:
    """What a rank has seen.

    Attributes
    ----------
    times : tuple of float
        Its virtual time before the first round and after each; NaN off a simulated network.
    accuracies : tuple of float
        Share of the test images that it gets right at these times (rank 0 only; else empty).
    parameters : (n,) array of float32
        All parameters at the end.
    """

    times: tuple[float, ...]
    accuracies: tuple[float, ...]
    parameters: NDArray[np.float32]


def train_rank(
    rank: int,
    world_size: int,
    settings: Settings,
    on_round: Callable[[int], None] | None = None,
) -> RankResult:
    """Train on this rank's share of the digits; needs a default process group.

    Parameters
    ----------
    rank, world_size : int
        Of the default group.
    settings : Settings
        The same on all ranks.
    on_round : callable, optional
        Called with the number of rounds done, on rank 0.
    """
    train, test = split(load_digits(), seed=settings.seed)
    own = shard(train, rank, world_size)
    torch.manual_seed(settings.seed + rank)
    model = small_cnn()
    for buffer in _buffers(list(model.parameters()), settings.bucket):
        dist.broadcast(buffer.flat, src=0)
        buffer.write_back()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.learning_rate, momentum=settings.momentum
    )
    batches = _batches(own, settings, rank)
    times, accuracies = [_time()], [_accuracy(model, test)] if rank == 0 else []
    for done in range(1, settings.rounds + 1):
        _one_round(model, optimizer, batches, settings, world_size)
        times.append(_time())
        if rank == 0:
            accuracies.append(_accuracy(model, test))
            if on_round is not None:
                on_round(done)
    return RankResult(
        times=tuple(times),
        accuracies=tuple(accuracies),
        parameters=_flat(list(model.parameters())).numpy(),
    )


def _one_round(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: Settings,
    world_size: int,
) -> None:
    """Take one round's steps, averaging as the strategy says."""
    parameters = list(model.parameters())
    for _ in range(settings.local_steps):
        images, labels = next(batches)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
        compute(settings.step_seconds)
        if settings.strategy == "all_reduce":
            gradients = [each.grad for each in parameters if each.grad is not None]
            _average(gradients, world_size, settings.bucket)
        optimizer.step()
    if settings.strategy == "fedavg":
        _average(parameters, world_size, settings.bucket)


@dataclass(frozen=True, slots=True)
class Buffer:
    """Tensors copied into one flat tensor, to be sent in one call."""

    flat: Tensor
    tensors: list[Tensor]

    def write_back(self) -> None:
        """Copy the flat tensor into the tensors."""
        sizes = [tensor.numel() for tensor in self.tensors]
        with torch.no_grad():
            for tensor, values in zip(self.tensors, torch.split(self.flat, sizes), strict=True):
                tensor.copy_(values.view_as(tensor))


def _buffers(tensors: list[Tensor] | list[nn.Parameter], bucket: str) -> list[Buffer]:
    """What is sent in one call each."""
    parts = [list(tensors)] if bucket == "fused" else [[tensor] for tensor in tensors]
    return [Buffer(_flat(part), part) for part in parts]


def _average(tensors: list[Tensor] | list[nn.Parameter], world_size: int, bucket: str) -> None:
    for buffer in _buffers(tensors, bucket):
        dist.all_reduce(buffer.flat)
        buffer.flat.div_(world_size)
        buffer.write_back()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _batches(own: Digits, settings: Settings, rank: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: shuffled anew for every pass, a short rest left out."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(rank,)))
    images, labels = torch.tensor(own.images), torch.tensor(own.labels)
    size = min(settings.batch, len(own))
    while True:
        order = torch.from_numpy(rng.permutation(len(own)))
        for first in range(0, len(own) - size + 1, size):
            part = order[first : first + size]
            yield images[part], labels[part]


@torch.no_grad()
def _accuracy(model: nn.Module, test: Digits) -> float:
    """Share of test images that the model gets right."""
    guesses = model(torch.tensor(test.images)).argmax(dim=1)
    return float((guesses == torch.tensor(test.labels)).double().mean())


def _time() -> float:
    return now() if current() is not None else float("nan")
