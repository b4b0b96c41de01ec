"""The symmetries that schedules claim really map their transfers onto themselves."""

import numpy as np
import pytest

from simnet import collectives

EVERY = [
    (kind, name)
    for kind in collectives.KINDS
    for name in collectives.algorithms(kind)
    if kind not in ("send", "permutation")
]
SYMMETRIC = {
    ("all_reduce", "ring"),
    ("all_reduce", "bidirectional_ring"),
    ("all_reduce", "recursive_halving_doubling"),
    ("all_reduce", "recursive_doubling"),
    ("all_reduce", "direct"),
    ("all_reduce", "torus"),
    ("all_reduce", "hierarchical"),
    ("reduce_scatter", "ring"),
    ("reduce_scatter", "bidirectional_ring"),
    ("reduce_scatter", "recursive_halving"),
    ("reduce_scatter", "direct"),
    ("all_gather", "ring"),
    ("all_gather", "bidirectional_ring"),
    ("all_gather", "recursive_doubling"),
    ("all_gather", "direct"),
    ("all_to_all", "direct"),
    ("all_to_all", "pairwise"),
    ("all_to_all", "ring"),
    ("barrier", "dissemination"),
}


def places(transfers):
    """Name every transfer by its connection and its place on it; a join is a connection too."""
    seen, names = {}, []
    for key in zip(
        transfers.src.tolist(), transfers.dst.tolist(), transfers.channel.tolist(), strict=True
    ):
        names.append((*key, seen.get(key, 0)))
        seen[key] = seen.get(key, 0) + 1
    return names


def described(transfers, image):
    """Return each transfer's size, reduction and dependencies by its name, ranks renamed."""
    names = [(image[src], image[dst], *rest) for src, dst, *rest in places(transfers)]
    return {
        names[i]: (
            transfers.size[i],
            transfers.reduces[i],
            frozenset(names[dep] for dep in transfers.deps_of(i)),
        )
        for i in range(len(transfers))
    }


def check(schedule):
    ranks = np.arange(schedule.num_ranks)
    transfers = schedule.transfers()
    itself = described(transfers, ranks.tolist())
    assert len(itself) == len(transfers)
    for generator in schedule.symmetry:
        image = generator(ranks)
        assert sorted(image.tolist()) == ranks.tolist()
        assert described(transfers, image.tolist()) == itself


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_claimed_symmetries_hold(schedule_of, kind, name):
    for ranks in (2, 3, 4, 6, 7, 8, 12, 16):
        for cut in ({}, {"segment": 64, "channels": 2} if kind != "barrier" else {}):
            check(schedule_of(kind, ranks, name, size=32 * ranks, **cut))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_symmetric_algorithms_know_it(schedule_of, kind, name):
    symmetry = schedule_of(kind, 16, name, size=3200).symmetry
    assert bool(symmetry) == ((kind, name) in SYMMETRIC)
    if not symmetry:
        return
    # The group is transitive: one rank can stand for all.
    reached, new = {0}, {0}
    while new:
        new = {int(g(np.array([r]))[0]) for g in symmetry for r in new} - reached
        reached |= new
    assert reached == set(range(16))


@pytest.mark.parametrize(("kind", "name"), sorted(SYMMETRIC - {("barrier", "dissemination")}))
def test_no_symmetry_is_claimed_where_sizes_do_not_divide(schedule_of, kind, name):
    schedule = schedule_of(kind, 8, name, size=1001)
    if schedule.layout.num_cells > 1:
        assert schedule.symmetry == ()


def test_uneven_splits_have_no_symmetry():
    work = collectives.all_to_all(splits=[[1, 2], [3, 4]])
    assert collectives.build(work, 2, "direct").symmetry == ()


def test_equal_splits_are_symmetric_in_any_order_of_islands():
    islands = [[5, 0], [3, 1], [2, 4]]
    work = collectives.all_reduce(6, islands=islands)
    schedule = collectives.build(work, 6, "hierarchical")
    assert len(schedule.symmetry) == 2
    check(schedule)


def copies_of(representative):
    """Each transfer's representative, in the schedule's order."""
    return np.repeat(representative.runs, representative.copies)


def check_representative(schedule):
    """Every transfer is the translation of its representative, and so is all that it waits for."""
    one, all_of_it = schedule.representative(), schedule.transfers(chunks=False)
    which, group = copies_of(one), one.translations
    assert len(which) == len(all_of_it)
    place = np.empty(schedule.num_ranks, dtype=np.int64)
    place[group.ranks_at(np.arange(schedule.num_ranks))] = np.arange(schedule.num_ranks)
    src, dst = place[all_of_it.src], place[all_of_it.dst]
    assert (group.add(src, one.to[which]) == dst).all()
    for name in ("size", "reduces", "channel"):
        assert (getattr(all_of_it, name) == getattr(one, name)[which]).all(), name
    # One from every place for each representative.
    assert len(set(zip(which.tolist(), src.tolist(), strict=True))) == len(which)
    # The ends of what a transfer waits for are those of its representative's, moved.
    for transfer in range(len(all_of_it)):
        awaited = set(which[all_of_it.deps_of(transfer)].tolist())
        first = one.dep_offsets[which[transfer]], one.dep_offsets[which[transfer] + 1]
        assert awaited == set(one.deps[slice(*first)].tolist())


@pytest.mark.parametrize(("kind", "name"), sorted(SYMMETRIC))
def test_one_rank_represents_all(schedule_of, kind, name):
    some = 0
    for ranks in (2, 3, 4, 5, 6, 7, 8, 9, 12, 16):
        for cut in ({}, {"segment": 64, "channels": 2} if kind != "barrier" else {}):
            schedule = schedule_of(kind, ranks, name, size=32 * ranks, **cut)
            assert bool(schedule.representative) == bool(schedule.symmetry), ranks
            if schedule.representative:
                check_representative(schedule)
                some += 1
    assert some >= 6


def test_joins_expanded_bit_by_bit_are_represented_too(schedule_of, monkeypatch):
    monkeypatch.setattr("simnet.collectives.direct._JOIN_DEPS", 20)
    check_representative(
        schedule_of("all_reduce", 7, "direct", size=7 * 64, segment=16, channels=2)
    )


def test_islands_in_any_order_are_represented():
    work = collectives.all_reduce(6, islands=[[5, 0], [3, 1], [2, 4]])
    check_representative(collectives.build(work, 6, "hierarchical"))
    check_representative(collectives.build(collectives.all_reduce(24, dims=(2, 3, 4)), 24, "torus"))


def test_what_does_not_divide_has_no_representative(schedule_of):
    assert schedule_of("all_reduce", 8, "ring", size=1001).representative is None
    assert schedule_of("all_reduce", 1, "ring", size=1001).representative is None
    assert schedule_of("all_reduce", 6, "recursive_doubling", size=1001).representative is None
