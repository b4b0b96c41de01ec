"""`simnet train`: what a network does to accuracy against time."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli import networks, output
from simnet.cli.compare import MOST_RANKS, TOPOLOGIES, read_graphs, read_profiles

if TYPE_CHECKING:
    from simnet.study.train import TrainStudy

STRATEGIES = ("all_reduce", "fedavg", "diloco", "sparta")


def train_command(
    profiles: networks.Profiles = None,
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="all_reduce: average gradients at every step; fedavg: parameters once a round; "
            "diloco: changes once a round, for an outer optimizer; sparta: a tenth of the "
            "parameters at every step. Repeatable. \\[default: all]",
        ),
    ] = None,
    topologies: networks.Topologies = None,
    ranks: Annotated[
        int,
        typer.Option("--ranks", "-n", min=1, max=MOST_RANKS, metavar="N", help="How many train."),
    ] = 4,
    rounds: Annotated[int, typer.Option("--rounds", min=1, metavar="N", help="Rounds.")] = 15,
    local_steps: Annotated[
        int, typer.Option("--local-steps", min=1, metavar="H", help="Steps a round.")
    ] = 10,
    step_time: Annotated[
        str,
        typer.Option("--step-time", metavar="TIME", help="Virtual time that one step computes."),
    ] = "10ms",
    batch: Annotated[
        int, typer.Option("--batch", min=1, metavar="N", help="Images a step and rank.")
    ] = 16,
    bucket: Annotated[
        str,
        typer.Option(
            "--bucket",
            metavar="HOW",
            help="fused: one buffer; as-issued: per tensor, slower to replay.",
        ),
    ] = "fused",
    algorithm: Annotated[
        str, typer.Option("--algorithm", "-a", metavar="NAME", help="Of the all-reduces.")
    ] = "auto",
    target: Annotated[
        float, typer.Option("--target", metavar="SHARE", help="An accuracy to reach, 0 to 1.")
    ] = 0.95,
    seed: output.Seed = 0,
    traces: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="PREFIX",
            help="Also save the recordings, as PREFIX-fedavg.trace and so on, for simnet replay.",
        ),
    ] = None,
    as_json: output.AsJson = False,
    as_csv: output.AsCsv = False,
    plot: output.Plot = None,
) -> None:
    """Train a small CNN on real handwritten digits: accuracy against virtual time and bytes.

    Ordinary torch.distributed code. Each strategy (AllReduce, FedAvg, DiLoCo, SPARTA) is trained
    once, and its recording replayed on every network. Takes less than half a minute.

    [bold]Examples[/]

    simnet train --plot train.png

    simnet train --strategy fedavg --strategy diloco --topology "torus(2, 2)" --profile wan

    simnet train --profile lan --local-steps 20 --rounds 8 --json
    """
    output.check_output(as_json=as_json, as_csv=as_csv, plot=plot)
    _check(strategies or STRATEGIES, algorithm, step_time, traces)
    with output.progress_bar("loading torch") as report:
        graphs, _ = read_graphs(topologies or TOPOLOGIES, ranks)
        conditions = read_profiles(profiles, graphs)
        from simnet.study.train import run_study

        study = run_study(
            strategies=tuple(strategies or STRATEGIES), profiles=conditions, topologies=graphs,
            ranks=ranks, rounds=rounds, local_steps=local_steps, step_time=step_time, batch=batch,
            bucket=bucket, algorithm=algorithm, target=target, seed=seed, progress=report,
        )  # fmt: skip
    if traces is not None:
        for name, trace in study.traces.items():
            trace.save(traces.with_name(f"{traces.name}-{name}.trace"))
    if as_json:
        output.write_json(_rows(study), seed)
    elif as_csv:
        output.write_csv(_rows(study))
    else:
        _print(study)
    if plot is not None:
        from simnet.report.plots import plot_training

        plot_training(_rows(study), plot, target=target)


def _check(strategies: Any, algorithm: str, step_time: str, traces: Path | None) -> None:
    """Refuse what nothing has, before torch is loaded."""
    from simnet.collectives import algorithms
    from simnet.units import parse_time

    for name in strategies:
        if name not in STRATEGIES:
            raise ValueError(f"--strategy {name}: one of {', '.join(STRATEGIES)}")
    known = ("auto", *algorithms("all_reduce"))
    if algorithm not in known:
        raise ValueError(f"--algorithm {algorithm}: one of {', '.join(known)}")
    parse_time(step_time)
    if traces is not None and not os.access(traces.parent, os.W_OK):
        raise ValueError(f"--trace {traces}: there is no directory {traces.parent} to write into")


def _rows(study: TrainStudy) -> list[dict[str, Any]]:
    """Points of the curves, each with all that decided it."""
    several = ("strategies", "topologies", "profiles")
    decided = {key: value for key, value in study.settings.items() if key not in several}
    return [asdict(point) | decided for point in study.rows]


def _print(study: TrainStudy) -> None:
    from simnet.report.tables import console
    from simnet.report.train_tables import train_notes, train_tables

    out = console(sys.stdout)
    found = study.to_dict()
    for table in train_tables(found["rows"], found["summary"], study.target):
        out.print(table)
        out.print()
    for note in train_notes(found["summary"], study.target):
        out.print(note)
