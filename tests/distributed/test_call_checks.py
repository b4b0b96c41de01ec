"""What a call refuses at once: lists of a wrong length, types and sizes that do not go together."""

import os
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.distributed import WaitTimeoutError

NET = simnet.Network(topologies.star(4, bandwidth="1GB/s", latency="1ms"))


def tensors(number, elements=2):
    return [torch.zeros(elements) for _ in range(number)]


def heard(call):
    """What rank 0 hears of a call, and whether the group goes on to work without it."""

    def train(rank, world_size):
        said = None
        if rank == 0:
            try:
                call()
            except (TypeError, ValueError) as error:
                said = type(error), str(error)
        total = torch.ones(1)
        dist.all_reduce(total)
        return said, total.item()

    said, total = simnet.run(train, NET, quiet=True).results[0]
    assert total == 4
    return said


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dist.all_gather(tensors(3), torch.ones(2)),
         "all_gather: 1 inputs and 3 outputs; a group of 4 ranks has 1 and 4 here"),
        (lambda: dist.all_gather(tensors(5), torch.ones(2)),
         "all_gather: 1 inputs and 5 outputs; a group of 4 ranks has 1 and 4 here"),
        (lambda: dist.scatter(torch.ones(2), tensors(3), src=0),
         "scatter: 3 inputs and 1 outputs; a group of 4 ranks has 4 and 1 here"),
        (lambda: dist.reduce_scatter(torch.ones(2), tensors(3)),
         "reduce_scatter: 3 inputs and 1 outputs; a group of 4 ranks has 4 and 1 here"),
        (lambda: dist.gather(torch.ones(2), tensors(3), dst=0),
         "gather: 1 inputs and 3 outputs; a group of 4 ranks has 1 and 4 here"),
        (lambda: dist.all_to_all(tensors(3), tensors(4)),
         "all_to_all: 4 inputs and 3 outputs; a group of 4 ranks has 4 and 4 here"),
        (lambda: dist.all_to_all(tensors(5), tensors(5)),
         "all_to_all: 5 inputs and 5 outputs; a group of 4 ranks has 4 and 4 here"),
    ],
)  # fmt: skip
def test_lists_of_a_wrong_length(call, said):
    assert heard(call) == (ValueError, said)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dist.all_gather([*tensors(3), torch.zeros(3)], torch.ones(3)),
         "all_gather: output 0 of 2 elements for input 0 of 3"),
        (lambda: dist.all_gather_single(torch.zeros(12), torch.ones(2)),
         "all_gather: output 0 of 3 elements for input 0 of 2"),
        (lambda: dist.scatter(torch.ones(2), [*tensors(3), torch.zeros(3)], src=0),
         "scatter: output 0 of 2 elements for input 3 of 3"),
        (lambda: dist.reduce_scatter(torch.ones(3), [*tensors(3), torch.zeros(3)]),
         "reduce_scatter: output 0 of 3 elements for input 0 of 2"),
        (lambda: dist.reduce_scatter_single(torch.ones(3), torch.zeros(8)),
         "reduce_scatter: output 0 of 3 elements for input 0 of 2"),
        (lambda: dist.gather(torch.ones(2), [*tensors(3), torch.zeros(3)], dst=0),
         "gather: output 3 of 3 elements for input 0 of 2"),
        (lambda: dist.all_to_all([torch.zeros(3), *tensors(3)], tensors(4)),
         "all_to_all: output 0 of 3 elements for input 0 of 2"),
        (lambda: dist.all_to_all_single(torch.zeros(12), torch.zeros(8)),
         "all_to_all: output 0 of 3 elements for input 0 of 2"),
    ],
)  # fmt: skip
def test_parts_of_a_wrong_size(call, said):
    assert heard(call) == (ValueError, f"{said}; a group of 4 ranks wants as many in both")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda ints, four: dist.all_gather_single(ints, four[:1]), "all_gather"),
        (lambda ints, four: dist.reduce_scatter_single(ints[:1], four), "reduce_scatter"),
    ],
)
def test_outputs_of_another_type(call, kind):
    said = f"{kind}: outputs of int32 for inputs of float32; a group of 4 ranks wants float32"
    assert heard(partial(call, torch.zeros(4).int(), torch.zeros(4))) == (TypeError, said)


def test_uneven_parts_that_go_together():
    def train(rank, world_size):
        own = torch.full((rank,), float(rank))
        gathered = [torch.zeros(each) for each in range(4)]
        dist.all_gather(gathered, own)
        mine = torch.zeros(rank)
        dist.reduce_scatter(mine, [torch.full((each,), 1.0) for each in range(4)])
        taken = [torch.zeros(each + 1) for each in range(4)]
        dist.all_to_all(taken, [torch.full((rank + 1,), float(rank)) for _ in range(4)])
        return torch.cat(gathered).tolist(), mine.tolist(), torch.cat(taken).tolist()

    for rank, result in enumerate(simnet.run(train, NET, quiet=True).results):
        assert result == ([1, 2, 2, 3, 3, 3], [4.0] * rank, [0, 1, 1, 2, 2, 2, 3, 3, 3, 3])


@pytest.mark.parametrize(
    ("call", "kind"), [(dist.send, "send"), (dist.isend, "send"), (dist.recv, "recv")]
)
def test_a_peer_that_the_group_does_not_have(call, kind):
    said = f"{kind}: peer 7; a group of 4 ranks has 0 to 3"
    assert heard(lambda: call(torch.ones(1), 7)) == (ValueError, said)


@pytest.mark.parametrize("op", ["SUM", "MIN", "MAX"])
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_types_that_torch_cannot_reduce(op, dtype):
    def call():
        dist.all_reduce(torch.ones(1).to(getattr(torch, dtype)), getattr(dist.ReduceOp, op))

    assert heard(call) == (TypeError, f"all_reduce: {op} of {dtype} is not defined; use int64")


def test_bits_and_products_of_unsigned_integers():
    def train(rank, world_size):
        bits = torch.tensor([1 << rank]).to(torch.uint16)
        product = torch.tensor([rank + 1]).to(torch.uint32)
        dist.all_reduce(bits, dist.ReduceOp.BOR)
        dist.all_reduce(product, dist.ReduceOp.PRODUCT)
        return bits.item(), product.item()

    assert simnet.run(train, NET, quiet=True).results == ((15, 24),) * 4


def sum_of(tensor):
    work = dist.all_reduce(tensor, async_op=True)
    return work, lambda: tensor.item()


def gathered_of(tensor):
    parts = tensors(4, 1)
    return dist.all_gather(parts, tensor, async_op=True), lambda: torch.cat(parts).sum().item()


@pytest.mark.parametrize("call", [sum_of, gathered_of])
def test_others_get_what_a_tensor_held_when_its_wait_timed_out(call):
    def train(rank, world_size):
        tensor = torch.tensor([10.0**rank])
        if rank:
            simnet.compute("5s")
        work, result = call(tensor)
        if rank == 0:
            for _ in range(2):
                with pytest.raises(WaitTimeoutError):
                    work.wait(timedelta(seconds=1))
                tensor.fill_(7777.0)
        work.wait()
        return result()

    assert simnet.run(train, NET, quiet=True).results == (1111.0,) * 4


GONE = """
import os, tempfile
os.chdir(folder := tempfile.mkdtemp())
os.rmdir(folder)
from simnet.ranks.where import _short
print(_short("/tmp/a.py"))
"""


def test_lines_are_named_where_the_folder_is_gone():
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", GONE],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("/tmp/a.py\n", 0), done.stderr
