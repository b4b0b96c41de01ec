"""A stand-in for ExoGym: a trainer of the same processes, and the same names where a hook looks."""

import sys

from exogym import helpers

sys.modules["exogym.aux"] = helpers  # a file of that name could be on no Windows disk
