"""How processes and their run talk: messages over a private, authenticated socket."""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGE = 1 << 16  # bytes from which a tensor goes through a file in memory instead of the socket

Encoded = tuple[str, tuple[int, ...], bytes | str]
"""A tensor: its type, its shape, and its bytes or the name of a file that holds them."""


def send(connection: Connection, message: Any) -> None:
    """Send one message."""
    connection.send_bytes(pickle.dumps(message, protocol=5))


def receive(connection: Connection) -> Any:
    """Wait for one message.

    Raises
    ------
    EOFError
        If the other end has gone.
    """
    try:
        return pickle.loads(connection.recv_bytes())
    except OSError as error:
        raise EOFError(str(error)) from None


class Parcels:
    """Packs tensors for the other end, and unpacks the other end's.

    Parameters
    ----------
    folder : str or Path
        A private folder that both ends see, in memory where the system has such.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._last: tuple[Sequence[Tensor], list[Encoded]] = (), []

    def pack(self, tensors: Sequence[Tensor]) -> list[Encoded]:
        """Encode tensors, wherever they are; what they hold now is what arrives."""
        return [self._pack(tensor) for tensor in tensors]

    def pack_again(self, tensors: Sequence[Tensor]) -> list[Encoded]:
        """The same for tensors that never change: those of the last time are not packed anew."""
        last, encoded = self._last
        if tensors is last:
            return encoded
        encoded = self.pack(tensors)
        if all(isinstance(data, bytes) for _, _, data in encoded):  # a file can be read once only
            self._last = tensors, encoded
        return encoded

    def unpack(self, encoded: Sequence[Encoded]) -> list[Tensor]:
        """Decode tensors; each may be decoded once."""
        return [self._unpack(*each) for each in encoded]

    def _pack(self, tensor: Tensor) -> Encoded:
        flat = tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous().view(-1)
        raw = flat.view(torch.uint8)
        about = str(flat.dtype).removeprefix("torch."), tuple(tensor.shape)
        if len(raw) < LARGE:
            return (*about, _bytes(raw))
        name = secrets.token_hex(8)
        path = os.path.join(self.folder, name)
        if not _reserved(path, len(raw)):
            return (*about, _bytes(raw))
        shared = torch.from_file(path, shared=True, size=len(raw), dtype=torch.uint8)
        shared.copy_(raw)
        return (*about, name)

    def _unpack(self, dtype: str, shape: tuple[int, ...], data: bytes | str) -> Tensor:
        kind = getattr(torch, dtype)
        if isinstance(data, str):
            path = os.path.join(self.folder, data)
            size = os.path.getsize(path)
            raw = torch.from_file(path, shared=True, size=size, dtype=torch.uint8)
            os.unlink(path)
            return raw.view(kind).view(shape)
        if not data:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(bytearray(data), dtype=kind).view(shape)


def _bytes(raw: Tensor) -> bytes:
    """The bytes of a copy: numpy would pin the storage of a tensor that may yet be resized."""
    return raw.clone().numpy().tobytes()


def _reserved(path: str, size: int) -> bool:
    """Make a file of some size, whose room is certain: a file that overflows kills who writes."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:  # the folder's: the other end has gone, as sending will tell
        return False
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.unlink(path)
        return False
    finally:
        os.close(descriptor)
    return True
