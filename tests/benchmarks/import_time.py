"""What `import simnet` costs beyond its own dependencies, in CPU seconds of whole processes.

Run it: ``python tests/benchmarks/import_time.py [--runs N] [--json]``. It asserts nothing.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys

BASE = "import networkx, numpy, simpy"
CASES = {
    "dependencies": BASE,
    "import simnet": f"{BASE}, simnet",
    "and its Network, simulate and collectives": (
        f"{BASE}, simnet; simnet.Network; simnet.simulate; simnet.collectives"
    ),
    "and a first all-reduce over 8 ranks": (
        f"{BASE}, simnet, topologies; net = simnet.Network(topologies.ring(8, bandwidth=1e9)); "
        "simnet.simulate(net, simnet.collectives.all_reduce(10**6, algorithm='ring'))"
    ),
    "and a first all-reduce over 64 ranks, the algorithm chosen": (
        f"{BASE}, simnet, topologies; net = simnet.Network(topologies.star(64, bandwidth=1e9)); "
        "simnet.simulate(net, simnet.collectives.all_reduce(10**6))"
    ),
}


def cpu_seconds(code: str) -> float:
    """User and system time of one fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(runs: int) -> dict[str, float]:
    """Median CPU seconds of each case, the cases taking turns; one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for turn in range(runs + 1):
        for name, code in CASES.items():
            seconds = cpu_seconds(code)
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    medians = measure(options.runs)
    if options.json:
        print(json.dumps(medians))
        return
    base = medians["dependencies"]
    for name, seconds in medians.items():
        print(f"{seconds:6.3f} s CPU, {seconds - base:+.3f} s beyond the dependencies: {name}")


if __name__ == "__main__":
    main()
