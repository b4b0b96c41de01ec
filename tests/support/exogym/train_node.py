"""One node: training steps, evaluations, and what nodes say to each other for those."""

import copy

import torch
import torch.distributed as dist
from torch.nn import functional

from exogym.aux.logger import CSVLogger


class TrainNode:
    """Trains a model on data of its own."""

    def __init__(self, config, rank):
        self.config, self.rank = config, rank
        self.model, self.strategy = config.model, config.strategy
        self.generator = torch.Generator().manual_seed(rank)
        self.local_step = 0
        for parameter in self.model.parameters():
            dist.broadcast(parameter.data, src=0)

    def _loss(self, model):
        inputs = torch.randn(8, 30, generator=self.generator)
        return functional.mse_loss(model(inputs), inputs[:, :3])

    def _train_step(self):
        self.strategy.zero_grad()
        loss = self._loss(self.model)
        loss.backward()
        self.strategy.step()
        if self.rank == 0:
            self.logger.log_train(loss.item())

    def _evaluate(self):
        mean = copy.deepcopy(self.model)
        for parameter in mean.parameters():
            dist.all_reduce(parameter.data)
            parameter.data /= self.config.num_nodes
        loss = torch.zeros(1)
        with torch.no_grad():
            if self.rank == 0:
                self.logger.log_loss(self._loss(self.model).item(), "local")
            elif self.rank == 1:
                loss += self._loss(mean)
        if self.config.num_nodes > 1:
            dist.broadcast(loss, src=1)
            if self.rank == 0:
                self.logger.log_loss(loss.item(), "global")

    def train(self):
        if self.rank == 0:
            self.logger = CSVLogger(self.config.run_name)
        while self.local_step < self.config.max_steps:
            if self.local_step % self.config.val_interval == 0:
                self._evaluate()
            self._train_step()
            self.local_step += 1
            if self.rank == 0:
                self.logger.step += 1
            dist.barrier()
        self._evaluate()
        return self.model.state_dict()
