"""Published latency matrices, as data files that name their source, licence and date.

A file ``<name>.json`` holds ``rtt_ms`` as published; nothing is filled in or rounded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

__all__ = ["LatencyMatrix", "load", "names"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyMatrix:
    """Round-trip times between regions, as published.

    Attributes
    ----------
    name, title : str
        Name in this catalog and title of the publication.
    source, document : str
        URL of the publication, and of the very version the numbers were taken from.
    attribution, licence, changes : str
        Whom to credit, the SPDX identifier of the licence, and what was changed.
    statistic, period : str
        What one number is, and the time over which it was measured.
    regions : tuple of str
        Names of the n regions.
    latitude, longitude : ndarray of float, shape (n,)
        Positions in degrees, north and east positive.
    rtt : ndarray of float, shape (n, n)
        Round-trip time in seconds, probed from the row's region to the column's and back; nan
        where none is published.
    """

    name: str
    title: str
    source: str
    document: str
    attribution: str
    licence: str
    changes: str
    statistic: str
    period: str
    regions: tuple[str, ...]
    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    rtt: npt.NDArray[np.float64]


def names() -> tuple[str, ...]:
    """Return the names of the matrices in the catalog, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name[: -len(".json")] for f in files if f.name.endswith(".json")))


def load(name: str) -> LatencyMatrix:
    """Return a matrix of the catalog by its name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    LatencyMatrix
        Its arrays are read-only.

    Raises
    ------
    ValueError
        Where the catalog has no such name.
    """
    if name not in names():
        raise ValueError(f"the catalog has no {name!r}; it has {', '.join(names())}")
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    data = json.loads(text)
    texts = (
        "name",
        "title",
        "source",
        "document",
        "attribution",
        "licence",
        "changes",
        "statistic",
        "period",
    )
    regions = data["regions"]
    return LatencyMatrix(
        **{key: data[key] for key in texts},
        regions=tuple(region["name"] for region in regions),
        latitude=_frozen([region["latitude"] for region in regions]),
        longitude=_frozen([region["longitude"] for region in regions]),
        rtt=_frozen(np.array(data["rtt_ms"], dtype=float) / 1000),  # null becomes nan
    )


def _frozen(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a read-only array of floats."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
