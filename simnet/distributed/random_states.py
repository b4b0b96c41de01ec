"""A stream of random numbers for each rank, behind the generators that all of them share.

torch, `random` and `numpy.random` have one global generator a process. Whenever another rank
goes on, its own states are put in, so that ranks do not disturb each other.
"""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator


class ByCall:
    """The state of `random`'s own generator, as `random` itself gives and takes it."""

    def of(self, generator: random.Random) -> Any:
        """The state of any generator."""
        return generator.getstate()

    def get(self) -> Any:
        """That of `random`'s own."""
        return random.getstate()

    def put(self, state: Any) -> None:
        """Make it that of `random`'s own."""
        random.setstate(state)


class InPlace:
    """The same, copied as memory: a twentieth of the time.

    CPython's object is its head, then the position and the 624 words of a Mersenne Twister.
    """

    SIZE = 4 * 625

    def __init__(self) -> None:
        self._own: Any = vars(random)["_inst"]

    def of(self, generator: Any) -> tuple[bytes, Any]:
        """The state of any generator."""
        address = id(generator) + object.__basicsize__
        return ctypes.string_at(address, self.SIZE), generator.gauss_next

    def get(self) -> tuple[bytes, Any]:
        """That of `random`'s own."""
        return self.of(self._own)

    def put(self, state: tuple[bytes, Any]) -> None:
        """Make it that of `random`'s own."""
        words, self._own.gauss_next = state
        ctypes.memmove(id(self._own) + object.__basicsize__, words, self.SIZE)

    def is_right(self) -> bool:
        """Whether memory is laid out so here."""
        if random.Random.__basicsize__ < object.__basicsize__ + self.SIZE:
            return False
        probe = random.Random(1)
        probe.random()
        _, words, _ = probe.getstate()
        return self.of(probe)[0] == struct.pack("=625I", words[-1], *words[:-1])


def _own_generator() -> ByCall | InPlace:
    if sys.implementation.name == "cpython" and type(vars(random).get("_inst")) is random.Random:
        in_place = InPlace()
        if in_place.is_right():
            return in_place
    return ByCall()


OWN = _own_generator()


@dataclass(slots=True)
class States:
    """The states of the three generators.

    numpy's are kept by its bit generator, which is exchanged as a whole; only what normal
    deviates leave behind is outside it, and asking for that costs as much as all the rest.
    """

    torch_state: torch.Tensor
    random_state: Any
    numpy_bits: Any
    numpy_state: dict[str, Any] | None
    position: tuple[int, int] | None

    @classmethod
    def present(cls, before: States | None = None) -> States:
        """Those of this moment; `before` are those that were last put in."""
        bits = get_bit_generator()
        position = _position(bits)
        unused = (
            before is not None
            and before.numpy_bits is bits
            and before.numpy_state is None
            and before.position == position is not None
        )
        numpy_state = None if unused else dict(np.random.get_state(legacy=False))
        if numpy_state is not None and not numpy_state["has_gauss"]:
            numpy_state = None
        return cls(torch.get_rng_state(), OWN.get(), bits, numpy_state, position)

    def put_in(self) -> None:
        """Make them those of this moment."""
        torch.set_rng_state(self.torch_state)
        OWN.put(self.random_state)
        set_bit_generator(self.numpy_bits)
        # Normal deviates come in pairs, and the second of a pair is kept outside the bits.
        if self.numpy_state is not None:
            np.random.set_state(self.numpy_state)


def _position(bits: Any) -> tuple[int, int] | None:
    """Where a Mersenne Twister is: the first of its 624 words, and which is next.

    The words change whenever all have been used. None for another generator.

    Read in place: numpy copies all words for who asks. `mt19937_state` is the words, then this.
    """
    if not isinstance(bits, np.random.MT19937):
        return None
    address = bits.ctypes.state_address
    first = ctypes.c_uint32.from_address(address).value
    return first, ctypes.c_int.from_address(address + 4 * 624).value


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
    state = OWN.of(own)
    return States(torch.Generator().get_state(), state, bits, None, _position(bits))
