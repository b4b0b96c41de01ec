"""How pictures look: colours, fonts, figures of their own, and how one is written to a file.

Nothing here touches global state: no pyplot, and settings hold only inside `context()`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito, https://jfly.uni-koeln.de/color/, without yellow and black: yellow is too faint
# for thin marks on white, black is for text.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
INK = "#222222"
SOFT_INK = "#666666"
PLAIN_LINK = "#8C8C8C"
IDLE = "#D9D9D9"
SWITCH = "#C3CAD3"
SMALL, NORMAL, LARGE = 7.5, 9.0, 10.5  # points
DPI = 160
SUFFIXES = {".png": "png", ".svg": "svg"}

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": NORMAL,
    "axes.titlesize": LARGE,
    "axes.titleweight": "normal",
    "axes.labelsize": NORMAL,
    "axes.edgecolor": SOFT_INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.usetex": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
    "svg.hashsalt": "simnet",  # the same picture is the same file
    "svg.fonttype": "path",
}


@contextmanager
def context() -> Iterator[None]:
    """Matplotlib's settings for simnet's pictures, while inside."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own (inches), with constrained layout, unknown to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def colour(number: int) -> str:
    """The colour of the n-th thing; they repeat after six."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def tint(base: str, share: float) -> tuple[float, float, float]:
    """A colour mixed with white; share 1 leaves it as it is."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - share * (1 - part) for part in to_rgb(base))
    return red, green, blue


def busy_map() -> Colormap:
    """Viridis from light (little) to dark (much), without the palest part: colour-blind-safe."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis_r"](np.linspace(0.06, 1.0, 256)), name="busy")


def clean_axes(ax: Axes) -> None:
    """Leave only the lower line of the frame."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)


def suffix_of(path: str | Path) -> str:
    """The format that a file name asks for; ValueError unless it is .png or .svg."""
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise ValueError(f"{path}: write .png or .svg")
    return found


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as its suffix says; drawn in memory first, so that a failure leaves no file.

    Raises
    ------
    ValueError
        If the file could not be written, or for a suffix other than .png and .svg.
    """
    kind = suffix_of(path)
    picture = io.BytesIO()
    # No date and no program version: the same picture is the same file.
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with context():
        figure.savefig(picture, format=kind, metadata=metadata)
    try:
        Path(path).write_bytes(picture.getvalue())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def check_rows(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows as a list; ValueError if there are none or one lacks a key."""
    found = list(rows)
    if not found:
        raise ValueError("rows: there is nothing to draw")
    for number, row in enumerate(found):
        missing = [key for key in keys if key not in row]
        if missing:
            raise ValueError(f"row {number}: no {', '.join(map(repr, missing))}")
    return found


def distinct(values: Iterable[Any]) -> list[Any]:
    """The values once each, in the order they first come."""
    return list(dict.fromkeys(values))


def time_unit(seconds: float) -> tuple[float, str]:
    """What to multiply seconds by so that numbers up to this one read well, and the unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1.0:
            return factor, unit
    return (1e9, "ns") if seconds > 0 else (1.0, "s")


def tick_time(seconds: float, _: int = 0) -> str:
    """A tick of a logarithmic time axis: 0.001 is "1 ms"."""
    factor, unit = time_unit(seconds * (1 + 1e-9))
    return f"{grouped(f'{seconds * factor:,.6g}')} {unit}"


def three_digits(seconds: float) -> str:
    """A time as short as a label wants it: 0.0123456 is "12.3 ms"."""
    if not math.isfinite(seconds):
        return "not ended"
    factor, unit = time_unit(seconds * (1 + 5e-4))
    value = seconds * factor
    return f"{grouped(f'{value:,.0f}') if value >= 100 else f'{value:.3g}'} {unit}"


def grouped(digits: str) -> str:
    """Thousands apart by a thin space, which is read alike everywhere."""
    return digits.replace(",", "\u2009")
