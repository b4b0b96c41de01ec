"""What data-parallel ranks average, and when: four strategies of ordinary torch.distributed code.

A strategy is made on every rank, from the rank's parameters and from what averages tensors over
the ranks. The training loop calls `step` whenever gradients are there, and `end_round` every H
steps. All begin from the same parameters and step by the same local optimizer, so that they
differ in what they send alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

Average = Callable[[Sequence[Tensor]], None]
"""Replaces each tensor by its mean over all ranks."""

MakeOptimizer = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


class Strategy(Protocol):
    """What a rank does with its gradients and parameters."""

    def step(self) -> None:
        """Take a step; every parameter has the gradient of the rank's own batch."""

    def end_round(self) -> None:
        """H steps have been taken since the last time."""


MakeStrategy = Callable[[Sequence[nn.Parameter], Average], Strategy]


def adamw(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """The local optimizer: AdamW with a learning rate of 0.01 and a weight decay of 0.1.

    The decay is that of the DiLoCo paper. The rate was tuned once, over 0.003, 0.006, 0.01 and
    0.015 and three seeds, for the steps until 95 % with 4 ranks and H = 10: every strategy does
    best, or within one round of its best, at 0.01.
    """
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)


def nesterov(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """DiLoCo's outer optimizer: SGD with a learning rate of 0.7 and Nesterov momentum of 0.6.

    The rate is the paper's. Its momentum of 0.9 is for hundreds of outer steps; for about ten,
    0.6 did best of 0.5, 0.6, 0.8 and 0.9.
    """
    return torch.optim.SGD(parameters, lr=0.7, momentum=0.6, nesterov=True)


class AllReduce:
    """Gradients are averaged at every step: one large batch.

    Parameters
    ----------
    parameters : sequence of nn.Parameter
        The rank's own.
    average : callable
        Averages tensors over the ranks.
    optimizer : callable
        Makes the local optimizer.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        average: Average,
        *,
        optimizer: MakeOptimizer = adamw,
    ) -> None:
        self._parameters, self._average = parameters, average
        self._optimizer = optimizer(parameters)

    def step(self) -> None:
        """Average the gradients, then step."""
        self._average([each.grad for each in self._parameters if each.grad is not None])
        self._optimizer.step()

    def end_round(self) -> None:
        """Nothing is left to do."""


class FedAvg:
    """Every rank trains by itself; parameters are averaged once a round.

    All ranks take part in every round. The paper's clients step by SGD; here the local optimizer
    is everybody's, and keeps its state over rounds.

    Parameters
    ----------
    parameters : sequence of nn.Parameter
        The rank's own.
    average : callable
        Averages tensors over the ranks.
    optimizer : callable
        Makes the local optimizer.

    References
    ----------
    B. McMahan et al., *Communication-Efficient Learning of Deep Networks from Decentralized
    Data*, AISTATS 2017, https://arxiv.org/abs/1602.05629, algorithm 1.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        average: Average,
        *,
        optimizer: MakeOptimizer = adamw,
    ) -> None:
        self._parameters, self._average = parameters, average
        self._optimizer = optimizer(parameters)

    def step(self) -> None:
        """Step alone."""
        self._optimizer.step()

    def end_round(self) -> None:
        """Average the parameters."""
        self._average([each.detach() for each in self._parameters])


class DiLoCo:
    """What a round has changed is a gradient for an outer optimizer.

    The ranks average their changes and all take the same outer step, so nothing else is sent: as
    many bytes as FedAvg. (ExoGym averages the parameters, lets rank 0 step and broadcasts: twice
    as many.)

    Parameters
    ----------
    parameters : sequence of nn.Parameter
        The rank's own.
    average : callable
        Averages tensors over the ranks.
    optimizer, outer_optimizer : callable
        Make the inner and the outer optimizer.

    References
    ----------
    A. Douillard et al., *DiLoCo: Distributed Low-Communication Training of Language Models*,
    2023, https://arxiv.org/abs/2311.08105, algorithm 1.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        average: Average,
        *,
        optimizer: MakeOptimizer = adamw,
        outer_optimizer: MakeOptimizer = nesterov,
    ) -> None:
        self._parameters, self._average = parameters, average
        self._inner = optimizer(parameters)
        self._shared = [nn.Parameter(each.detach().clone()) for each in parameters]
        self._outer = outer_optimizer(self._shared)

    def step(self) -> None:
        """Step alone."""
        self._inner.step()

    @torch.no_grad()
    def end_round(self) -> None:
        """Average what the round has changed, take the outer step, go on from there."""
        pairs = list(zip(self._shared, self._parameters, strict=True))
        changes = [shared - own for shared, own in pairs]
        self._average(changes)
        for shared, change in zip(self._shared, changes, strict=True):
            shared.grad = change
        self._outer.step()
        for shared, own in pairs:
            own.copy_(shared)


class Sparta:
    """Every rank trains by itself; a random share of the parameters is averaged at every step.

    The ranks agree on which by a seed, which the first rank draws and sends once: the choice
    itself costs no bytes. (ExoGym broadcasts a mask at every step, a byte a parameter; at its
    share of 0.5 % that is 50 times the values themselves.) The models stay different.

    Parameters
    ----------
    parameters : sequence of nn.Parameter
        The rank's own.
    average : callable
        Averages tensors over the ranks.
    optimizer : callable
        Makes the local optimizer.
    share : float
        How much of the parameters is averaged in a step. The paper's 0.05 % to 0.5 % are for
        thousands of steps; 10 % meets each parameter about 15 times in 150, and was the least of
        2, 5 and 10 % that reached 95 % with every seed.

    References
    ----------
    M. Beton, M. Baioumy et al., *Improving the Efficiency of Distributed Training using Sparse
    Parameter Averaging*, ICLR workshop MCDC, 2025, https://openreview.net/forum?id=stFPf3gzq1;
    first described by M. Baioumy and A. Cheema, 2025, https://blog.exolabs.net/day-12/.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        average: Average,
        *,
        optimizer: MakeOptimizer = adamw,
        share: float = 0.1,
    ) -> None:
        self._parameters, self._average = parameters, average
        self._optimizer = optimizer(parameters)
        self._sizes = [each.numel() for each in parameters]
        self._count = max(round(share * sum(self._sizes)), 1)
        seed = torch.randint(2**62, (1,))
        dist.broadcast(seed, src=0)
        self._choice = torch.Generator().manual_seed(int(seed))

    @torch.no_grad()
    def step(self) -> None:
        """Step alone, then average the parameters whose turn it is."""
        self._optimizer.step()
        chosen = torch.zeros(sum(self._sizes), dtype=torch.bool)
        chosen[torch.randperm(len(chosen), generator=self._choice)[: self._count]] = True
        masks = [
            part.view_as(own)
            for part, own in zip(torch.split(chosen, self._sizes), self._parameters, strict=True)
        ]
        values = [own[mask] for own, mask in zip(self._parameters, masks, strict=True)]
        self._average([each for each in values if each.numel()])
        for own, mask, mean in zip(self._parameters, masks, values, strict=True):
            own[mask] = mean

    def end_round(self) -> None:
        """Nothing is left to do."""


STRATEGIES: Mapping[str, MakeStrategy] = {
    "all_reduce": AllReduce,
    "fedavg": FedAvg,
    "diloco": DiLoCo,
    "sparta": Sparta,
}
