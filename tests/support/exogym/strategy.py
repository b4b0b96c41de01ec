"""What nodes do in a training step."""

import os
import signal
import sys

import torch
import torch.distributed as dist


class Strategy:
    """Steps an optimizer."""

    def _init_node(self, model, rank, num_nodes):
        self.model, self.rank, self.num_nodes = model, rank, num_nodes
        self.optim = torch.optim.SGD(model.parameters(), lr=0.1)
        self.local_step = 0

    def zero_grad(self):
        self.optim.zero_grad()

    def step(self):
        self.local_step += 1


class AveragingStrategy(Strategy):
    """Averages parameters every H steps; the last node may fail in its third."""

    def __init__(self, H, fails=""):
        self.H, self.fails = H, fails

    def step(self):
        self.optim.step()
        super().step()
        if self.local_step == 3 and self.rank == self.num_nodes - 1:
            self._fail()
        if self.local_step % self.H == 0:
            for parameter in self.model.parameters():
                dist.all_reduce(parameter.data)
                parameter.data /= self.num_nodes

    def _fail(self):
        if self.fails == "raise":
            raise KeyError("on purpose")
        if self.fails == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails == "exit":
            sys.exit(3)
