"""How the cost of simulating grows: python tests/benchmarks/scaling.py --plot docs/scaling.png

CPU seconds of `simulate()`, each point in a process of its own: ring all-reduces over 8 to 16,384
ranks by every tier and by the reference, and 1,000 to 1,000,000 random flows. Each curve's exponent
is fitted, by least squares of the logarithms, to the points that took above a thirtieth of its
slowest. Prints, and with --json writes as one document; --smoke takes the smallest points only.
"""

import argparse
import json
import subprocess
import sys

import kernel as rows
import numpy as np

import simnet

RINGS = {  # the most ranks that each is asked for
    "symmetry": 16384,
    "max-plus": 4096,
    "events": 2048,
    "reference": 64,
}
FLOWS = {"events": 1_000_000, "reference": 1000}
LOAD = 0.25
SHOWN = {
    "symmetry": ("#0072B2", "o", "symmetry: one rank stands for all"),
    "max-plus": ("#009E73", "s", "max-plus: no link is shared"),
    "events": ("#D55E00", "^", "events: shared max-min fairly"),
    "reference": ("#555555", "D", "reference, in Python"),
}


def ranks_up_to(most):
    return [2**power for power in range(3, 15) if 2**power <= most]


def counts_up_to(most):
    return [int(count) for count in np.geomspace(1000, 10**6, 7).round(-2) if count <= most]


def point(kind, engine, count, runs):
    """One point of one curve."""
    if kind == "ring":
        uneven = engine in ("max-plus", "events")
        net = rows.star(count, uneven=uneven)
        work, transfers = rows.ring(count), 2 * (count - 1) * count
    else:
        net = rows.fat_tree(8)
        work, transfers = rows.random_flows(net, count, LOAD), count
    cpu, _, result = rows.best(lambda: simnet.simulate(net, work, engine=engine), runs)
    return {
        "kind": kind,
        "engine": engine,
        "tier": result.works[0].tier,
        "count": count,
        "transfers": transfers,
        "cpu_s": cpu,
    }


def measured(kind, engine, count, runs):
    job = json.dumps([kind, engine, count, runs])
    done = subprocess.run(
        [sys.executable, __file__, "--point", job], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def jobs(smoke):
    for engine, most in RINGS.items():
        counts = ranks_up_to(most)
        yield from (("ring", engine, count) for count in (counts[:2] if smoke else counts))
    for engine, most in FLOWS.items():
        counts = counts_up_to(most)
        yield from (("flows", engine, count) for count in (counts[:1] if smoke else counts))


def exponent(curve):
    """By least squares of the logarithms; NaN for fewer than three points."""
    seconds = np.array([each["cpu_s"] for each in curve])
    counts = np.array([each["count"] for each in curve])
    slow = seconds > seconds.max() / 30
    if slow.sum() < 3:
        return float("nan")
    return float(np.polyfit(np.log(counts[slow]), np.log(seconds[slow]), 1)[0])


def curves(points):
    """The points of each kind and engine, and the exponent."""
    found = {}
    for each in points:
        found.setdefault((each["kind"], each["engine"]), []).append(each)
    return {key: (curve, exponent(curve)) for key, curve in found.items()}


def plot(points, path):
    from matplotlib import pyplot as plt

    titles = {
        "ring": ("ring all-reduce on a star", "ranks"),
        "flows": (f"random flows on a fat-tree of 128, load {LOAD}", "flows"),
    }
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    for ax, (kind, (title, unit)) in zip(axes, titles.items(), strict=True):
        for (curve_kind, engine), (curve, slope) in curves(points).items():
            if curve_kind != kind:
                continue
            colour, marker, label = SHOWN[engine]
            fitted = f", ∝ N$^{{{slope:.2f}}}$" if np.isfinite(slope) else ""
            ax.loglog(
                [each["count"] for each in curve],
                [each["cpu_s"] for each in curve],
                color=colour, marker=marker, markersize=4.5, linewidth=1.6,
                label=label + fitted,
            )  # fmt: skip
        ax.set(title=title, xlabel=unit)
        ax.grid(True, which="major", alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("CPU seconds of simulate()")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plot", help="where to draw the curves")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        json.dump(point(*json.loads(options.point)), sys.stdout)
        return
    points = []
    for kind, engine, count in jobs(options.smoke):
        points.append(measured(kind, engine, count, options.runs))
        if not options.json:
            each = points[-1]
            print(f"{kind} {count:,} by {each['tier']}: {each['cpu_s']:.4g} s", flush=True)
    slopes = {" by ".join(key): slope for key, (_, slope) in curves(points).items()}
    if options.plot:
        plot(points, options.plot)
    if options.json:
        json.dump({"rows": points, "exponents": slopes, "version": simnet.__version__}, sys.stdout)
        return
    for name, slope in slopes.items():
        print(f"{name}: grows with the power {slope:.2f}")


if __name__ == "__main__":
    main()
