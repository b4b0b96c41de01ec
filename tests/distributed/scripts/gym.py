"""ExoGym's user: the script installs the network where its nodes, which import it again, do too.

`python gym.py FILE` writes what became of three fits; `python gym.py` fits until it is interrupted.
"""

import json
import socket
import sys
from collections import Counter
from pathlib import Path

from exogym.strategy import AveragingStrategy
from exogym.trainer import Trainer

import simnet
import topologies

NODES = 2
NET = simnet.Network(topologies.star(NODES, bandwidth="1MB/s", latency="10ms"))
COMPUTE = simnet.compute.Fixed("20ms")
HOOK = simnet.exogym.install(NET, algorithm="ring", compute=COMPUTE)


def fit(run_name, **options):
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    strategy = AveragingStrategy(H=2)
    return Trainer(port).fit(strategy, NODES, minibatch_size=8, run_name=run_name, **options)


def told(hook):
    run = hook.run
    return {
        "time": hook.time,
        "rank_times": run.rank_times.tolist(),
        "bytes": hook.bytes,
        "kinds": Counter(each.kind for each in run.records),
        "replayed": simnet.replay(run.trace, NET).time,
    }


def main(path):
    found = {"models": {"free": fit("free")}, "free": told(HOOK)}
    HOOK.uninstall()
    found["models"]["plain"] = fit("plain")
    with simnet.exogym.install(NET, algorithm="ring", harness="counted") as hook:
        found["models"]["counted"] = fit("counted")
    found |= {"counted": told(hook), "runs": [len(HOOK.runs), len(hook.runs)]}
    path.write_text(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        fit("forever", max_steps=10**9)
    main(Path(sys.argv[1]))
