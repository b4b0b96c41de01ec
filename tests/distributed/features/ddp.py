"""DistributedDataParallel and what belongs to it."""

import contextlib
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed._composable import replicate
from torch.distributed.algorithms.ddp_comm_hooks import (
    ddp_zero_hook,
    debugging_hooks,
    default_hooks,
    optimizer_overlap_hooks,
    post_localSGD_hook,
    powerSGD_hook,
    quantization_hooks,
)
from torch.distributed.algorithms.join import Join
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.optim import (
    ZeroRedundancyOptimizer,
    _apply_optimizer_in_backward,
    _FunctionalSGD,
)
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from features.models import WIDTH, batch, loss_of, mlp, parameters, sgd, steps, trained_alone
from features.registry import feature

ddp = partial(feature, group="DistributedDataParallel")

TINY_BUCKET_MB = 0.0001  # some 25 floats, so that there are several buckets


def trained(rank, world_size, **options):
    """Parameters after three steps, which must be those of a single process."""
    model = DistributedDataParallel(mlp(), **options)
    steps(model, sgd(model), rank)
    return parameters(model)


ddp("DDP", program=trained, reference=trained_alone)
ddp(
    "DDP, small buckets",
    program=partial(trained, bucket_cap_mb=TINY_BUCKET_MB),
    reference=trained_alone,
)
ddp(
    "DDP, gradient_as_bucket_view",
    program=partial(trained, gradient_as_bucket_view=True, bucket_cap_mb=TINY_BUCKET_MB),
    reference=trained_alone,
)
ddp("DDP, static_graph", program=partial(trained, static_graph=True), reference=trained_alone)
ddp(
    "DDP, forward_sync_buffers=False",
    program=partial(trained, forward_sync_buffers=False),
    reference=trained_alone,
)
ddp("DDP, init_sync=False", program=partial(trained, init_sync=False), reference=trained_alone)


@ddp("DDP, gradients and losses of each step")
def gradients(rank, world_size):
    model = DistributedDataParallel(mlp(), bucket_cap_mb=TINY_BUCKET_MB)
    optimizer = sgd(model)
    losses = steps(model, optimizer, rank)
    loss_of(model, *batch(rank)).backward()
    return losses, [parameter.grad for parameter in model.parameters()]


@ddp("DDP starts from rank 0's parameters")
def initial(rank, world_size):
    return parameters(DistributedDataParallel(mlp(seed=rank)))


@ddp("DDP on a mesh", reference=trained_alone)
def on_a_mesh(rank, world_size):
    return trained(rank, world_size, device_mesh=init_device_mesh("cpu", (world_size,)))


@ddp("DDP in subgroups")
def in_subgroups(rank, world_size):
    mine, _ = dist.new_subgroups(group_size=2)
    return trained(rank, world_size, process_group=mine)


@ddp("DDP, no_sync accumulates")
def no_sync(rank, world_size):
    model = DistributedDataParallel(mlp())
    local = []
    for step in range(3):
        with model.no_sync() if step < 2 else contextlib.nullcontext():
            loss_of(model, *batch(rank, step)).backward()
        local.append([parameter.grad.clone() for parameter in model.parameters()])
    return local


class Branches(nn.Module):
    """One of two branches is used, and which one differs from rank to rank."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 1)
        self.unused = nn.Linear(3, 3)

    def forward(self, inputs, which):
        return self.first(inputs) if which else self.second(inputs)


@ddp("DDP, find_unused_parameters")
def unused(rank, world_size):
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        inputs, targets = batch(rank, step)
        nn.functional.mse_loss(model(inputs, (rank + step) % 2), targets).backward()
        optimizer.step()
    return parameters(model)


@ddp("DDP, unused parameters without find_unused_parameters are an error")
def unused_error(rank, world_size):
    model = DistributedDataParallel(Branches())
    inputs, _ = batch(rank)
    model(inputs, True).sum().backward()
    try:
        model(inputs, True)
    except RuntimeError as error:
        return "Expected to have finished reduction in the prior iteration" in str(error)
    return False


@ddp("DDP, parameters to ignore", reference="gloo")
def ignored(rank, world_size):
    module = mlp(seed=rank)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
        module, ["0.weight", "0.bias"]
    )
    model = DistributedDataParallel(module)
    loss_of(model, *batch(rank)).backward()
    return parameters(model), [parameter.grad for parameter in model.parameters()]


@ddp("DDP, several forward passes before one backward")
def several_forwards(rank, world_size):
    # With find_unused_parameters the first forward would not be followed by a backward of its own.
    model = DistributedDataParallel(mlp())
    first, second = loss_of(model, *batch(rank, 0)), loss_of(model, *batch(rank, 1))
    (first + second).backward()
    return [parameter.grad for parameter in model.parameters()]


@ddp("DDP, forward in eval mode and without gradients")
def evaluation(rank, world_size):
    model = DistributedDataParallel(mlp())
    steps(model, sgd(model), rank, 2)
    model.eval()
    with torch.no_grad():
        return model(batch(0, 9)[0])


class Normed(nn.Module):
    """Batch normalization has buffers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, inputs):
        return self.layers(inputs)


@ddp("DDP, buffers are those of rank 0")
def buffers(rank, world_size):
    model = DistributedDataParallel(Normed())
    steps(model, sgd(model), rank)
    model.eval()
    model.train()
    model(batch(rank, 5)[0])
    return [buffer.clone() for buffer in model.buffers()]


@ddp("DDP, a buffer hook")
def buffer_hook(rank, world_size):
    model = DistributedDataParallel(Normed())

    def average(_, buffers):
        for buffer in buffers.values():
            if buffer.is_floating_point():
                dist.all_reduce(buffer, op=dist.ReduceOp.AVG)

    model._register_buffer_comm_hook(None, average)
    steps(model, sgd(model), rank, 2)
    return [buffer.clone() for buffer in model.buffers()]


class Embedded(nn.Module):
    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(10, 3, sparse=sparse)
        self.head = nn.Linear(3, 1)

    def forward(self, words):
        return self.head(self.table(words).mean(dim=1))


def embedding(rank, world_size, sparse):
    model = DistributedDataParallel(Embedded(sparse))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        words = torch.tensor([[rank, 4], [2 * rank, step]])
        model(words).square().sum().backward()
        optimizer.step()
    return parameters(model)


SPARSE = ("Sparse invariant checks are implicitly disabled",)
ddp("DDP, embedding", program=partial(embedding, sparse=False))
ddp("DDP, sparse gradients", program=partial(embedding, sparse=True), warns=SPARSE)


@ddp("DDP, mixed_precision", refused="cpu backend doesn't support events")
def mixed(rank, world_size):
    from torch.nn.parallel.distributed import _MixedPrecision

    policy = _MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16)
    model = DistributedDataParallel(mlp(), mixed_precision=policy)
    steps(model, sgd(model, lr=0.01), rank, 2)
    return [p.to(torch.bfloat16) for p in parameters(model)]


@ddp("DDP, autocast to bfloat16")
def autocast(rank, world_size):
    model = DistributedDataParallel(mlp())
    optimizer = sgd(model, lr=0.01)
    for step in range(2):
        optimizer.zero_grad()
        inputs, targets = batch(rank, step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(inputs)
        nn.functional.mse_loss(outputs.float(), targets).backward()
        optimizer.step()
    return [p.to(torch.bfloat16) for p in parameters(model)]


@ddp("DDP, a double model")
def double(rank, world_size):
    model = DistributedDataParallel(mlp().double())
    inputs, targets = (tensor.double() for tensor in batch(rank))
    loss_of(model, inputs, targets).backward()
    return [parameter.grad for parameter in model.parameters()]


@ddp("DDP, gradient clipping and AdamW")
def clipped(rank, world_size):
    model = DistributedDataParallel(mlp())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    norms = []
    for step in range(3):
        optimizer.zero_grad()
        loss_of(model, *batch(rank, step)).backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.5))
        optimizer.step()
    return parameters(model), norms


@ddp("DDP, join with uneven inputs")
def join(rank, world_size):
    model = DistributedDataParallel(mlp(), bucket_cap_mb=TINY_BUCKET_MB)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with model.join():
        for step in range(2 + rank):
            optimizer.zero_grad()
            loss_of(model, *batch(rank, step)).backward()
            optimizer.step()
    return parameters(model)


@ddp("DDP, join, throw_on_early_termination")
def join_throw(rank, world_size):
    model = DistributedDataParallel(mlp())
    done = 0
    try:
        with model.join(throw_on_early_termination=True):
            for step in range(2 + rank):
                loss_of(model, *batch(rank, step)).backward()
                done += 1
    except RuntimeError as error:
        return done, "exhausted all inputs" in str(error) or "Rank" in str(error)
    return done, None


@ddp("DDP, join, divide_by_initial_world_size=False")
def join_divide(rank, world_size):
    model = DistributedDataParallel(mlp())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with model.join(divide_by_initial_world_size=False):
        for step in range(1 + rank % 2):
            optimizer.zero_grad()
            loss_of(model, *batch(rank, step)).backward()
            optimizer.step()
    return parameters(model)


@ddp("algorithms.Join of DDP and ZeroRedundancyOptimizer")
def join_both(rank, world_size):
    model = DistributedDataParallel(mlp())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)
    with Join([model, optimizer]):
        for step in range(1 + rank):
            optimizer.zero_grad()
            loss_of(model, *batch(rank, step)).backward()
            optimizer.step()
    return parameters(model)


# Hooks

hooks = partial(feature, group="DDP communication hooks")


def hooked(rank, world_size, hook, state=None, number=3, lr=0.05, bucket_mb=TINY_BUCKET_MB):
    model = DistributedDataParallel(mlp(), bucket_cap_mb=bucket_mb)
    model.register_comm_hook(state, hook)
    steps(model, sgd(model, lr=lr), rank, number)
    return parameters(model)


hooks(
    "allreduce_hook",
    program=partial(hooked, hook=default_hooks.allreduce_hook),
    reference=partial(trained_alone, optimizer=partial(sgd, lr=0.05)),
)
hooks("noop_hook: every rank for itself", program=partial(hooked, hook=debugging_hooks.noop_hook))


def rounded(rank, world_size, hook, dtype):
    """After one step, so that no rounding of a sum is carried on."""
    return [p.to(dtype) for p in hooked(rank, world_size, hook, number=1)]


hooks(
    "fp16_compress_hook",
    program=partial(rounded, hook=default_hooks.fp16_compress_hook, dtype=torch.float16),
)
hooks(
    "bf16_compress_hook",
    program=partial(rounded, hook=default_hooks.bf16_compress_hook, dtype=torch.bfloat16),
    refused="BF16 all reduce communication hook required CUDA",
)


@hooks("bfloat16 compression in a hook of the program's own")
def own_bf16_hook(rank, world_size):
    def hook(state, bucket):
        return default_hooks.bf16_compress_hook(state, bucket)

    return rounded(rank, world_size, hook, torch.bfloat16)


hooks(
    "fp16_compress_wrapper",
    program=partial(
        rounded,
        hook=default_hooks.fp16_compress_wrapper(default_hooks.allreduce_hook),
        dtype=torch.float16,
    ),
)


@hooks("a hook of the program's own: all_reduce and then")
def own_hook(rank, world_size):
    def hook(group, bucket):
        future = dist.all_reduce(bucket.buffer(), group=group, async_op=True).get_future()
        return future.then(lambda f: f.value()[0] / world_size)

    return hooked(rank, world_size, hook)


@hooks("a hook of the program's own: all_gather in then, and a mean")
def gathering_hook(rank, world_size):
    def hook(_, bucket):
        parts = [torch.zeros_like(bucket.buffer()) for _ in range(world_size)]
        future = dist.all_gather(parts, bucket.buffer(), async_op=True).get_future()
        return future.then(lambda f: torch.stack(parts).mean(dim=0))

    return hooked(rank, world_size, hook)


@hooks("a hook sees its buckets in order")
def bucket_hook(rank, world_size):
    seen = []

    def hook(_, bucket):
        seen.append((bucket.index(), bucket.is_last(), len(bucket.parameters())))
        future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
        return future.then(lambda f: f.value()[0])

    hooked(rank, world_size, hook, number=2)
    return seen


@hooks("a hook that waits before it returns")
def blocking_hook(rank, world_size):
    def hook(_, bucket):
        dist.all_reduce(bucket.buffer(), op=dist.ReduceOp.AVG)
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    return hooked(rank, world_size, hook)


@hooks("the built-in C++ hook, ALLREDUCE")
def builtin_hook(rank, world_size):
    model = DistributedDataParallel(mlp())
    model._register_builtin_comm_hook(dist.BuiltinCommHookType.ALLREDUCE)
    steps(model, sgd(model), rank)
    return parameters(model)


@hooks("the built-in C++ hook, FP16_COMPRESS")
def builtin_half_hook(rank, world_size):
    model = DistributedDataParallel(mlp())
    model._register_builtin_comm_hook(dist.BuiltinCommHookType.FP16_COMPRESS)
    steps(model, sgd(model), rank, 1)
    return [p.to(torch.float16) for p in parameters(model)]


def power_sgd(rank, world_size, hook, **options):
    state = powerSGD_hook.PowerSGDState(
        None, matrix_approximation_rank=1, start_powerSGD_iter=2, min_compression_rate=1, **options
    )
    # One bucket: the hook waits inside a callback, and several such waits block gloo's two threads.
    return hooked(rank, world_size, hook, state, number=4, bucket_mb=25)


hooks("powerSGD_hook", program=partial(power_sgd, hook=powerSGD_hook.powerSGD_hook))
hooks(
    "powerSGD_hook without error feedback or warm start",
    program=partial(
        power_sgd, hook=powerSGD_hook.powerSGD_hook, use_error_feedback=False, warm_start=False
    ),
)
# torch 2.13 gives its _orthogonalize a matrix where it wants a batch of them.
hooks(
    "batched_powerSGD_hook",
    program=partial(power_sgd, hook=powerSGD_hook.batched_powerSGD_hook),
    refused="AssertionError",
)


@hooks("post_localSGD_hook")
def local_sgd(rank, world_size):
    subgroup, _ = dist.new_subgroups(group_size=2)
    state = post_localSGD_hook.PostLocalSGDState(None, subgroup, start_localSGD_iter=2)
    return hooked(rank, world_size, post_localSGD_hook.post_localSGD_hook, state, number=4)


hooks(
    "quantization_pertensor_hook",
    program=partial(hooked, hook=quantization_hooks.quantization_pertensor_hook),
    refused="invalid index of a 0-dim tensor",
)


@hooks(
    "an optimizer in the backward pass (_apply_optimizer_in_backward)",
    refused="Cannot access accelerator device when none is available",
)
def optimizer_in_backward(rank, world_size):
    module = mlp()
    _apply_optimizer_in_backward(torch.optim.SGD, module.parameters(), {"lr": 0.1})
    model = DistributedDataParallel(module, gradient_as_bucket_view=True)
    for step in range(2):
        loss_of(model, *batch(rank, step)).backward()
    return parameters(model)


@hooks("an optimizer in the hook (_hook_then_optimizer)")
def optimizer_hook(rank, world_size):
    model = DistributedDataParallel(mlp(), bucket_cap_mb=TINY_BUCKET_MB)
    optimizer = _FunctionalSGD(params=[], lr=0.1, _allow_empty_param_list=True)
    state = optimizer_overlap_hooks._OptimizerHookState(optimizer, None)
    model.register_comm_hook(
        None, optimizer_overlap_hooks._hook_then_optimizer(default_hooks.allreduce_hook, state)
    )
    for step in range(2):
        loss_of(model, *batch(rank, step)).backward()
        model.zero_grad()
    return parameters(model)


def zero_hook(rank, world_size, make, shard_buckets=False):
    """ZeroRedundancyOptimizer whose steps run in DDP's backward, from the third one on."""
    model = DistributedDataParallel(mlp(), bucket_cap_mb=TINY_BUCKET_MB)
    optimizer = ZeroRedundancyOptimizer(
        model.parameters(), torch.optim.SGD, overlap_with_ddp=True, lr=0.1
    )
    model.register_comm_hook(
        None, make(default_hooks.allreduce_hook, model, optimizer, shard_buckets)
    )
    for step in range(5):
        loss_of(model, *batch(rank, step)).backward()
        optimizer.step()
        model.zero_grad()
    return parameters(model)


ZERO_HOOK = {
    "no_gloo": "torch: 'Gloo backend using Overlapping DDP with ZeRO may meet hangs'",
    "reference": partial(trained_alone, optimizer=partial(sgd, momentum=0), first=2, number=3),
}
hooks(
    "hook_with_zero_step",
    program=partial(zero_hook, make=ddp_zero_hook.hook_with_zero_step),
    **ZERO_HOOK,
)
hooks(
    "hook_with_zero_step, shard_buckets",
    program=partial(zero_hook, make=ddp_zero_hook.hook_with_zero_step, shard_buckets=True),
    **ZERO_HOOK,
)
hooks(
    "hook_with_zero_step_interleaved",
    program=partial(zero_hook, make=ddp_zero_hook.hook_with_zero_step_interleaved),
    **ZERO_HOOK,
)


@ddp("replicate, DDP without a wrapper", reference=trained_alone)
def replicated(rank, world_size):
    model = replicate(mlp())
    steps(model, sgd(model), rank)
    return [p.full_tensor() if isinstance(p, DTensor) else p for p in parameters(model)]


@ddp("DDP, logging data")
def logging_data(rank, world_size):
    model = DistributedDataParallel(mlp())
    steps(model, sgd(model), rank, 2)
    found = model._get_ddp_logging_data()
    return [found[key] for key in ("world_size", "rank", "num_parameter_tensors", "iteration")]


# What torch does not do


@ddp("SyncBatchNorm on CPU", refused="SyncBatchNorm layers only work with GPU modules")
def sync_batch_norm(rank, world_size):
    model = DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(Normed()))
    return model(batch(rank)[0])
