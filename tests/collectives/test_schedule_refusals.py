"""The proof refuses schedules that are wrong, and says where."""

from dataclasses import replace

import numpy as np
import pytest

from simnet import collectives
from simnet.collectives import Layout, ScheduleError, Transfers, build, from_transfers


def listed(rows):
    """Build transfers from (src, dst, size, reduces, chunks, deps)."""

    def offsets(column):
        return np.cumsum([0, *(len(row[column]) for row in rows)])

    def flat(column):
        return np.array([x for row in rows for x in row[column]], dtype=np.int64)

    return Transfers(
        src=np.array([row[0] for row in rows]),
        dst=np.array([row[1] for row in rows]),
        size=np.array([row[2] for row in rows]),
        reduces=np.array([row[3] for row in rows], dtype=bool),
        channel=np.zeros(len(rows), dtype=np.int64),
        chunk_offsets=offsets(4),
        chunks=flat(4),
        dep_offsets=offsets(5),
        deps=flat(5),
    )


def refuses(work, num_ranks, rows, match):
    with pytest.raises(ScheduleError, match=match):
        from_transfers(work, num_ranks, listed(rows)).verify()


def test_a_right_schedule_of_ones_own_passes():
    rows = [(1, 0, 8, True, [0], []), (0, 1, 8, False, [0], [0])]
    from_transfers(collectives.all_reduce(8), 2, listed(rows)).verify()


def test_missing_dependency():
    # Without the dependency rank 0 may send before it has heard of rank 1.
    rows = [(1, 0, 8, True, [0], []), (0, 1, 8, False, [0], [])]
    refuses(collectives.all_reduce(8), 2, rows, "transfer 1 overwrites chunk 0 at rank 1 .* rank 1")


def test_an_order_on_the_connection_is_no_dependency():
    # Rank 1 relays two blocks; the second relay waits for the first block only.
    work = collectives.send(8, src=0, dst=2)
    rows = [(0, 1, 8, False, [0], []), (1, 2, 8, False, [0], [])]
    refuses(work, 3, rows, "transfer 1: rank 1 sends chunk 0, which it does not hold then")


def test_double_reduction():
    rows = [(1, 0, 8, True, [0], []), (1, 0, 8, True, [0], [0])]
    refuses(collectives.reduce(8), 2, rows, "transfer 1 reduces chunk 0 into rank 0, .* of rank 1")


def test_wrong_root():
    rows = [(0, 1, 8, True, [0], [])]
    refuses(collectives.reduce(8, root=0), 2, rows, "rank 0 ends with chunk 0 without .* rank 1")


def test_lost_chunk():
    rows = [(0, 1, 4, False, [0], [])]
    refuses(collectives.all_gather(8), 2, rows, "rank 0 ends with chunk 1 without .* of rank 1")


def test_a_copy_that_should_reduce():
    rows = [(1, 0, 8, False, [0], [])]
    refuses(collectives.reduce(8), 2, rows, "loses the contribution of rank 0")


def test_contributions_that_do_not_belong():
    work = collectives.all_to_all(2)
    # Rank 1 swaps its blocks: block 2 is for rank 0, block 3 stays.
    rows = [(0, 1, 1, False, [1], []), (1, 0, 1, False, [3], [])]
    refuses(work, 2, rows, "rank 0 ends with chunk 2 without the contribution of rank 1")


def test_wrong_bytes():
    rows = [(0, 1, 7, False, [0], [])]
    refuses(collectives.broadcast(8), 2, rows, "transfer 0 has 7 bytes, its chunks have 8")


@pytest.mark.parametrize("dep", [0, 1, -1])
def test_dependencies_point_back(dep):
    rows = [(0, 1, 8, False, [0], [dep])]
    refuses(collectives.broadcast(8), 2, rows, f"transfer 0 depends on transfer {dep}")


@pytest.mark.parametrize(("src", "dst", "name"), [(2, 1, "src 2"), (0, -1, "dst -1")])
def test_no_such_rank(src, dst, name):
    rows = [(src, dst, 8, False, [0], [])]
    refuses(collectives.broadcast(8), 2, rows, f"{name} is not a rank of the group")


@pytest.mark.parametrize("chunk", [1, -1])
def test_no_such_chunk(chunk):
    rows = [(0, 1, 8, False, [chunk], [])]
    refuses(collectives.broadcast(8), 2, rows, f"transfer 0: there is no chunk {chunk}")


def test_a_join_carries_nothing():
    rows = [(0, 0, 8, False, [0], []), (0, 1, 8, False, [0], [])]
    refuses(collectives.broadcast(8), 2, rows, "transfer 0 is a join at rank 0, but carries chunks")


def test_chunks_that_are_not_the_blocks():
    transfers = listed([(0, 1, 8, False, [0], [])])
    layout = Layout(block_sizes=np.array([9]))
    schedule = from_transfers(collectives.broadcast(8), 2, transfers, layout=layout)
    with pytest.raises(ScheduleError, match="chunks of block 0 have 9 bytes, the block has 8"):
        schedule.verify()


def test_too_many_and_too_few_blocks():
    transfers = listed([(0, 1, 8, False, [0], [])])
    for sizes in ([4, 4], []):
        layout = Layout(block_sizes=np.array(sizes, dtype=np.int64))
        schedule = from_transfers(collectives.broadcast(8), 2, transfers, layout=layout)
        with pytest.raises(ScheduleError, match="block"):
            schedule.verify()


def test_wrong_number_of_transfers():
    schedule = build(collectives.all_reduce(8), 2, "ring")
    with pytest.raises(ScheduleError, match="num_transfers is 5, but 4 were expanded"):
        replace(schedule, num_transfers=5).verify()


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter"])
def test_every_dependency_on_a_receive_of_a_ring_is_needed(kind):
    """Leaving out any one receive makes a ring wrong; leaving out a send does not."""
    work = getattr(collectives, kind)(12)
    whole = build(work, 3, "ring").transfers()
    for gone in range(len(whole.deps)):
        transfer = int(np.searchsorted(whole.dep_offsets, gone, side="right")) - 1
        dep_offsets = whole.dep_offsets - (np.arange(len(whole.dep_offsets)) > transfer)
        broken = replace(whole, deps=np.delete(whole.deps, gone), dep_offsets=dep_offsets)
        layout = build(work, 3, "ring").layout
        schedule = from_transfers(work, 3, broken, layout=layout)
        received = whole.dst[whole.deps[gone]] == whole.src[transfer]
        if received:
            with pytest.raises(ScheduleError):
                schedule.verify()
        else:
            schedule.verify()


@pytest.mark.parametrize("name", ["recursive_doubling", "binomial", "direct", "double_binary_tree"])
def test_leaving_out_any_transfer_is_noticed(name):
    work = collectives.all_reduce(12)
    schedule = build(work, 6, name)
    whole = schedule.transfers()
    for gone in np.flatnonzero(~whole.joins).tolist():
        rows = [
            (
                int(whole.src[i]),
                int(whole.dst[i]),
                0 if i == gone else int(whole.size[i]),
                bool(whole.reduces[i]),
                [] if i == gone else whole.chunks_of(i).tolist(),
                whole.deps_of(i).tolist(),
            )
            for i in range(len(whole))
        ]
        with pytest.raises(ScheduleError):
            from_transfers(work, 6, listed(rows), layout=schedule.layout).verify()
