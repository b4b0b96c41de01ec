"""Collectives called directly on tensors: their forms, layouts, operators and types."""

from functools import partial

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _coalescing_manager

from features.registry import feature, raises

eager = partial(feature, group="Eager collectives", exact=True)
typed = partial(feature, group="Operators and types", exact=True)

OLD_GATHER = ".torch.distributed.all_gather_into_tensor. is deprecated"
OLD_SCATTER = ".torch.distributed.reduce_scatter_tensor. is deprecated"
OLD_COALESCED = ".torch.distributed.all_(reduce|gather)_coalesced. will be deprecated"


def numbers(rank, *shape):
    """A tensor of small whole numbers, other ones on every rank."""
    return (torch.arange(torch.Size(shape).numel()).reshape(shape) + 10.0 * rank) % 17 + 1


def blank(count, *shape):
    return [torch.zeros(shape) for _ in range(count)]


# Forms


@eager("all_reduce")
def all_reduce(rank, world_size):
    tensor = numbers(rank, 3, 5)
    returned = dist.all_reduce(tensor)
    return tensor, returned is None


@eager("all_reduce, async")
def all_reduce_async(rank, world_size):
    first, second = numbers(rank, 8), numbers(rank + 1, 5)
    works = [dist.all_reduce(tensor, async_op=True) for tensor in (first, second)]
    for work in reversed(works):
        work.wait()
    return first, second


@eager("all_reduce of a view changes the whole in place")
def all_reduce_view(rank, world_size):
    whole = numbers(rank, 4, 4)
    dist.all_reduce(whole[1:3])
    return whole


@eager("all_reduce of the same tensor twice")
def all_reduce_twice(rank, world_size):
    tensor = numbers(rank, 6)
    works = [dist.all_reduce(tensor, async_op=True)]
    works[0].wait()
    works.append(dist.all_reduce(tensor, async_op=True))
    works[1].wait()
    return tensor


@eager("all_reduce of a parameter's data and of its gradient")
def all_reduce_parameter(rank, world_size):
    weight = torch.nn.Parameter(numbers(rank, 4))
    (weight * (rank + 1)).sum().backward()
    dist.all_reduce(weight.grad)
    dist.all_reduce(weight.data)
    return weight.detach(), weight.grad


@eager("all_reduce_coalesced", warns=(OLD_COALESCED,))
def all_reduce_coalesced(rank, world_size):
    tensors = [numbers(rank, 3), numbers(rank + 2, 2, 2)]
    dist.all_reduce_coalesced(tensors)
    return tensors


@eager("all_reduce_coalesced, async, MAX", warns=(OLD_COALESCED,))
def all_reduce_coalesced_async(rank, world_size):
    tensors = [numbers(rank, 3), numbers(rank + 2, 2, 2)]
    # What gloo gives back here is a future.
    dist.all_reduce_coalesced(tensors, op=dist.ReduceOp.MAX, async_op=True).wait()
    return tensors


def coalescing(rank, world_size, async_ops):
    """Two calls of a kind, in one block; torch joins them into one call of the group."""
    tensors = [numbers(rank, 4), numbers(rank + 3, 2, 3)]
    with _coalescing_manager(async_ops=async_ops) as manager:
        for tensor in tensors:
            dist.all_reduce(tensor)
    if async_ops:
        manager.wait()
    return tensors


eager("_coalescing_manager, all_reduce", program=partial(coalescing, async_ops=False))
eager("_coalescing_manager, all_reduce, async", program=partial(coalescing, async_ops=True))


@eager("_coalescing_manager, all_gather_single")
def coalescing_gather(rank, world_size):
    outputs = [torch.zeros(2 * world_size), torch.zeros(world_size, 3)]
    with _coalescing_manager():
        dist.all_gather_single(outputs[0], numbers(rank, 2))
        dist.all_gather_single(outputs[1], numbers(rank, 1, 3))
    return outputs


@eager("_coalescing_manager, reduce_scatter_single")
def coalescing_scatter(rank, world_size):
    outputs = [torch.zeros(2), torch.zeros(1, 3)]
    with _coalescing_manager():
        dist.reduce_scatter_single(outputs[0], numbers(rank, 2 * world_size))
        dist.reduce_scatter_single(outputs[1], numbers(rank, world_size, 3))
    return outputs


def broadcast(rank, world_size, async_op):
    received = []
    for src in range(world_size):
        tensor = numbers(rank, 2, 3)
        work = dist.broadcast(tensor, src=src, async_op=async_op)
        if async_op:
            work.wait()
        received.append(tensor)
    return received


eager("broadcast from every rank", program=partial(broadcast, async_op=False))
eager("broadcast, async", program=partial(broadcast, async_op=True))


@eager("broadcast, group_src")
def broadcast_group_src(rank, world_size):
    group = dist.new_group([1, 3])
    tensor = numbers(rank, 3)
    if rank in (1, 3):
        dist.broadcast(tensor, group=group, group_src=1)
    return tensor


def reduce(rank, world_size, async_op):
    # What the others' tensors hold afterwards is not defined.
    received = []
    for dst in range(world_size):
        tensor = numbers(rank, 4)
        work = dist.reduce(tensor, dst=dst, async_op=async_op)
        if async_op:
            work.wait()
        if rank == dst:
            received.append(tensor)
    return received


eager("reduce to every rank", program=partial(reduce, async_op=False))
eager("reduce, async", program=partial(reduce, async_op=True))


@eager("all_gather")
def all_gather(rank, world_size):
    outputs = blank(world_size, 2, 3)
    dist.all_gather(outputs, numbers(rank, 2, 3))
    return outputs


@eager("all_gather, async")
def all_gather_async(rank, world_size):
    outputs = blank(world_size, 5)
    dist.all_gather(outputs, numbers(rank, 5), async_op=True).wait()
    return outputs


@eager("all_gather into views of one tensor")
def all_gather_views(rank, world_size):
    whole = torch.zeros(world_size, 3)
    dist.all_gather(list(whole.unbind()), numbers(rank, 3))
    return whole


@eager("all_gather from a part of the output")
def all_gather_aliased(rank, world_size):
    outputs = blank(world_size, 3)
    outputs[rank].copy_(numbers(rank, 3))
    dist.all_gather(outputs, outputs[rank])
    return outputs


def uneven(rank):
    return numbers(rank, rank + 1)


def uneven_outputs(rank, world_size):
    return [uneven(r) for r in range(world_size)]


@eager(
    "all_gather of uneven sizes",
    no_gloo="gloo wants equal sizes; NCCL takes uneven ones",
    reference=uneven_outputs,
)
def all_gather_uneven(rank, world_size):
    outputs = [torch.zeros(r + 1) for r in range(world_size)]
    dist.all_gather(outputs, uneven(rank))
    return outputs


@eager("all_gather_single, concatenated")
def all_gather_single(rank, world_size):
    output = torch.zeros(2 * world_size, 3)
    dist.all_gather_single(output, numbers(rank, 2, 3))
    return output


STACKED = "gloo only concatenates; NCCL stacks too"


@eager(
    "all_gather_single, stacked",
    no_gloo=STACKED,
    reference=lambda rank, size: torch.stack([numbers(r, 2, 3) for r in range(size)]),
)
def all_gather_single_stacked(rank, world_size):
    output = torch.zeros(world_size, 2, 3)
    dist.all_gather_single(output, numbers(rank, 2, 3))
    return output


@eager(
    "all_gather_single, stacked, async, from a part of the output",
    no_gloo=STACKED,
    reference=lambda rank, size: torch.stack([numbers(r, 3) for r in range(size)]),
)
def all_gather_single_inplace(rank, world_size):
    output = torch.zeros(world_size, 3)
    output[rank] = numbers(rank, 3)
    dist.all_gather_single(output, output[rank], async_op=True).wait()
    return output


@eager("all_gather_into_tensor", warns=(OLD_GATHER,))
def all_gather_into_tensor(rank, world_size):
    output = torch.zeros(2 * world_size)
    dist.all_gather_into_tensor(output, numbers(rank, 2))
    return output


@eager("all_gather_coalesced", warns=(OLD_COALESCED,))
def all_gather_coalesced(rank, world_size):
    outputs = [[torch.zeros(3), torch.zeros(2, 2)] for _ in range(world_size)]
    dist.all_gather_coalesced(outputs, [numbers(rank, 3), numbers(rank, 2, 2)])
    return outputs


@eager("reduce_scatter")
def reduce_scatter(rank, world_size):
    output = torch.zeros(2, 2)
    dist.reduce_scatter(output, list(numbers(rank, world_size, 2, 2).unbind()))
    return output


@eager("reduce_scatter, async, MAX")
def reduce_scatter_async(rank, world_size):
    output = torch.zeros(3)
    inputs = [numbers(rank + r, 3) for r in range(world_size)]
    dist.reduce_scatter(output, inputs, op=dist.ReduceOp.MAX, async_op=True).wait()
    return output


@eager("reduce_scatter into a part of the input")
def reduce_scatter_aliased(rank, world_size):
    inputs = [numbers(rank + r, 3) for r in range(world_size)]
    dist.reduce_scatter(inputs[rank], inputs)
    return inputs[rank]


@eager("reduce_scatter of uneven sizes")
def reduce_scatter_uneven(rank, world_size):
    output = torch.zeros(rank + 1)
    dist.reduce_scatter(output, [numbers(rank, r + 1) for r in range(world_size)])
    return output


@eager("reduce_scatter_single, concatenated")
def reduce_scatter_single(rank, world_size):
    output = torch.zeros(2, 3)
    dist.reduce_scatter_single(output, numbers(rank, 2 * world_size, 3))
    return output


def stacked_sum(rank, world_size):
    return sum(numbers(r, world_size, 2, 3)[rank] for r in range(world_size))


@eager("reduce_scatter_single, stacked", no_gloo=STACKED, reference=stacked_sum)
def reduce_scatter_single_stacked(rank, world_size):
    output = torch.zeros(2, 3)
    dist.reduce_scatter_single(output, numbers(rank, world_size, 2, 3))
    return output


@eager("reduce_scatter_single, async, into a part of the input")
def reduce_scatter_single_inplace(rank, world_size):
    whole = numbers(rank, world_size * 3)
    part = whole[3 * rank : 3 * rank + 3]
    dist.reduce_scatter_single(part, whole, async_op=True).wait()
    return part.clone()


@eager("reduce_scatter_tensor", warns=(OLD_SCATTER,))
def reduce_scatter_tensor(rank, world_size):
    output = torch.zeros(2)
    dist.reduce_scatter_tensor(output, numbers(rank, 2 * world_size), op=dist.ReduceOp.AVG)
    return output


def gather(rank, world_size, async_op):
    received = []
    for dst in range(world_size):
        outputs = blank(world_size, 3) if rank == dst else None
        work = dist.gather(numbers(rank, 3), outputs, dst=dst, async_op=async_op)
        if async_op:
            work.wait()
        received.append(outputs)
    return received


eager("gather to every rank", program=partial(gather, async_op=False))
eager("gather, async", program=partial(gather, async_op=True))


def scatter(rank, world_size, async_op):
    received = []
    for src in range(world_size):
        inputs = list(numbers(rank, world_size, 3).unbind()) if rank == src else None
        output = torch.zeros(3)
        work = dist.scatter(output, inputs, src=src, async_op=async_op)
        if async_op:
            work.wait()
        received.append(output)
    return received


eager("scatter from every rank", program=partial(scatter, async_op=False))
eager("scatter, async", program=partial(scatter, async_op=True))


@eager("all_to_all")
def all_to_all(rank, world_size):
    outputs = blank(world_size, 2)
    dist.all_to_all(outputs, list(numbers(rank, world_size, 2).unbind()))
    return outputs


def exchanged(rank, world_size):
    return [numbers(r, 1 + (rank + r) % 3) for r in range(world_size)]


@eager(
    "all_to_all of uneven sizes, async",
    no_gloo="gloo wants equal sizes; NCCL takes uneven ones",
    reference=exchanged,
)
def all_to_all_uneven(rank, world_size):
    inputs = [numbers(rank, 1 + (rank + r) % 3) for r in range(world_size)]
    outputs = [torch.zeros(1 + (rank + r) % 3) for r in range(world_size)]
    dist.all_to_all(outputs, inputs, async_op=True).wait()
    return outputs


@eager("all_to_all_single")
def all_to_all_single(rank, world_size):
    output = torch.zeros(2 * world_size, 3)
    dist.all_to_all_single(output, numbers(rank, 2 * world_size, 3))
    return output


@eager("all_to_all_single, uneven splits")
def all_to_all_single_uneven(rank, world_size):
    sent = [(rank + r) % 3 for r in range(world_size)]  # empty parts too
    output = torch.zeros(sum(sent), 2)
    dist.all_to_all_single(
        output, numbers(rank, sum(sent), 2), output_split_sizes=sent, input_split_sizes=sent
    )
    return output


@eager("all_to_all_single, async, splits that differ both ways")
def all_to_all_single_async(rank, world_size):
    # Rank r sends r + 1 rows to everyone.
    sent, received = [rank + 1] * world_size, [r + 1 for r in range(world_size)]
    output = torch.zeros(sum(received))
    dist.all_to_all_single(output, numbers(rank, sum(sent)), received, sent, async_op=True).wait()
    return output


@eager("many calls in flight, waited for in another order")
def in_flight(rank, world_size):
    tensors = [numbers(rank + i, 3) for i in range(12)]
    works = [
        dist.all_reduce(tensor, async_op=True)
        if i % 2
        else dist.broadcast(tensor, src=i % world_size, async_op=True)
        for i, tensor in enumerate(tensors)
    ]
    for i in (3, 11, 0, 7, 1, 2, 4, 5, 6, 8, 9, 10):
        works[i].wait()
    return tensors


@eager("autograd flows around a collective on detached tensors")
def around_autograd(rank, world_size):
    weight = torch.full((3,), 2.0, requires_grad=True)
    (weight * numbers(rank, 3)).sum().backward()
    dist.all_reduce(weight.grad, op=dist.ReduceOp.AVG)
    with torch.no_grad():
        weight -= weight.grad
    return weight.detach()


# Layouts


def strided(rank, world_size):
    """Every other column, transposed, of a larger tensor."""
    whole = numbers(rank, 4, 6)
    return whole, whole.t()[::2]


def strided_reference(rank, world_size):
    return sum(strided(r, world_size)[1] for r in range(4)), True, numbers(2, 4, 6)[:, 1::2]


STRIDED = "gloo takes the memory as if it were contiguous"


@eager(
    "all_reduce and broadcast of a non-contiguous tensor",
    no_gloo=STRIDED,
    reference=strided_reference,
)
def non_contiguous(rank, world_size):
    whole, part = strided(rank, world_size)
    dist.all_reduce(part)
    other = numbers(rank, 4, 6)
    dist.broadcast(other[:, 1::2], src=2)
    return part, torch.equal(part, whole.t()[::2]), other[:, 1::2]


def strided_lists_reference(rank, world_size):
    gathered = [numbers(r, 2, 3).t() for r in range(world_size)]
    return gathered, sum(numbers(r + rank, 3, 2).t() for r in range(world_size))


@eager(
    "all_gather and reduce_scatter, non-contiguous lists",
    no_gloo=STRIDED,
    reference=strided_lists_reference,
)
def non_contiguous_lists(rank, world_size):
    outputs = [torch.zeros(2, 3).t() for _ in range(world_size)]
    dist.all_gather(outputs, numbers(rank, 2, 3).t())
    output = torch.zeros(2, 3)
    dist.reduce_scatter(output, [numbers(rank + r, 3, 2).t() for r in range(world_size)])
    return outputs, output


@eager("channels_last tensors")
def channels_last(rank, world_size):
    tensor = numbers(rank, 2, 3, 2, 2).to(memory_format=torch.channels_last)
    dist.all_reduce(tensor)
    return tensor.contiguous(), tensor.is_contiguous(memory_format=torch.channels_last)


@eager("tensors of no dimension")
def zero_dim(rank, world_size):
    tensor = torch.tensor(float(rank))
    dist.all_reduce(tensor)
    outputs = [torch.tensor(0.0) for _ in range(world_size)]
    dist.all_gather(outputs, torch.tensor(float(rank)))
    return tensor, outputs


@eager("tensors of no element")
def zero_size(rank, world_size):
    tensor = torch.zeros(0, 3)
    dist.all_reduce(tensor)
    dist.broadcast(tensor, src=1)
    outputs = blank(world_size, 0)
    dist.all_gather(outputs, torch.zeros(0))
    return tensor, outputs


@eager("all_to_all_single where nobody sends anything")
def empty_all_to_all(rank, world_size):
    output = torch.zeros(0, 2)
    dist.all_to_all_single(output, torch.zeros(0, 2), [0] * world_size, [0] * world_size)
    return output


def sparse_sum(rank, world_size):
    return sum(sparse(r).to_dense() for r in range(world_size))


def sparse(rank):
    return torch.sparse_coo_tensor(
        [[0, rank], [1, 2]], [1.0, rank + 1.0], (4, 3), check_invariants=True
    )


@eager("all_reduce of a sparse tensor", reference=sparse_sum)
def all_reduce_sparse(rank, world_size):
    tensor = sparse(rank)
    dist.all_reduce(tensor)
    return tensor.to_dense()


@eager("large tensors")
def large(rank, world_size):
    tensor = numbers(rank, 300_000)
    dist.all_reduce(tensor)
    output = torch.zeros(world_size * 10_000)
    dist.all_gather_single(output, tensor[:10_000] + rank)
    return tensor.sum(), output.view(world_size, -1).sum(dim=1)


# Operators and types

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}
NOT_IN_GLOO = ("float8_e4m3fn", "float8_e5m2", "int16")
BITWISE = ("BAND", "BOR", "BXOR")


def operators(dtype):
    """The operators that are defined for a type."""
    kind = DTYPES[dtype]
    if kind.is_complex:
        return ("SUM", "AVG")
    if kind.is_floating_point:
        return ("SUM", "AVG", "PRODUCT", "MIN", "MAX")
    return ("SUM", "PRODUCT", "MIN", "MAX", *BITWISE)


def small(rank, dtype):
    """Numbers whose sums and products are exact in every type."""
    return torch.tensor([[1, 2, 3, 0], [2, 1, 0, 1], [0, 1, 1, 1], [1, 1, 2, 2]])[rank].to(
        DTYPES[dtype]
    )


def reduced(rank, world_size, op, dtype):
    tensor = small(rank, dtype)
    dist.all_reduce(tensor, op=getattr(dist.ReduceOp, op))
    return tensor


FOLD = {
    "SUM": lambda stack: stack.sum(0),
    "AVG": lambda stack: stack.sum(0) / len(stack),
    "PRODUCT": lambda stack: stack.prod(0),
    "MIN": lambda stack: stack.amin(0),
    "MAX": lambda stack: stack.amax(0),
    "BAND": lambda stack: stack[0] & stack[1] & stack[2] & stack[3],
    "BOR": lambda stack: stack[0] | stack[1] | stack[2] | stack[3],
    "BXOR": lambda stack: stack[0] ^ stack[1] ^ stack[2] ^ stack[3],
}


def folded(op, dtype):
    wide = torch.float32 if DTYPES[dtype].is_floating_point else torch.int64
    stack = torch.stack([small(r, dtype).to(wide) for r in range(4)])
    return FOLD[op](stack).to(DTYPES[dtype])


for _op in FOLD:
    typed(
        f"all_reduce, {_op}",
        program=partial(reduced, op=_op, dtype="int32" if _op in BITWISE else "float32"),
    )


def premultiplied(rank, world_size):
    tensor = numbers(rank, 4)
    dist.all_reduce(tensor, op=torch.distributed._make_nccl_premul_sum(0.5))
    return tensor


def premultiplied_reference(rank, world_size):
    return sum(numbers(r, 4) * 0.5 for r in range(world_size))


typed(
    "all_reduce, PREMUL_SUM",
    program=premultiplied,
    no_gloo="gloo: 'Cannot use ReduceOp.PREMUL_SUM with Gloo'",
    reference=premultiplied_reference,
)


@typed(
    "reduce_scatter_single, PREMUL_SUM by a tensor",
    no_gloo="gloo: 'Cannot use ReduceOp.PREMUL_SUM with Gloo'",
    reference=lambda rank, world_size: premultiplied_reference(rank, world_size)[[rank]],
)
def premultiplied_scatter(rank, world_size):
    output = torch.zeros(1)
    factor = torch.distributed._make_nccl_premul_sum(torch.tensor([0.5]))
    dist.reduce_scatter_single(output, numbers(rank, 4), op=factor)
    return output


def all_operators(rank, world_size, call):
    """Every operator with integers and with floats, through another call than all_reduce."""
    received = []
    for dtype in ("float32", "int64"):
        for op in operators(dtype):
            tensor = small(rank, dtype)
            kept = call(tensor, getattr(dist.ReduceOp, op), rank)
            received.append(kept)
    return received


def by_reduce(tensor, op, rank):
    dist.reduce(tensor, dst=1, op=op)
    return tensor if rank == 1 else None


def by_reduce_scatter(tensor, op, rank):
    output = torch.zeros(1, dtype=tensor.dtype)
    dist.reduce_scatter(output, list(tensor.split(1)), op=op)
    return output


def by_reduce_scatter_single(tensor, op, rank):
    output = torch.zeros(1, dtype=tensor.dtype)
    dist.reduce_scatter_single(output, tensor, op=op)
    return output


typed("reduce, every operator", program=partial(all_operators, call=by_reduce))
typed("reduce_scatter, every operator", program=partial(all_operators, call=by_reduce_scatter))
typed(
    "reduce_scatter_single, every operator",
    program=partial(all_operators, call=by_reduce_scatter_single),
)


def reductions_of(rank, world_size, dtype):
    return [reduced(rank, world_size, op, dtype) for op in operators(dtype)]


def reductions_reference(rank, world_size, dtype):
    return [folded(op, dtype) for op in operators(dtype)]


def moves_of(rank, world_size, dtype):
    """A tensor of the type through every call that moves and does not compute."""
    mine = small(rank, dtype)
    sent = small(rank, dtype)
    dist.broadcast(sent, src=2)
    gathered = [torch.zeros_like(mine) for _ in range(world_size)]
    dist.all_gather(gathered, mine)
    single = mine.repeat(world_size)
    dist.all_gather_single(single, mine)
    exchanged = torch.zeros_like(mine)
    dist.all_to_all_single(exchanged, mine)
    part = torch.zeros_like(mine)
    dist.scatter(part, gathered if rank == 0 else None, src=0)
    right = torch.zeros_like(mine)
    requests = [
        dist.isend(mine, (rank + 1) % world_size),
        dist.irecv(right, (rank - 1) % world_size),
    ]
    for request in requests:
        request.wait()
    return sent, gathered, single, exchanged, part, right


def moves_reference(rank, world_size, dtype):
    every = [small(r, dtype) for r in range(world_size)]
    columns = torch.cat([tensor[rank : rank + 1] for tensor in every])
    return every[2], every, torch.cat(every), columns, every[rank], every[rank - 1]


for _dtype in DTYPES:
    _marks = {"no_gloo": "gloo: 'Invalid scalar type'"} if _dtype in NOT_IN_GLOO else {}
    typed(
        f"{_dtype}, all_reduce, " + " ".join(operators(_dtype)),
        program=partial(reductions_of, dtype=_dtype),
        reference=partial(reductions_reference, dtype=_dtype) if _marks else "gloo",
        **_marks,
    )
    typed(
        f"{_dtype}, moved",
        program=partial(moves_of, dtype=_dtype),
        reference=partial(moves_reference, dtype=_dtype) if _marks else "gloo",
        **_marks,
    )


@typed(
    "gather, complex64",
    no_gloo="gloo: 'Invalid scalar type'",
    reference=lambda rank, size: (
        [torch.full((2,), r + 1j) for r in range(size)] if rank == 0 else None
    ),
)
def gather_complex(rank, world_size):
    outputs = [torch.zeros(2, dtype=torch.complex64) for _ in range(world_size)]
    dist.gather(torch.full((2,), rank + 1j), outputs if rank == 0 else None, dst=0)
    return outputs if rank == 0 else None


@typed("bool, SUM and PRODUCT are OR and AND")
def bools(rank, world_size):
    received = []
    for op in (dist.ReduceOp.SUM, dist.ReduceOp.PRODUCT, dist.ReduceOp.BXOR):
        tensor = torch.tensor([rank == 0, True, False, rank < 3])
        dist.all_reduce(tensor, op=op)
        received.append(tensor)
    return received


@typed("integers that overflow wrap around")
def overflow(rank, world_size):
    byte, signed = torch.tensor([100], dtype=torch.uint8), torch.tensor([100], dtype=torch.int8)
    dist.all_reduce(byte)
    dist.all_reduce(signed)
    return byte, signed


@typed("infinities and not-a-number")
def infinities(rank, world_size):
    tensor = torch.tensor([float("inf"), float("-inf") if rank == 1 else 1.0, 2.0])
    dist.all_reduce(tensor)
    nan = torch.tensor([float("nan") if rank == 2 else 1.0])
    dist.all_reduce(nan)
    return tensor, nan.isnan()


REFUSED = {
    "AVG of integers": ("AVG", "int64", "result type Float can't be cast"),
    "AVG of bool": ("AVG", "bool", "result type Float can't be cast"),
    "BAND of floats": ("BAND", "float32", "Cannot use ReduceOp.BAND with non-integral dtype"),
    "BXOR of bfloat16": ("BXOR", "bfloat16", "Cannot use ReduceOp.BXOR with non-integral dtype"),
}


def refused(rank, world_size, op, dtype, error):
    return raises(error, lambda: dist.all_reduce(small(rank, dtype), op=getattr(dist.ReduceOp, op)))


for _name, (_op, _dtype, _says) in REFUSED.items():
    typed(
        f"all_reduce, {_name} is a TypeError",
        program=partial(refused, op=_op, dtype=_dtype, error=TypeError),
        no_gloo=f"gloo raises a RuntimeError: '{_says}'",
        reference=lambda rank, world_size: "TypeError",
    )

for _op in ("MIN", "MAX", "PRODUCT", "BOR"):
    typed(
        f"all_reduce, {_op} of complex numbers is a ValueError",
        program=partial(refused, op=_op, dtype="complex64", error=ValueError),
    )


def complex_elsewhere(rank, world_size):
    tensor = small(rank, "complex64")
    return [
        raises(TypeError, lambda: dist.reduce(tensor, 0, op=dist.ReduceOp.MIN)),
        raises(
            TypeError,
            lambda: dist.reduce_scatter_single(tensor[:1], tensor, op=dist.ReduceOp.MAX),
        ),
    ]


typed(
    "reduce and reduce_scatter, MIN of complex numbers is a TypeError",
    program=complex_elsewhere,
    no_gloo="gloo raises a RuntimeError: 'reduce does not support on complex tensors'",
    reference=lambda rank, world_size: ["TypeError"] * 2,
)


@typed("wrong arguments are refused before anything is sent")
def wrong_arguments(rank, world_size):
    t = torch.ones(4)
    return [
        raises(TypeError, lambda: dist.all_reduce([t])),
        raises(TypeError, lambda: dist.all_gather(t, t)),
        raises(TypeError, lambda: dist.broadcast(t, src="0")),
        raises(TypeError, lambda: dist.all_gather([t] * 4, "t")),
    ]


@typed(
    "a root outside the group is a ValueError",
    no_gloo="gloo raises a RuntimeError: 'invalid root rank: 9'",
    reference=lambda rank, world_size: "ValueError",
)
def wrong_root(rank, world_size):
    return raises(ValueError, lambda: dist.broadcast(torch.ones(1), src=9))
