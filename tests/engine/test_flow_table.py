"""What is left of flows that share links, step by step and by hand."""

import numpy as np
import pytest

from simnet.engine.flow_table import FlowTable


def run(table):
    """Drain everything; returns {slot: finish}."""
    finished = {}
    table.settle(0.0)
    while (time := table.next_finish()) < np.inf:
        for slot in table.pop_finished(time):
            finished[slot] = time
        table.settle(time)
    return finished


def test_two_flows_then_one():
    # 10 B/s shared by 100 and 40 B: both at 5 until 8 s, then 60 B at 10 B/s until 14 s.
    table = FlowTable(np.array([10.0]))
    long, short = table.add([0], 100, 0.0), table.add([0], 40, 0.0)
    assert run(table) == {short: 8.0, long: 14.0}


def test_a_late_flow_slows_the_first():
    table = FlowTable(np.array([10.0]))
    first = table.add([0], 100, 0.0)
    table.settle(0.0)
    assert table.next_finish() == 10.0
    second = table.add([0], 10, 6.0)
    table.settle(6.0)
    # 40 B left at 6 s; both at 5 B/s until 8 s; 30 B left at 10 B/s.
    assert table.next_finish() == 8.0
    assert table.pop_finished(8.0) == [second]
    table.settle(8.0)
    assert table.next_finish() == 11.0
    assert table.pop_finished(11.0) == [first]


def test_asking_and_settling_in_between_changes_nothing_to_the_bit():
    def finish(stops):
        table = FlowTable(np.array([3.0, 7.0]))
        table.add([0, 1], 10, 0.0)
        table.settle(0.0)
        for stop in stops:
            table.next_finish()
            assert table.settle(stop) is False
        return table.next_finish()

    assert finish([]) == finish([0.1, 0.2, 1.7, 3.1])


def test_a_stranger_changes_nothing_to_the_bit():
    """A flow that shares no link with another may come and go unnoticed."""

    def finish(with_stranger):
        table = FlowTable(np.array([3.0, 7.0]))
        slot = table.add([0], 10, 0.0)
        table.settle(0.0)
        if with_stranger:
            for time in (0.1, 0.3, 0.7):
                table.add([1], 1, time)
                table.settle(time)
        return {s: t for s, t in run(table).items() if s == slot}

    assert finish(False) == finish(True)


def test_it_grows_in_both_directions():
    table = FlowTable(np.full(40, 2.0), max_hops=1)
    slots = [table.add(range(i), 4, 0.0) for i in range(1, 40)]
    table.settle(0.0)
    assert sorted(run(table)) == sorted(slots)


def test_slots_are_used_again():
    table = FlowTable(np.array([1.0]))
    for turn in range(100):
        slot = table.add([0], 1, float(turn))
        table.settle(float(turn))
        assert table.pop_finished(turn + 1.0) == [slot]
        table.release(slot)
    assert slot < 16


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_link_rates_sum_the_flows(scale):
    table = FlowTable(np.array([10.0, 4.0]) * scale)
    table.add([0, 1], 1, 0.0)
    table.add([0], 1, 0.0)
    table.settle(0.0)
    np.testing.assert_allclose(table.link_rates(), [10.0 * scale, 4.0 * scale], rtol=1e-15)
