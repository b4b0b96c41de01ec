"""Running features on simulated ranks, and writing down how each ended on every rank."""

from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

import simnet
import topologies
from features.outcomes import expected_warnings, raised
from features.packing import pack, unpack_all
from features.registry import FEATURES, WORLD_SIZE

NET = simnet.Network(topologies.star(WORLD_SIZE, bandwidth="1GB/s", latency="10us"))
WATCHDOG = "30s"


def on_threads(feature):
    """Outcomes by rank, of a run of its own."""
    try:
        with expected_warnings(feature):
            run = simnet.run(
                feature.program,
                NET,
                ranks=simnet.threads(WORLD_SIZE),
                quiet=True,
                watchdog=WATCHDOG,
            )
    except Exception as error:
        return [raised(error)] * WORLD_SIZE
    return [("returned", result) for result in run.results]


def on_processes(names, folder):
    """Outcomes by name and rank; all features in one run, or one more for each that breaks it.

    A process imports torch and the features anew in every run, which takes longer than all of
    them. So a run goes through all names, and ranks write down as they go; when a feature breaks
    the run (ranks that wait for each other, say), that is its outcome, and the next run goes on
    after it.
    """
    outcomes = {}
    left = list(names)
    while left:
        broken = _run_on_processes(left, folder)
        by_rank = [dict(unpack_all(Path(folder, f"rank-{rank}"))) for rank in range(WORLD_SIZE)]
        while left and all(left[0] in found for found in by_rank):
            name = left.pop(0)
            outcomes[name] = [found[name] for found in by_rank]
        if left:
            name = left.pop(0)
            ended = [found[name] for found in by_rank if name in found]
            blamed = [outcome for outcome in ended if outcome[0] == "raised"]
            outcomes[name] = [*blamed, broken][:1] * WORLD_SIZE
    return outcomes


def _run_on_processes(names, folder):
    for rank in range(WORLD_SIZE):
        Path(folder, f"rank-{rank}").write_bytes(b"")
    try:
        simnet.run(
            partial(one_after_another, names=names, folder=str(folder)),
            NET,
            ranks=simnet.processes(WORLD_SIZE),
            quiet=True,
            watchdog=WATCHDOG,
        )
    except Exception as error:
        return raised(error)
    return None


def one_after_another(rank, world_size, names, folder):
    """The features in turn, each with a default group of its own."""
    with Path(folder, f"rank-{rank}").open("ab", buffering=0) as file:
        for name in names:
            feature = FEATURES[name]
            if not dist.is_initialized():
                dist.init_process_group("gloo", rank=rank, world_size=world_size)
            torch.manual_seed(0)
            try:
                with expected_warnings(feature):
                    packed = pack((name, ("returned", feature.program(rank, world_size))))
                    if dist.is_initialized():
                        dist.barrier()  # nobody is in the next feature while others are in this
            except Exception as error:
                packed = pack((name, raised(error)))
            file.write(packed)
            if dist.is_initialized():
                dist.destroy_process_group()
