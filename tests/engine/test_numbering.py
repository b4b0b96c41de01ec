"""Connections keep the numbers they got, whether they came one by one or many at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simnet.engine.numbering import Numbering

KEYS = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.sampled_from([0, 1, 7, 2**40, 2**62, 2**63 - 1])
)


@given(st.lists(st.lists(KEYS, min_size=1, max_size=20), max_size=8), st.randoms())
def test_every_connection_has_one_number(batches, random):
    numbering, known = Numbering(10), {}
    for keys in batches:
        if random.random() < 0.5:
            found = [numbering.number(key) for key in keys]
            numbers = [number for number, _ in found]
            new = [key for key, (_, is_new) in zip(keys, found, strict=True) if is_new]
        else:
            array, first = numbering.numbers(*np.array(keys, dtype=np.int64).T)
            numbers, new = array.tolist(), [keys[i] for i in first.tolist()]
        for key in new:
            assert key not in known
            known[key] = len(known)
        assert numbers == [known[key] for key in keys]
        assert numbering.count == len(known)
