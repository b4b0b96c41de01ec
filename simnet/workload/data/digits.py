"""Real handwritten digits: 1,797 images of 8 × 8 pixels, bundled (see SOURCE.md)."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

NUM_IMAGES = 1797
SIDE = 8
BRIGHTEST = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """Images and what they show.

    Attributes
    ----------
    images : (n, 1, 8, 8) array of float32
        Pixels from 0 (background) to 1, read-only.
    labels : (n,) array of int64
        The digits 0 to 9, read-only.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Freeze both arrays."""
        self.images.flags.writeable = False
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Digits:
        """Return the images at the given positions, in that order."""
        return Digits(images=self.images[indices], labels=self.labels[indices])


def load_digits() -> Digits:
    """Load all 1,797 images, in the order of the file.

    References
    ----------
    E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0; the test part.
    """
    packed = files("simnet.workload.data").joinpath("optdigits.csv.gz").read_bytes()
    text = gzip.decompress(packed).decode("ascii").replace("\n", ",")
    table = np.fromstring(text, dtype=np.float32, sep=",").reshape(NUM_IMAGES, -1)
    pixels = table[:, : SIDE * SIDE].reshape(-1, 1, SIDE, SIDE) / np.float32(BRIGHTEST)
    return Digits(images=pixels, labels=table[:, -1].astype(np.int64))


def split(digits: Digits, *, test: float = 0.2, seed: int = 0) -> tuple[Digits, Digits]:
    """Shuffle and cut into a training and a test part.

    Parameters
    ----------
    digits : Digits
        What to cut.
    test : float
        Share of the images, 0 < test < 1, that goes into the test part.
    seed : int
        Decides the shuffle.

    Returns
    -------
    tuple of Digits
        Training part, test part; no image is in both.

    Raises
    ------
    ValueError
        If either part would be empty.
    """
    num_test = round(test * len(digits))
    if not 0 < num_test < len(digits):
        raise ValueError(f"test={test}: a share that leaves images in both parts, such as 0.2")
    order = np.random.default_rng(seed).permutation(len(digits))
    return digits.take(order[num_test:]), digits.take(order[:num_test])


def shard(digits: Digits, rank: int, world_size: int) -> Digits:
    """Return the images that one of `world_size` ranks holds: every `world_size`-th one.

    Raises
    ------
    ValueError
        If there is no such rank, or it would hold no image.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank}: the ranks of {world_size} are 0 … {world_size - 1}")
    if world_size > len(digits):
        raise ValueError(f"world_size={world_size}: there are only {len(digits)} images to share")
    return digits.take(np.arange(rank, len(digits), world_size))
