"""The states of the libraries' own random generators, as those give and take them or in place.

Copied as memory, a state takes a tenth of the time, and a third of the processor's cache, which
is then the ranks'. Where memory is not laid out as known here, the libraries' calls do it.
"""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from typing import Any, Protocol

import numpy as np
import torch

TWISTER_WORDS = 624
PROBED_BYTES = 512  # in which a generator of torch has its head, if it is as known
PROBE_SEED = 0x5EED_C0DE


class Generator(Protocol):
    """The one generator of a library that all of a process share."""

    def of(self, generator: Any) -> Any:
        """The state of another generator of the same kind."""

    def get(self) -> Any:
        """Its own."""

    def put(self, state: Any) -> None:
        """Give it a state."""


class RandomByCall:
    """`random`'s, through `random`."""

    def of(self, generator: random.Random) -> Any:
        """The state of any generator."""
        return generator.getstate()

    def get(self) -> Any:
        """That of `random`'s own."""
        return random.getstate()

    def put(self, state: Any) -> None:
        """Make it that of `random`'s own."""
        random.setstate(state)


class RandomInPlace:
    """`random`'s, as memory.

    CPython's object is its head, then the position and the words of a Mersenne Twister.
    """

    SIZE = 4 * (1 + TWISTER_WORDS)

    def __init__(self) -> None:
        self._own: Any = vars(random)["_inst"]
        self._state = self._memory(self._own)

    def _memory(self, generator: Any) -> memoryview:
        return _memory(id(generator) + object.__basicsize__, self.SIZE)

    def of(self, generator: Any) -> tuple[bytes, Any]:
        """The state of any generator, and the second of a pair of normal deviates."""
        return bytes(self._memory(generator)), generator.gauss_next

    def get(self) -> tuple[bytes, Any]:
        """That of `random`'s own."""
        return bytes(self._state), self._own.gauss_next

    def put(self, state: tuple[bytes, Any]) -> None:
        """Make it that of `random`'s own."""
        self._state[:], self._own.gauss_next = state

    def is_right(self) -> bool:
        """Whether memory is laid out so here."""
        if random.Random.__basicsize__ < object.__basicsize__ + self.SIZE:
            return False
        probe = random.Random(1)
        probe.random()
        _, words, _ = probe.getstate()
        return self.of(probe)[0] == struct.pack("=625I", words[-1], *words[:-1])


class TorchByCall:
    """torch's, through torch."""

    def of(self, generator: torch.Generator) -> Any:
        """The state of any generator."""
        return generator.get_state()

    def get(self) -> Any:
        """That of torch's own."""
        return torch.get_rng_state()

    def put(self, state: Any) -> None:
        """Make it that of torch's own."""
        torch.set_rng_state(state)


class TorchInPlace:
    """torch's, as memory.

    Behind the head of torch's object (`at::CPUGeneratorImpl`) stand the seed, how many words are
    left, whether it was seeded, which word is next, and the words of a Mersenne Twister; then the
    second of a pair of normal deviates, as a float and as a double, each with whether it is there.

    Parameters
    ----------
    offset : int
        Bytes of the head; see `engine_offset`.
    """

    HEAD = "=QiB"  # the gap behind it may hold anything
    WORDS_AT = 20
    SIZE = WORDS_AT + 4 * TWISTER_WORDS + 4 + 8 + 16

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._state = self._memory(torch.default_generator)

    def _memory(self, generator: Any) -> memoryview:
        return _memory(generator._cdata + self._offset, self.SIZE)

    def of(self, generator: torch.Generator) -> bytes:
        """The state of any generator."""
        return bytes(self._memory(generator))

    def get(self) -> bytes:
        """That of torch's own."""
        return bytes(self._state)

    def put(self, state: bytes) -> None:
        """Make it that of torch's own."""
        self._state[:] = state

    @classmethod
    def engine_offset(cls) -> int:
        """Where the seed of a generator of torch stands behind its address; -1 if not as known."""
        probe = torch.Generator().manual_seed(PROBE_SEED)
        address = getattr(probe, "_cdata", None)
        if not isinstance(address, int):
            return -1
        head = struct.pack(cls.HEAD, PROBE_SEED, 1, 1)
        offset = ctypes.string_at(address, PROBED_BYTES).find(head)
        words = np.random.RandomState(PROBE_SEED).get_state(legacy=False)["state"]["key"].tobytes()
        found = ctypes.string_at(address + offset + cls.WORDS_AT, len(words))
        return offset if offset >= 0 and found == words else -1

    def is_right(self) -> bool:
        """Whether a copied state is the whole state."""
        given, taken = torch.Generator().manual_seed(1), torch.Generator()
        torch.randn((), generator=given)  # leaves the second of a pair behind
        self._memory(taken)[:] = self.of(given)
        return torch.equal(given.get_state(), taken.get_state())


class Twister:
    """Tells whether a Mersenne Twister of numpy has been used, without a copy of its words.

    Told by the first of its words, which change whenever all have been used, and by which is
    next. Read in place: numpy copies all words for who asks.

    Parameters
    ----------
    bits : numpy.random.MT19937
        The generator; it must outlive this.
    """

    __slots__ = ("_words",)

    def __init__(self, bits: np.random.MT19937) -> None:
        words = (ctypes.c_uint32 * (TWISTER_WORDS + 1)).from_address(bits.ctypes.state_address)
        self._words = memoryview(words).cast("B").cast("I")

    def position(self) -> tuple[int, int]:
        """Changes whenever it is used."""
        return self._words[0], self._words[TWISTER_WORDS]


def _memory(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def random_generator() -> Generator:
    """`random`'s own."""
    if sys.implementation.name == "cpython" and type(vars(random).get("_inst")) is random.Random:
        in_place = RandomInPlace()
        if in_place.is_right():
            return in_place
    return RandomByCall()


def torch_generator() -> Generator:
    """torch's own, of the processor."""
    offset = TorchInPlace.engine_offset()
    if offset >= 0:
        in_place = TorchInPlace(offset)
        if in_place.is_right():
            return in_place
    return TorchByCall()
