"""Outcomes as bytes in files."""

import io
import pickle
from pathlib import Path

import torch


def pack(thing):
    """A pickle of torch's own kind: plain pickle does not restore tensors of every type."""
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return pickle.dumps(buffer.getvalue())


def unpack_all(path):
    """What was packed into a file, one after another."""
    with Path(path).open("rb") as file:
        while True:
            try:
                packed = pickle.load(file)
            except EOFError:
                return
            yield torch.load(io.BytesIO(packed), weights_only=False)
