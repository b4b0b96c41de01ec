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

from simnet.distributed.generators import numpy_pair, random_state, torch_stand

RANDOM, TORCH, NUMPY = random_state(), torch_stand(), numpy_pair()


@dataclass(slots=True)
class States:
    """The states of the three generators.

    numpy's are kept by its bit generator, which is exchanged as a whole; only what normal
    deviates leave behind is outside it.
    """

    torch_state: torch.Tensor
    random_state: Any
    numpy_bits: Any
    numpy_state: dict[str, Any] | None = None
    torch_stand: object = None  # when they had been put in

    @classmethod
    def present(cls, before: States | None = None) -> States:
        """Those of this moment; `before` are those that were last put in."""
        if before is not None and TORCH.now() == before.torch_stand:
            torch_state = before.torch_state
        else:
            torch_state = torch.get_rng_state()
        numpy_state = dict(np.random.get_state(legacy=False)) if NUMPY.may_keep() else None
        if numpy_state is not None and not numpy_state["has_gauss"]:
            numpy_state = None
        return cls(torch_state, RANDOM.get(), get_bit_generator(), numpy_state)

    def put_in(self) -> None:
        """Make them those of this moment."""
        torch.set_rng_state(self.torch_state)
        self.torch_stand = TORCH.now()
        RANDOM.put(self.random_state)
        set_bit_generator(self.numpy_bits)
        # Normal deviates come in pairs, and the second of a pair is kept outside the bits.
        if self.numpy_state is not None:
            np.random.set_state(self.numpy_state)


class RandomStates:
    """Swaps the global generators' states between the caller and the ranks.

    Every rank begins as a fresh process does: torch with its default seed. `random` and
    `numpy.random`, which a fresh process seeds from the system, are seeded by rank. torch's default
    dtype is swapped with them; ranks begin with the caller's.

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
        self._last: States | None = None
        self._states = {rank: fresh(rank, seed) for rank in range(num_ranks)}
        self._dtypes = dict.fromkeys(range(num_ranks), torch.get_default_dtype())

    def switch_to(self, rank: int) -> None:
        """Put in a rank's states; what stands there is kept for whose it is."""
        if rank == self._owner:
            return
        self._states[self._owner] = States.present(self._last)
        self._last = self._states[rank]
        self._last.put_in()
        self._swap_dtype(rank)
        self._owner = rank

    def _swap_dtype(self, rank: int) -> None:
        present = self._dtypes[self._owner] = torch.get_default_dtype()
        dtype = self._dtypes[rank]
        if dtype is not present:
            torch.set_default_dtype(dtype)

    def restore(self) -> None:
        """Put the caller's states back."""
        self.switch_to(self._caller)


def fresh(rank: int, seed: int) -> States:
    """The states with which a rank begins."""
    children = np.random.SeedSequence(seed, spawn_key=(rank,)).spawn(2)
    own = random.Random(int(children[0].generate_state(1, np.uint64)[0]))
    bits = np.random.MT19937(children[1])
    return States(torch.Generator().get_state(), RANDOM.of(own), bits)
