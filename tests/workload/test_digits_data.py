"""The bundled digits: complete, well formed, and shared out without overlap."""

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from simnet.workload.data import load_digits, shard, split

DATA = files("simnet.workload.data")
# How many images show 0, 1, …, 9: the class counts of optdigits.tes in optdigits.names.
COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def as_rows(digits):
    """One bytes object an image."""
    return [image.tobytes() for image in digits.images]


def test_all_images_are_there():
    digits = load_digits()
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.dtype, digits.labels.dtype) == (np.float32, np.int64)
    assert np.bincount(digits.labels).tolist() == COUNTS
    assert digits.images.min() == 0.0
    assert digits.images.max() == 1.0
    # Every pixel is a sixteenth.
    assert np.array_equal(digits.images * 16, np.round(digits.images * 16))
    with pytest.raises(ValueError, match="read-only"):
        digits.images[0] = 0


def test_the_first_image_is_the_zero_of_the_file():
    first = load_digits().take(np.array([0]))
    assert first.labels.tolist() == [0]
    assert (first.images[0, 0, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_the_file_is_the_one_whose_source_is_given():
    checksum = hashlib.sha256(DATA.joinpath("optdigits.csv.gz").read_bytes()).hexdigest()
    assert checksum in DATA.joinpath("SOURCE.md").read_text()
    licence = DATA.joinpath("LICENSE-optdigits.txt").read_text()
    for words in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "test part"):
        assert words in licence


def test_split_and_shards_share_out_every_image_once():
    digits = load_digits()
    train, test = split(digits, test=0.2, seed=3)
    assert (len(train), len(test)) == (1438, 359)
    shards = [shard(train, rank, 4) for rank in range(4)]
    assert sorted(map(len, shards)) == [359, 359, 360, 360]
    together = [row for part in (*shards, test) for row in as_rows(part)]
    assert sorted(together) == sorted(as_rows(digits))


def test_split_depends_on_the_seed_alone():
    digits = load_digits()
    first, again, other = (split(digits, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("test", [0.0, 1.0, -0.5, 0.0001])
def test_both_parts_hold_images(test):
    with pytest.raises(ValueError, match=rf"^test={test}: a share that leaves images"):
        split(load_digits(), test=test)


def test_shards_are_of_ranks_that_exist():
    digits = load_digits()
    with pytest.raises(ValueError, match=r"^rank=4: the ranks of 4 are 0 … 3$"):
        shard(digits, 4, 4)
    with pytest.raises(ValueError, match=r"^world_size=1798: there are only 1797 images"):
        shard(digits, 0, 1798)
