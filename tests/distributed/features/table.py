"""The table of what works: `docs/torch-features.md`, written from a test run."""

import re
from pathlib import Path

from features.registry import FEATURES

PATH = Path(__file__).parents[3] / "docs" / "torch-features.md"
KINDS = ("threads", "processes")

HEAD = """# What of torch.distributed works

Written by a test run, not by hand: `pytest tests/distributed/test_torch_features.py
--write-feature-table` runs every program of `tests/distributed/features/` on four ranks of each
kind and compares what it returns.

PASS: the results are those of the reference, which is real gloo on four processes where the last
column says nothing else. "refused": the call ends with this error, as it does on real gloo.
"""


def cell(feature, kind, said):
    """What one kind of ranks does with a feature; `said` is what is wrong, None if never run."""
    if kind == "threads" and feature.processes_only:
        return f"processes only: {feature.processes_only}"
    if said is None:
        return "not run"
    if said:
        return "FAIL: " + said.splitlines()[0][:200]
    return f"refused: {feature.refused}" if feature.refused else "PASS"


def text(outcomes):
    """The whole page, from ``{(name, kind): what is wrong}``."""
    lines = [HEAD]
    for group in dict.fromkeys(feature.group for feature in FEATURES.values()):
        lines += [f"## {group}", "", "| feature | threads | processes | reference |"]
        lines.append("| --- | --- | --- | --- |")
        for feature in FEATURES.values():
            if feature.group == group:
                lines.append(_row(feature, outcomes))
        lines.append("")
    return "\n".join(lines)


def _row(feature, outcomes):
    cells = [cell(feature, kind, outcomes.get((feature.name, kind))) for kind in KINDS]
    if feature.no_gloo:
        cells.append(f"written down: {feature.no_gloo}")
    else:
        cells.append("written down, and gloo" if callable(feature.reference) else "")
    return "| " + " | ".join(_escaped(part) for part in (feature.name, *cells)) + " |"


def _escaped(part):
    return part.replace("|", "\\|").replace("\n", " ")


def names(page):
    """The features that a page lists, in its order."""
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    first = [re.split(r"(?<!\\)\|", row)[1].strip().replace("\\|", "|") for row in rows]
    return [name for name in first if name not in ("feature", "---")]
