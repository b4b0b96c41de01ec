"""`simnet run`: an unmodified training script on a simulated network."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli import output, run_options
from simnet.cli.compare import MOST_RANKS, read_graphs, read_profiles

if TYPE_CHECKING:
    from simnet.distributed.launch import Plan
    from simnet.distributed.script import Script
    from simnet.workload.run import Run

FAILED = 1
PROFILE = "datacenter"


def run_command(
    script: Annotated[
        str, typer.Argument(metavar="SCRIPT", help="A Python file; with --module, a module.")
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGUMENTS", help="The script's own, options too."),
    ] = None,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks",
            "-n",
            min=1,
            max=MOST_RANKS,
            metavar="N",
            help="Run the script N times, as torchrun does. \\[default: once; processes that it "
            "starts itself with torch.multiprocessing become the ranks]",
        ),
    ] = None,
    module: Annotated[
        bool, typer.Option("--module", "-m", help="SCRIPT is a module, as for python -m.")
    ] = False,
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
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            "-p",
            metavar="PROFILE",
            help="mobile, datacenter, cross_continental, lan, wan or poor: draws what the "
            f"topology leaves open; none: nothing. \\[default: {PROFILE}, or none where nothing "
            "is open]",
        ),
    ] = None,
    draw: run_options.Draw = True,
    nic: run_options.Nic = False,
    hosts: run_options.Hosts = None,
    algorithm: run_options.Algorithms = None,
    transport: run_options.Transport = None,
    compute: Annotated[
        str | None,
        typer.Option(
            "--compute",
            metavar="MODEL",
            help=f"What computation costs: {run_options.COMPUTE}. \\[default: nothing]",
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            "--bucket",
            metavar="SIZE",
            help='Gather smaller all-reduces into buckets, as "25MB". \\[default: as issued]',
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Record the run, for simnet replay."),
    ] = None,
    virtual_time: Annotated[
        bool,
        typer.Option("--virtual-time", help="time.time and time.sleep mean the virtual clock."),
    ] = False,
    poll_interval: Annotated[
        str,
        typer.Option("--poll-interval", metavar="TIME", help="Virtual time of a look at a handle."),
    ] = "1us",
    watchdog: Annotated[
        str,
        typer.Option(
            "--watchdog", metavar="TIME", help="Wall time after which an idle rank has stalled."
        ),
    ] = "60s",
    seed: output.Seed = 0,
    as_json: output.AsJson = False,
    as_csv: output.AsCsv = False,
) -> None:
    """Run a training script that knows nothing of simnet on a simulated network.

    Whatever backend its init_process_group names, gloo or nccl, simnet carries its calls: tensors
    really move, and the virtual clock says how long that would have taken. With --ranks, the
    script runs once a rank, with RANK, WORLD_SIZE, LOCAL_RANK and MASTER_ADDR set, as under
    torchrun. Without, it runs once, and the processes become ranks that it starts itself and that
    call init_process_group. Options of simnet stand before the script, the script's own behind it.

    [bold]Examples[/]

    simnet run --ranks 4 --topology ring --profile mobile train.py --epochs 2

    simnet run -n 8 -p wan --compute roofline:H100 --trace run.trace -m package.train

    simnet run --topology "star(4, bandwidth='100Mbit/s', latency='20ms')" spawns_its_ranks.py
    """
    output.check_output(as_json=as_json, as_csv=as_csv, plot=None)
    _check_script(script, module=module)
    _check_trace(trace)

    def plan_for(world_size: int | None) -> Plan:
        return _plan(
            world_size, topology, profile, hosts, draw=draw, nic=nic, seed=seed,
            algorithm=run_options.read_algorithms(algorithm), transport=transport,
            compute=run_options.read_compute(compute), bucket=bucket, virtual_time=virtual_time,
            poll_interval=poll_interval, watchdog=watchdog,
        )  # fmt: skip

    plan_for(ranks)  # what is misused is said before anything heavy is loaded
    from simnet.distributed.script import Script

    program = Script(name=script, arguments=tuple(arguments or ()), is_module=module)
    with output.terminated_as_interrupted(), output.stdout_kept(as_json or as_csv):
        runs = _runs(program, plan_for, ranks)
    _save(runs, trace)
    rows = [
        _row(run, plan_for(len(run.rank_times)), topology, number, nic=nic, draw=draw)
        for number, run in enumerate(runs, 1)
    ]
    _show(rows, Path(script).name, seed, as_json=as_json, as_csv=as_csv)


def _check_script(script: str, *, module: bool) -> None:
    if not module:
        if not Path(script).is_file():
            raise ValueError(f"script {script}: there is no such file")
        return
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.util.find_spec(script)
    except (ImportError, ValueError):
        found = None
    finally:
        del sys.path[0]
    if found is None:
        raise ValueError(f"--module {script}: there is no such module")


def _check_trace(trace: Path | None) -> None:
    if trace is None:
        return
    if trace.is_dir() or not trace.parent.is_dir():
        raise ValueError(f"--trace {trace}: is a directory, or there is no directory for it")
    if not os.access(trace if trace.exists() else trace.parent, os.W_OK):
        raise ValueError(f"--trace {trace}: may not be written")


def _plan(
    world_size: int | None,
    topology: str,
    profile: str | None,
    hosts: str | None,
    *,
    draw: bool,
    nic: bool,
    seed: int,
    **settings: Any,
) -> Plan:
    """Everything about a run but its program; without a world size, one that could be."""
    from simnet.distributed.kinds import Processes
    from simnet.distributed.launch import make_plan
    from simnet.network import Network

    graphs, count = read_graphs([topology], world_size)
    (conditions,) = read_profiles(None if profile is None else [profile], graphs, (PROFILE,))
    net = Network(graphs[topology], profile=conditions, seed=seed, draw=draw, nic=nic)
    named = run_options.read_hosts(hosts, net)
    if world_size is None:
        count = min(count, net.num_ranks) if named is None else len(named)
    return make_plan(net, Processes(count), hosts=named, seed=seed, **settings)


def _runs(program: Script, plan_for: Callable[[int | None], Plan], ranks: int | None) -> list[Run]:
    """Run the script; one that fails ends the command."""
    if ranks is not None:
        from simnet.distributed.script_ranks import run_script

        with one_thread_each():
            try:
                return [run_script(program, plan_for(ranks))]
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                _tell(error)
                raise typer.Exit(FAILED) from None
    from simnet.distributed.script_process import run_once

    virtual_time = plan_for(None).virtual_time
    ended = run_once(program, plan_for, virtual_time=virtual_time)
    for each in ended.errors:
        _tell(each, traceback_too=False)
    if not ended.well:
        raise typer.Exit(FAILED)
    if not ended.runs:
        output.say("no process has called init_process_group: nothing was simulated")
    return list(ended.runs)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """As torchrun does: processes that share a machine compute with one thread each."""
    name = "OMP_NUM_THREADS"
    absent = name not in os.environ
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if absent:
            del os.environ[name]


def _tell(error: BaseException, *, traceback_too: bool = True) -> None:
    """Say on stderr what has gone wrong, on which rank and when, on the last line."""
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    own = type(error).__module__.startswith("simnet.")
    if traceback_too and not own:
        for note in notes:
            if "Traceback" in note:
                sys.stderr.write(note.partition("\n")[2] + "\n")
    said = str(error).strip() if own else traceback.format_exception_only(error)[0].strip()
    place = [note for note in notes if note.startswith("on rank ")]
    output.say(": ".join([*place, said.splitlines()[0] if said else type(error).__name__]))


def _save(runs: list[Run], trace: Path | None) -> None:
    """Write traces: the second of several goes to "name-2.suffix"."""
    for number, run in enumerate(runs if trace is not None else (), 1):
        assert trace is not None
        run.trace.save(trace if number == 1 else trace.with_stem(f"{trace.stem}-{number}"))


def _row(run: Run, plan: Plan, topology: str, number: int, **about: bool) -> dict[str, Any]:
    from simnet.cli.run_rows import run_row

    net = plan.conditions.net
    words = run_options.network_words(net, topology, **about)
    row = {"run": number} | words | run_row(run)
    for each, host in zip(row["by_rank"], plan.conditions.hosts, strict=True):
        each["host"] = str(net.nodes[net.hosts[host]])
    return row


def _show(rows: list[dict[str, Any]], name: str, seed: int, *, as_json: bool, as_csv: bool) -> None:
    from simnet.cli.run_rows import flat

    if as_json:
        output.write_json(rows, seed)
    elif as_csv:
        output.write_csv([each for row in rows for each in flat(row)])
    else:
        _print(rows, name)


def _print(rows: list[dict[str, Any]], name: str) -> None:
    from simnet.report.run_tables import run_heading, run_notes, run_tables
    from simnet.report.tables import console

    out = console(sys.stdout)
    for row in rows:
        title = name if len(rows) == 1 else f"{name}, run {row['run']} of {len(rows)}"
        out.print(run_heading(row, title))
        for table in run_tables(row):
            out.print()
            out.print(table)
        out.print()
        for note in run_notes(row):
            out.print(note, style="dim")
