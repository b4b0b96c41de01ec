"""All-to-all in rounds: each rank talks to one partner at a time.

Thakur, Rabenseifner and Gropp, Optimization of collective communication operations in MPICH,
Int. J. High Perform. Comput. Appl. 19(1), 2005, https://doi.org/10.1177/1094342005051521
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simnet.collectives.collective import Collective
from simnet.collectives.expansion import Step
from simnet.collectives.representative import sendrecv
from simnet.collectives.schedule import Schedule
from simnet.collectives.steps import Sequencer, make_schedule, step
from simnet.collectives.symmetry import Rotation, Translations, bit_flips, hypercube


def pairwise(collective: Collective, num_ranks: int) -> Schedule:
    """Exchange blocks in N - 1 rounds of sendrecv.

    In round k rank r swaps with r XOR k where N is a power of two; else it sends to r + k and
    receives from r - k.

    Parameters
    ----------
    collective
        An all_to_all.
    num_ranks
        Number of ranks N.

    """
    power_of_two = num_ranks & (num_ranks - 1) == 0

    def steps() -> Iterator[Step]:
        ranks = np.arange(num_ranks)
        order = Sequencer(num_ranks)
        for k in range(1, num_ranks):
            other = ranks ^ k if power_of_two else (ranks + k) % num_ranks
            yield step(ranks, other, base=ranks * num_ranks + other, deps=order.sendrecv(ranks))
            order.took(ranks, other)

    return make_schedule(
        collective,
        num_ranks,
        algorithm="pairwise",
        steps=steps,
        count=num_ranks * (num_ranks - 1),
        symmetry=bit_flips(num_ranks) if power_of_two else (Rotation(num_ranks),),
        translations=hypercube(num_ranks) if power_of_two else Translations((num_ranks,)),
        turn=lambda: sendrecv(np.arange(1, num_ranks), 1, False),
    )
