"""Bandwidths as nccl-tests defines them, so that results compare across tools."""

from __future__ import annotations

_HALVES_TWICE = frozenset({"all_reduce"})
_HALVES_ONCE = frozenset({"reduce_scatter", "all_gather", "all_to_all", "gather", "scatter"})


def bus_factor(kind: str, num_ranks: int) -> float:
    """Bytes that the busiest rank must send per byte of size: busbw = algbw × this.

    2(n−1)/n for all_reduce; (n−1)/n for reduce_scatter, all_gather, all_to_all, gather and
    scatter; 1 for the others.

    Source: NVIDIA nccl-tests, doc/PERFORMANCE.md.
    """
    share = (num_ranks - 1) / num_ranks
    if kind in _HALVES_TWICE:
        return 2 * share
    return share if kind in _HALVES_ONCE else 1.0
