"""Options that name networks, for the commands that compare several."""

from __future__ import annotations

from typing import Annotated

import typer

Topologies = Annotated[
    list[str] | None,
    typer.Option(
        "--topology",
        "-t",
        metavar="TOPOLOGY",
        help='A builder\'s name, with arguments as in "torus(2, 2)", or a .graphml or '
        "node-link .json file; repeatable. \\[default: ring, star, fully_connected]",
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="PROFILE",
        help="mobile, datacenter, cross_continental, lan, wan or poor: draws what the "
        "topology leaves open; none: nothing. Repeatable. \\[default: the first three, or "
        "none where nothing is open]",
    ),
]
