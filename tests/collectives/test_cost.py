"""Closed forms against a small exact simulation of a star, in rational numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet import collectives
from simnet.collectives import Collective, build
from simnet.collectives.cost import (
    ALWAYS,
    EVEN,
    FORMS,
    MODEL,
    POWER_OF_TWO,
    closed_form,
    exactness,
)
from simnet.collectives.table import ALGORITHMS


def shares(flows):
    """Max-min rates of flows {id: (src, dst)} where every rank sends and receives at most 1."""
    rates, left = {}, dict(flows)
    spare = defaultdict(lambda: Fraction(1))
    while left:
        load = Counter(end for src, dst in left.values() for end in (("out", src), ("in", dst)))
        level = min(spare[end] / count for end, count in load.items())
        tight = {end for end, count in load.items() if spare[end] / count == level}
        for flow, (src, dst) in list(left.items()):
            if {("out", src), ("in", dst)} & tight:
                rates[flow] = level
                del left[flow]
        spare = defaultdict(lambda: Fraction(1))
        for flow, rate in rates.items():
            src, dst = flows[flow]
            spare["out", src] -= rate
            spare["in", dst] -= rate
    return rates


class Star:
    """Ranks around one switch that is never full: only their own cards are shared."""

    def __init__(self, schedule, alpha, beta, gamma):
        self.moves = schedule.transfers()
        self.alpha, self.beta, self.gamma = map(Fraction, (alpha, beta, gamma))
        self.limit = schedule.in_flight
        count = len(self.moves)
        self.waits = [len(self.moves.deps_of(i)) for i in range(count)]
        self.heirs = defaultdict(list)
        for i in range(count):
            for dep in self.moves.deps_of(i).tolist():
                self.heirs[dep].append(i)
        self.queues, self.started = defaultdict(list), Counter()
        self.flying, self.draining, self.reducing = {}, {}, {}
        self.ended, self.now = 0, Fraction(0)

    def key(self, i):
        return int(self.moves.src[i]), int(self.moves.dst[i]), int(self.moves.channel[i])

    def finish(self, i):
        self.ended += 1
        if not self.moves.joins[i]:
            self.started[self.key(i)] -= 1
            self.pump(self.key(i))
        ready = []
        for heir in self.heirs[i]:
            self.waits[heir] -= 1
            if not self.waits[heir]:
                ready.append(heir)
        return ready

    def pump(self, key):
        while self.queues[key] and self.started[key] < self.limit:
            self.started[key] += 1
            self.flying[self.queues[key].pop(0)] = self.now + self.alpha

    def release(self, ready):
        ready = sorted(ready)
        while ready:
            i = ready.pop(0)
            if self.moves.joins[i]:
                ready += self.finish(i)
            else:
                self.queues[self.key(i)].append(i)
                self.pump(self.key(i))

    def rates(self):
        out = shares({i: self.key(i)[:2] for i in self.draining})
        rates = {i: rate / self.beta for i, rate in out.items()}
        busy = Counter(self.key(i)[1] for i in self.reducing)
        return rates, {i: 1 / (self.gamma * busy[self.key(i)[1]]) for i in self.reducing}

    def step(self):
        """Go on to the next instant at which anything happens."""
        drain, reduce = self.rates()
        spans = [time - self.now for time in self.flying.values()]
        spans += [left / drain[i] for i, left in self.draining.items()]
        spans += [left / reduce[i] for i, left in self.reducing.items()]
        span = min(spans)
        self.now += span
        for pool, rates in ((self.draining, drain), (self.reducing, reduce)):
            for i in pool:
                pool[i] -= rates[i] * span
        over = [i for i, left in self.reducing.items() if not left]
        for i in over:
            del self.reducing[i]
        for i in [i for i, time in self.flying.items() if time == self.now]:
            del self.flying[i]
            self.draining[i] = Fraction(int(self.moves.size[i]))
        for i in [i for i, left in self.draining.items() if not left]:
            del self.draining[i]
            if self.gamma and self.moves.reduces[i] and self.moves.size[i]:
                self.reducing[i] = Fraction(int(self.moves.size[i]))
            else:
                over.append(i)
        self.release([heir for i in sorted(over) for heir in self.finish(i)])

    def run(self):
        self.release([i for i, waits in enumerate(self.waits) if not waits])
        while self.ended < len(self.moves):
            self.step()
        return self.now


def simulated(schedule, *, alpha, beta, gamma):
    return Star(schedule, alpha, beta, gamma).run()


def collective(kind, num_ranks, size, segment=None):
    if kind == "send":
        return collectives.send(size, src=0, dst=1, segment=segment)
    if kind == "permutation":
        perm = np.roll(np.arange(num_ranks), -1)
        return collectives.permutation(size, perm, segment=segment)
    return Collective(kind=kind, size=0 if kind == "barrier" else size, segment=segment)


def options(algorithm, num_ranks):
    """Options of the schedule, and of the closed form."""
    if algorithm == "torus":
        dims = (2, num_ranks // 2) if num_ranks % 2 == 0 else (1, num_ranks)
        return {"dims": dims}, {"dims": dims}
    if algorithm == "hierarchical":
        width = 2 if num_ranks % 2 == 0 else num_ranks
        islands = np.arange(num_ranks).reshape(-1, width).tolist()
        return {"islands": islands}, {"islands": [width] * len(islands)}
    return {}, {}


def both(name, num_ranks, size, *, alpha, beta, gamma, segment=None):
    """(closed form, simulated)."""
    kind, algorithm = name
    building, closing = options(algorithm, num_ranks)
    schedule = build(collective(kind, num_ranks, size, segment), num_ranks, algorithm, **building)
    costs = {"alpha": alpha, "beta": beta, "gamma": gamma, "segment": segment}
    formed = closed_form(kind, algorithm, num_ranks, schedule.collective.size, **costs, **closing)
    return formed, simulated(schedule, alpha=alpha, beta=beta, gamma=gamma)


def forms(*levels, segments=False):
    return [
        pytest.param(name, id="-".join(name))
        for name, form in FORMS.items()
        if form.exact in levels and (form.segments or not segments)
    ]


COSTS = [
    {"alpha": 7, "beta": 3, "gamma": 0},
    {"alpha": 0, "beta": 1, "gamma": 2},
    {"alpha": 1000, "beta": 1, "gamma": 5},
]
CLOSE = 1e-12


def test_shares_of_the_example_worked_by_hand():
    # 0→1 and 0→2 halve the card of 0; 3→2 gets what 0→2 leaves of the card of 2.
    flows = {"a": (0, 1), "b": (0, 2), "c": (3, 2)}
    assert shares(flows) == {"a": Fraction(1, 2), "b": Fraction(1, 2), "c": Fraction(1, 2)}
    flows["d"] = (0, 4)
    third = Fraction(1, 3)
    assert shares(flows) == {"a": third, "b": third, "c": 2 * third, "d": third}


def test_one_message_is_alpha_and_its_bytes():
    assert both(("send", "direct"), 2, 10, alpha=7, beta=3, gamma=0) == (37.0, Fraction(37))


def test_every_algorithm_has_a_form():
    table = {(kind, name) for kind, names in ALGORITHMS.items() for name in names}
    assert set(FORMS) == table
    assert {exactness(*name) for name in FORMS} == {ALWAYS, EVEN, POWER_OF_TWO, MODEL}


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", forms(ALWAYS))
def test_always_exact(name, costs):
    for num_ranks in (2, 3, 4, 5, 7, 8, 9):
        for size in (0, 1, 13, 50):
            formed, found = both(name, num_ranks, size, **costs)
            assert formed == pytest.approx(float(found), rel=CLOSE)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", forms(EVEN))
def test_exact_where_pieces_are_even(name, costs):
    for num_ranks in (2, 3, 4, 5, 6, 8, 9):
        formed, found = both(name, num_ranks, 24 * num_ranks, **costs)
        assert formed == pytest.approx(float(found), rel=CLOSE)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", forms(POWER_OF_TWO))
def test_exact_for_powers_of_two(name, costs):
    for num_ranks in (2, 4, 8, 16):
        formed, found = both(name, num_ranks, 48, **costs)
        assert formed == pytest.approx(float(found), rel=CLOSE)
    for num_ranks in (3, 5, 6, 7, 11):
        formed, found = both(name, num_ranks, 48, **costs)
        assert 0.7 <= formed / float(found) <= 1.2


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", forms(ALWAYS, EVEN, segments=True))
def test_exact_in_even_segments(name, costs):
    for num_ranks in (2, 3, 4, 6):
        blocks = num_ranks * (2 if "bidirectional" in name[1] else 1)
        whole = name[0] in ("broadcast", "reduce", "send", "permutation")
        whole = whole or name[1] == "parameter_server"
        per_cell = 1 if whole else num_ranks - 1 if name == ("all_to_all", "ring") else 1
        segment = 5 * per_cell
        size = 15 if whole else 15 * blocks
        formed, found = both(name, num_ranks, size, segment=segment, **costs)
        assert formed == pytest.approx(float(found), rel=CLOSE)
        uncut, _ = both(name, num_ranks, size, **costs)
        assert costs["alpha"] == 0 or formed != uncut


def test_chain_in_segments_by_hand():
    # 3 ranks, 10 bytes in pieces of 3, 3 and 4: 3 alpha + 10 beta, then alpha + 4 beta more.
    formed, found = both(("broadcast", "chain"), 3, 10, alpha=7, beta=3, gamma=0, segment=4)
    assert formed == found == 3 * 7 + 10 * 3 + 7 + 4 * 3


@pytest.mark.parametrize("num_ranks", [2, 4, 8, 16])
def test_double_binary_tree_is_exact_for_powers_of_two_in_one_piece(num_ranks):
    formed, found = both(
        ("all_reduce", "double_binary_tree"), num_ranks, 48, alpha=7, beta=3, gamma=0
    )
    assert formed == pytest.approx(float(found), rel=CLOSE)


@pytest.mark.parametrize("segment", [None, 8])
def test_double_binary_tree_is_a_fair_model(segment):
    for num_ranks in range(4, 14):
        formed, found = both(
            ("all_reduce", "double_binary_tree"), num_ranks, 48,
            alpha=1, beta=3, gamma=0, segment=segment,
        )  # fmt: skip
        assert 0.6 <= formed / float(found) <= 1.4


def test_islands_of_two_sizes_are_a_fair_model():
    schedule = build(collectives.all_reduce(48), 5, "hierarchical", islands=[[0, 1, 2], [3, 4]])
    found = float(simulated(schedule, alpha=7, beta=3, gamma=0))
    costs = {"alpha": 7, "beta": 3, "islands": [3, 2]}
    # Two rounds in, a ring of two steps of half the data, two rounds out.
    formed = closed_form("all_reduce", "hierarchical", 5, 48, **costs)
    assert formed == 4 * (7 + 48 * 3) + 2 * (7 + 24 * 3)
    assert 0.8 <= formed / found <= 1.2


def test_published_forms():
    costs = {"alpha": 1e-5, "beta": 1 / 1.25e9}
    size, num_ranks = 1 << 20, 8
    block = size / num_ranks / 1.25e9
    expected = {
        ("all_reduce", "ring"): 14 * (1e-5 + block),
        ("all_reduce", "recursive_halving_doubling"): 6e-5 + 14 * block,
        ("all_reduce", "recursive_doubling"): 3 * (1e-5 + 8 * block),
        ("all_gather", "recursive_doubling"): 3e-5 + 7 * block,
        ("broadcast", "binomial"): 3 * (1e-5 + 8 * block),
        ("broadcast", "scatter_allgather"): 10e-5 + 14 * block,
        ("all_to_all", "pairwise"): 7 * (1e-5 + block),
        ("all_reduce", "parameter_server"): 2 * (1e-5 + 56 * block),
        ("barrier", "dissemination"): 3e-5,
    }
    for name, seconds in expected.items():
        assert closed_form(*name, num_ranks, size, **costs) == pytest.approx(seconds, rel=CLOSE)


@given(st.sampled_from(sorted(FORMS)), st.integers(1, 40), st.integers(0, 10**9))
def test_more_bytes_never_cost_less(name, num_ranks, size):
    _, closing = options(name[1], num_ranks)
    costs = {"alpha": 1e-5, "beta": 1e-9, "gamma": 1e-10} | closing
    seconds = closed_form(*name, num_ranks, size, **costs)
    assert closed_form(*name, num_ranks, 2 * size, **costs) >= seconds
    assert (seconds == 0) == (num_ranks == 1)


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("all_reduce", "rign", 4, 8), {}, "no algorithm 'rign'"),
        (("all_sum", "ring", 4, 8), {}, "unknown collective 'all_sum'"),
        (("all_reduce", "ring", 0, 8), {}, "num_ranks is 0"),
        (("all_reduce", "ring", 4, -1), {}, "size is -1"),
        (("all_reduce", "ring", 4, 8), {"alpha": -1.0}, "alpha is -1.0"),
        (("all_reduce", "ring", 4, 8), {"beta": float("nan")}, "beta is nan"),
        (("all_reduce", "ring", 4, 8), {"segment": 0}, "segment is 0"),
        (("all_reduce", "recursive_doubling", 4, 8), {"segment": 2}, "none is known"),
        (("all_to_all", "ring", 4, 8), {"segment": 2}, "segment of 2 bytes is too small"),
        (("gather", "flat", 4, 8), {"root": 4}, "root 4 is not a rank of 4"),
        (("all_reduce", "torus", 4, 8), {}, "needs dims=, of product 4, not None"),
        (("all_reduce", "torus", 4, 8), {"dims": (2, 3)}, "of product 4"),
        (("all_reduce", "hierarchical", 4, 8), {"islands": [5, -1]}, "of sum 4"),
    ],
)
def test_misuse_is_one_clear_line(arguments, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        closed_form(*arguments, **({"alpha": 1.0, "beta": 1.0} | changes))
    assert "\n" not in str(caught.value)
