"""`simnet`: the commands, and one line for every mistake."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from simnet.cli.compare import compare_command
from simnet.cli.output import say
from simnet.cli.replay import replay_command
from simnet.cli.run import run_command
from simnet.cli.train import train_command
from simnet.version import __version__

MISUSE, INTERRUPTED, NO_READER = 2, 130, 1

# Typer carries click inside or depends on it, as its version goes: the base of all its complaints.
Complaint: type[Any] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="simnet",
    help=(
        "A network simulator with a virtual clock for distributed training.\n\n"
        "Start with [bold]simnet compare[/]: it needs no data, no internet and no GPU."
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _paragraphs(docstring: str | None) -> str:
    """A docstring with each paragraph on one line, for a help text that wraps by itself."""
    parts = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts)


app.command("compare", help=_paragraphs(compare_command.__doc__))(compare_command)
app.command(
    "run",
    help=_paragraphs(run_command.__doc__),
    context_settings={"allow_interspersed_args": False},  # what follows the script is its own
)(run_command)
app.command("replay", help=_paragraphs(replay_command.__doc__))(replay_command)
app.command("train", help=_paragraphs(train_command.__doc__))(train_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"simnet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options of every command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 for success, 2 for misuse, 130 for Ctrl-C."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every mistake of the user's is one line on stderr.

    Parameters
    ----------
    arguments : sequence of str, optional
        As in ``sys.argv[1:]``, which is the default.

    Returns
    -------
    int
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None or sys.stderr is None:
        return MISUSE  # closed by the caller: there is nowhere to write, not even why
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an arrow must not end a run on a Latin terminal
    try:
        with _warnings_as_lines():
            code = app(given or ["--help"], prog_name="simnet", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except Complaint as error:
        return _refuse(error.format_message())
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (ValueError, TypeError, OSError, OverflowError, MemoryError) as error:
        return _refuse(str(error) or type(error).__name__)
    if code == INTERRUPTED:  # some versions of typer return it
        say("interrupted")
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    say(message)
    return MISUSE


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Say each warning once, on a line of its own."""
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        line = f"warning: {message}"
        if line not in said:
            said.add(line)
            say(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
