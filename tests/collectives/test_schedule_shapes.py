"""What schedules send and how long their chains of dependencies are, against formulas."""

import tracemalloc
from math import ceil, log2

import numpy as np
import pytest

from simnet import collectives

RANKS = [2, 3, 4, 6, 8, 13, 16, 32]


def log(ranks):
    return ceil(log2(ranks))


def core(ranks):
    return 2 ** int(log2(ranks))


def rounds(schedule):
    """Return the longest chain of transfers, by dependency and by order on a connection."""
    ends, connection = [], {}
    transfers = schedule.transfers()
    for i in range(len(transfers)):
        ready = max((ends[dep] for dep in transfers.deps_of(i)), default=0)
        if transfers.joins[i]:
            ends.append(ready)
            continue
        key = (transfers.src[i], transfers.dst[i], transfers.channel[i])
        ends.append(max(ready, connection.get(key, 0)) + 1)
        connection[key] = ends[-1]
    return max(ends)


# kind, algorithm, bytes in all for N ranks and N bytes each block, S = N * 60
TOTALS = [
    ("all_reduce", "ring", lambda n, s: 2 * (n - 1) * s),
    ("all_reduce", "bidirectional_ring", lambda n, s: 2 * (n - 1) * s),
    (
        "all_reduce",
        "recursive_halving_doubling",
        lambda n, s: 2 * (core(n) - 1) * s + 2 * (n - core(n)) * s,
    ),
    (
        "all_reduce",
        "recursive_doubling",
        lambda n, s: core(n) * log2(core(n)) * s + 2 * (n - core(n)) * s,
    ),
    ("all_reduce", "binomial", lambda n, s: 2 * (n - 1) * s),
    ("all_reduce", "double_binary_tree", lambda n, s: 2 * (n - 1) * s),
    ("all_reduce", "direct", lambda n, s: 2 * (n - 1) * s),
    ("all_reduce", "parameter_server", lambda n, s: 2 * (n - 1) * s),
    ("all_reduce", "torus", lambda n, s: 2 * (n - 1) * s),
    ("reduce_scatter", "ring", lambda n, s: (n - 1) * s),
    ("reduce_scatter", "bidirectional_ring", lambda n, s: (n - 1) * s),
    ("reduce_scatter", "recursive_halving", lambda n, s: (n - 1) * s),
    ("reduce_scatter", "direct", lambda n, s: (n - 1) * s),
    ("all_gather", "ring", lambda n, s: (n - 1) * s),
    ("all_gather", "bidirectional_ring", lambda n, s: (n - 1) * s),
    ("all_gather", "recursive_doubling", lambda n, s: (n - 1) * s),
    ("all_gather", "direct", lambda n, s: (n - 1) * s),
    ("all_to_all", "direct", lambda n, s: (n - 1) * s),
    ("all_to_all", "pairwise", lambda n, s: (n - 1) * s),
    ("all_to_all", "ring", lambda n, s: n * (n - 1) / 2 * s),
    ("broadcast", "binomial", lambda n, s: (n - 1) * s),
    ("broadcast", "chain", lambda n, s: (n - 1) * s),
    ("broadcast", "flat", lambda n, s: (n - 1) * s),
    ("reduce", "binomial", lambda n, s: (n - 1) * s),
    ("reduce", "chain", lambda n, s: (n - 1) * s),
    ("reduce", "flat", lambda n, s: (n - 1) * s),
    ("gather", "flat", lambda n, s: (n - 1) * s // n),
    ("scatter", "flat", lambda n, s: (n - 1) * s // n),
    ("barrier", "dissemination", lambda n, s: 0),
]


@pytest.mark.parametrize(("kind", "name", "total"), TOTALS)
def test_bytes_in_all(schedule_of, kind, name, total):
    for ranks in RANKS:
        schedule = schedule_of(kind, ranks, name, size=60 * ranks)
        assert schedule.transfers().size.sum() == total(ranks, 60 * ranks)


def test_a_binomial_gather_sends_every_block_up_its_bits(schedule_of):
    for ranks in RANKS:
        hops = sum(bin(rank).count("1") for rank in range(ranks))
        for kind in ("gather", "scatter"):
            schedule = schedule_of(kind, ranks, "binomial", size=60 * ranks)
            assert schedule.transfers().size.sum() == 60 * hops


ROUNDS = [
    ("all_reduce", "ring", lambda n: 2 * (n - 1)),
    ("all_reduce", "recursive_halving_doubling", lambda n: 2 * log2(core(n)) + 2 * (core(n) < n)),
    ("all_reduce", "recursive_doubling", lambda n: log2(core(n)) + 2 * (core(n) < n)),
    ("all_reduce", "binomial", lambda n: 2 * log(n)),
    ("all_reduce", "direct", lambda n: 2),
    ("all_reduce", "parameter_server", lambda n: 2),
    ("reduce_scatter", "ring", lambda n: n - 1),
    ("reduce_scatter", "recursive_halving", log),
    ("reduce_scatter", "direct", lambda n: 1),
    ("all_gather", "ring", lambda n: n - 1),
    ("all_gather", "recursive_doubling", log),
    ("all_to_all", "direct", lambda n: 1),
    ("all_to_all", "pairwise", lambda n: n - 1),
    ("all_to_all", "ring", lambda n: n - 1),
    ("broadcast", "binomial", log),
    ("broadcast", "chain", lambda n: n - 1),
    ("broadcast", "flat", lambda n: 1),
    ("broadcast", "scatter_allgather", lambda n: log(n) + n - 1),
    ("reduce", "binomial", log),
    ("reduce", "flat", lambda n: 1),
    ("gather", "binomial", log),
    ("scatter", "binomial", log),
    ("barrier", "dissemination", log),
]


@pytest.mark.parametrize(("kind", "name", "expected"), ROUNDS)
def test_rounds_one_after_the_other(schedule_of, kind, name, expected):
    for ranks in RANKS:
        assert rounds(schedule_of(kind, ranks, name, size=60 * ranks)) == expected(ranks)


def test_both_directions_run_at_once(schedule_of):
    for ranks in (3, 4, 9):
        assert rounds(schedule_of("all_reduce", ranks, "bidirectional_ring")) == 2 * (ranks - 1)


def test_a_chain_pipelines_its_segments(schedule_of):
    for ranks, segments in ((2, 5), (6, 1), (6, 7)):
        schedule = schedule_of("broadcast", ranks, "chain", size=70, segment=70 // segments)
        assert rounds(schedule) == ranks - 2 + segments


def test_a_double_tree_is_logarithmic_and_no_rank_is_inside_both(schedule_of):
    for ranks in range(2, 65):
        schedule = schedule_of("all_reduce", ranks, "double_binary_tree", size=2)
        assert rounds(schedule) <= 2 * (log(ranks) + 1)
        transfers = schedule.transfers()
        inside = []
        for tree in range(2):
            mine = (transfers.chunks == tree) & transfers.reduces
            parents, children = np.unique(transfers.dst[mine], return_counts=True)
            assert children.max() <= 2
            inside.append(set(parents))
        assert len(inside[0] & inside[1]) <= 1


def test_binomial_sends_to_the_largest_subtree_first(schedule_of):
    transfers = schedule_of("broadcast", 8, "binomial").transfers()
    assert transfers.dst[transfers.src == 0].tolist() == [4, 2, 1]
    assert transfers.dst[transfers.src == 4].tolist() == [6, 5]


def test_ring_steps_are_sendrecv(schedule_of):
    transfers = schedule_of("all_gather", 4, "ring").transfers()
    # Step 1 of rank 2 (id 6) waits for its own send (id 2) and its receive from rank 1 (id 1).
    assert transfers.deps_of(6).tolist() == [1, 2]
    assert transfers.chunks_of(6).tolist() == [1]


def test_segments_of_a_ring_depend_on_the_same_segment_only(schedule_of):
    schedule = schedule_of("all_gather", 3, "ring", size=60, segment=10)
    transfers = schedule.transfers()
    parts = transfers.chunks % 2
    for i in range(len(transfers)):
        assert (parts[transfers.deps_of(i)] == parts[i]).all()


def test_halving_begins_with_the_furthest_partner(schedule_of):
    first = next(schedule_of("all_reduce", 8, "recursive_halving_doubling", size=80).blocks())
    assert (first.dst == first.src ^ 4).all()
    assert set(first.size) == {40}


def test_a_ring_all_to_all_uses_neighbours_only(schedule_of):
    transfers = schedule_of("all_to_all", 7, "ring").transfers()
    assert (transfers.dst == (transfers.src + 1) % 7).all()


def test_dependencies_of_direct_stay_quadratic(schedule_of):
    ranks = 20
    transfers = schedule_of("all_reduce", ranks, "direct").transfers()
    assert len(transfers.deps) == 2 * ranks * (ranks - 1)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("all_reduce", "ring"),
        ("all_reduce", "direct"),
        ("all_reduce", "recursive_halving_doubling"),
        ("all_to_all", "direct"),
        ("all_to_all", "ring"),
        ("all_to_all", "pairwise"),
    ],
)
def test_sixteen_thousand_ranks_cost_no_memory(kind, name):
    ranks = 16384
    tracemalloc.start()
    try:
        schedule = collectives.build(getattr(collectives, kind)("1GB"), ranks, name)
        blocks = schedule.blocks(chunks=False)
        taken = [len(next(blocks)) % ranks for _ in range(3)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == [0, 0, 0]
    assert peak < 20e6  # the 537 million transfers of the ring would be 40 GB
    assert schedule.num_transfers > ranks
