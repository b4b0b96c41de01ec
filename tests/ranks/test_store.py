"""The store of a run."""

import simpy

from simnet.ranks.store import Board


def test_a_rank_is_told_when_the_last_of_its_keys_is_written():
    env = simpy.Environment()
    board = Board(env)
    event, other = board.await_keys(0, ["a", "b"]), board.await_keys(1, ["c"])
    board.set("b", b"")
    board.set("x", b"")
    assert not event.triggered
    board.set("a", b"")
    assert event.triggered
    assert not other.triggered
    assert board.await_keys(0, ["a"]).triggered


def test_what_a_rank_no_longer_waits_for_is_forgotten():
    board = Board(simpy.Environment())
    waits = [board.await_keys(0, [f"never {number}"]) for number in range(1000)]
    board.set("never 0", b"")
    assert not any(each.triggered for each in waits)
    board.set("never 999", b"")
    assert [each.triggered for each in waits] == [False] * 999 + [True]
    assert not board._waiting
