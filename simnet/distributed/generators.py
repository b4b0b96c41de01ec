"""The libraries' own random generators, read in place where memory is laid out as known here.

To ask torch or numpy for a state takes ten times as long as to look whether it has changed, and
brings the processor's cache a second copy of it. Every layout is checked when this is loaded, on
generators of its own; where it is another, the libraries are asked each time.

Only `random`'s generator is written in place: it is used under Python's lock alone, as this is.
torch draws without that lock, and under one of its own.
"""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from typing import Any

import numpy as np
import torch

TWISTER_WORDS = 624
PROBED_BYTES = 512  # in which a generator of torch has its head, if it is as known
PROBE_SEED = 0x5EED_C0DE


class RandomByCall:
    """The state of `random`'s own generator, as `random` gives and takes it."""

    def of(self, generator: random.Random) -> Any:
        """That of another generator."""
        return generator.getstate()

    def get(self) -> Any:
        """What it is."""
        return random.getstate()

    def put(self, state: Any) -> None:
        """Make it another."""
        random.setstate(state)


class RandomInPlace:
    """The same as memory, and the second of a pair of normal deviates.

    CPython's object is its head, then the position and the words of a Mersenne Twister.
    """

    SIZE = 4 * (1 + TWISTER_WORDS)

    def __init__(self) -> None:
        self._own: Any = vars(random)["_inst"]
        self._state = self._memory(self._own)

    def _memory(self, generator: Any) -> memoryview:
        return _memory(id(generator) + object.__basicsize__, self.SIZE)

    def of(self, generator: Any) -> tuple[bytes, Any]:
        """That of another generator."""
        return bytes(self._memory(generator)), generator.gauss_next

    def get(self) -> tuple[bytes, Any]:
        """What it is."""
        return bytes(self._state), self._own.gauss_next

    def put(self, state: tuple[bytes, Any]) -> None:
        """Make it another."""
        self._state[:], self._own.gauss_next = state

    def is_right(self) -> bool:
        """Whether memory is laid out so here."""
        if random.Random.__basicsize__ < object.__basicsize__ + self.SIZE:
            return False
        probe = random.Random(1)
        probe.random()
        _, words, _ = probe.getstate()
        return self.of(probe)[0] == struct.pack("=625I", words[-1], *words[:-1])


class TorchAsked:
    """How torch's own generator stands: as it never stood before, so that torch is asked."""

    def now(self) -> object:
        """Equal to nothing."""
        return object()


class TorchInPlace:
    """The same, read in place.

    Behind the head of torch's object (`at::CPUGeneratorImpl`) come the seed, how many words are
    left, whether it was seeded, which word is next, and the words of a Mersenne Twister; then the
    second of a pair of normal deviates, as a float and as a double, each with whether it is there.

    Parameters
    ----------
    offset : int
        Bytes of the head; see `find`.
    """

    START = "=QiB"  # the gap behind it may hold anything
    WORDS_AT = 20
    WORDS_END = WORDS_AT + 4 * TWISTER_WORDS
    SIZE = WORDS_END + 4 + 8 + 16

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._state = self._memory(torch.default_generator)

    def _memory(self, generator: Any) -> memoryview:
        return _memory(generator._cdata + self._offset, self.SIZE)

    def now(self) -> bytes:
        """Changes whenever it is used; what is read while it is used equals neither."""
        return bytes(self._state)

    @classmethod
    def find(cls) -> int:
        """Where the seed of a generator of torch stands behind its address; -1 if not as known."""
        probe = torch.Generator().manual_seed(PROBE_SEED)
        address = getattr(probe, "_cdata", None)
        if not isinstance(address, int):
            return -1
        start = struct.pack(cls.START, PROBE_SEED, 1, 1)
        offset = ctypes.string_at(address, PROBED_BYTES).find(start)
        if offset < 0:
            return -1
        words = np.random.RandomState(PROBE_SEED).get_state(legacy=False)["state"]["key"].tobytes()
        found = ctypes.string_at(address + offset + cls.WORDS_AT, len(words))
        return offset if found == words else -1

    def is_right(self) -> bool:
        """Whether it is seen too that the second of a pair is drawn, which changes no word."""
        probe = torch.Generator().manual_seed(PROBE_SEED)
        memory, seen = self._memory(probe), []
        for _ in range(2):
            torch.randn((), generator=probe, device="cpu")
            seen.append(bytes(memory))
        words = [each[self.WORDS_AT : self.WORDS_END] for each in seen]
        return seen[0] != seen[1] and words[0] == words[1]


class NumpyAsked:
    """Whether numpy's own generator keeps the second of a pair of normal deviates: it may."""

    def may_keep(self) -> bool:
        """Always: numpy has to be asked."""
        return True


class NumpyInPlace:
    """The same, read in place.

    Parameters
    ----------
    offset : int
        Where its object says so; see `find`.
    """

    def __init__(self, offset: int) -> None:
        self._own = np.random.get_state.__self__  # type: ignore[attr-defined]
        self._flag = ctypes.c_int.from_address(id(self._own) + offset)

    def may_keep(self) -> bool:
        """Whether it does."""
        return self._flag.value != 0

    @staticmethod
    def find() -> int:
        """Where an object of numpy says whether it keeps a deviate; -1 if not as known."""
        probe = np.random.RandomState(PROBE_SEED)
        size = type(probe).__basicsize__
        probe.standard_normal()
        kept = struct.pack("=d", probe.get_state(legacy=False)["gauss"])
        offset = ctypes.string_at(id(probe), size).find(kept) - 8
        if offset < 0:
            return -1
        flag = ctypes.c_int.from_address(id(probe) + offset)
        before = flag.value
        probe.standard_normal()
        return offset if (before, flag.value) == (1, 0) else -1


def _memory(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def random_state() -> RandomInPlace | RandomByCall:
    """What gives and takes the state of `random`'s own generator."""
    if sys.implementation.name == "cpython" and type(vars(random).get("_inst")) is random.Random:
        in_place = RandomInPlace()
        if in_place.is_right():
            return in_place
    return RandomByCall()


def torch_stand() -> TorchInPlace | TorchAsked:
    """What tells how torch's own generator, of the processor, stands."""
    offset = TorchInPlace.find()
    if offset >= 0:
        in_place = TorchInPlace(offset)
        if in_place.is_right():
            return in_place
    return TorchAsked()


def numpy_pair() -> NumpyInPlace | NumpyAsked:
    """What tells whether numpy's own generator keeps the second of a pair."""
    same = isinstance(getattr(np.random.get_state, "__self__", None), np.random.RandomState)
    offset = NumpyInPlace.find() if same and sys.implementation.name == "cpython" else -1
    return NumpyInPlace(offset) if offset >= 0 else NumpyAsked()
