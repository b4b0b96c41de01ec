"""How processes and their run talk: messages over a private, authenticated socket."""

from __future__ import annotations

import ctypes
import os
import pickle
import secrets
import socket
import struct
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LENGTH = struct.Struct("!Q")
AT_ONCE = 1 << 13
LARGE = 1 << 16  # bytes from which a tensor goes through a file in memory instead of the socket

_NAMES = {
    each: str(each).removeprefix("torch.")
    for each in vars(torch).values()
    if isinstance(each, torch.dtype)
}

Encoded = tuple[str, tuple[int, ...], bytes | str]
"""A tensor: its type, its shape, and its bytes or the name of a file that holds them."""


class Line:
    """Messages over a connection, each one read and one write where it is small.

    `Connection` itself reads the length first; it may be used before, and not beside.

    Parameters
    ----------
    connection : Connection
        To the other end.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._come = bytearray()
        self._patience = 0.0  # seconds that a read takes at most; 0 for no end

    def send(self, message: Any) -> None:
        """Send one message; OSError if the other end has gone."""
        body = pickle.dumps(message, protocol=5)
        data = LENGTH.pack(len(body)) + body
        sent = os.write(self._connection.fileno(), data)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while rest:
                rest = rest[os.write(self._connection.fileno(), rest) :]

    def is_in(self, seconds: float) -> bool:
        """Wait at most so long for something to receive, be it that the other end has gone.

        The read itself has the limit: to poll first would take as long as to read.
        """
        if not self._come:
            if seconds != self._patience:
                self._limit(seconds)
            try:
                self._come += os.read(self._connection.fileno(), AT_ONCE)
            except BlockingIOError:
                return False
            except OSError:
                return True  # receiving will say so
        return True

    def receive(self) -> Any:
        """Wait for one message.

        Raises
        ------
        EOFError
            If the other end has gone.
        """
        come = self._come
        while True:
            size = LENGTH.size
            if len(come) >= size:
                size += LENGTH.unpack_from(come)[0]
                if len(come) >= size:
                    body = come[LENGTH.size : size]
                    del come[:size]
                    return pickle.loads(body)
            come += self._read(max(size - len(come), AT_ONCE))

    def _read(self, most: int) -> bytes:
        while True:
            try:
                piece = os.read(self._connection.fileno(), most)
            except BlockingIOError:  # the limit of `is_in`, in the middle of a message
                continue
            except OSError as error:
                raise EOFError(str(error)) from None
            if not piece:
                raise EOFError("the other end has gone")
            return piece

    def _limit(self, seconds: float) -> None:
        """Let reads take at most so long."""
        self._patience = seconds
        whole = int(seconds)
        limit = struct.pack("@ll", whole, int((seconds - whole) * 1e6))
        with socket.socket(fileno=os.dup(self._connection.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


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
        plain = tensor if _is_plain(tensor) else _made_plain(tensor)
        about = _NAMES[plain.dtype], tuple(tensor.shape)
        size = plain.nbytes
        if size < LARGE:
            return (*about, ctypes.string_at(plain.data_ptr(), size) if size else b"")
        raw = plain.detach().view(-1).view(torch.uint8)
        name = secrets.token_hex(8)
        path = os.path.join(self.folder, name)
        if not _reserved(path, size):
            return (*about, _bytes(raw))
        shared = torch.from_file(path, shared=True, size=size, dtype=torch.uint8)
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
        flat = torch.frombuffer(bytearray(data), dtype=kind)
        return flat if len(shape) == 1 else flat.view(shape)


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's bytes are its elements, in their order, in this process's memory."""
    return (
        type(tensor) is Tensor
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def _made_plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous()


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
