"""The study's training program on real gloo processes gives what it gives on simnet.

Run as a program this file is the other side: four processes, as torchrun would start them.
"""

import importlib
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet.study.strategies import STRATEGIES
from simnet.study.train_program import Settings, train_rank

WORLD_SIZE = 4
TEST_IMAGES = 359
SETTINGS = Settings(rounds=8, local_steps=5)


def program(rank, strategy):
    """What is run on both sides."""
    return train_rank(rank, WORLD_SIZE, STRATEGIES[strategy], SETTINGS)


def gloo_rank(rank, directory):
    """One process of four: train by every strategy and leave the results in files."""
    torch.set_num_threads(1)
    store = f"file://{directory / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD_SIZE)
    for strategy in STRATEGIES:
        result = program(rank, strategy)
        np.savez(
            directory / f"{strategy}-{rank}.npz",
            parameters=result.parameters,
            accuracies=result.accuracies,
        )
    dist.barrier()
    dist.destroy_process_group()


def main(directory):
    """Start four processes that share what is imported here."""
    importlib.import_module("torch._dynamo")  # what an optimizer would import, four times
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=gloo_rank, args=(rank, directory)) for rank in range(WORLD_SIZE)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode) for process in processes))


@pytest.mark.slow
def test_same_parameters_and_accuracy_as_on_gloo(tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    net = simnet.Network(topologies.star(WORLD_SIZE), profile="mobile")
    for strategy in STRATEGIES:
        run = simnet.run(lambda rank, _, name=strategy: program(rank, name), net, quiet=True)
        for rank, ours in enumerate(run.results):
            with np.load(tmp_path / f"{strategy}-{rank}.npz", allow_pickle=False) as real:
                theirs = {name: real[name] for name in real}
            # AdamW divides by the gradient's size: what another order of a sum rounds, grows.
            assert np.allclose(ours.parameters, theirs["parameters"], rtol=1e-3, atol=2e-4)
            differences = np.abs(np.subtract(ours.accuracies, theirs["accuracies"]))
            assert differences.max() <= 1.0001 / TEST_IMAGES
        assert run.results[0].accuracies[-1] > 0.3


if __name__ == "__main__":
    main(Path(sys.argv[1]))
