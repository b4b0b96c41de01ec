"""Every algorithm provably does what its collective says, for awkward numbers of all kinds."""

import numpy as np
import pytest

from simnet import collectives

EVERY = [(kind, name) for kind in collectives.KINDS for name in collectives.algorithms(kind)]
CUTTABLE = [(kind, name) for kind, name in EVERY if kind != "barrier"]
ROOTED = [
    (kind, name) for kind, name in EVERY if kind in ("broadcast", "reduce", "gather", "scatter")
]


def prove(schedule):
    """Check the proof, and that what was expanded is what was announced."""
    schedule.verify()
    position = 0
    for block in schedule.blocks():
        assert block.first_id == position
        assert not block.src.flags.writeable
        position += len(block)
    assert position == schedule.num_transfers
    return schedule


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_any_number_of_ranks(schedule_of, kind, name):
    for ranks in range(1 + (kind == "send"), 34):
        prove(schedule_of(kind, ranks, name))


@pytest.mark.parametrize("ranks", [48, 64])
@pytest.mark.parametrize(("kind", "name"), [each for each in EVERY if each[0] != "all_to_all"])
def test_more_ranks(schedule_of, kind, name, ranks):
    prove(schedule_of(kind, ranks, name))


@pytest.mark.parametrize(("kind", "name"), ROOTED)
def test_any_root(schedule_of, kind, name):
    for ranks in (2, 3, 8, 13):
        for root in range(ranks):
            prove(schedule_of(kind, ranks, name, root=root))


@pytest.mark.parametrize("size", [0, 1, 5, 97])
@pytest.mark.parametrize(("kind", "name"), CUTTABLE)
def test_sizes_that_do_not_divide(schedule_of, kind, name, size):
    for ranks in (2, 3, 8, 12, 15):
        prove(schedule_of(kind, ranks, name, size=size))


@pytest.mark.parametrize(("kind", "name"), CUTTABLE)
def test_segments_and_channels(schedule_of, kind, name):
    for ranks in (2, 5, 8):
        schedule = prove(schedule_of(kind, ranks, name, size=1001, segment=60, channels=3))
        transfers = schedule.transfers()
        assert transfers.size.max() <= 60
        assert set(transfers.channel[~transfers.joins]) == {0, 1, 2}
        plain = schedule_of(kind, ranks, name, size=1001)
        assert transfers.size.sum() == plain.transfers().size.sum()


def test_lanes_are_numbered_from_the_first_channel(schedule_of):
    schedule = schedule_of("all_reduce", 4, "ring", size=80, channels=2, channel=5)
    assert set(schedule.transfers().channel) == {5, 6}
    assert set(schedule.transfers().size) == {10}


def test_a_segment_is_cut_as_equally_as_possible(schedule_of):
    sizes = schedule_of("send", 2, "direct", size=100, segment=30).transfers().size
    assert sizes.tolist() == [25, 25, 25, 25]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_no_rank_but_one_sends_nothing(schedule_of, kind, name):
    if kind != "send":
        assert schedule_of(kind, 1, name).num_transfers == 0
        assert len(schedule_of(kind, 1, name).transfers()) == 0


@pytest.mark.parametrize("name", ["direct", "pairwise", "ring"])
def test_uneven_splits(name):
    for ranks in (1, 2, 4, 7):
        splits = [[(3 * i + 5 * j) % 11 for j in range(ranks)] for i in range(ranks)]
        work = collectives.all_to_all(splits=splits, algorithm=name, channels=2)
        schedule = prove(collectives.build(work, ranks))
        apart = sum(splits[i][j] for i in range(ranks) for j in range(ranks) if i != j)
        if name != "ring":
            assert schedule.transfers().size.sum() == apart


@pytest.mark.parametrize("kind", ["broadcast", "reduce", "gather", "scatter", "all_reduce"])
def test_concurrent_binomial_trees(schedule_of, kind):
    for ranks in range(1, 20):
        plain = schedule_of(kind, ranks, "binomial")
        at_once = prove(schedule_of(kind, ranks, "binomial", concurrent=True))
        assert at_once.num_transfers >= plain.num_transfers
        if ranks > 3:
            assert at_once.transfers().deps.tolist() != plain.transfers().deps.tolist()


@pytest.mark.parametrize("server", [0, 3])
def test_any_parameter_server(server):
    work = collectives.all_reduce(10, algorithm="parameter_server", root=server)
    transfers = prove(collectives.build(work, 5)).transfers()
    assert (transfers.dst[:4] == server).all()
    assert (transfers.src[5:] == server).all()


@pytest.mark.parametrize("dims", [(12,), (3, 4), (4, 3), (2, 3, 2), (1, 12), (12, 1), (2, 1, 6)])
def test_tori_of_any_shape(dims):
    work = collectives.all_reduce(1003, algorithm="torus", dims=dims, segment=100)
    prove(collectives.build(work, 12))


@pytest.mark.parametrize(
    "islands",
    [
        [[0, 1, 2], [3, 4, 5]],
        [[5, 0], [3, 1], [2, 4]],
        [[0, 1, 2, 3, 4, 5]],
        [[r] for r in range(6)],
        [[2], [0, 1, 3, 4, 5]],
        [[4, 5, 1], [0], [2, 3]],
    ],
)
def test_islands_of_any_size(islands):
    work = collectives.all_reduce(1003, algorithm="hierarchical", islands=islands)
    prove(collectives.build(work, 6))


def test_permutations_with_fixed_points():
    work = collectives.permutation(10, [1, 2, 0, 3])
    transfers = prove(collectives.build(work, 4, "direct")).transfers()
    assert list(zip(transfers.src, transfers.dst, strict=True)) == [(0, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_without_chunks_all_else_is_the_same(schedule_of, kind, name):
    schedule = schedule_of(kind, 6, name)
    full, bare = schedule.transfers(), schedule.transfers(chunks=False)
    for column in ("src", "dst", "size", "reduces", "channel", "dep_offsets", "deps"):
        np.testing.assert_array_equal(getattr(full, column), getattr(bare, column))
    assert len(bare.chunks) == 0
    assert len(full.chunks) > 0


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_schedules_expand_alike_every_time(schedule_of, kind, name):
    schedule = schedule_of(kind, 6, name)
    first, second = schedule.transfers(), schedule.transfers()
    np.testing.assert_array_equal(first.deps, second.deps)
    np.testing.assert_array_equal(first.chunks, second.chunks)
