"""The same training programs through the first door: right parameters, as threads and processes.

The second and third doors have tests of their own, on the same programs.
"""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

import simnet
import topologies

SCRIPTS = Path(__file__).parent / "scripts"
NET = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))
OPTIONS = Namespace(steps=3, rounds=2, batch=12)


@pytest.fixture
def programs(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import task
    import train

    expected = {
        "ddp": task.reference(3, 12),
        "fsdp2": task.reference(3, 12),
        "fedavg": task.averaged_reference(2, 3, 12, 3),
    }
    return train, expected


@pytest.mark.parametrize("kind", [simnet.threads, simnet.processes])
def test_parameters_are_those_of_one_process(programs, kind):
    train, expected = programs

    def everything(rank, world_size):
        return {how: getattr(train, how)(OPTIONS) for how in expected}

    run = simnet.run(everything, NET, ranks=kind(3), quiet=True)

    # FSDP2 gathers its full state on rank 0 alone.
    for how in expected:
        found = run.results[0][how]
        assert found.keys() == expected[how].keys()
        for name, value in expected[how].items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
