"""The features on real gloo: four processes forked once, with a new default group a feature.

Run as a program, `python tests/distributed/gloo_reference.py [part of a name ...]` checks the
features themselves: that gloo runs those compared with it, that a written reference agrees with
gloo unless the feature says why it does not, and that what is refused is refused by gloo too.
"""

import argparse
import faulthandler
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections import deque
from datetime import timedelta
from pathlib import Path

TIMEOUT_S = 20  # of gloo's calls, if a rank has failed
HANG_S = 200  # after which a rank says where it is, and ends


def gloo_results(names):
    """What every rank returned or raised: {feature name: [outcome of rank 0, ...]}.

    In a program of its own: a process in which torch has worked already must not fork.
    """
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, __file__, "--into", directory, "--exactly", *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the features on gloo ended with {done.returncode}:\n{done.stdout}")
        return results_in(directory, names)


def results_in(directory, names):
    """The outcomes that the ranks have written."""
    from features.packing import unpack_all
    from features.registry import WORLD_SIZE

    ranks = [dict(unpack_all(Path(directory, f"rank-{r}"))) for r in range(WORLD_SIZE)]
    return {name: [outcomes[name] for outcomes in ranks] for name in names}


def fork(directory, names, verbose=False):
    """Run the features on four forked ranks."""
    from features import WORLD_SIZE

    context = multiprocessing.get_context("fork")
    together = context.Barrier(WORLD_SIZE)
    children = [
        context.Process(target=be_rank, args=(rank, together, directory, names, verbose))
        for rank in range(WORLD_SIZE)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        sys.exit(f"the ranks ended with {[child.exitcode for child in children]}")


def be_rank(rank, together, directory, names, verbose):
    """Run the features in this process, which is one rank, and write down how each ended."""
    import torch
    from features import FEATURES
    from features.packing import pack

    torch.set_num_threads(1)
    # gloo's worker threads may hold a group's last reference, and then end the process when they
    # try to join themselves.
    recent = deque(maxlen=3)
    with Path(directory, f"rank-{rank}").open("wb") as file:
        for number, name in enumerate(names):
            begin = time.perf_counter()
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            store = Path(directory, f"store-{number}")
            outcome = run_feature(FEATURES[name], rank, store, together, recent)
            faulthandler.cancel_dump_traceback_later()
            file.write(pack((name, outcome)))
            if verbose and rank == 0:
                print(f"{time.perf_counter() - begin:6.2f} s  {name}", file=sys.stderr)


def run_feature(feature, rank, store, together, recent):
    """One feature with a default group of its own; how it ended."""
    import torch
    import torch.distributed as dist
    from features.outcomes import expected_warnings, raised
    from features.registry import WORLD_SIZE

    torch.manual_seed(0)
    try:
        with expected_warnings(feature):
            dist.init_process_group(
                "gloo",
                store=dist.FileStore(str(store), WORLD_SIZE),
                rank=rank,
                world_size=WORLD_SIZE,
                timeout=timedelta(seconds=TIMEOUT_S),
            )
            recent.append(dist.group.WORLD)
            outcome = ("returned", feature.program(rank, WORLD_SIZE))
        together.wait()  # who leaves closes connections that others may still use
    except Exception as error:
        outcome = raised(error)
    if dist.is_initialized():
        dist.destroy_process_group()
    dist.distributed_c10d._world.group_count = 0  # as torch does after an init that succeeded
    if outcome[0] == "raised":
        together.wait()
    return outcome


def report(parts):
    """Say of each feature whether gloo does what the suite says of it; how many are wrong."""
    from features import FEATURES
    from features.compare import difference

    names = [name for name in FEATURES if not parts or any(part in name for part in parts)]
    with tempfile.TemporaryDirectory() as directory:
        fork(directory, names, verbose=True)
        results = results_in(directory, names)
    wrong = 0
    for name, outcomes in results.items():
        said = difference(FEATURES[name], outcomes, on_gloo=True)
        traces = [outcome[2] for outcome in outcomes if outcome[0] == "raised"]
        if said:
            wrong += 1
            print(f"WRONG    {name}: {said}", *traces[:1], sep="\n")
        elif FEATURES[name].no_gloo or FEATURES[name].refused:
            print(f"not on gloo   {name}: {FEATURES[name].no_gloo or FEATURES[name].refused}")
    print(f"{len(names)} features, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", help="a directory for the results")
    parser.add_argument("--exactly", nargs="*", help="names in full")
    parser.add_argument("parts", nargs="*")
    options = parser.parse_args()
    if options.into:
        fork(options.into, options.exactly)
    else:
        sys.exit(report(options.parts) > 0)
