"""What options of runs and replays say, as objects; mistakes are one line each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simnet.network import Network
    from simnet.workload.compute import ComputeModel

COMPUTE = "fixed:20ms, roofline:H100, measured, or measured:0.5"

Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts",
        metavar="A,B,…",
        help="The host of each rank, by its name in the topology. \\[default: the first hosts]",
    ),
]
Algorithms = Annotated[
    list[str] | None,
    typer.Option(
        "--algorithm",
        "-a",
        metavar="NAME",
        help="Of the all-reduces, or of a kind: broadcast=chain; repeatable. \\[default: auto]",
    ),
]
Draw = Annotated[
    bool,
    typer.Option("--draw/--mid-points", help="Draw from the profile or take its middle."),
]
Nic = Annotated[
    bool,
    typer.Option(
        "--nic/--no-nic",
        help="With a profile, also draw a network card a host, which all its cables share.",
    ),
]
Transport = Annotated[
    str | None,
    typer.Option(
        "--transport",
        metavar="NAME",
        help="ideal or retransmit. \\[default: retransmit where there is loss]",
    ),
]


def read_algorithms(texts: Sequence[str] | None) -> dict[str, str]:
    """The algorithm of each kind that is named: "ring" is that of all_reduce.

    Raises
    ------
    ValueError
        If a kind is named twice, or there is no such kind or algorithm.
    """
    from simnet.ranks.algorithms import chosen_algorithms

    found: dict[str, str] = {}
    for text in texts or ():
        kind, _, name = text.rpartition("=")
        kind = kind or "all_reduce"
        if kind in found:
            raise ValueError(f"--algorithm: {kind} is there twice, as {found[kind]} and {name}")
        found[kind] = name
    try:
        chosen_algorithms(found)
    except ValueError as error:
        raise ValueError(f"--algorithm: {error}") from None
    return found


def read_hosts(text: str | None, net: Network) -> list[Hashable] | None:
    """The hosts that a text names, as the network's graph does."""
    if text is None:
        return None
    by_text: dict[str, Hashable] = {str(node): node for node in net.nodes}
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in by_text]
    if unknown:
        known = [str(net.nodes[node]) for node in net.hosts.tolist()]
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise ValueError(f"--hosts: {unknown[0]!r} is no host of the network; there are {shown}")
    return [by_text[name] for name in names]


def read_compute(text: str | None) -> ComputeModel | None:
    """The compute model that a text names; None where it names none.

    Raises
    ------
    ValueError
        If it is not one of the forms of `COMPUTE`.
    """
    from simnet.workload.compute import Fixed, Measured, Roofline

    if text is None:
        return None
    name, _, argument = text.partition(":")
    try:
        if name == "fixed" and argument:
            return Fixed(argument)
        if name == "roofline" and argument:
            return Roofline(argument)
        if name == "measured":
            return Measured(float(argument) if argument else 1.0)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--compute {text}: {error}") from None
    raise ValueError(f"--compute {text}: write {COMPUTE}")


def network_words(net: Network, topology: str, *, nic: bool, draw: bool) -> dict[str, Any]:
    """What a network is, for a row."""
    from simnet.study.compare import AS_GIVEN, PER_CABLE, PER_NIC

    reading = PER_NIC if nic else PER_CABLE
    return {
        "topology": topology,
        "profile": net.profile or AS_GIVEN,
        "reading": reading if net.profile else AS_GIVEN,
        "draw": draw,
    }
