"""One seed, one result: in every process and under every hash seed."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

PROGRAM = """
import json, networkx as nx, simnet, topologies
from simnet import collectives
graph = topologies.torus((3, 3))
nx.relabel_nodes(graph, {node: f"host {node}" for node in graph}, copy=False)
net = simnet.Network(graph, profile="mobile", seed=7)
def traffic(env, fabric):
    for turn in range(3):
        yield env.timeout(0.1)
        yield fabric.send(turn, turn + 4, "100kB", channel=turn)
result = simnet.simulate(
    net,
    collectives.all_reduce("1MB"),
    collectives.all_to_all("1MB", algorithm="direct", channels=2),
    simnet.flows([0, 1, 2], [8, 7, 6], "1MB", [0.0, 0.1, 0.2]),
    processes=[traffic],
    seed=3,
)
print(json.dumps(result.to_dict()))
"""


def output(hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def test_twenty_fresh_processes_agree_to_the_bit():
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(output, range(20)))
    assert len(outputs[0]) > 1000
    assert set(outputs) == {outputs[0]}
