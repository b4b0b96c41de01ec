"""What max-min fair rates are, from the definition: independent of the package's own solvers."""

from fractions import Fraction

import numpy as np


def exact_rates(routes, bandwidths):
    """Raise all rates together in exact arithmetic, freezing flows as links fill."""
    level, rates = Fraction(0), {}
    left = {link: Fraction(b) for link, b in enumerate(bandwidths) if b < np.inf}
    while len(rates) < len(routes):
        open_flows = [f for f in range(len(routes)) if f not in rates]
        users = {link: [f for f in open_flows if link in routes[f]] for link in left}
        rise = min(left[link] / len(flows) for link, flows in users.items() if flows)
        level += rise
        for link, flows in users.items():
            left[link] -= rise * len(flows)
        for link, flows in users.items():
            if flows and left[link] == 0:
                rates |= dict.fromkeys(flows, level)
    return [rates[f] for f in range(len(routes))]


def assert_max_min(found, capacity, slack=1e-9):
    """Check `rates()` of a model: no link over its capacity, and a bottleneck for every flow.

    A bottleneck is a full link of the flow on which no other is faster (Bertsekas & Gallager,
    *Data Networks*, 1992, section 6.5.2); rates with one each are max-min fair, and the only ones.
    """
    hops = np.array([len(links) for links, _, _ in found])
    links = np.array([link for links, _, _ in found for link in links], dtype=np.int64)
    count = np.repeat([count for _, count, _ in found], hops)
    rate = np.repeat([rate for _, _, rate in found], hops)
    load = np.bincount(links, weights=count * rate, minlength=len(capacity))
    fastest = np.zeros(len(capacity))
    np.maximum.at(fastest, links, rate)
    assert (load <= capacity * (1 + slack)).all()
    binds = (load[links] >= capacity[links] * (1 - slack)) & (rate >= fastest[links] * (1 - slack))
    assert np.logical_or.reduceat(binds, np.cumsum(hops) - hops).all()
