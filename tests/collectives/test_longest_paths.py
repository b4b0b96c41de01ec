"""Longest paths through a schedule: in layers or one by one, the same to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.collectives import longest_paths as walk


def graph(seed, transfers, most):
    """Random dependencies on earlier transfers."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(i, size=min(i, int(rng.integers(0, most + 1))), replace=False)
        for i in range(transfers)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    deps = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    return offsets.astype(np.int64), deps.astype(np.int64), rng.random(transfers)


@given(seed=st.integers(0, 10**6), transfers=st.integers(0, 200), most=st.integers(0, 5))
def test_layers_and_one_by_one_agree(seed, transfers, most):
    offsets, deps, lengths = graph(seed, transfers, most)
    expected = walk.longest_paths_one_by_one(offsets, deps, lengths)
    assert walk.longest_paths(offsets, deps, lengths).tolist() == expected.tolist()


def test_every_transfer_is_in_one_layer_behind_all_it_waits_for():
    offsets, deps, _ = graph(1, 3000, 2)
    layers = walk.layers_of(offsets, deps)
    depth = np.full(3000, -1)
    for number, layer in enumerate(layers):
        assert (depth[layer] == -1).all()
        depth[layer] = number
    waiting = np.repeat(np.arange(3000), np.diff(offsets))
    assert (depth[waiting] > depth[deps]).all()
    assert (depth >= 0).all()


@pytest.mark.parametrize("transfers", [0, 1, 1000])
def test_a_chain_is_walked_one_by_one(transfers):
    offsets = np.minimum(np.arange(transfers + 1), np.arange(transfers + 1).clip(1) - 1)
    offsets[0] = 0
    deps = np.arange(max(transfers - 1, 0))
    ends = walk.longest_paths(offsets, deps, np.ones(transfers))
    assert ends.tolist() == list(range(1, transfers + 1))
    assert (walk.layers_of(offsets, deps) is None) == (transfers == 1000)
