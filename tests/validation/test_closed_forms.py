"""Simulated times equal the closed alpha-beta forms, to 1e-12 relative, where these are exact."""

import pytest

import simnet
import topologies
from simnet import collectives
from simnet.collectives.cost import FORMS, closed_form, exactness

ALPHA, BANDWIDTH, REDUCE = 1e-3, 1e6, 4e6
RANKS = (1, 2, 3, 4, 5, 7, 8, 12, 16)
# 1,441,440 = 2⁵·3²·5·7·11·13: every world size here divides it, and its halves too.
EVEN_SIZE, ODD_SIZE = 1_441_440, 1_000_003
PAIRS = sorted(FORMS)
GRIDS = {4: (2, 2), 8: (2, 4), 12: (3, 4), 16: (4, 4)}


def network(ranks, reduce_bandwidth=None):
    graph = topologies.star(ranks, bandwidth=BANDWIDTH, latency=ALPHA / 2)
    if reduce_bandwidth:
        for rank in range(ranks):
            graph.nodes[rank]["reduce_bandwidth"] = reduce_bandwidth
    return simnet.Network(graph)


def work(kind, algorithm, ranks, size, **options):
    if algorithm == "torus":
        options["dims"] = GRIDS[ranks]
    if algorithm == "hierarchical":
        half = ranks // 2
        options["islands"] = (tuple(range(half)), tuple(range(half, ranks)))
    if kind == "barrier":
        return collectives.barrier(algorithm=algorithm, **options)
    if kind == "send":
        return collectives.send(size, src=0, dst=1, algorithm=algorithm, **options)
    if kind == "permutation":
        perm = [*range(1, ranks), 0]
        return collectives.permutation(size, perm, algorithm=algorithm, **options)
    return getattr(collectives, kind)(size, algorithm=algorithm, **options)


def hints(algorithm, ranks):
    if algorithm == "torus":
        return {"dims": GRIDS[ranks]}
    return {"islands": (ranks // 2, ranks - ranks // 2)} if algorithm == "hierarchical" else {}


def fits(kind, algorithm, ranks):
    if kind == "send" and ranks == 1:
        return False
    return ranks in GRIDS if algorithm in ("torus", "hierarchical") else True


def is_exact(kind, algorithm, ranks, size):
    exact = exactness(kind, algorithm)
    if exact == "always":
        return True
    even = size == EVEN_SIZE or size == 0
    return {"even": even, "power of two": even and not ranks & (ranks - 1)}.get(exact, False)


CASES = [(*pair, ranks) for pair in PAIRS for ranks in RANKS if fits(*pair, ranks)]


@pytest.mark.parametrize(("kind", "algorithm", "ranks"), CASES)
def test_equal(kind, algorithm, ranks):
    compared = 0
    for size in (0, EVEN_SIZE, ODD_SIZE):
        for gamma in (0.0, 1 / REDUCE):
            if not is_exact(kind, algorithm, ranks, size):
                continue
            net = network(ranks, REDUCE if gamma else None)
            form = closed_form(
                kind,
                algorithm,
                ranks,
                size,
                alpha=ALPHA,
                beta=1 / BANDWIDTH,
                gamma=gamma,
                **hints(algorithm, ranks),
            )
            time = simnet.simulate(net, work(kind, algorithm, ranks, size)).time
            assert time == pytest.approx(form, rel=1e-12, abs=0), (size, gamma)
            compared += 1
    if exactness(kind, algorithm) in ("always", "even"):
        assert compared


@pytest.mark.parametrize(("kind", "algorithm"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_an_inexact_form_is_near(kind, algorithm):
    """Within a factor two, or it would mislead the choice of an algorithm."""
    ranks = 12
    for size in (1000, ODD_SIZE):
        net = network(ranks)
        form = closed_form(
            kind,
            algorithm,
            ranks,
            size,
            alpha=ALPHA,
            beta=1 / BANDWIDTH,
            **hints(algorithm, ranks),
        )
        time = simnet.simulate(net, work(kind, algorithm, ranks, size)).time
        assert form / 2 <= time <= form * 2


@pytest.mark.parametrize("segment", [1000, 30_000, 10**7])
@pytest.mark.parametrize("ranks", [2, 5, 8])
def test_a_segmented_chain_pipelines(ranks, segment):
    # m segments over N − 1 hops: (N − 2 + m) steps when all segments are equal.
    count = -(-EVEN_SIZE // segment)
    while EVEN_SIZE % count:
        count += 1
    expected = (ranks - 2 + count) * (ALPHA + EVEN_SIZE / count / BANDWIDTH)
    broadcast = collectives.broadcast(EVEN_SIZE, algorithm="chain", segment=EVEN_SIZE // count)
    time = simnet.simulate(network(ranks), broadcast).time
    assert time == pytest.approx(expected, rel=1e-12)
