"""What the compiled kernel costs: python tests/benchmarks/kernel.py

Each row prints CPU and wall seconds, transfers per second, peak memory, and the time as a multiple
of copying the transfers' own columns (40 B each) in the same run; --json writes one document.
--smoke runs small cases and only checks that they equal the reference.
"""

import argparse
import json
import random
import resource
import sys
import time

import numpy as np

import simnet
import topologies
from simnet import collectives
from simnet.collectives import Collective
from simnet.engine import Clock, Fabric, KernelModel, make_model
from simnet.engine.program import compile_flows, compile_schedule
from simnet.transport import Ideal

BYTES_A_TRANSFER = 40


def star(hosts, uneven=False):
    graph = topologies.star(hosts, bandwidth="10Gbit/s", latency="10us")
    rng = random.Random(1)
    for _, _, edge in graph.edges(data=True):
        if uneven:
            edge["bandwidth"], edge["latency"] = rng.uniform(1e9, 2e9), rng.uniform(1e-5, 2e-5)
    return simnet.Network(graph)


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


def cases(smoke):
    """Name, network and work of each row."""
    ring, wide, tree = (8, 8, 4) if smoke else (1024, 1024, 8)
    all_reduce = collectives.all_reduce(10**9, algorithm="ring")
    yield f"ring all-reduce, star of {ring}", star(ring), all_reduce
    yield f"the same, no two links alike, {ring}", star(ring, uneven=True), all_reduce
    exchange = collectives.all_to_all(10**9, algorithm="direct")
    yield f"all-to-all, star of {wide}", star(wide), exchange
    fabric = simnet.Network(topologies.fat_tree(tree, bandwidth="10Gbit/s", latency="1us"))
    for count, load in ((10_000, 0.7), (100_000, 0.25), (100_000, 0.5), (10_000, 0.0)):
        count = 100 if smoke else count
        name = f"{count} random flows at load {load}" if load else f"{count} flows at once"
        yield f"{name}, fat-tree of {fabric.num_ranks}", fabric, random_flows(fabric, count, load)
    hosts = 8 if smoke else 128
    yield f"all-to-all of random sizes, star of {hosts}", star(hosts), uneven_all_to_all(hosts)


def copy_seconds(count):
    """CPU seconds of copying the columns of so many transfers once."""
    columns = np.zeros(count * BYTES_A_TRANSFER // 8)
    target = np.ones_like(columns)
    begin = time.process_time()
    np.copyto(target, columns)
    return max(time.process_time() - begin, 1e-9)


def measure(name, net, work):
    """Time the event loop alone; routes and arrays are made before."""
    if isinstance(work, Collective):
        schedule = collectives.plan(work, net).schedule
        program = compile_schedule(schedule, tuple(range(net.num_ranks)))
    else:
        program = compile_flows(work, net.num_ranks)
    model = KernelModel(net, Ideal(), 0)
    begin = time.process_time()
    job = model.post(program, 0.0)
    made = time.process_time() - begin
    for rank in program.ranks:
        model.arrive(job, rank, 0.0)
    cpu, wall = time.process_time(), time.perf_counter()
    while (instant := model.next_time()) < np.inf:
        model.run(instant, np.inf)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert job.done
    return {
        "what": name,
        "tier": "events",
        "transfers": len(program),
        "cpu_s": cpu,
        "wall_s": wall,
        "prepared_s": made,
        "transfers_per_s": len(program) / cpu,
        "copies": cpu / copy_seconds(len(program)),
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def posted(ranks, uneven, count):
    """CPU seconds of a direct all_reduce through the fabric, again and again as live runs do."""
    net, place = star(ranks, uneven), tuple(range(ranks))
    clock = Clock()
    fabric = Fabric(clock, net, make_model(net, Ideal(), 0, repeats=True))
    times = []
    for _ in range(count + 1):
        begin = time.process_time()
        work = Collective(kind="all_reduce", size=10**6, ranks=place, algorithm="direct")
        operation = fabric.post(work)
        for rank in place:
            operation.arrive(rank)
        clock.run(until=operation.done)
        times.append(time.process_time() - begin)
    kind = "no two links alike" if uneven else "links alike"
    return {
        "what": f"direct all_reduce over {ranks} ranks, {kind}",
        "first_s": times[0],
        "cpu_s": float(np.mean(times[1:])),
    }


def check(name, net, work):
    """Kernel and reference, end to end."""
    twin, ours = (simnet.simulate(net, work, engine=each) for each in ("reference", "events"))
    np.testing.assert_allclose(ours.works[0].job.end, twin.works[0].job.end, rtol=1e-9)
    return {"what": name, "time": ours.time, "equal": True}


def rows(smoke, only):
    for name, net, work in cases(smoke):
        if only in name:
            yield check(name, net, work) if smoke else measure(name, net, work)
    for ranks, uneven in ((8, False), (8, True), (32, True), (256, False)):
        if not only and not (smoke and ranks > 8):
            yield posted(ranks, uneven, 2 if smoke else 20 if ranks > 8 else 1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small: only that results are equal")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for row in rows(options.smoke, options.only):
        found.append(row)
        if not options.json:
            columns = [f"{key} {value:.4g}" for key, value in row.items() if type(value) is float]
            print(f"{row['what']}: {', '.join(columns)}", flush=True)
    if options.json:
        json.dump({"rows": found, "version": simnet.__version__}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
