"""The private place where a run's processes find it: a folder, a socket in it, a key."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

LOOK_EVERY_S = 0.2
MEMORY = "/dev/shm"  # where Linux keeps files in memory


@dataclass(slots=True)
class Gathering:
    """Where processes connect.

    Attributes
    ----------
    folder : str
        Readable by the user alone.
    address : str
        The socket.
    key : bytes
        What a process must know.
    """

    folder: str
    address: str
    key: bytes = field(repr=False)
    _socket: socket.socket = field(repr=False)

    def accept(self, seconds: float) -> tuple[Connection, tuple[Any, ...]] | None:
        """Wait at most so long for a process; returns its connection and greeting."""
        self._socket.settimeout(seconds)
        try:
            accepted, _ = self._socket.accept()
        except TimeoutError:
            return None
        accepted.setblocking(True)
        connection = Connection(accepted.detach())
        try:
            deliver_challenge(connection, self.key)
            answer_challenge(connection, self.key)
            return connection, connection.recv()
        except (AuthenticationError, EOFError, OSError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise


@contextmanager
def gathering() -> Iterator[Gathering]:
    """Open a place; everything in it is removed at the end."""
    folder = tempfile.mkdtemp(prefix="simnet-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    address = os.path.join(folder, "run")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address)
        listener.listen(1024)
        yield Gathering(folder, address, secrets.token_bytes(32), listener)
    finally:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


def await_all(
    place: Gathering,
    count: int,
    seconds: float,
    alive: Callable[[], str],
    on_wait: Callable[[], None],
) -> list[tuple[Connection, tuple[Any, ...]]]:
    """Wait until so many processes have connected.

    Raises
    ------
    RuntimeError
        If `alive()` says why no more will come, or none comes for so many seconds.
    """
    with ExitStack() as undo:
        found: list[tuple[Connection, tuple[Any, ...]]] = []
        last = time.monotonic()
        while len(found) < count:
            one = place.accept(LOOK_EVERY_S)
            on_wait()
            if one is not None:
                undo.callback(one[0].close)
                found.append(one)
                last = time.monotonic()
                continue
            why = alive()
            if why or time.monotonic() - last > seconds:
                raise RuntimeError(
                    f"simnet.run: {count - len(found)} of {count} processes did not start"
                    f"{why or f' within {seconds:g} s'}"
                )
        undo.pop_all()
    return found
