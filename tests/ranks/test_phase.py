"""Phases that a program marks, in its trace and in replays."""

import pytest

import simnet
import topologies
from simnet.ranks.api import phase


def train(rank, world_size):
    phase("load")
    simnet.compute(1.0 + rank)
    phase("work")
    simnet.compute(2.0)


def marks(trace):
    return [
        [(entry.name, entry.begin) for entry in entries if entry.action == "phase"]
        for entries in trace.entries
    ]


@pytest.mark.parametrize("ranks", [2, simnet.processes(2)], ids=["threads", "processes"])
def test_a_trace_says_when_each_phase_began(ranks, tmp_path):
    net = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="1s"))
    run = simnet.run(train, net, ranks=ranks, quiet=True)
    expected = [[("load", 0.0), ("work", 1.0)], [("load", 0.0), ("work", 2.0)]]
    assert marks(run.trace) == expected
    assert marks(simnet.replay(run.trace, net).trace) == expected
    run.trace.save(tmp_path / "a.trace")
    assert marks(simnet.replay(tmp_path / "a.trace", net).trace) == expected


def test_what_was_computed_before_belongs_to_the_phase_before():
    def measured(rank, world_size):
        sum(range(200_000))
        phase("work")

    net = simnet.Network(topologies.star(1, bandwidth="1MB/s", latency="1s"))
    run = simnet.run(measured, net, compute=simnet.compute.Measured(), quiet=True)
    ((name, begin),) = marks(run.trace)[0]
    assert name == "work"
    assert begin > 0


def test_outside_a_rank_nothing_happens_but_a_wrong_name_is_refused():
    phase("anything")
    with pytest.raises(TypeError, match=r"^phase\(3\): a text$"):
        phase(3)
