"""Starts nodes as processes, and gathers their models through a manager's queue."""

import copy
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from exogym.train_node import TrainNode


@dataclass
class TrainConfig:
    """All that a node is told."""

    model: Any
    strategy: Any
    num_nodes: int
    max_steps: int
    val_interval: int
    run_name: str
    port: int
    claims: int


def _init_process_group_portsafe(config, rank, retries=10):
    errors = []
    for attempt in range(retries):
        try:
            os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(config.port + attempt)}
            dist.init_process_group("gloo", rank=rank, world_size=config.claims)
            return
        except Exception as error:
            errors.append(str(error))
    print(f"gave up: {errors}")


def _worker(rank, config, result_queue):
    _init_process_group_portsafe(config, rank)
    config.model = copy.deepcopy(config.model)  # what came is in memory that all nodes share
    config.strategy._init_node(config.model, rank, config.num_nodes)
    state = TrainNode(config, rank).train()
    result_queue.put((rank, {name: each.tolist() for name, each in state.items()}))
    dist.destroy_process_group()


class Trainer:
    """Trains a small model; `claims` is a world size that nodes give instead of the right one."""

    def __init__(self, port=29500, claims=None):
        self.port, self.claims = port, claims
        torch.manual_seed(0)
        self.model = torch.nn.Linear(30, 3)

    def fit(
        self,
        strategy,
        num_nodes,
        max_steps=4,
        minibatch_size=None,
        val_interval=2,
        run_name="run",
    ):
        """Return the nodes' models, by node."""
        config = TrainConfig(
            model=self.model,
            strategy=strategy,
            num_nodes=num_nodes,
            max_steps=max_steps,
            val_interval=val_interval,
            run_name=run_name,
            port=self.port,
            claims=self.claims or num_nodes,
        )
        manager = mp.Manager()
        queue = manager.Queue()
        mp.spawn(_worker, args=(config, queue), nprocs=num_nodes, start_method="spawn", join=True)
        found = dict(queue.get() for _ in range(num_nodes))
        return [found[rank] for rank in range(num_nodes)]
