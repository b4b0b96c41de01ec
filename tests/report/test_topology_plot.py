"""Pictures of networks: what is drawn, in which colours, and that nothing else happens."""

import networkx as nx
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import topologies
from simnet import Network, collectives, flows, simulate
from simnet.report import style
from simnet.report.node_layout import hop_layout, nearest, place_nodes, spread
from simnet.report.plots import plot_topology
from simnet.report.strokes import find_strokes, stroke_lines
from simnet.units import format_time

FAST = {"bandwidth": "8Gbit/s", "latency": "10us"}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def strokes(ax):
    (lines,) = (found for found in ax.collections if isinstance(found, LineCollection))
    return lines


def colour_bar(ax):
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    return bar


def one_way(bandwidth="8Gbit/s", size=10**9):
    net = Network(topologies.line(3, bandwidth=bandwidth))
    return simulate(net, flows([0], [1], [size]))


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_axes_figure_can_be_saved(suffix, tmp_path):
    path = tmp_path / f"picture.{suffix}"
    plot_topology(Network(topologies.ring(4, **FAST))).figure.savefig(path)
    assert path.stat().st_size > 1000


def test_hosts_have_their_rank_and_switches_their_name():
    ax = plot_topology(Network(topologies.star(5, **FAST)))
    assert set(texts(ax)) >= {"0", "1", "2", "3", "4", "switch"}


def test_the_title_says_what_ran_where_and_how_long():
    result = simulate(Network(topologies.ring(4, **FAST)), collectives.all_reduce("1MB"))
    title = plot_topology(result).get_title()
    assert "all_reduce 1 MB" in title
    assert result.algorithm in title
    assert "ring(4)" in title
    assert format_time(result.time) in title


def test_several_works_are_counted():
    work = [collectives.barrier(), collectives.broadcast("1kB")]
    result = simulate(Network(topologies.ring(4, **FAST)), *work)
    assert plot_topology(result).get_title().startswith("2 works\n")


def test_a_bare_network_is_grey_and_has_no_colour_bar():
    ax = plot_topology(Network(topologies.ring(4, **FAST)))
    assert ax.figure.axes == [ax]
    assert {tuple(found) for found in strokes(ax).get_colors()} == {to_rgba(style.PLAIN_LINK)}


def test_each_direction_has_a_stroke_and_only_what_carried_is_coloured():
    ax = plot_topology(one_way())
    colours = [tuple(found) for found in strokes(ax).get_colors()]
    assert len(colours) == 4  # two cables, two directions
    assert colours.count(to_rgba(style.IDLE)) == 3
    full = tuple(style.busy_map()(1.0))  # alone on its cable: 100 % from 0 to the end
    assert colours[-1] == pytest.approx(full)
    assert "utilisation (%)" in colour_bar(ax).get_ylabel()


def test_colours_follow_utilisation():
    """0 → 1 carries both flows, 1 → 2 half the bytes; so its colour is the map's middle."""
    net = Network(topologies.line(3, bandwidth="8Gbit/s"))
    result = simulate(net, flows([0, 0], [1, 2], [10**9, 10**9]))
    assert sorted(result.utilisation)[-2:] == pytest.approx([0.5, 1.0])
    busy = [tuple(found) for found in strokes(plot_topology(result)).get_colors()][-2:]
    assert busy[0] == pytest.approx(tuple(style.busy_map()(0.5)), abs=0.02)
    assert busy[1] == pytest.approx(tuple(style.busy_map()(1.0)))


def test_the_scale_shrinks_to_a_round_number_above_little_use():
    net = Network(topologies.line(2, bandwidth="8Gbit/s", latency="9s"))
    result = simulate(net, flows([0], [1], [10**9]))  # 9 s of latency, 1 s of bytes: 10 %
    low, high = colour_bar(plot_topology(result)).get_ylim()
    assert (low, high) == pytest.approx((0, 10))


def test_cards_are_drawn_as_half_rings_and_explained():
    with_cards = plot_topology(Network(topologies.star(4, nic="1Gbit/s", **FAST)))
    without = plot_topology(Network(topologies.star(4, **FAST)))
    rings = [found for found in with_cards.collections if isinstance(found, PatchCollection)]
    assert len(rings[0].get_paths()) == 8  # egress and ingress of four hosts
    assert any("egress" in text for text in texts(with_cards))
    assert not any("egress" in text for text in texts(without))


def test_wider_bandwidth_is_a_wider_stroke():
    graph = nx.Graph()
    graph.add_edge(0, 1, bandwidth="1Gbit/s")
    graph.add_edge(1, 2, bandwidth="100Gbit/s")
    widths = sorted(set(strokes(plot_topology(Network(graph))).get_linewidths()))
    assert len(widths) == 2
    assert widths[1] < 3 * widths[0]


def test_large_networks_have_one_stroke_a_cable_with_the_busier_direction():
    net = Network(topologies.torus(10, 10, **FAST))
    ax = plot_topology(simulate(net, flows([1], [0], [10**6])))
    colours = [tuple(found) for found in strokes(ax).get_colors()]
    assert len(colours) == 200
    assert colours.count(to_rgba(style.IDLE)) == 199


def test_parallel_cables_lie_side_by_side():
    graph = nx.MultiGraph()
    for _ in range(2):
        graph.add_edge(0, 1, bandwidth="1Gbit/s")
    found = find_strokes(Network(graph).links, merged=False)
    points = np.array([[0.0, 0.0], [1.0, 0.0]])
    lines = stroke_lines(found, points, clearance=0.1, spacing=1.0, lane_width=0.1)
    assert sorted(float(line[0, 1]) for line in lines) == pytest.approx([-0.15, -0.05, 0.05, 0.15])


def test_a_stroke_bends_round_a_node_in_its_way():
    graph = nx.Graph([(0, 1), (1, 2), (0, 2)])
    nx.set_edge_attributes(graph, "1Gbit/s", "bandwidth")
    links = Network(graph).links
    points = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]])
    found = find_strokes(links, merged=True)
    lines = stroke_lines(found, points, clearance=0.05, spacing=0.5, lane_width=0.01)
    assert [len(line) == 2 for line in lines] == [True, False, True]  # edges in graph order
    (bent,) = (line for line in lines if len(line) > 2)
    assert np.hypot(*(bent - points[1]).T).min() > 0.05


def test_both_directions_bend_to_the_same_side():
    graph = nx.Graph([(0, 1), (1, 2), (0, 2)])
    nx.set_edge_attributes(graph, "1Gbit/s", "bandwidth")
    points = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]])
    found = find_strokes(Network(graph).links, merged=False)
    lines = stroke_lines(found, points, clearance=0.05, spacing=0.5, lane_width=0.01)
    tops = [float(line[12, 1]) for line in lines if len(line) > 2]
    assert len(tops) == 2
    assert abs(tops[0] - tops[1]) == pytest.approx(0.01, rel=0.05)


def test_positions_are_kept_in_shape():
    points = place_nodes(Network(topologies.torus(4, 4, **FAST)))
    assert np.ptp(points, axis=0) == pytest.approx([1, 1])
    assert nearest(points) == pytest.approx(np.full(16, 1 / 3))


def test_without_positions_hops_are_distances():
    points = hop_layout(nx.path_graph(6), tuple(range(6)))
    apart = np.hypot(*(points[1:] - points[:-1]).T)
    assert apart == pytest.approx(np.ones(5), rel=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 30, 700])
def test_a_layout_is_finite_the_same_again_and_leaves_no_two_nodes_on_one_point(count):
    graph = nx.star_graph(count - 1) if count > 1 else nx.empty_graph(1)
    first, again = (hop_layout(graph, tuple(graph)) for _ in range(2))
    assert np.isfinite(first).all()
    assert (first == again).all()
    assert nearest(first).min() > 0


def test_a_layout_takes_separate_parts():
    graph = nx.disjoint_union(nx.path_graph(4), nx.path_graph(4))
    assert np.isfinite(hop_layout(graph, tuple(graph))).all()


@pytest.mark.parametrize("bad", ["here", (1.0,), (1.0, float("nan")), None])
def test_unusable_positions_are_not_used(bad):
    graph = topologies.ring(5, **FAST)
    graph.nodes[2]["pos"] = bad
    points = place_nodes(Network(graph))
    assert np.isfinite(points).all()
    assert nearest(points).min() > 0.2


def test_points_on_one_another_are_spread():
    points = spread(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), 0.1)
    assert nearest(points).min() >= 0.098
    assert points[2] == pytest.approx([1.0, 1.0])


def test_own_axes_are_used():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert plot_topology(Network(topologies.ring(4, **FAST)), right) is right
    assert not left.collections
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    "graph",
    [topologies.ring(1, **FAST), topologies.line(2, **FAST), nx.DiGraph([(0, 1), (1, 0)])],
    ids=["one host", "two hosts", "directed"],
)
def test_small_networks_can_be_drawn(graph):
    nx.set_edge_attributes(graph, "1Gbit/s", "bandwidth")
    plot_topology(Network(graph)).figure.draw_without_rendering()


def test_an_unfinished_run_can_be_drawn():
    net = Network(topologies.line(2, bandwidth="1MB/s"))
    result = simulate(net, flows([0], [1], [10**7]), until=1.0)
    assert "not ended" in plot_topology(result).get_title()


def test_only_results_and_networks_are_drawn():
    with pytest.raises(TypeError, match="takes a Result or a Network"):
        plot_topology(nx.path_graph(3))
