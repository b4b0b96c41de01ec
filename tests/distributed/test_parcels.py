"""Tensors on their way between processes: small ones inside a message, large ones in a file."""

import errno
import os

import pytest
import torch

from simnet.distributed.wire import LARGE, Parcels

TENSORS = (
    torch.arange(6.0).view(2, 3).T,
    torch.tensor(3, dtype=torch.int64),
    torch.empty(0, 4),
    torch.arange(LARGE, dtype=torch.int32),
    torch.ones(LARGE, dtype=torch.bfloat16)[::2],
    torch.tensor([1 + 2j]).conj(),
)


def carried(folder):
    parcels = Parcels(folder)
    return parcels.unpack(parcels.pack(TENSORS))


def test_what_comes_out_is_what_went_in_and_no_file_stays(tmp_path):
    for found, given in zip(carried(tmp_path), TENSORS, strict=True):
        assert found.dtype == given.dtype
        assert torch.equal(found, given)
    assert list(tmp_path.iterdir()) == []


def test_what_arrives_is_what_was_there_when_it_was_packed(tmp_path):
    parcels, large = Parcels(tmp_path), torch.ones(LARGE)
    packed = parcels.pack([large])
    large.zero_()
    assert parcels.unpack(packed)[0].min() == 1


def test_where_memory_has_no_room_tensors_go_inside_the_message(tmp_path, monkeypatch):
    """A file that overflows memory would end the process that writes it, without a word."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system makes no room beforehand")
    monkeypatch.setattr(os, "posix_fallocate", full)
    packed = Parcels(tmp_path).pack(TENSORS)
    assert list(tmp_path.iterdir()) == []
    assert all(isinstance(data, bytes) for _, _, data in packed)
    for found, given in zip(carried(tmp_path), TENSORS, strict=True):
        assert torch.equal(found, given)
