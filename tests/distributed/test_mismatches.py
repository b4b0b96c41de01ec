"""Two ranks that do not make the same call: both are named, with their calls and their lines."""

import re
from functools import partial

import pytest
import torch
import torch.distributed as dist
from leftovers import line, nothing_left

import simnet
import topologies
from simnet.distributed import MismatchError

here = partial(line, __file__)
PAIR = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="10ms"))
KINDS = pytest.mark.parametrize(
    "kind", [simnet.threads, simnet.processes], ids=["threads", "processes"]
)
KINDS_SOME_SLOW = pytest.mark.parametrize(
    "kind",
    [simnet.threads, pytest.param(simnet.processes, marks=pytest.mark.slow)],
    ids=["threads", "processes"],
)


@pytest.fixture(autouse=True)
def _nothing_left():
    with nothing_left():
        yield


def every_mismatch(rank, world_size):
    """What rank 1 hears of each of its calls that does not go with rank 0's; both go on."""
    one, four, odd, heard = torch.ones(1), torch.ones(4), ([1, 3], [1, 3]), {}
    for name, first, second in (
        ("kind", lambda g: dist.all_reduce(four, group=g, async_op=True),
         lambda g: dist.broadcast(four, src=0, group=g)),
        ("shape", lambda g: dist.all_reduce(four, group=g, async_op=True),
         lambda g: dist.all_reduce(torch.ones(2, 3), group=g)),
        ("dtype", lambda g: dist.all_reduce(four, group=g, async_op=True),
         lambda g: dist.all_reduce(four.double(), group=g)),
        ("op", lambda g: dist.all_reduce(four, group=g, async_op=True),
         lambda g: dist.all_reduce(four, op=dist.ReduceOp.MAX, group=g)),
        ("root", lambda g: dist.reduce(four, dst=0, group=g, async_op=True),
         lambda g: dist.reduce(four, dst=1, group=g)),
        ("gathered", lambda g: dist.all_gather([one, four], one, group=g, async_op=True),
         lambda g: dist.all_gather([four, four], four, group=g)),
        ("splits", lambda g: dist.all_to_all_single(four, four, *odd, group=g, async_op=True),
         lambda g: dist.all_to_all_single(four, four, [2, 2], [2, 2], group=g)),
        ("barrier", lambda g: dist.barrier(group=g, async_op=True),
         lambda g: dist.all_reduce(four, group=g)),
        ("message", lambda g: dist.isend(four, dst=1, group=g),
         lambda g: dist.recv(torch.ones(5), src=0, group=g)),
        ("message type", lambda g: dist.isend(four, dst=1, group=g),
         lambda g: dist.recv(four.int(), src=0, group=g)),
    ):  # fmt: skip
        group = dist.new_group([0, 1])
        if rank == 0:
            first(group)
        dist.barrier()
        if rank == 1:
            try:
                second(group)
            except MismatchError as error:
                heard[name] = str(error)
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    return heard, tensor.item()


EXPECTED = {
    "kind": ("broadcast of 4 float32 from rank 0", "all_reduce of 4 float32 (SUM)"),
    "shape": ("all_reduce of 2×3 float32 (SUM)", "all_reduce of 4 float32 (SUM)"),
    "dtype": ("all_reduce of 4 float64 (SUM)", "all_reduce of 4 float32 (SUM)"),
    "op": ("all_reduce of 4 float32 (MAX)", "all_reduce of 4 float32 (SUM)"),
    "root": ("reduce of 4 float32 (SUM) to rank 1", "reduce of 4 float32 (SUM) to rank 0"),
    "gathered": ("all_gather of 4 float32", "all_gather of 1 float32"),
    "splits": (
        "all_to_all of float32 with 8 B to rank 0 and 8 B from it",
        "all_to_all of float32 with 12 B to rank 1 and 12 B from it",
    ),
    "barrier": ("all_reduce of 4 float32 (SUM)", "barrier"),
    "message": ("recv of 5 float32 from rank 0", "send of 4 float32 to rank 1"),
    "message type": ("recv of 4 int32 from rank 0", "send of 4 float32 to rank 1"),
}


@KINDS
def test_every_kind_of_mismatch_and_going_on_after_it(kind):
    run = simnet.run(every_mismatch, PAIR, kind(2), quiet=True)

    (_, zero), (heard, one) = run.results
    assert (zero, one) == (2.0, 2.0)
    assert list(heard) == list(EXPECTED)
    for name, (ours, theirs) in EXPECTED.items():
        place = r" at \S*test_mismatches\.py:\d+"
        tail = r", in group \w+ of ranks 0, 1"
        if not name.startswith("message"):
            tail = r" as call 0 of group \w+ of ranks 0, 1"
        pattern = (
            f"rank 1 called {re.escape(ours)}{place}, but rank 0 called {re.escape(theirs)}"
            f"{place}{tail}"
        )
        assert re.fullmatch(pattern, heard[name]), heard[name]


def mismatch(train):
    with pytest.raises(MismatchError) as caught:
        simnet.run(train, PAIR)
    said = re.sub(r"at \S*?([^/\s]+\.py:\d+)", r"at \1", str(caught.value))
    return said, caught.value


@KINDS_SOME_SLOW
def test_a_mismatch_ends_the_run(kind):
    def train(rank, world_size):
        if rank == 0:
            dist.all_reduce(torch.ones(10))  # ten
        else:
            dist.all_reduce(torch.ones(9), async_op=True)  # nine

    with pytest.raises(MismatchError) as caught:
        simnet.run(train, PAIR, kind(2), quiet=True)
    said = re.sub(r"at \S*?([^/\s]+\.py:\d+)", r"at \1", str(caught.value))
    assert said == (
        f"rank 1 called all_reduce of 9 float32 (SUM) at {here('nine')}, but rank 0 called "
        f"all_reduce of 10 float32 (SUM) at {here('ten')} as call 0 of the default group"
    )
    assert any(note.startswith("on rank 1 at virtual time ") for note in caught.value.__notes__)


@pytest.mark.filterwarnings("ignore:.*all_reduce_coalesced.*deprecated:FutureWarning")
def test_lists_of_other_lengths_and_coalesced_calls():
    def train(rank, world_size):
        many = [torch.ones(2) for _ in range(2 + rank)]
        dist.all_reduce_coalesced(many)

    said, _ = mismatch(train)
    assert "rank 1 called all_reduce of 6 float32" in said
    assert "rank 0 called all_reduce of 4 float32" in said


def test_objects_of_other_sizes_are_no_mismatch():
    def train(rank, world_size):
        gathered = [None] * world_size
        dist.all_gather_object(gathered, "x" * (1 + 1000 * rank))
        return [len(each) for each in gathered]

    assert simnet.run(train, PAIR).results == ([1, 1001], [1, 1001])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: dist.all_reduce(torch.ones(4, device="meta")), ValueError),
        (lambda: dist.all_reduce(torch.ones(4), op=dist.ReduceOp.BXOR), TypeError),
        (lambda: dist.all_to_all_single(torch.ones(4), torch.ones(4), [1, 1], [2, 2]), ValueError),
        (lambda: dist.all_to_all_single(torch.ones(3), torch.ones(3)), ValueError),
    ],
)
def test_what_one_rank_alone_gets_wrong_is_its_own_error(call, error):
    def train(rank, world_size):
        if rank == 1:
            call()
        dist.barrier()

    with pytest.raises(error) as caught:
        simnet.run(train, PAIR)
    assert not isinstance(caught.value, MismatchError)
    assert caught.value.__notes__ == ["on rank 1 at virtual time 0 s"]


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes], ids=["threads", "processes"])
def test_a_rank_that_goes_on_after_a_mismatch_is_heard_as_ever(kind):
    def train(rank, world_size):
        if rank == 0:
            work = dist.all_reduce(torch.ones(3), async_op=True)
        else:
            simnet.compute(0.001)
            with pytest.raises(MismatchError):
                dist.all_reduce(torch.ones(4))
            work = dist.all_reduce(torch.ones(3), async_op=True)
        simnet.compute(1.0)  # it is over by then
        work.wait()
        return simnet.now()

    net = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="10ms"))
    run = simnet.run(train, net, kind(2), quiet=True)
    assert run.results == (1.0, 1.001)
    assert [entry.tickets for entry in run.trace.entries[1] if entry.action == "wait"] == [(0,)]
