"""Messages between processes: whole whatever the pieces they come in, and waited for no longer."""

import os
import pickle
import threading
from multiprocessing import Pipe

import pytest

from simnet.distributed.wire import AT_ONCE, LENGTH, Line

MESSAGES = ("a", [("issue", 0, b"x" * AT_ONCE)], None, b"y" * (3 * AT_ONCE + 1))


@pytest.fixture
def ends():
    here, there = Pipe()
    with here, there:
        yield here, there


def framed(message):
    body = pickle.dumps(message)
    return LENGTH.pack(len(body)) + body


def test_messages_come_in_order_and_whole(ends):
    here, there = ends
    sender, line = Line(here), Line(there)
    for message in MESSAGES:
        sender.send(message)
    assert [line.receive() for _ in MESSAGES] == list(MESSAGES)


def test_a_message_that_comes_in_pieces_is_waited_for_beyond_the_limit(ends):
    here, there = ends
    line, data = Line(there), framed("abc" * 10)
    assert not line.is_in(0.01)
    os.write(here.fileno(), data[:3])
    assert line.is_in(0.01)
    rest = threading.Timer(0.1, os.write, (here.fileno(), data[3:]))
    rest.start()
    assert line.receive() == "abc" * 10
    rest.join()
    assert not line.is_in(0.01)


def test_that_the_other_end_has_gone_is_something_to_receive(ends):
    here, there = ends
    line = Line(there)
    Line(here).send(1)
    here.close()
    assert line.is_in(0.01)
    assert line.receive() == 1
    assert line.is_in(0.01)
    with pytest.raises(EOFError):
        line.receive()
