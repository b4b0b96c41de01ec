"""Names beside nodes, left out where they would lie on another name or node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simnet.report import style
from simnet.report.node_layout import Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES = 120
_LETTER, _LINE = 0.62, 1.2  # width and height of a letter, in font sizes
# Where a name may go, best first: (across, up), in halves of the name and the node together.
_SIDES = ((0, -1), (0, 1), (1, 0), (-1, 0), (0.9, -0.8), (-0.9, -0.8), (0.9, 0.8), (-0.9, 0.8))


def place_names(
    ax: Axes, points: Points, radius: float, points_per_unit: float, names: dict[int, str]
) -> None:
    """Write names beside nodes, each at the first side that is free.

    Parameters
    ----------
    ax : Axes
        Where.
    points : (n, 2) array
        Where all nodes are.
    radius : float
        Of a node.
    points_per_unit : float
        Of the paper, to know how large letters are.
    names : dict of int to str
        The node indices to name.
    """
    from matplotlib.patheffects import withStroke

    if len(names) > _MOST_NAMES:
        return
    font = style.SMALL if len(names) <= 40 else style.SMALL - 1.5
    half_height = _LINE * font / 2 / points_per_unit
    taken = np.concatenate([points - 1.05 * radius, points + 1.05 * radius], axis=1)
    for node, name in names.items():
        half_width = _LETTER * font * len(name) / 2 / points_per_unit
        box = _free_box(points[node], radius, half_width, half_height, taken, ax)
        if box is None:
            continue
        taken = np.concatenate([taken, box[None, :]])
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        ax.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=font,
            color=style.INK,
            zorder=6,
            path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )


def _free_box(
    at: Points,
    radius: float,
    half_width: float,
    half_height: float,
    taken: NDArray[np.float64],
    ax: Axes,
) -> NDArray[np.float64] | None:
    """The first box (left, low, right, high) beside a node that hits nothing, if there is one."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for across, up in _SIDES:
        x = at[0] + across * (half_width + 1.25 * radius)
        y = at[1] + up * (half_height + 1.15 * radius)
        box = np.array([x - half_width, y - half_height, x + half_width, y + half_height])
        inside = box[0] >= left and box[2] <= right and box[1] >= low and box[3] <= high
        hits = (
            (taken[:, 0] < box[2])
            & (taken[:, 2] > box[0])
            & (taken[:, 1] < box[3])
            & (taken[:, 3] > box[1])
        )
        if inside and not hits.any():
            return box
    return None
