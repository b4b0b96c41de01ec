"""Max-min fairness by progressive filling: the definition, over arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def max_min_rates(routes: IntArray, capacity: FloatArray) -> FloatArray:
    """Share links among flows so that no rate can grow without a smaller or equal one shrinking.

    Progressive filling (Bertsekas & Gallager, *Data Networks*, 1992, section 6.5.2): all rates
    rise together; the link with the least capacity per unfrozen flow saturates first and freezes
    its flows at that level; repeat on what is left. Links of exactly equal level freeze together.

    Parameters
    ----------
    routes : (F, H) array of int
        Links of each flow, no link twice in a row; rows are padded with ``len(capacity) - 1``.
    capacity : (L + 1,) array of float
        Bytes/s of each link; the last entry is the padding and must be infinite.

    Returns
    -------
    (F,) array of float
        Bytes/s of each flow; infinite for a flow that crosses no link.
    """
    rates = np.full(len(routes), np.inf)
    if len(capacity) > routes.size:
        links, local = np.unique(routes, return_inverse=True)
        residual, routes = capacity[links], local.reshape(routes.shape)
    else:
        residual = capacity
    unfrozen = np.arange(len(routes))
    lowest = 0.0
    while len(unfrozen):
        rows = routes[unfrozen]
        count = np.bincount(rows.ravel(), minlength=len(residual))
        level = np.full(len(residual), np.inf)
        np.divide(residual, count, out=level, where=count > 0)
        # Levels only rise; without the floor rounding could take the last bits off one.
        lowest = max(lowest, float(level.min()))
        if lowest == np.inf:
            break
        frozen = (level[rows] <= lowest).any(axis=1)
        rates[unfrozen[frozen]] = lowest
        used = np.bincount(rows[frozen].ravel(), minlength=len(residual))
        # A link without bound (the padding) stays so: inf − n × lowest is inf.
        residual = np.maximum(residual - used * lowest, 0.0)
        unfrozen = unfrozen[~frozen]
    return rates
