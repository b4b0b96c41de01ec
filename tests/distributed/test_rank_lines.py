"""What ranks print comes out in whole lines, each behind the rank's number."""

import io

from simnet.distributed.output import RankLines
from simnet.distributed.process_driver import Printing
from simnet.ranks.seat import enter


def printed(*texts):
    stream = io.StringIO()
    lines = RankLines(stream, 1)
    enter(Printing(3))
    try:
        for text in texts:
            lines.write(text)
        lines.finish()
    finally:
        enter(None)
    return stream.getvalue()


def test_lines_are_whole():
    assert printed("a", "b\nc", "\n") == "[rank 3] ab\n[rank 3] c\n"
    assert printed("a") == "[rank 3] a\n"


def test_of_what_is_written_over_the_last_remains():
    assert printed("\r 10%", "\r 20%", "\r100%\n") == "[rank 3] 100%\n"
    assert printed("10%\r", "20%\r") == "[rank 3] 20%\r\n"


def test_nobodys_lines_pass_as_they_are():
    stream = io.StringIO()
    RankLines(stream, 1).write("as it is")
    assert stream.getvalue() == "as it is"
