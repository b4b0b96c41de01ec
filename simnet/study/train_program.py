"""The training program of the study: ordinary torch.distributed code, on simnet or on gloo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from simnet.distributed import compute
from simnet.ranks.api import phase
from simnet.study.strategies import MakeStrategy, Strategy
from simnet.workload.data import Digits, load_digits, shard, split
from simnet.workload.models import small_cnn

ROUND = "round "
"""Begins the name of the phase of each round: "round 1" and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one training runs, whatever its strategy.

    Attributes
    ----------
    rounds : int
        How many times `local_steps` steps are taken; accuracy is measured after each.
    local_steps : int
        Steps a round, H.
    step_seconds : float
        Virtual time that one step's computation costs a rank.
    batch : int
        Images a step and rank.
    bucket : {"fused", "as-issued"}
        One flat buffer for all tensors that are sent together, or one call a tensor.
    seed : int
        Decides the initial parameters, the split into training and test, and the batches.
    """

    rounds: int = 15
    local_steps: int = 10
    step_seconds: float = 0.01
    batch: int = 16
    bucket: str = "fused"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, one line each."""
        if self.bucket not in BUCKETS:
            raise ValueError(f"bucket={self.bucket!r}: one of {', '.join(BUCKETS)}")
        for name in ("rounds", "local_steps", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number, at least 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankResult:
    """What a rank has learned.

    Attributes
    ----------
    accuracies : tuple of float
        Share of the test images that its own model gets right, before the first round and after
        each.
    parameters : (n,) array of float32
        All parameters of its model at the end.
    """

    accuracies: tuple[float, ...]
    parameters: NDArray[np.float32]


def train_rank(
    rank: int,
    world_size: int,
    make_strategy: MakeStrategy,
    settings: Settings,
    on_round: Callable[[], None] | None = None,
) -> RankResult:
    """Train on this rank's share of the digits; needs a default process group.

    Rounds are phases of the rank's trace, from "round 1" on.

    Parameters
    ----------
    rank, world_size : int
        Of the default group.
    make_strategy : callable
        What is averaged, and when: see `simnet.study.strategies`.
    settings : Settings
        The same on all ranks.
    on_round : callable, optional
        Called after every round, on rank 0.
    """
    train, test = split(load_digits(), seed=settings.seed)
    together = BUCKETS[settings.bucket]
    torch.manual_seed(settings.seed + rank)
    model = small_cnn()
    parameters = list(model.parameters())
    together(partial(dist.broadcast, src=0), [each.detach() for each in parameters])
    strategy = make_strategy(parameters, partial(together, _mean))
    batches = _batches(shard(train, rank, world_size), settings, rank)
    accuracies = [_accuracy(model, test)]
    for number in range(1, settings.rounds + 1):
        phase(f"{ROUND}{number}")
        _one_round(model, strategy, batches, settings)
        accuracies.append(_accuracy(model, test))
        if rank == 0 and on_round is not None:
            on_round()
    flat = torch.cat([each.detach().reshape(-1) for each in parameters])
    return RankResult(accuracies=tuple(accuracies), parameters=flat.numpy())


def _one_round(
    model: nn.Module,
    strategy: Strategy,
    batches: Iterator[tuple[Tensor, Tensor]],
    settings: Settings,
) -> None:
    for _ in range(settings.local_steps):
        images, labels = next(batches)
        model.zero_grad()
        torch.autograd.backward(functional.cross_entropy(model(images), labels))
        compute(settings.step_seconds)
        strategy.step()
    strategy.end_round()


Collective = Callable[[Tensor], object]
"""Changes a tensor in place, together with the other ranks."""


def _mean(tensor: Tensor) -> None:
    dist.all_reduce(tensor)
    tensor.div_(dist.get_world_size())


def as_issued(collective: Collective, tensors: Sequence[Tensor]) -> None:
    """Apply a collective to each tensor."""
    for tensor in tensors:
        collective(tensor)


@torch.no_grad()
def fused(collective: Collective, tensors: Sequence[Tensor]) -> None:
    """Apply a collective to one flat buffer of all tensors; no call where there are none."""
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    collective(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, values in zip(tensors, parts, strict=True):
        tensor.copy_(values.view_as(tensor))


BUCKETS: Mapping[str, Callable[[Collective, Sequence[Tensor]], None]] = {
    "fused": fused,
    "as-issued": as_issued,
}


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
