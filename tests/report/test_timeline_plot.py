"""Pictures of time: bars where transfers were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

import topologies
from simnet import Network, collectives, flows, simulate
from simnet.report import style
from simnet.report.busy import busy_shares, find_spans, rows_within
from simnet.report.plots import plot_timeline


def ring(n, bandwidth="8Gbit/s", latency="1us"):
    return Network(topologies.ring(n, bandwidth=bandwidth, latency=latency))


def bars(ax):
    return [found for found in ax.collections if isinstance(found, PolyCollection)]


def corners(bar):
    """Left, right, top, low of each bar of a collection."""
    boxes = [path.get_extents() for path in bar.get_paths()]
    return [(box.x0, box.x1, box.y0, box.y1) for box in boxes]


def test_a_flow_is_a_bar_at_its_sender_and_one_at_its_receiver():
    net = Network(topologies.line(2, bandwidth="1GB/s", latency="1ms"))
    ax = plot_timeline(simulate(net, flows([0], [1], [10**9], start=[0.5])))
    sent, received = (corners(bar) for bar in bars(ax))
    assert sent == [pytest.approx((0.5, 1.501, -0.42, 0.0))]  # rank 0, upper half; seconds
    assert received == [pytest.approx((0.5, 1.501, 1.0, 1.42))]  # rank 1, lower half


@pytest.mark.parametrize(
    ("size", "unit"), [(2 * 10**9, "s"), (2 * 10**6, "ms"), (2 * 10**3, "µs"), (0, "ns")]
)
def test_the_axis_says_its_unit(size, unit):
    net = Network(topologies.line(2, bandwidth="1GB/s", latency="3ns"))
    ax = plot_timeline(simulate(net, flows([0], [1], [size])))
    assert ax.get_xlabel() == f"virtual time ({unit})"
    assert ax.get_ylabel() == "rank"


def test_rank_0_is_on_top():
    ax = plot_timeline(simulate(ring(4), collectives.all_reduce("1MB")))
    low, high = ax.get_ylim()
    assert low > high
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2", "3"]


def test_departures_are_ticks():
    result = simulate(ring(4), collectives.broadcast("1MB", algorithm="chain"))
    ax = plot_timeline(result)
    ticks = [
        segment
        for found in ax.collections
        if isinstance(found, LineCollection)
        for segment in found.get_segments()
        if segment[0][0] == segment[1][0] and segment[0][1] != segment[1][1]
    ]
    factor, _ = style.time_unit(result.time)
    assert sorted(tick[0][0] for tick in ticks) == pytest.approx(sorted(result.rank_times * factor))


def test_each_work_has_its_colour_and_its_place_in_the_legend():
    work = [collectives.all_reduce("1MB", algorithm="ring"), collectives.broadcast("1MB")]
    ax = plot_timeline(simulate(ring(4), *work))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "all_reduce 1 MB · ring"
    assert labels[1].startswith("broadcast 1 MB · ")
    assert {"sends (upper half)", "receives (lower half)", "rank leaves"} <= set(labels)
    colours = {to_hex(found) for found in bars(ax)[0].get_facecolors()}
    assert colours == {style.OKABE_ITO[0].lower(), style.OKABE_ITO[1].lower()}


def test_many_works_are_not_all_named():
    work = [collectives.broadcast("1kB") for _ in range(12)]
    ax = plot_timeline(simulate(ring(3), *work))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "and 4 more" in labels


def test_the_legend_is_below_the_axes():
    ax = plot_timeline(simulate(ring(4), collectives.all_reduce("1MB")))
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y1 < ax.xaxis.label.get_window_extent().y0
    assert ax.get_legend().get_window_extent().y0 >= 0


def test_many_ranks_are_drawn_as_shares_of_time():
    ax = plot_timeline(simulate(ring(65), collectives.broadcast("1MB", algorithm="binomial")))
    assert not bars(ax)
    (picture,) = ax.images
    assert picture.get_array().shape[0] == 2 * 65
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert "share of time" in bar.get_ylabel()


def test_nothing_to_draw_is_drawn_as_nothing():
    ax = plot_timeline(simulate(ring(1), collectives.all_reduce("1MB")))
    assert sum(len(bar.get_paths()) for bar in bars(ax)) == 0
    ax.figure.draw_without_rendering()
    plot_timeline(simulate(ring(3))).figure.draw_without_rendering()


def test_what_has_not_ended_is_drawn_up_to_the_last_time_seen():
    result = simulate(ring(4, "1MB/s"), flows([0, 1], [1, 2], [10**6, 10**8]), until=3.0)
    spans = find_spans(result)
    assert spans.horizon == pytest.approx(1.000001)
    assert spans.end.tolist() == pytest.approx([1.000001] * 2)
    plot_timeline(result).figure.draw_without_rendering()


def test_only_results_are_drawn():
    with pytest.raises(TypeError, match="takes a Result"):
        plot_timeline(ring(3))


times = st.integers(0, 20)
spans_drawn = st.lists(st.tuples(st.integers(0, 2), times, times), min_size=1, max_size=30)


@given(spans_drawn)
def test_bars_in_one_row_never_overlap(drawn):
    lane = np.array([at for at, _, _ in drawn])
    start = np.array([min(a, b) for _, a, b in drawn], dtype=float)
    end = np.array([max(a, b) for _, a, b in drawn], dtype=float)
    row, rows = rows_within(lane, start, end)
    assert (row < rows).all()
    for i in range(len(drawn)):
        for j in range(i):
            if (lane[i], row[i]) == (lane[j], row[j]):
                assert min(end[i], end[j]) <= max(start[i], start[j])
            elif lane[i] == lane[j] and min(end[i], end[j]) > max(start[i], start[j]):
                assert rows[i] == rows[j]  # rows under way together are equally high


@given(spans_drawn)
def test_shares_are_the_union_of_spans(drawn):
    lane = np.array([at for at, _, _ in drawn])
    start = np.array([min(a, b) for _, a, b in drawn], dtype=float)
    end = np.array([max(a, b) for _, a, b in drawn], dtype=float)
    shares = busy_shares(lane, start, end, 3, np.arange(21.0))
    for at in range(3):
        for second in range(20):
            own = (lane == at) & (start <= second) & (end >= second + 1)
            assert shares[at, second] == pytest.approx(float(own.any()), abs=1e-9)


def test_half_a_bin_is_half_a_share():
    shares = busy_shares(
        np.array([0, 0]), np.array([0.25, 0.5]), np.array([0.6, 0.75]), 1, np.array([0.0, 1.0])
    )
    assert shares.tolist() == [[pytest.approx(0.5)]]
