"""`simnet train`: what a network does to accuracy against time."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from simnet.cli import output
from simnet.cli.compare import MOST_RANKS, PROFILES, read_graphs

STRATEGIES = ("fedavg", "all_reduce")


def train_command(
    profiles: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            "-p",
            metavar="PROFILE",
            help="mobile, datacenter, cross_continental, lan, wan or poor; repeatable. "
            "\\[default: the first three]",
        ),
    ] = None,
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="fedavg: average parameters once a round; all_reduce: gradients at every step; "
            "repeatable. \\[default: both]",
        ),
    ] = None,
    topology: Annotated[
        str,
        typer.Option(
            "--topology",
            "-t",
            metavar="TOPOLOGY",
            help='A builder\'s name, with arguments as in "torus(2, 2)", or a .graphml or '
            "node-link .json file.",
        ),
    ] = "star",
    ranks: Annotated[
        int,
        typer.Option("--ranks", "-n", min=1, max=MOST_RANKS, metavar="N", help="How many train."),
    ] = 4,
    rounds: Annotated[int, typer.Option("--rounds", min=1, metavar="N", help="Rounds.")] = 12,
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
        typer.Option("--bucket", metavar="HOW", help="fused: one buffer; as-issued: per tensor."),
    ] = "fused",
    algorithm: Annotated[
        str, typer.Option("--algorithm", "-a", metavar="NAME", help="Of the all-reduces.")
    ] = "auto",
    target: Annotated[
        float, typer.Option("--target", metavar="SHARE", help="An accuracy to reach, 0 to 1.")
    ] = 0.95,
    seed: output.Seed = 0,
    as_json: output.AsJson = False,
    as_csv: output.AsCsv = False,
    plot: output.Plot = None,
) -> None:
    """Train a small CNN on real handwritten digits: accuracy against virtual time.

    Ordinary torch.distributed code on simulated networks: FedAvg (parameters averaged once a
    round) beside plain all-reduce (gradients at every step). Takes some seconds.
    """
    output.check_output(as_json=as_json, as_csv=as_csv, plot=plot)
    _check(profiles or PROFILES, strategies or STRATEGIES, algorithm, step_time)
    with output.progress_bar("loading torch") as report:
        graphs, _ = read_graphs([topology], ranks)
        from simnet.study.train import run_study

        study = run_study(
            strategies=tuple(strategies or STRATEGIES), profiles=tuple(profiles or PROFILES),
            topology=graphs[topology], ranks=ranks, rounds=rounds, local_steps=local_steps,
            step_time=step_time, batch=batch, bucket=bucket, algorithm=algorithm,
            target=target, seed=seed, progress=report,
        )  # fmt: skip
    rows = _flat(study.rows, study.settings)
    if as_json:
        output.write_json(rows, seed)
    elif as_csv:
        output.write_csv(rows)
    else:
        _print([asdict(each) for each in study.summary], target)
    if plot is not None:
        from simnet.report.plots import plot_training

        plot_training(rows, plot)


def _check(profiles: Any, strategies: Any, algorithm: str, step_time: str) -> None:
    """Refuse what nothing has, before torch is loaded."""
    from simnet.collectives import algorithms
    from simnet.conditions import profile
    from simnet.units import parse_time

    for name in profiles:
        profile(name)
    for name in strategies:
        if name not in STRATEGIES:
            raise ValueError(f"--strategy {name}: one of {', '.join(STRATEGIES)}")
    known = ("auto", *algorithms("all_reduce"))
    if algorithm not in known:
        raise ValueError(f"--algorithm {algorithm}: one of {', '.join(known)}")
    parse_time(step_time)


def _flat(points: Any, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Points of the curves, each with all that decided it."""
    decided = {
        key: value for key, value in settings.items() if key not in ("strategies", "profiles")
    }
    return [asdict(point) | decided for point in points]


def _print(summary: list[dict[str, Any]], target: float) -> None:
    from simnet.report.tables import console, train_notes, train_table

    out = console(sys.stdout)
    out.print(train_table(summary, target))
    out.print()
    for note in train_notes(summary, target):
        out.print(note)
