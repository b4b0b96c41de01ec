"""Where processes that may become ranks find the run; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

FAILURE = "failure-"  # begins the names of files in which processes leave why they failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a process finds the run, in words that travel to the processes that it starts.

    Attributes
    ----------
    address : str
        The run's socket, in the run's private folder.
    key : bytes
        What a process must know.
    virtual_time : bool
        Whether `time` means the rank's clock, in ranks.
    forward : bool
        Whether what ranks print goes to the run's process, which puts their numbers before it.
    patched : bool
        Whether it was opened by `simnet.patch_distributed_functions`.
    """

    address: str
    key: bytes = field(repr=False)
    virtual_time: bool = False
    forward: bool = True
    patched: bool = False
