"""A stream of random numbers for each rank, behind the generators that all of them share.

torch, `random` and `numpy.random` have one global generator a process. Whenever another rank
goes on, its own states are put in, so that ranks do not disturb each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator


@dataclass(slots=True)
class States:
    """The states of the three generators."""

    torch_state: torch.Tensor
    random_state: tuple[Any, ...]
    numpy_bits: Any
    numpy_state: dict[str, Any]

    @classmethod
    def present(cls) -> States:
        """Those of this moment."""
        return cls(
            torch.get_rng_state(),
            random.getstate(),
            get_bit_generator(),
            dict(np.random.get_state(legacy=False)),
        )

    def put_in(self) -> None:
        """Make them those of this moment."""
        torch.set_rng_state(self.torch_state)
        random.setstate(self.random_state)
        set_bit_generator(self.numpy_bits)
        # Normal deviates come in pairs, and the second of a pair is kept outside the bits.
        if self.numpy_state["has_gauss"]:
            np.random.set_state(self.numpy_state)


class RandomStates:
    """Swaps the global generators' states between the caller and the ranks.

    Every rank begins as a fresh process does: torch with its default seed. `random` and
    `numpy.random`, which a fresh process seeds from the system, are seeded by rank.

    Parameters
    ----------
    num_ranks : int
        How many ranks there are.
    seed : int
        The run's seed.
    """

    def __init__(self, num_ranks: int, seed: int) -> None:
        self._caller = -1
        self._owner = self._caller
        self._states = {rank: fresh(rank, seed) for rank in range(num_ranks)}

    def switch_to(self, rank: int) -> None:
        """Put in a rank's states; what stands there is kept for whose it is."""
        if rank == self._owner:
            return
        self._states[self._owner] = States.present()
        self._states[rank].put_in()
        self._owner = rank

    def restore(self) -> None:
        """Put the caller's states back."""
        self.switch_to(self._caller)


def fresh(rank: int, seed: int) -> States:
    """The states with which a rank begins."""
    children = np.random.SeedSequence(seed, spawn_key=(rank,)).spawn(2)
    own = random.Random(int(children[0].generate_state(1, np.uint64)[0]))
    bits = np.random.MT19937(children[1])
    return States(torch.Generator().get_state(), own.getstate(), bits, {"has_gauss": 0})
