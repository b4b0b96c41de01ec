"""What the ranks' tensors hold after a call, and what they must hold before."""

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.distributed.exchange import reduce_in_order

NET = simnet.Network(topologies.star(4, bandwidth="1GB/s", latency="1ms"))


def combined(op, values, dtype=torch.float32):
    """What every rank holds after an all_reduce of one value a rank."""

    def train(rank, world_size):
        tensor = torch.tensor([values[rank]], dtype=dtype)
        dist.all_reduce(tensor, op=op)
        return tensor

    results = simnet.run(train, NET).results
    assert all(torch.equal(result, results[0]) for result in results)
    assert results[0].dtype == dtype
    return results[0].item()


@pytest.mark.parametrize(
    ("op", "expected"),
    [("SUM", 10.0), ("AVG", 2.5), ("MIN", -2.0), ("MAX", 7.0), ("PRODUCT", -56.0)],
)
def test_reductions(op, expected):
    assert combined(getattr(dist.ReduceOp, op), [1.0, -2.0, 4.0, 7.0]) == expected


def test_sums_go_in_rank_order_in_the_tensors_type():
    # 2048 + 1 is 2048 in float16, three times over; from the other end 3 + 2048 would be 2052.
    assert combined(dist.ReduceOp.SUM, [2048.0, 1.0, 1.0, 1.0], torch.float16) == 2048.0
    assert combined(dist.ReduceOp.SUM, [1.0, 1.0, 1.0, 2048.0], torch.float16) == 2052.0


def test_sums_are_those_of_a_loop_to_the_bit():
    tensors = [torch.randn(999, generator=torch.Generator().manual_seed(i)) for i in range(7)]
    expected = tensors[0].clone()
    for tensor in tensors[1:]:
        expected += tensor
    assert torch.equal(reduce_in_order(tensors, "SUM"), expected)
    assert torch.equal(reduce_in_order(tensors, "AVG"), expected / 7)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bfloat16, torch.float64])
def test_types(dtype):
    assert combined(dist.ReduceOp.SUM, [1, 2, 3, 4], dtype) == 10


def test_complex_and_bool():
    assert combined(dist.ReduceOp.SUM, [1j, 2, 3, 4 + 1j], torch.complex64) == 9 + 2j
    assert combined(dist.ReduceOp.MAX, [False, True, False, False], torch.bool) is True


def test_average_of_integers_is_refused():
    with pytest.raises(TypeError, match=r"^all_reduce: AVG of int64 is not defined; use SUM\n"):
        combined(dist.ReduceOp.AVG, [1, 2, 3, 4], torch.int64)


@pytest.mark.parametrize("src", range(4))
def test_broadcast_from_every_root(src):
    def train(rank, world_size):
        tensor = torch.full((3, 2), float(rank))
        dist.broadcast(tensor, src=src)
        return tensor

    for result in simnet.run(train, NET).results:
        assert torch.equal(result, torch.full((3, 2), float(src)))


def test_tensors_need_not_be_contiguous_nor_of_one_shape():
    def train(rank, world_size):
        whole = torch.zeros(4, 6)
        part = whole.t()[::2] if rank % 2 else whole[:, ::2]
        part += rank + 1
        dist.all_reduce(part)
        return whole

    # torch lets shapes differ as long as the number of elements is the same.
    for rank, whole in enumerate(simnet.run(train, NET).results):
        expected = torch.zeros(4, 6)
        (expected.t()[::2] if rank % 2 else expected[:, ::2]).fill_(10.0)
        assert torch.equal(whole, expected)


def test_parameters_that_need_gradients_can_be_sent():
    def train(rank, world_size):
        layer = torch.nn.Linear(3, 2)
        for parameter in layer.parameters():
            dist.broadcast(parameter, src=0)
            dist.all_reduce(parameter.data)
        layer(torch.ones(3)).sum().backward()
        return layer.weight.grad

    assert all(torch.equal(g, torch.ones(2, 3)) for g in simnet.run(train, NET).results)


def test_empty_tensors():
    def train(rank, world_size):
        tensor = torch.empty(0)
        dist.all_reduce(tensor)
        dist.broadcast(tensor, src=3)
        return tensor.numel()

    assert simnet.run(train, NET).results == (0,) * 4


def test_objects_are_broadcast():
    def train(rank, world_size):
        found = [{"rank": rank, "text": "x" * rank}, rank]
        dist.broadcast_object_list(found, src=2)
        return found

    assert simnet.run(train, NET).results == ([{"rank": 2, "text": "xx"}, 2],) * 4


def test_a_handle_after_its_end():
    def train(rank, world_size):
        tensor = torch.tensor([1.0])
        work = dist.all_reduce(tensor, async_op=True)
        assert work.wait() is True
        assert work.is_completed()
        assert work.is_success()
        assert work.exception() is None
        (found,) = work.result()
        assert found is tensor
        (found,) = work.get_future().wait()
        return found.item(), dist.barrier(async_op=True).wait()

    assert simnet.run(train, NET).results == ((4.0, True),) * 4


def test_a_handle_before_its_end():
    def train(rank, world_size):
        tensor = torch.tensor([float(rank)])
        work = dist.all_reduce(tensor, async_op=True)
        early = work.is_completed(), work.is_success()
        future = work.get_future().then(lambda done: done.value()[0].item() + 1)
        return early, future.wait(), work.result()[0].item(), work.is_completed()

    assert simnet.run(train, NET).results == (((False, False), 7.0, 6.0, True),) * 4


REFUSED = {
    "broadcast of a sparse tensor": (
        lambda t: dist.broadcast(t.to_sparse(), src=0),
        TypeError,
        "broadcast: torch.sparse_coo tensors are not carried; use to_dense()",
    ),
    "MAX of sparse tensors": (
        lambda t: dist.all_reduce(t.to_sparse(), op=dist.ReduceOp.MAX),
        TypeError,
        "all_reduce: MAX of torch.sparse_coo tensors; only SUM of sparse_coo",
    ),
    "all_reduce of a tensor on meta": (
        lambda t: dist.all_reduce(t.to("meta")),
        ValueError,
        "all_reduce: a tensor on meta; ranks that are threads exchange CPU tensors only: move "
        "it, or use ranks=simnet.processes(n)",
    ),
    "BAND of floats": (
        lambda t: dist.all_reduce(t, op=dist.ReduceOp.BAND),
        TypeError,
        "all_reduce: BAND of float32 is not defined; use integers",
    ),
    "a length that N does not divide": (
        lambda t: dist.all_to_all_single(t[:3].clone(), t[:3].clone()),
        ValueError,
        "all_to_all: 3 elements cannot be divided by 4 ranks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_is_refused_in_one_line(name):
    call, kind, words = REFUSED[name]

    def train(rank, world_size):
        call(torch.ones(4))

    with pytest.raises(kind) as caught:
        simnet.run(train, NET)
    assert str(caught.value) == words
