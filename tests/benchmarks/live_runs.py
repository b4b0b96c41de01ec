"""What live runs cost in wall time and memory: python tests/benchmarks/live_runs.py

Prints, and with --json writes as one document:

- a small MLP under DistributedDataParallel, 10 steps, over 8, 64 and 256 thread ranks;
- the extra cost of a collective a rank, with threads (8) and processes (4): the wall time of many
  small all_reduces, the ranks' own code taken off;
- the same run on a network a million times slower, as a ratio.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import simnet
import topologies


def star(hosts, bandwidth=1e9, latency=1e-3):
    return simnet.Network(topologies.star(hosts, bandwidth=bandwidth, latency=latency))


def mlp(rank, world_size):
    """Ten steps of a small MLP."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parallel = DistributedDataParallel(model)
    for _ in range(10):
        optimizer.zero_grad()
        parallel(torch.randn(16, 32)).square().mean().backward()
        optimizer.step()


class Collectives:
    """Many small all_reduces; returns the wall seconds that one took rank 0."""

    def __init__(self, count):
        self.count = count

    def __call__(self, rank, world_size):
        tensor = torch.ones(8)
        dist.all_reduce(tensor)
        begin = time.perf_counter()
        for _ in range(self.count):
            dist.all_reduce(tensor)
        return (time.perf_counter() - begin) / self.count


def wall(function, *args, **kwargs):
    begin = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - begin, result


def training(counts, runs):
    for count in counts:
        net = star(count)
        seconds = [wall(simnet.run, mlp, net, quiet=True)[0] for _ in range(runs)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield {"what": f"MLP, 10 steps, {count} thread ranks", "seconds": seconds, "peak_MiB": peak}


def collectives(count, runs):
    for kind, ranks in ((simnet.threads(8), 8), (simnet.processes(4), 4)):
        program = Collectives(count)
        net = star(ranks)
        found = [simnet.run(program, net, ranks=kind, quiet=True).results[0] for _ in range(runs)]
        name = type(kind).__name__.lower()
        yield {
            "what": f"one all_reduce a rank, {ranks} {name}",
            "microseconds": [each / ranks * 1e6 for each in found],
        }


def slow_network(runs):
    fast, slow = star(8), star(8, bandwidth=1e3, latency=1e3)
    pairs = [
        (wall(simnet.run, mlp, slow, quiet=True)[0], wall(simnet.run, mlp, fast, quiet=True)[0])
        for _ in range(2 * runs)
    ]
    ratios = [one / other for one, other in pairs]
    yield {"what": "a network a million times slower, 8 thread ranks", "ratio": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="small, once: only that it works")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs, counts, calls = (1, (8,), 10) if options.smoke else (options.runs, (8, 64, 256), 300)
    torch.set_num_threads(1)
    simnet.run(mlp, star(2), quiet=True)  # imports
    rows = [*training(counts, runs), *collectives(calls, runs), *slow_network(runs)]
    if options.json:
        json.dump({"rows": rows, "version": simnet.__version__}, sys.stdout, indent=1)
        return
    for row in rows:
        what, *columns = row
        for name in columns:
            given = row[name] if isinstance(row[name], list) else [row[name]]
            middle = statistics.median(given)
            span = f" ({min(given):.4g} to {max(given):.4g})" if len(given) > 1 else ""
            print(f"{row[what]}: {middle:.4g} {name}{span}")


if __name__ == "__main__":
    main()
