"""`simnet replay`: a recorded run on other networks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli import networks, output, run_options
from simnet.cli.compare import read_graphs, read_profiles

if TYPE_CHECKING:
    from simnet.network import Network
    from simnet.workload.trace import Trace

FAILED = 1
TOPOLOGIES = ("ring", "star", "fully_connected")


def replay_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A trace, from simnet run --trace FILE.")
    ],
    topologies: networks.Topologies = None,
    profiles: networks.Profiles = None,
    draw: run_options.Draw = True,
    nic: run_options.Nic = False,
    hosts: run_options.Hosts = None,
    algorithm: run_options.Algorithms = None,
    transport: run_options.Transport = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, metavar="SEED", help="Decides every draw. \\[default: as recorded]"
        ),
    ] = None,
    as_json: output.AsJson = False,
    as_csv: output.AsCsv = False,
    plot: output.Plot = None,
) -> None:
    """Run a recording on other networks: how long the same training would have taken there.

    On the network on which it was recorded the virtual times are the same to the bit. No script
    runs and no tensor moves, so it takes a moment. A program whose control flow looked at time is
    marked in its trace, and the replay says that it is then an approximation.

    [bold]Examples[/]

    simnet replay run.trace

    simnet replay run.trace -t ring -t "torus(2, 2)" -p mobile -p wan --algorithm ring --json

    simnet replay run.trace --topology backbone.graphml --profile none --plot times.png
    """
    output.check_output(as_json=as_json, as_csv=as_csv, plot=plot)
    algorithms = run_options.read_algorithms(algorithm)
    from simnet.workload.trace import Trace

    recording = Trace.load(file)
    seed = recording.header.seed if seed is None else seed
    settings = {"algorithm": algorithms or None, "transport": transport, "seed": seed}
    places = list(_places(recording, topologies, profiles, nic=nic, draw=draw, seed=seed))
    with output.progress_bar("replaying") as report:
        rows = _rows(recording, places, hosts, settings, report)
    if as_json:
        output.write_json(rows, seed)
    elif as_csv:
        from simnet.cli.run_rows import plain

        output.write_csv([plain(row) for row in rows])
    else:
        _print(rows, f"{file.name}: {recording.header.ranks} ranks")
    if plot is not None:
        _plot(rows, file.name, plot)


def _places(
    recording: Trace,
    topologies: list[str] | None,
    profiles: list[str] | None,
    **about: Any,
) -> Iterator[tuple[Network, dict[str, Any]]]:
    """Every network, with what rows call it; a mistake in any comes up before any work."""
    from simnet.network import Network

    graphs, _ = read_graphs(topologies or TOPOLOGIES, recording.header.ranks)
    words = {key: about[key] for key in ("nic", "draw")}
    for profile in read_profiles(profiles, graphs):
        for name, graph in graphs.items():
            about["nic"] = words["nic"] and profile is not None
            net = Network(graph, profile=profile, **about)
            yield net, run_options.network_words(net, name, **words)


def _rows(
    recording: Trace,
    places: list[tuple[Network, dict[str, Any]]],
    hosts: str | None,
    settings: dict[str, Any],
    report: Any,
) -> list[dict[str, Any]]:
    """Replay everywhere."""
    from simnet.cli.run_rows import run_row
    from simnet.ranks.errors import DeadlockError
    from simnet.workload.replay import replay

    rows = []
    said: dict[str, None] = {}
    for number, (net, words) in enumerate(places):
        name = f"{words['topology']}, {words['profile']}"
        report(number, len(places), name)
        named = run_options.read_hosts(hosts, net)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                run = replay(recording, net, hosts=named, **settings)
            except DeadlockError as error:
                output.say(f"{name}: {error}")
                raise typer.Exit(FAILED) from None
        said |= {f"warning: {each.message}": None for each in caught}
        rows.append(words | run_row(run))
    for line in said:
        output.say(line)
    return rows


def _print(rows: list[dict[str, Any]], title: str) -> None:
    from simnet.report.run_tables import replay_notes, replay_table
    from simnet.report.tables import console

    out = console(sys.stdout)
    out.print(replay_table(rows, title))
    out.print()
    for note in replay_notes(rows):
        out.print(note, style="dim")


def _plot(rows: list[dict[str, Any]], name: str, path: Path) -> None:
    """A bar a network, as `simnet compare` draws them."""
    from simnet.report.plots import plot_compare

    size = sum(each["bytes"] for each in rows[0]["operations"])
    shown = {"model": name, "algorithm": "", "efficiency": None, "size": size}
    plot_compare([row | shown for row in rows], path)
