"""The one seed of a network or a run."""

from __future__ import annotations

import secrets

import numpy as np


def checked_seed(seed: int | None) -> int:
    """A seed as a plain int.

    Parameters
    ----------
    seed : int or None
        Zero or more; None draws one of 32 bits from the system.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    if seed is None:
        return secrets.randbits(32)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed={seed!r}: a whole number, or None to draw one")
    if seed < 0:
        raise ValueError(f"seed={seed}: zero or more, or None to draw one")
    return int(seed)
