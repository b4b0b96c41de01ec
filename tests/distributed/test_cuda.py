"""Tensors of other devices: staged through host memory by processes, refused by threads."""

import pytest
import torch
import torch.distributed as dist

import simnet
import topologies

NET = simnet.Network(topologies.star(2, bandwidth="1GB/s", latency="1ms"))
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def exchange(rank, world_size):
    tensor = torch.full((1000,), float(rank + 1), device="cuda")
    dist.all_reduce(tensor)
    parts = [torch.empty(3, device="cuda") for _ in range(world_size)]
    dist.all_gather(parts, torch.full((3,), float(rank), device="cuda"))
    if rank == 0:
        dist.send(tensor, 1)
    else:
        dist.recv(tensor, 0)
    return tensor.device.type, tensor.sum().item(), [part[0].item() for part in parts]


def ddp(rank, world_size):
    torch.manual_seed(0)
    layer = torch.nn.Linear(10, 2).to("cuda")
    model = torch.nn.parallel.DistributedDataParallel(layer)
    model(torch.full((4, 10), float(rank), device="cuda")).sum().backward()
    return layer.weight.grad.cpu()


def test_processes_stage_through_host_memory():
    run = simnet.run(exchange, NET, ranks=simnet.processes(2), quiet=True)
    assert run.results == (("cuda", 3000.0, [0.0, 1.0]),) * 2


def test_data_parallel_training_on_a_device():
    first, second = simnet.run(ddp, NET, ranks=simnet.processes(2), quiet=True).results
    assert torch.equal(first, torch.full((2, 10), 2.0))
    assert torch.equal(first, second)


def test_threads_refuse_tensors_of_a_device():
    with pytest.raises(ValueError, match=r"a tensor on cuda:0; ranks that are threads"):
        simnet.run(exchange, NET, quiet=True)
