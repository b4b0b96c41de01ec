"""Pictures of studies: panels, bars, lines, labels, files."""

import math
from itertools import pairwise

import pytest

from simnet.report.compare_plot import compare_figure
from simnet.report.plots import plot_compare, plot_training
from simnet.report.style import three_digits, tick_time
from simnet.report.training_plot import training_figure


def compare_row(**changed):
    row = {
        "model": "MNIST CNN",
        "topology": "ring(8)",
        "profile": "mobile",
        "reading": "per cable",
        "algorithm": "ring",
        "time": 0.0123,
        "efficiency": 0.834,
        "size": 7_472_936,
    }
    return row | changed


def training_row(**changed):
    row = {
        "strategy": "fedavg",
        "topology": "star",
        "profile": "mobile",
        "step": 10,
        "virtual_time": 2.0,
        "accuracy": 0.912,
        "bytes": 3_000_000,
    }
    return row | changed


def compare_rows():
    return [
        compare_row(model=model, topology=topology, profile=profile, reading=reading)
        for model in ("MNIST CNN", "GPT-2 small")
        for topology in ("ring(8)", "star(8)", "fully_connected(8)")
        for profile in ("mobile", "datacenter")
        for reading in ("per cable", "per NIC")
    ]


def training_rows(slower=2.0):
    return [
        training_row(
            strategy=name, topology=topology, profile=profile, step=k,
            virtual_time=k * s, accuracy=k / 10, bytes=k * int(s * 1000),
        )
        for name, s in (("fedavg", 1.0), ("all_reduce", slower))
        for topology in ("ring", "star", "line")
        for profile in ("mobile", "datacenter")
        for k in range(6)
    ]  # fmt: skip


def texts(ax):
    return [text.get_text().strip() for text in ax.texts]


DRAWN = [
    pytest.param(plot_compare, compare_rows, id="compare"),
    pytest.param(plot_training, training_rows, id="training"),
]


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
@pytest.mark.parametrize(
    ("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("A.PNG", b"\x89PNG")]
)
def test_both_file_types(plot, rows, name, begins, tmp_path):
    plot(rows(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
def test_the_same_picture_is_the_same_file(plot, rows, tmp_path):
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        plot(rows(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
@pytest.mark.parametrize("name", ["a.pdf", "a", "a.png.gz"])
def test_another_suffix_is_refused_and_nothing_written(plot, rows, name, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}: write \.png or \.svg$"):
        plot(rows(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
def test_no_rows_are_refused_and_nothing_written(plot, rows, tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        plot([], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
def test_a_row_without_a_key_is_named(plot, rows, tmp_path):
    broken = rows()
    del broken[1]["profile"]
    with pytest.raises(ValueError, match=r"^row 1: no 'profile'$"):
        plot(broken, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("plot", "rows"), DRAWN)
def test_a_missing_folder_is_one_line(plot, rows, tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: No such file or directory$"):
        plot(rows(), tmp_path / "missing" / "a.png")


def test_a_panel_a_model_and_a_bar_a_row():
    figure = compare_figure(compare_rows())
    assert [ax.get_title() for ax in figure.axes] == [
        "MNIST CNN, 7.473 MB",
        "GPT-2 small, 7.473 MB",
    ]
    assert [len(ax.patches) for ax in figure.axes] == [12, 12]


def test_bars_end_at_their_time_on_a_log_axis():
    figure = compare_figure([compare_row(time=0.02), compare_row(topology="star(8)", time=3.0)])
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx([0.02, 3.0])
    assert "virtual time" in ax.get_xlabel()


def test_bars_say_time_and_share_of_the_bound():
    (ax,) = compare_figure([compare_row()]).axes
    assert texts(ax) == ["12.3 ms · 83 %", "mobile"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ring(8)"]


@pytest.mark.parametrize(
    ("time", "efficiency", "label"),
    [
        (0.0, 1.0, "0 s · 100 %"),
        (math.nan, None, "not ended"),
        (2.0, None, "2 s"),
        (2.0, 0.004, "2 s · < 1 %"),
    ],
)
def test_odd_values_have_a_label(time, efficiency, label):
    figure = compare_figure([compare_row(time=time, efficiency=efficiency)])
    assert label in texts(figure.axes[0])
    figure.draw_without_rendering()


def test_readings_share_a_place_and_differ_by_hatching():
    (ax,) = compare_figure([compare_row(), compare_row(reading="per NIC")]).axes
    first, second = ax.patches
    assert first.get_hatch() != second.get_hatch()
    assert len(ax.get_yticks()) == 1
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["bandwidth per cable", "bandwidth per NIC"]


def test_several_algorithms_have_places_of_their_own():
    (ax,) = compare_figure([compare_row(), compare_row(algorithm="direct")]).axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["ring(8) · ring", "ring(8) · direct"]


def test_algorithms_that_differ_only_between_networks_have_no_places_of_their_own():
    rows = [compare_row(), compare_row(reading="per NIC", algorithm="direct")]
    assert len(compare_figure(rows).axes[0].get_yticks()) == 1


def test_bars_and_their_labels_do_not_overlap():
    rows = [
        compare_row(topology=f"network{i}", reading=reading, time=10.0 ** (i % 5 - 3))
        for i in range(25)
        for reading in ("per cable", "per NIC")
    ]
    figure = compare_figure(rows)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    bars = sorted((bar.get_window_extent() for bar in ax.patches), key=lambda box: box.y0)
    labels = [text.get_window_extent() for text in ax.texts]
    assert all(a.y1 <= b.y0 + 0.01 for a, b in pairwise(bars))
    assert max(box.x1 for box in labels) <= ax.get_window_extent().x1
    names = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(names) for b in names[:i])


def height(accuracy):
    return -math.log10(1 - accuracy)


def panels(figure):
    """The axes by (topology, column)."""
    count = len(figure.axes) // 3
    return {(row, column): figure.axes[row * count + column]
            for row in range(3) for column in range(count)}  # fmt: skip


def test_a_row_a_topology_a_column_a_profile_and_one_for_bytes():
    found = panels(training_figure(training_rows()))
    assert [found[0, column].get_title() for column in range(3)] == [
        "mobile",
        "datacenter",
        "mobile, by bytes",
    ]
    assert [texts(found[row, 0])[-1] for row in range(3)] == ["ring", "star", "line"]
    assert {len(ax.lines) for ax in found.values()} == {2}
    assert found[2, 0].get_xlabel() == "virtual time"
    assert found[2, 2].get_xlabel() == "bytes on the wire"
    assert found[0, 0].get_ylabel() == "accuracy (%)"


def test_a_line_a_strategy_high_by_the_logarithm_of_the_error():
    found = panels(training_figure(training_rows()))
    fedavg, all_reduce = found[0, 0].lines
    assert fedavg.get_xdata() == pytest.approx([0, 1, 2, 3, 4, 5])
    assert all_reduce.get_xdata() == pytest.approx([0, 2, 4, 6, 8, 10])
    assert fedavg.get_ydata() == pytest.approx([height(k / 10) for k in range(6)])
    assert found[0, 2].lines[0].get_xdata() == pytest.approx([1000 * k for k in range(6)])
    ticks = dict(zip(found[0, 0].get_yticks(), found[0, 0].get_yticklabels(), strict=True))
    assert {round(1 - 10**-at, 9): label.get_text() for at, label in ticks.items()}[0.9] == "90"


def test_an_accuracy_of_one_stays_in_the_picture():
    figure = training_figure([training_row(step=k, accuracy=k / 2) for k in range(3)])
    for ax in figure.axes:
        assert ax.lines[0].get_ydata()[-1] <= ax.get_ylim()[1]


def test_the_target_is_marked_and_the_first_says_when():
    figure = training_figure(training_rows(), target=0.4)
    found = panels(figure)
    assert texts(found[0, 0])[0] == "4 s"
    assert texts(found[0, 2])[0] == "4 kB"
    marks = [line for line in found[0, 0].lines if len(line.get_xdata()) == 1]
    assert [float(line.get_xdata()[0]) for line in marks] == [4.0, 8.0]
    assert "40%" in [text.get_text() for text in figure.legends[0].get_texts()]
    never = panels(training_figure(training_rows(), target=0.9))
    assert texts(never[0, 1]) == []


@pytest.mark.parametrize(("slower", "scale"), [(2.0, "linear"), (50.0, "log")])
def test_axes_are_logarithmic_when_strategies_are_far_apart(slower, scale):
    figure = training_figure(training_rows(slower))
    assert {ax.get_xscale() for ax in figure.axes} == {scale}
    figure.draw_without_rendering()


def test_a_strategy_keeps_its_colour_in_every_panel():
    rows = [training_row(strategy="all_reduce"), training_row(strategy="all_reduce", profile="lan")]
    rows += [training_row(profile="lan"), training_row(profile="wan")]
    mobile, lan, wan, _ = (
        {line.get_label(): line.get_color() for line in ax.lines if len(line.get_xdata())}
        for ax in training_figure(rows).axes
    )
    assert mobile == {"AllReduce": lan["AllReduce"]}
    assert wan == {"FedAvg": lan["FedAvg"]}
    assert lan["FedAvg"] != lan["AllReduce"]


def test_the_legend_names_strategies_and_the_frontier():
    rows = [training_row(strategy="all_reduce"), training_row(profile="lan")]
    rows.append(training_row(strategy="my own"))
    legend = [text.get_text() for text in training_figure(rows).legends[0].get_texts()]
    assert legend == ["AllReduce", "FedAvg", "my own", "frontier: the best so far"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1e-6, "1 µs"), (0.001, "1 ms"), (0.1, "100 ms"), (1.0, "1 s"), (1000.0, "1\u2009000 s")],
)
def test_ticks_of_time(seconds, text):
    assert tick_time(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01234, "12.3 ms"), (0.9999, "1 s"), (4321.0, "4\u2009321 s"), (5e-10, "0.5 ns")],
)
def test_times_as_short_as_labels_want(seconds, text):
    assert three_digits(seconds) == text
