"""What commands share: documents on stdout, progress on stderr, files checked before work."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from simnet.version import __version__

Row = Mapping[str, Any]

# Options of every command.
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="SEED", help="Decides every draw.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Write CSV to stdout.")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Also draw a picture, .png or .svg."),
]


def check_output(*, as_json: bool, as_csv: bool, plot: Path | None) -> None:
    """Refuse outputs that cannot be, before any work is done.

    Raises
    ------
    ValueError
        If stdout is asked for twice, or the picture cannot be written.
    """
    if as_json and as_csv:
        raise ValueError("--json and --csv both write to stdout: choose one")
    if plot is None:
        return
    from simnet.report.style import suffix_of

    suffix_of(plot)
    if plot.is_dir():
        raise ValueError(f"{plot}: is a directory")
    if not plot.parent.is_dir():
        raise ValueError(f"{plot}: there is no directory {plot.parent}")
    if not os.access(plot if plot.exists() else plot.parent, os.W_OK):
        raise ValueError(f"{plot}: may not be written")


def say(message: str) -> None:
    """Write a line to stderr that says whose it is."""
    sys.stderr.write(f"simnet: {' '.join(message.split())}\n")


@contextmanager
def stdout_kept(wanted: bool) -> Iterator[None]:
    """Let stdout be stderr while inside, for this process and those that it starts.

    So that what a program prints does not come between the parts of a document.
    """
    if not wanted:
        yield
        return
    with ExitStack() as undo:
        undo.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError, ValueError):  # streams that are no files have nothing to exchange
            sys.stderr.flush()
            own, other = sys.__stdout__.fileno(), sys.__stderr__.fileno()  # type: ignore[union-attr]
            kept = os.dup(own)
            os.dup2(other, own)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, own)
        yield


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let the system's request to end be an interrupt, so that nothing is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_json(rows: Sequence[Row], seed: int) -> None:
    """Write exactly one document to stdout; what is not finite becomes null."""
    document = {"rows": _finite(list(rows)), "version": __version__, "seed": seed}
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def write_csv(rows: Sequence[Row]) -> None:
    """Write a table to stdout: a header, a line per row, columns of plain values only."""
    plain = [
        {key: value for key, value in row.items() if not isinstance(value, Mapping)} for row in rows
    ]
    columns = list(dict.fromkeys(key for row in plain for key in row))
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)


def _finite(value: Any) -> Any:
    """The same without infinities and NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on stderr while inside, gone afterwards; none where stderr is no terminal.

    Parameters
    ----------
    what : str
        Said until the first report.

    Yields
    ------
    callable
        ``report(done, total, label)``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total, description=label)

        yield report
