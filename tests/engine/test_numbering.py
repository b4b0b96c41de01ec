"""Connections keep the numbers they got, in the order in which they were met."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.engine.kernel import load_core, numbered

pytestmark = pytest.mark.kernel
# Channels and ranks far apart meet in the same places of small tables.
KEYS = st.tuples(
    st.integers(0, 9), st.integers(0, 99), st.sampled_from([0, 1, 7, 2**40, 2**62, 2**63 - 1])
)


@given(st.lists(st.lists(KEYS, max_size=60), max_size=8))
def test_every_connection_has_one_number(batches):
    numbering, known = load_core().Numbering(100), {}
    for keys in batches:
        numbers, first = numbered(
            numbering, *np.array(keys, dtype=np.int64).reshape(-1, 3).T.copy()
        )
        for key in (keys[i] for i in first.tolist()):
            assert key not in known
            known[key] = len(known)
        expected = [-1 if key[0] == key[1] else known[key] for key in keys]
        assert numbers.tolist() == expected
        assert numbering.count() == len(known)


@pytest.mark.parametrize("key", [(-1, 0, 0), (0, 5, 0), (5, 0, 0), (0, 1, -1)])
def test_what_is_no_connection_is_refused_and_nothing_numbered(key):
    numbering = load_core().Numbering(5)
    with pytest.raises(ValueError, match="transfer 1"):
        numbered(numbering, *np.array([(0, 1, 0), key]).T.copy())
    assert numbering.count() == 0
