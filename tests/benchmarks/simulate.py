"""What `simulate()`, `plan()` and routes cost end to end: python tests/benchmarks/simulate.py

Each row prints CPU seconds, best of some runs, with the network built before; --json writes one
document. --smoke runs small cases and only checks that the tiers equal the events.
"""

import argparse
import json
import sys

import numpy as np
from kernel import best, star

import simnet
import topologies
from simnet import collectives


def simulated(what, net, work, runs):
    if runs == 0:
        ours, events = (simnet.simulate(net, work, engine=each) for each in ("kernel", "events"))
        np.testing.assert_allclose(ours.works[0].job.end, events.works[0].job.end, rtol=1e-12)
        return {"what": what, "tier": ours.tier, "equal": True}
    seconds, _, result = best(lambda: simnet.simulate(net, work), runs)
    return {
        "what": what,
        "tier": result.tier,
        "transfers": len(result.works[0].job.program),
        "cpu_s": seconds,
    }


def simulations(smoke, runs):
    for ranks in (8, 16) if smoke else (64, 1024, 16384):
        work = collectives.all_reduce(2**30, algorithm="ring")
        yield simulated(f"ring all-reduce, star of {ranks}", star(ranks), work, runs)
    ranks = 8 if smoke else 1024
    net = star(ranks)
    for size, name in ((2**10, "1 KiB"), (2**40, "1 TiB")):
        work = collectives.all_reduce(size, algorithm="ring")
        yield simulated(f"ring all-reduce of {name}, star of {ranks}", net, work, runs)
    for name in ("bidirectional_ring", "recursive_halving_doubling", "direct"):
        work = collectives.all_reduce(2**30, algorithm=name)
        yield simulated(f"all-reduce by {name}, star of {ranks}", net, work, runs)
    work = collectives.all_to_all(2**30, algorithm="direct")
    yield simulated(f"all-to-all, star of {ranks}", net, work, runs)
    work = collectives.all_reduce(10**9 + 1, algorithm="ring")
    yield simulated(f"ring all-reduce of uneven pieces, star of {ranks}", net, work, runs)
    net = star(ranks, uneven=True)
    yield simulated(f"ring all-reduce, no two links alike, star of {ranks}", net, work, runs)


def plans(runs):
    for ranks in (64, 256, 1024):
        net = star(ranks)
        for kind in ("all_reduce", "all_to_all", "broadcast"):
            work = getattr(collectives, kind)(2**20)
            seconds, _, chosen = best(lambda w=work, n=net: collectives.plan(w, n), runs)
            what = f"plan of {kind} over {ranks} ranks: {chosen.algorithm}"
            yield {"what": what, "cpu_s": seconds}


def routes(runs):
    graphs = (
        topologies.star(1024, bandwidth=1e9, latency=1e-5),
        topologies.fat_tree(16, bandwidth=1e9, latency=1e-6),
    )
    for graph in graphs:
        net = simnet.Network(graph)
        src, dst = np.divmod(np.arange(net.num_ranks**2), net.num_ranks)
        channel = np.zeros_like(src)
        columns = (src, dst, channel)
        seconds, _, _ = best(lambda n=net, c=columns: n.routes_of(*c), runs)
        yield {"what": f"routes of all pairs, {net!r}", "microseconds": 1e6 * seconds / len(src)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small: only that results are equal")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = 0 if options.smoke else 3
    rows = list(simulations(options.smoke, runs))
    if not options.smoke:
        rows += [*plans(runs), *routes(1)]
    if options.json:
        json.dump({"rows": rows, "version": simnet.__version__}, sys.stdout, indent=1)
        return
    for row in rows:
        what, *columns = row
        shown = [f"{key} {row[key]:.4g}" for key in columns if type(row[key]) is float]
        tier = [row["tier"]] if "tier" in row else []
        print(f"{row[what]}: {', '.join([*tier, *shown])}", flush=True)


if __name__ == "__main__":
    main()
