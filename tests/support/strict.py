"""Python as a process of its own in which a warning is an error, but that no kernel was built."""

import sys

STRICT_PYTHON = (
    sys.executable,
    *("-W", "error"),
    *("-W", "ignore:simnet's kernel was not compiled:RuntimeWarning"),
)
