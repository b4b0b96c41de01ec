"""Closed forms against a small exact simulation of a star, in rational numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction

ALPHA, BETA = Fraction(7), Fraction(3)


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

    def __init__(self, schedule, gamma):
        self.moves = schedule.transfers()
        self.gamma, self.limit = gamma, schedule.in_flight
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
            self.flying[self.queues[key].pop(0)] = self.now + ALPHA

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
        rates = {i: rate / BETA for i, rate in out.items()}
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


def simulated(schedule, gamma=Fraction(0)):
    return Star(schedule, gamma).run()
