"""`simnet compare`: which network, which algorithm, how long."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli import networks, output

if TYPE_CHECKING:
    import networkx as nx

    from simnet.study.compare import Comparison, Workload

TOPOLOGIES = ("ring", "star", "fully_connected")
PROFILES = ("mobile", "datacenter", "cross_continental")
RANKS = 8
MOST_RANKS = 4096
"""More would not fit into memory as a fully connected graph."""
MODELS = {
    "mnist_cnn": ("MNIST CNN", "simnet.workload.models:mnist_cnn"),
    "gpt2_small": ("GPT-2 small", "simnet.workload.models:gpt2_small"),
}
KINDS = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
)
NO_PROFILE = "none"


def compare_command(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="mnist_cnn, gpt2_small, or package.module:factory of your own; repeatable. "
            "\\[default: both]",
        ),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", "-s", metavar="SIZE", help='Bytes, as "100MB"; repeatable.'),
    ] = None,
    topologies: networks.Topologies = None,
    profiles: networks.Profiles = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks",
            "-n",
            min=1,
            max=MOST_RANKS,
            metavar="N",
            help="World size. \\[default: 8, or all hosts of the smallest topology that says "
            "how many it has]",
        ),
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm",
            "-a",
            metavar="NAME",
            help="A name; best: the fastest of the most promising; all: a row each; auto: the "
            "cost model's choice.",
        ),
    ] = "best",
    collective: Annotated[
        str, typer.Option("--collective", "-c", metavar="NAME", help=f"{', '.join(KINDS)}.")
    ] = "all_reduce",
    bucket: Annotated[
        str,
        typer.Option(
            "--bucket",
            metavar="HOW",
            help="fused: one buffer; as-issued: a collective per tensor, one after the other.",
        ),
    ] = "fused",
    draw: Annotated[
        bool,
        typer.Option("--draw/--mid-points", help="Draw from the profiles or take their middle."),
    ] = True,
    transport: Annotated[
        str | None,
        typer.Option(
            "--transport",
            metavar="NAME",
            help="ideal or retransmit. \\[default: retransmit where there is loss]",
        ),
    ] = None,
    seed: output.Seed = 0,
    as_json: output.AsJson = False,
    as_csv: output.AsCsv = False,
    plot: output.Plot = None,
) -> None:
    """Simulate a collective on several networks: time, bandwidths, bottleneck, best algorithm.

    With no options: all-reduce of the gradients of a small CNN and of GPT-2 small over 8 ranks, on
    a ring, a star and a fully connected network, under mobile, datacenter and cross-continental
    conditions. Takes some seconds.

    [bold]Examples[/]

    simnet compare --size 1GB --algorithm all -t "torus(4, 4)" -t "fat_tree(4)"

    simnet compare --model mypackage.models:build --profile mobile --plot mobile.png

    simnet compare -t backbone.graphml --profile none --size 100MB --json
    """
    output.check_output(as_json=as_json, as_csv=as_csv, plot=plot)
    _check_names(collective, bucket, transport)
    with output.progress_bar("reading models") as report:
        graphs, world = read_graphs(topologies or TOPOLOGIES, ranks)
        comparison = _comparison(
            graphs, world, models, sizes, profiles,
            collective=collective, algorithm=algorithm, bucket=bucket,
            draw=draw, seed=seed, transport=transport,
        )  # fmt: skip
        rows = _rows(comparison, report)
    if as_json:
        output.write_json(rows, seed)
    elif as_csv:
        output.write_csv(rows)
    else:
        _print(rows, comparison)
    if plot is not None:
        from simnet.report.plots import plot_compare

        plot_compare(rows, plot)


def _check_names(collective: str, bucket: str, transport: str | None) -> None:
    """Refuse names that nothing has, before anything heavy is loaded."""
    for option, given, known in (
        ("--collective", collective, KINDS),
        ("--bucket", bucket, ("fused", "as-issued")),
        ("--transport", transport or "ideal", ("ideal", "retransmit")),
    ):
        if given not in known:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"{option} {given}: {hint}one of {', '.join(known)}")


def read_graphs(texts: Sequence[str], ranks: int | None) -> tuple[dict[str, nx.Graph[Any]], int]:
    """Build or read topologies for one world size.

    Parameters
    ----------
    texts : sequence of str
        See `simnet.study.topology.read_topology`.
    ranks : int or None
        World size; None takes as many as the smallest topology has that says its own size, or 8.

    Returns
    -------
    dict, int
        Graphs by text, and the world size.
    """
    from simnet.study.topology import BY_WORLD_SIZE, read_topology

    sized = {text: read_topology(text, RANKS) for text in texts if text not in BY_WORLD_SIZE}
    if ranks is None:
        hosts = [
            sum(about.get("kind", "host") == "host" for _, about in graph.nodes(data=True))
            for graph in sized.values()
        ]
        ranks = max(min(hosts, default=RANKS), 1)
    return {text: sized.get(text) or read_topology(text, ranks) for text in texts}, ranks


def read_profiles(
    names: Sequence[str] | None,
    graphs: dict[str, nx.Graph[Any]],
    default: Sequence[str] = PROFILES,
) -> tuple[str | None, ...]:
    """The profiles named, None for "none"; by default those of `default` where anything is open."""
    from simnet.conditions import profile
    from simnet.study.compare import is_open

    anything_open = any(is_open(graph) for graph in graphs.values())
    wanted = names or (default if anything_open else (NO_PROFILE,))
    conditions = (None if name == NO_PROFILE else profile(name).name for name in wanted)
    return tuple(dict.fromkeys(conditions))


def _comparison(
    graphs: dict[str, nx.Graph[Any]],
    ranks: int,
    models: Sequence[str] | None,
    sizes: Sequence[str] | None,
    profiles: Sequence[str] | None,
    *,
    collective: str,
    **settings: Any,
) -> Comparison:
    """Everything that is compared, checked as far as that is quick before models are loaded."""
    from simnet import collectives
    from simnet.study.compare import ALL, AUTO, BEST, Comparison

    names = (BEST, ALL, AUTO, *collectives.algorithms(collective))
    if settings["algorithm"] not in names:
        near = difflib.get_close_matches(settings["algorithm"], names, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"--algorithm {settings['algorithm']}: {hint}one of {', '.join(names)}")
    comparison = Comparison(
        workloads=(),
        topologies=graphs,
        profiles=read_profiles(profiles, graphs),
        make=getattr(collectives, collective),
        ranks=ranks,
        **settings,
    )
    for *_, net in comparison.networks():
        if ranks > net.num_ranks:
            name = net.graph.graph.get("name", "a topology")
            raise ValueError(f"--ranks {ranks}: {name} has {net.num_ranks} hosts")
    return replace(comparison, workloads=_workloads(models, sizes))


def _workloads(models: Sequence[str] | None, sizes: Sequence[str] | None) -> tuple[Workload, ...]:
    """What is communicated: sizes as they are, models by their tensors."""
    from simnet.study.compare import Workload
    from simnet.units import format_size, parse_size

    given = [parse_size(int(text) if text.isdecimal() else text) for text in sizes or ()]
    loads = [Workload(name=format_size(size), sizes=(size,)) for size in given]
    if not models and not sizes:
        models = list(MODELS)
    if models:
        from simnet.workload.models import tensor_sizes

        for text in models:
            name, factory = MODELS.get(text, (text, text))
            loads.append(Workload(name=name, sizes=tuple(tensor_sizes(factory))))
    return tuple(loads)


def _rows(comparison: Comparison, report: Any) -> list[dict[str, Any]]:
    """Simulate, telling how far; rows carry all that decided them."""
    from simnet.study.compare import compare as run

    done = 0

    def progress(label: str) -> None:
        nonlocal done
        done += 1
        report(done, len(comparison), label)

    report(0, len(comparison), "simulating")
    decided = {"bucket": comparison.bucket, "draw": comparison.draw, "seed": comparison.seed}
    return [row | decided for row in run(comparison, progress)]


def _print(rows: list[dict[str, Any]], comparison: Comparison) -> None:
    from simnet.report.tables import compare_notes, compare_tables, console

    out = console(sys.stdout)
    for table in compare_tables(rows):
        out.print(table)
        out.print()
    for note in compare_notes(rows, asked=comparison.algorithm):
        out.print(note, style="dim")
