"""What may be said about a collective, and one clear line for what may not."""

import pickle

import numpy as np
import pytest

from simnet import collectives
from simnet.collectives import Collective, all_reduce, broadcast, build, flows


def test_text_becomes_numbers():
    work = all_reduce("100MB", start="50ms", segment="1MiB", ranks=range(3))
    assert work.size == 10**8
    assert work.start == 0.05
    assert work.segment == 2**20
    assert work.ranks == (0, 1, 2)
    assert all_reduce(1, arrivals=["1ms", 2]).arrivals == (0.001, 2.0)


def test_other_keywords_are_options():
    assert all_reduce(1, algorithm="torus", dims=(2, 2)).options == {"dims": (2, 2)}
    assert all_reduce(1, islands=[[0], [1]]).options == {"islands": ((0,), (1,))}


def test_arrival_times():
    assert all_reduce(1, start=2).arrival_times(3).tolist() == [2, 2, 2]
    late = all_reduce(1, arrivals=[0, 1, 5]).arrival_times(3)
    assert late.tolist() == [0, 1, 5]
    assert not late.flags.writeable


def test_size_of_an_uneven_all_to_all_is_its_largest_row():
    work = collectives.all_to_all(splits=[["1kB", 0], [5, 6]])
    assert work.size == 1000
    assert work.splits == ((1000, 0), (5, 6))
    assert collectives.all_to_all(splits=[1, 2, 3]).splits == ((1, 2, 3),) * 3
    assert collectives.all_to_all(splits=np.ones((2, 2), dtype=int)).size == 2


def test_collectives_are_values():
    work = all_reduce(5, algorithm="ring", ranks=[1, 0])
    assert work == pickle.loads(pickle.dumps(work))
    assert hash(work) == hash(all_reduce(5, algorithm="ring", ranks=[1, 0]))
    with pytest.raises(AttributeError):
        work.size = 6


WRONG = [
    (lambda: all_reduce(-1), "-1"),
    (lambda: all_reduce("5 parsecs"), "parsecs"),
    (lambda: all_reduce(1, algorithm="rign"), r"no algorithm 'rign' \(did you mean 'ring'\?\)"),
    (lambda: all_reduce(1, algorithm="pairwise"), "all_reduce has no algorithm 'pairwise'.* ring,"),
    (lambda: all_reduce(1, algorithm=7), "name or a function, not 7"),
    (lambda: all_reduce(1, chanels=2), r"has no option 'chanels' \(did you mean 'channels'\?\)"),
    (lambda: all_reduce(1, algorithm="ring", dims=(1,)), "by ring has no option 'dims'.* segment"),
    (lambda: all_reduce(1, algorithm="torus", dim=(1,)), r"did you mean 'dims'\?"),
    (lambda: all_reduce(1, channels=0), "channels is 0; must be at least 1"),
    (lambda: all_reduce(1, channels=1.5), "channels must be a whole number, not 1.5"),
    (lambda: all_reduce(1, in_flight=0), "in_flight is 0"),
    (lambda: all_reduce(1, channel=-1), "channel is -1"),
    (lambda: all_reduce(1, segment=0), "segment is 0"),
    (lambda: all_reduce(1, ranks=[0, 1, 0]), "rank 0 is twice in ranks"),
    (lambda: all_reduce(1, ranks=[]), "ranks is empty"),
    (lambda: all_reduce(1, ranks=[-2]), "rank is -2"),
    (lambda: all_reduce(1, ranks=["a"]), "rank must be a whole number, not 'a'"),
    (lambda: all_reduce(1, ranks=3), "ranks must be a list, not 3"),
    (
        lambda: all_reduce(1, ranks=[0, 1], arrivals=[0.0]),
        "arrivals has 1 entries for a group of 2",
    ),
    (lambda: all_reduce(1, arrivals=[-1.0]), "-1"),
    (lambda: all_reduce(1, start=-1), "-1"),
    (lambda: all_reduce(1, start=float("nan")), "nan"),
    (lambda: all_reduce(1, start=1, arrivals=[0.0]), "start or arrivals, not both"),
    (lambda: broadcast(1, root=-1), "root is -1"),
    (lambda: broadcast(1, root="a"), "root must be a whole number, not 'a'"),
    (
        lambda: broadcast(1, root=2, ranks=[4, 5]),
        r"root 2 is not a rank of a group of 2 \(0 to 1\)",
    ),
    (lambda: collectives.send(1, src=1, dst=1), "rank 1 sends to itself"),
    (lambda: collectives.send(1, src=0, dst=-1), "dst is -1"),
    (lambda: collectives.permutation(1, [0, 0]), r"\[0, 0\] is not an order of ranks"),
    (lambda: collectives.permutation(1, []), "is not an order of ranks"),
    (lambda: collectives.permutation(1, 3), "must be a list of ranks, not 3"),
    (lambda: collectives.permutation(1, [1, 0], ranks=[0, 1, 2]), "perm has 2 entries"),
    (lambda: collectives.all_to_all(), "needs a size or splits"),
    (lambda: collectives.all_to_all(splits=[]), "splits is empty"),
    (lambda: collectives.all_to_all(splits=[[1, 2], [3]]), "row 1 of splits has 1 entries"),
    (lambda: collectives.all_to_all(splits=[[1, -2], [3, 4]]), "-2"),
    (lambda: collectives.all_to_all(8, splits=[[1, 2], [3, 4]]), "contradicts splits"),
    (lambda: collectives.all_to_all(splits=[[1]], ranks=[0, 1]), "splits has 1 entries"),
    (lambda: collectives.barrier(channels=2), "barrier: carries no data"),
    (lambda: collectives.barrier(segment=2), "barrier: carries no data"),
    (lambda: collectives.algorithms("allreduce"), r"did you mean 'all_reduce'\?"),
    (lambda: Collective(kind="sum", size=1), "unknown collective 'sum'"),
    (lambda: Collective(kind="send", size=1), "exactly one pair"),
    (lambda: Collective(kind="reduce", size=1, pairs=((0, 1),)), "pairs are for send"),
    (lambda: Collective(kind="reduce", size=1, splits=((1,),)), "splits are for all_to_all"),
    (lambda: Collective(kind="all_reduce", size=1, root=1), "root is for broadcast"),
    (lambda: Collective(kind="permutation", size=1), "perm is for permutation"),
    (lambda: Collective(kind="all_reduce", size=2**63), "must be at most"),
    (lambda: Collective(kind="all_to_all", size=1, splits=((1, 2),)), "has a row of 2"),
    (lambda: Collective(kind="all_to_all", size=1, splits=()), "largest row"),
    (lambda: build(all_reduce(1), 4), "'auto' needs a network"),
    (lambda: build(all_reduce(1), 0, "ring"), "number of ranks is 0"),
    (lambda: build(broadcast(1, root=4), 4, "flat"), "root 4 is not a rank of a group of 4"),
    (lambda: build(all_reduce(1, ranks=[0, 1]), 3, "ring"), "ranks has 2 entries"),
    (lambda: build(collectives.send(1, src=0, dst=9), 4, "direct"), "receiver 9 is not a rank"),
    (lambda: build(all_reduce(1), 4, "torus"), "needs the option dims="),
    (lambda: build(all_reduce(1), 4, "torus", dims=(2, 3)), r"dims \(2, 3\) hold 6 ranks"),
    (lambda: build(all_reduce(1), 4, "torus", dims=(4, "a")), "dimension must be a whole number"),
    (lambda: build(all_reduce(1), 4, "torus", dims=4), "dims must be a list, not 4"),
    (lambda: build(all_reduce(1), 4, "hierarchical"), "needs the option islands="),
    (lambda: build(all_reduce(1), 2, "hierarchical", islands=[[0], []]), "island 1 is empty"),
    (lambda: build(all_reduce(1), 3, "hierarchical", islands=[[0], [1]]), "exactly once"),
    (
        lambda: build(all_reduce(1), 2, "hierarchical", islands=[0, 1]),
        "island 0 must be a list, not 0",
    ),
    (lambda: build(all_reduce(1), 2, "hierarchical", islands=3), "islands must be a list, not 3"),
    (lambda: build(all_reduce(1), 2, "parameter_server", root=2), "root 2 is not a rank"),
    (lambda: build(all_reduce(1), 2, "binomial", concurrent="no"), "concurrent must be True or"),
    (
        lambda: build(all_reduce(99, segment=3), 16, "recursive_halving_doubling"),
        "segment of 3 bytes is too small .* at least 8",
    ),
    (lambda: build(all_reduce(1), 2, lambda work, ranks: None), "instead of a Schedule"),
    (
        lambda: build(all_reduce(1), 2, lambda work, ranks: build(work, 3, "ring")),
        "for 3 ranks instead of 2",
    ),
    (lambda: flows([0, 1], [1, 1], 5), "flow 1 goes from rank 1 to itself"),
    (lambda: flows([0, 1], [1, 0, 2], 5), "dst has 3 entries|src has 2 entries"),
    (lambda: flows(0, 1, -5), r"size\[0\] = -5"),
    (lambda: flows(0, 1, 1.5), r"size\[0\] = 1.5; must be whole"),
    (lambda: flows(0, -1, 1), r"dst\[0\] = -1"),
    (lambda: flows("a", 1, 1), "src must be numbers"),
    (lambda: flows(0, 1, 1, start=-0.5), r"start\[0\] = -0.5"),
    (lambda: flows(0, 1, 1, start=float("inf")), "start"),
    (lambda: flows(0, 1, 1, start=[None]), r"start\[0\] = nan"),
    (lambda: flows([[0]], 1, 1), "one-dimensional"),
]


@pytest.mark.parametrize(("attempt", "match"), WRONG)
def test_misuse_is_one_clear_line(attempt, match):
    with pytest.raises((ValueError, TypeError), match=match) as raised:
        attempt()
    assert type(raised.value) in (ValueError, TypeError)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 240


def test_an_algorithm_of_ones_own():
    def mine(work, num_ranks, *, twice):
        assert twice
        return build(work, num_ranks, "ring")

    schedule = build(all_reduce(8, algorithm=mine, twice=True), 4)
    assert schedule.num_transfers == 24


def test_flows_spread_single_values():
    listed = flows([0, 1, 2], [1, 2, 0], "1kB", start=["1ms", 2, 3], channel=1)
    assert len(listed) == 3
    assert listed.size.tolist() == [1000] * 3
    assert listed.start.tolist() == [0.001, 2, 3]
    assert listed.channel.tolist() == [1, 1, 1]
    assert not listed.src.flags.writeable


def test_there_may_be_no_flow_or_one():
    assert len(flows([], [], [])) == 0
    assert len(flows([], [], 5)) == 0
    assert len(flows(0, 1, 5)) == 1


def test_flows_take_exact_large_sizes():
    assert flows(0, 1, 2**53 + 1).size[0] == 2**53 + 1


def test_an_algorithm_given_to_build_ignores_options_of_others():
    work = all_reduce(8, dims=(2, 2))
    assert build(work, 4, "ring").num_transfers == 24
    assert build(work, 4, "torus").num_transfers == 16
    assert build(work, 4, "torus", dims=(4,)).num_transfers == 24
    with pytest.raises(ValueError, match="ring has no option 'dims'"):
        build(work, 4, "ring", dims=(4,))
