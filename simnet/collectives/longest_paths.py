"""How long a schedule takes if every transfer begins with the end of the last it waits for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

NARROW = 32
"""Transfers a layer, on average, below which schedules are walked one transfer after the other."""
LAYERS_LOOKED_AT = 16


def longest_paths(offsets: IntArray, deps: IntArray, lengths: FloatArray) -> FloatArray:
    """When each transfer ends if it begins with the last end of its dependencies.

    Parameters
    ----------
    offsets, deps : array of int
        Transfer i waits for ``deps[offsets[i]:offsets[i + 1]]``, all of them before i.
    lengths : (n,) array of float
        How long each transfer takes.
    """
    layers = layers_of(offsets, deps)
    if layers is None:
        return longest_paths_one_by_one(offsets, deps, lengths)
    ends = lengths.copy()
    for layer in layers[1:]:
        counts = offsets[layer + 1] - offsets[layer]
        awaited = ends[deps[_ranges(offsets[layer], counts)]]
        ends[layer] += np.maximum.reduceat(awaited, np.cumsum(counts) - counts)
    return ends


def longest_paths_one_by_one(offsets: IntArray, deps: IntArray, lengths: FloatArray) -> FloatArray:
    """The same, transfer after transfer: for schedules that are long and narrow."""
    ends: list[float] = []
    bounds, before = offsets.tolist(), deps.tolist()
    for transfer, length in enumerate(lengths.tolist()):
        awaited = before[bounds[transfer] : bounds[transfer + 1]]
        ends.append(length + max([ends[dep] for dep in awaited], default=0.0))
    return np.array(ends)


def layers_of(offsets: IntArray, deps: IntArray) -> list[IntArray] | None:
    """Transfers by how deep they are: all that a layer waits for is in layers before it.

    None where layers are so narrow that going through them costs more than it saves.
    """
    missing = np.diff(offsets)
    waiting = np.repeat(np.arange(len(missing)), missing)[np.argsort(deps, kind="stable")]
    freed = np.bincount(deps, minlength=len(missing))
    begins = np.cumsum(freed) - freed
    layer, done, layers = np.flatnonzero(missing == 0), 0, []
    while len(layer):
        layers.append(layer)
        done += len(layer)
        if len(layers) % LAYERS_LOOKED_AT == 0 and done < NARROW * len(layers):
            return None
        hit, times = np.unique(waiting[_ranges(begins[layer], freed[layer])], return_counts=True)
        missing[hit] -= times
        layer = hit[missing[hit] == 0]
    return layers


def _ranges(begins: IntArray, counts: IntArray) -> IntArray:
    """begins[0], begins[0] + 1, … for counts[0] numbers, then those of the next, in one array."""
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    flat: IntArray = np.repeat(begins, counts) + steps
    return flat
