"""How ranks find their network that somebody else has started one by one, as torchrun does.

Rank 0 starts it, and says where over the store that torch gives all of them: what goes over the
store is an address in a folder that only this user can read, and the key is in the folder.
"""

from __future__ import annotations

import itertools
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from simnet.distributed.door import Door
from simnet.distributed.network_process import NetworkProcess

MEET_S = 120.0  # wall time for all to come: importing torch from a cold disk is slow
LOOK_EVERY_S = 0.1
KEY = "key"  # the file's name

_MEETINGS = itertools.count()  # the same on every rank: all come to every meeting


@contextmanager
def met(
    number: int, world_size: int, given: Mapping[str, Any], network: NetworkProcess | None
) -> Iterator[Door]:
    """Meet the other ranks of a world, until the block ends: by then all must have come.

    Parameters
    ----------
    number, world_size : int
        Which rank, of how many.
    given : mapping
        The arguments of init_process_group.
    network : NetworkProcess or None
        Rank 0's; None on the others.

    Yields
    ------
    Door
        Where the network of the world is.

    Raises
    ------
    ValueError
        If there is no such rank.
    RuntimeError
        If they do not meet within `MEET_S` of wall time, or not on one machine.
    """
    if not 0 <= number < world_size:
        raise ValueError(f"init_process_group: rank={number}, but ranks are 0 to {world_size - 1}")
    meeting = f"simnet/{next(_MEETINGS)}"
    # Rank 0 may be the one that serves the store: it is held until all have read it.
    store = None if world_size == 1 else _store(number, world_size, given)
    if network is None:
        yield _look_up(store, meeting, number)
        return
    if store is not None:
        _leave_key(network)
        store.set(meeting, network.address)
    yield door_to(network.address, network.key)


def door_to(address: str, key: bytes) -> Door:
    """Where a patched process finds its network."""
    return Door(address=address, key=key, forward=False, patched=True)


def _store(number: int, world_size: int, given: Mapping[str, Any]) -> Any:
    """The store that torch itself would use."""
    if given.get("store") is not None:
        return given["store"]
    method = given.get("init_method") or "env://"
    limit = timedelta(seconds=MEET_S)
    try:
        store, _, _ = next(rendezvous(method, number, world_size, timeout=limit))
    except dist.DistError as error:
        raise RuntimeError(_apart(number, f"at {method}: {str(error).splitlines()[0]}")) from error
    return store


def _leave_key(network: NetworkProcess) -> None:
    path = os.path.join(os.path.dirname(network.address), KEY)
    with suppress(FileExistsError), open(path, "xb", opener=_private) as file:
        file.write(network.key)  # else it is there since a world before this one


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _look_up(store: Any, meeting: str, number: int) -> Door:
    """Wait for rank 0's word; what a crashed job has left in a store's file is passed over."""
    until = time.monotonic() + MEET_S
    while True:
        try:
            store.wait([meeting], timedelta(seconds=max(until - time.monotonic(), LOOK_EVERY_S)))
            address = store.get(meeting).decode()
        except RuntimeError as error:
            raise RuntimeError(_apart(number, "no word of rank 0")) from error
        door = _door_behind(address)
        if door is not None:
            return door
        if time.monotonic() > until:
            said = f"there is nothing on this machine at {address}, where rank 0 says"
            raise RuntimeError(_apart(number, said))
        time.sleep(LOOK_EVERY_S)


def _door_behind(address: str) -> Door | None:
    """The door at an address if there is somebody behind it.

    Raises
    ------
    PermissionError
        If the folder is not this user's alone.
    """
    folder = os.path.dirname(address)
    try:
        about = os.lstat(folder)
        private = stat.S_ISDIR(about.st_mode) and not about.st_mode & 0o077
        if not private or about.st_uid != os.getuid():
            raise PermissionError(f"init_process_group: {folder} is not this user's alone")
        with open(os.path.join(folder, KEY), "rb") as file:
            key = file.read()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address)
    except (FileNotFoundError, ConnectionError):
        return None
    return door_to(address, key)


def _apart(number: int, why: str) -> str:
    return f"init_process_group: rank {number} has not met the others: {why}"
