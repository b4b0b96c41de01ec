"""What simulating costs, row by row: python tests/benchmarks/kernel.py

Every row runs in a process of its own and prints CPU and wall seconds (the best of --runs),
transfers per second, peak memory of the process, the tier that found the times, and the time as a
multiple of copying the transfers' own columns (40 B each) in the same process. --only picks rows,
--json writes one document. --smoke runs small cases and only checks that all tiers give the
reference's times.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from functools import partial

import numpy as np

import simnet
import topologies
from simnet import collectives
from simnet.collectives import Collective
from simnet.engine import Clock, Fabric, make_model
from simnet.transport import Ideal

BYTES_A_TRANSFER = 40
TIERS = ("symmetry", "max-plus", "events")
IMPORTS = "import networkx, numpy, simpy"
FIRST_RESULT = """
import simnet, topologies
net = simnet.Network(topologies.star(64, bandwidth="10Gbit/s", latency="10us"))
simnet.simulate(net, simnet.collectives.all_reduce("64MB", algorithm="ring")).time
"""


# Networks and work


def star(hosts, uneven=False):
    graph = topologies.star(hosts, bandwidth="10Gbit/s", latency="10us")
    rng = random.Random(1)
    for _, _, edge in graph.edges(data=True):
        if uneven:
            edge["bandwidth"], edge["latency"] = rng.uniform(1e9, 2e9), rng.uniform(1e-5, 2e-5)
    return simnet.Network(graph)


def fat_tree(ports):
    return simnet.Network(topologies.fat_tree(ports, bandwidth="10Gbit/s", latency="1us"))


def ring(hosts, size=None):
    """As many bytes as give every rank the same share."""
    return collectives.all_reduce(hosts * 2**20 if size is None else size, algorithm="ring")


def random_flows(net, count, load):
    """Poisson arrivals at a load of the hosts' links; all at once without one."""
    rng = np.random.default_rng(0)
    hosts, mean = net.num_ranks, 1e6
    src = rng.integers(0, hosts, count)
    dst = (src + rng.integers(1, hosts, count)) % hosts
    size = np.maximum(1, rng.exponential(mean, count)).astype(np.int64)
    start = np.zeros(count)
    if load:
        rate = load * float(net.links.bandwidth[0]) * hosts / mean
        start = np.cumsum(rng.exponential(1 / rate, count))
    return simnet.flows(src, dst, size, start)


def uneven_all_to_all(hosts):
    pairs = np.array([(a, b) for a in range(hosts) for b in range(hosts) if a != b])
    sizes = np.random.default_rng(3).integers(1, 10**6, len(pairs))
    return simnet.flows(pairs[:, 0], pairs[:, 1], sizes)


# What is timed


def best(function, runs):
    """CPU and wall seconds of the quickest of several runs, and what the last returned."""
    found = []
    for _ in range(runs):
        result = None  # lets go of the last one's memory
        cpu, wall = time.process_time(), time.perf_counter()
        result = function()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(found)
    return cpu, wall, result


def copy_seconds(count):
    """CPU seconds of copying the columns of so many transfers once."""
    columns = np.zeros(count * BYTES_A_TRANSFER // 8)
    target = np.ones_like(columns)
    return max(best(lambda: np.copyto(target, columns), 3)[0], 1e-9)


def simulated(make, runs, engine="auto"):
    """`simulate()`, from the call to the result."""
    net, work = make()
    cpu, wall, result = best(lambda: simnet.simulate(net, work, engine=engine), runs)
    if isinstance(work, Collective):
        count = collectives.plan(work, net).schedule.num_transfers
    else:
        count = len(work)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tier": result.works[0].tier,
        "transfers": count,
        "cpu_s": cpu,
        "wall_s": wall,
        "transfers_per_s": count / cpu,
        "peak_MiB": memory,
        "copies": cpu / copy_seconds(min(count, 10**7)) / max(count / 10**7, 1),
        "virtual_s": result.time,
    }


def alike(runs):
    """1 KB against 1 TB, end to end."""
    net = star(1024)
    small, large = (best(lambda s=s: simnet.simulate(net, ring(1024, s)), runs)[0]
                    for s in (2**10, 2**40))  # fmt: skip
    return {"cpu_s": large, "small_cpu_s": small, "ratio": large / small}


def monte_carlo(runs, count=10_000):
    """Scenarios of a ring of 16 per second, every link another in each."""
    net, rng = star(16), np.random.default_rng(0)
    shape = (count, net.num_links)
    scenarios = {
        "bandwidth": rng.uniform(0.5e9, 2e9, shape),
        "latency": rng.uniform(1e-6, 1e-3, shape),
    }
    work = ring(16)
    cpu, wall, _ = best(lambda: simnet.simulate_many(net, work, scenarios), runs)
    return {"cpu_s": cpu, "wall_s": wall, "scenarios_per_s": count / wall}


def fresh_process(runs):
    """A new process to its first result, and one that only imports what simnet is built on."""

    def once(program):
        command = [sys.executable, "-c", program]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(once(FIRST_RESULT), once(IMPORTS)) for _ in range(runs + 2)]
    first, imports = (min(column) for column in zip(*pairs, strict=True))
    return {"cpu_s": first, "imports_cpu_s": imports, "beyond_imports_s": first - imports}


def posted(runs, ranks, uneven=False):
    """A direct all_reduce through the fabric, again and again as live runs do."""
    net, place = star(ranks, uneven), tuple(range(ranks))
    clock = Clock()
    fabric = Fabric(clock, net, make_model(net, Ideal(), 0, repeats=True))

    def once():
        work = Collective(kind="all_reduce", size=10**6, ranks=place, algorithm="direct")
        operation = fabric.post(work)
        for rank in place:
            operation.arrive(rank)
        clock.run(until=operation.done)

    first, _, _ = best(once, 1)
    count = 20 if ranks > 8 else 200
    again, _, _ = best(lambda: [once() for _ in range(count)], runs)
    return {"first_s": first, "cpu_s": again / count}


FLOWS = ((10_000, 0.7), (100_000, 0.25), (100_000, 0.5), (10_000, 0.0), (1_000_000, 0.25))


def rows():
    """Every row: its name and what measures it."""
    even, uneven = (lambda: (star(1024), ring(1024))), (lambda: (star(1024, True), ring(1024)))
    found = {
        "ring all-reduce, star of 1,024, simulate()": partial(simulated, even),
        "ring all-reduce, star of 1,024, events": partial(simulated, even, engine="events"),
        "ring all-reduce, star of 1,024 unlike links, simulate()": partial(simulated, uneven),
        "ring all-reduce, star of 1,024 unlike links, events": partial(
            simulated, uneven, engine="events"
        ),
        "ring all-reduce, star of 16,384, simulate()": partial(
            simulated, lambda: (star(16384), ring(16384))
        ),
        "ring all-reduce, star of 4,096 unlike links, simulate()": partial(
            simulated, lambda: (star(4096, True), ring(4096))
        ),
    }
    for engine in ("auto", "events"):
        name = "simulate()" if engine == "auto" else engine
        found[f"all-to-all, star of 1,024, {name}"] = partial(
            simulated,
            lambda: (star(1024), collectives.all_to_all(2**30, algorithm="direct")),
            engine=engine,
        )
    for count, load in FLOWS:
        name = f"{count:,} random flows at load {load}" if load else f"{count:,} flows at once"

        def make(count=count, load=load):
            net = fat_tree(8)
            return net, random_flows(net, count, load)

        found[f"{name}, fat-tree of 128"] = partial(simulated, make)
    found["all-to-all of random sizes, star of 128"] = partial(
        simulated, lambda: (star(128), uneven_all_to_all(128))
    )
    found["ring all-reduce of 1 KiB and of 1 TiB, star of 1,024"] = alike
    found["10,000 scenarios of a ring of 16, unlike links"] = monte_carlo
    found["a fresh process and its first result over 64 ranks"] = fresh_process
    for ranks, unlike in ((8, False), (8, True), (32, True), (256, False)):
        name = f"live: direct all_reduce over {ranks} ranks{', unlike links' * unlike}"
        found[name] = partial(posted, ranks=ranks, uneven=unlike)
    return found


# Small, and only equal


def small_cases():
    yield "ring", star(8), ring(8)
    yield "ring, unlike links", star(8, uneven=True), ring(8)
    yield "all-to-all", star(8), collectives.all_to_all(2**20, algorithm="direct")
    net = fat_tree(4)
    for load in (0.7, 0.0):
        yield f"random flows at load {load}", net, random_flows(net, 100, load)
    yield "all-to-all of random sizes", star(8), uneven_all_to_all(8)


def smoke():
    for name, net, work in small_cases():
        twin = simnet.simulate(net, work, engine="reference")
        for engine in ("auto", *TIERS):
            ours = simnet.simulate(net, work, engine=engine)
            ends, expected = ours.works[0].job.ends, twin.works[0].job.ends
            np.testing.assert_allclose(ends, expected, rtol=1e-9)
            yield {"what": name, "engine": engine, "tier": ours.works[0].tier, "equal": True}


def measured(name, runs):
    """A row, measured in a process of its own."""
    command = [sys.executable, __file__, "--row", name, "--runs", str(runs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def show(row):
    columns = [
        f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value:,}"
        if isinstance(value, int) and not isinstance(value, bool) else f"{key} {value}"
        for key, value in row.items() if key != "what"
    ]  # fmt: skip
    print(f"{row['what']}: {', '.join(columns)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small: only that results are equal")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        row = {"what": options.row} | rows()[options.row](runs=options.runs)
        json.dump(row, sys.stdout)
        return
    names = [name for name in rows() if options.only in name]
    found = []
    for row in smoke() if options.smoke else (measured(name, options.runs) for name in names):
        found.append(row)
        if not options.json:
            show(row)
    if options.json:
        json.dump({"rows": found, "version": simnet.__version__}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
