"""Bundled data: handwritten digits."""

from __future__ import annotations

from simnet.workload.data.digits import Digits, load_digits, shard, split

__all__ = ["Digits", "load_digits", "shard", "split"]
