"""What the max-plus tier costs: python tests/benchmarks/max_plus.py

One pass over a ring all-reduce in which no two links are alike, and many scenarios of a small one
at once. Each row prints CPU and wall seconds (the best of some runs), transfers or scenarios per
second, peak memory, and the time as a multiple of copying the same bytes in the same run; --json
writes one document. --smoke runs small cases and only checks that they equal simulations.
"""

import argparse
import json
import resource
import sys

import numpy as np
from kernel import best, star

import simnet
import topologies
from simnet import collectives
from simnet.engine.maxplus import max_plus
from simnet.engine.program import compile_schedule

BYTES_A_TRANSFER = 56  # a transfer's own columns, its start and its end


def ring(hosts):
    return simnet.Network(topologies.ring(hosts, bandwidth="10Gbit/s", latency="10us"))


def copy_seconds(count):
    """CPU seconds of copying so many bytes once, the best of three times."""
    source, target = np.zeros(count // 8), np.ones(count // 8)
    return max(best(lambda: np.copyto(target, source), 3)[0], 1e-9)


def row(what, count, unit, cpu, wall, copied):
    return {
        "what": what,
        "tier": "max-plus",
        unit: count,
        "cpu_s": cpu,
        "wall_s": wall,
        f"{unit}_per_s": count / wall,
        f"{unit}_per_cpu_s": count / cpu,
        "copies": cpu / copy_seconds(copied),
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def one_pass(hosts, smoke):
    """The pass alone, streaming the schedule; routes included."""
    net, work = star(hosts, uneven=True), collectives.all_reduce(10**9, algorithm="ring")
    program = compile_schedule(collectives.plan(work, net).schedule, tuple(range(hosts)))
    call = lambda: max_plus(net, program, 0.0, np.zeros(hosts))  # noqa: E731
    cpu, wall, timeline = best(call, 1 if smoke or hosts > 2000 else 5)
    what = f"one pass: ring all-reduce, star of {hosts}, no two links alike"
    if smoke:
        twin = simnet.simulate(net, work, engine="reference")
        np.testing.assert_allclose(timeline.times()[1], twin.works[0].job.ends, rtol=1e-9)
        return {"what": what, "equal": True}
    return row(what, len(program), "transfers", cpu, wall, BYTES_A_TRANSFER * len(program))


def many(hosts, count, threads, smoke, algorithm="ring"):
    """Everything that `simulate_many` does, planning included."""
    net, work = ring(hosts), collectives.all_reduce("100MB", algorithm=algorithm)
    table = simnet.scenarios.draw(net, count, spread=0.5)
    call = lambda: simnet.simulate_many(net, work, table, threads=threads)  # noqa: E731
    cpu, wall, result = best(call, 1 if smoke or algorithm != "ring" else 20)
    cores = f"{threads} threads" if threads else "all cores"
    what = f"{count} scenarios of an all-reduce by {algorithm} over {hosts} ranks, {cores}"
    if smoke:
        for scenario in range(count):
            alone = simnet.simulate(table.network(net, scenario), work, engine="reference")
            np.testing.assert_allclose(result.rank_times[scenario], alone.rank_times, rtol=1e-9)
        return {"what": what, "equal": True}
    copied = table.bandwidth.nbytes + table.latency.nbytes + result.rank_times.nbytes
    return row(what, count, "scenarios", cpu, wall, copied) | {"tier": str(result.tier[0])}


def rows(smoke, only):
    passes = (8,) if smoke else (1024, 4096)
    counts = (5,) if smoke else (10_000, 1_000_000)
    calls = [lambda count=count: many(16, count, 1, smoke) for count in counts]
    calls += [lambda count=count: many(16, count, None, smoke) for count in counts]
    calls += [lambda: many(16, 5 if smoke else 1000, None, smoke, "direct")]
    calls += [lambda hosts=hosts: one_pass(hosts, smoke) for hosts in passes]
    names = ["scenarios"] * (2 * len(counts) + 1) + ["pass"] * len(passes)
    for name, call in zip(names, calls, strict=True):
        if only in name:
            yield call()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small: only that results are equal")
    parser.add_argument("--only", default="", help='"pass" or "scenarios"')
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for each in rows(options.smoke, options.only):
        found.append(each)
        if not options.json:
            columns = [f"{key} {value:.4g}" for key, value in each.items() if type(value) is float]
            print(f"{each['what']}: {', '.join(columns)}", flush=True)
    if options.json:
        json.dump({"rows": found, "version": simnet.__version__}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
