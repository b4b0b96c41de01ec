"""All pictures: what `Result`, the studies and the command line draw."""

from __future__ import annotations

from simnet.report.compare_plot import plot_compare
from simnet.report.timeline_plot import plot_timeline
from simnet.report.topology_plot import plot_topology
from simnet.report.training_plot import plot_training

__all__ = ["plot_compare", "plot_timeline", "plot_topology", "plot_training"]
