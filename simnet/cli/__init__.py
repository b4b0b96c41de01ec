"""The command line: `simnet compare` and `simnet train`.

Misuse is one line on stderr and exit code 2; progress and warnings go to stderr, so that stdout
carries the answer alone. What is heavy is imported when a command runs.
"""

from __future__ import annotations

from simnet.cli.app import main

__all__ = ["main"]
