"""Drawing simulates nothing, and leaves matplotlib as it was."""

import subprocess
from pathlib import Path

import matplotlib
import pytest
from strict import STRICT_PYTHON

import simnet.simulation
import topologies
from simnet import Network, collectives, simulate
from simnet.engine import Clock
from simnet.report.plots import plot_timeline, plot_topology

ROOT = Path(__file__).parents[2]


@pytest.fixture
def result():
    net = Network(topologies.star(4, bandwidth="1Gbit/s", nic="1Gbit/s"))
    return simulate(net, collectives.all_reduce("1MB"))


def test_drawing_never_simulates(result, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("drawing has simulated")

    monkeypatch.setattr(simnet.simulation, "simulate", refuse)
    monkeypatch.setattr(simnet, "simulate", refuse, raising=False)
    monkeypatch.setattr(Clock, "run", refuse)
    monkeypatch.setattr(Clock, "step", refuse, raising=False)
    for plot in (result.plot_topology, result.plot_timeline):
        plot().figure.draw_without_rendering()


def test_settings_are_as_before(result):
    before = dict(matplotlib.rcParams)
    plot_topology(result)
    plot_timeline(result)
    assert dict(matplotlib.rcParams) == before


def test_pictures_are_sharp(result):
    for plot in (plot_topology, plot_timeline):
        assert plot(result).figure.dpi >= 150


def loaded_by(statements):
    code = f"import sys; {statements}; print(*sys.modules)"
    done = subprocess.run(
        [*STRICT_PYTHON, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


def test_pyplot_and_scipy_are_never_loaded():
    loaded = loaded_by(
        "import io, networkx as nx, simnet; from simnet.report.plots import *; "
        "g = nx.path_graph(4); nx.set_edge_attributes(g, 1e9, 'bandwidth'); "
        "r = simnet.simulate(simnet.Network(g), simnet.collectives.all_reduce(1000)); "
        "plot_topology(r).figure.savefig(io.BytesIO()); "
        "plot_timeline(r).figure.savefig(io.BytesIO())"
    )
    assert "matplotlib.figure" in loaded
    assert not loaded & {"matplotlib.pyplot", "scipy", "pandas"}


def test_importing_the_plots_loads_no_matplotlib():
    assert "matplotlib" not in loaded_by("import simnet.report.plots")
