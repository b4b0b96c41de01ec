"""What a program is told that asks for CUDA where there is none."""

from __future__ import annotations

import re

import torch

from simnet.ranks.where import raised_at

SIGNS = re.compile(
    r"not compiled with CUDA|compiled without CUDA|requires CUDA support|NVIDIA|No CUDA GPUs"
    r"|_cuda_|ATen_cuda|CUDA device|accelerator device when none"
)
CHOOSE = 'choose the device by availability: "cuda" if torch.cuda.is_available() else "cpu"'


class NoCudaError(RuntimeError):
    """A program asks for CUDA where there is none."""


def wants_cuda(error: BaseException) -> bool:
    """Whether this is torch's answer to who wants CUDA and has none."""
    return bool(SIGNS.search(str(error))) and not torch.cuda.is_available()


def explained(error: BaseException) -> BaseException:
    """A NoCudaError in place of torch's answer to who wants CUDA and has none; others as is."""
    if not wants_cuda(error):
        return error
    where = raised_at(error)
    told = NoCudaError(
        f"{where}{': ' if where else ''}asks for CUDA, of which there is none here: {CHOOSE}"
    )
    return told.with_traceback(error.__traceback__)
