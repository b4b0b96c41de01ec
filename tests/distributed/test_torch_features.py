"""Everything that torch.distributed offers, on four simulated ranks, against real gloo.

Each program of `features/` runs with ranks as threads and with ranks as processes; what it returns
must be what gloo gives, or what is written down where gloo cannot run it.
"""

import os
import shutil

import pytest
import torch
from features import FEATURES
from features.compare import difference
from features.running import on_processes, on_threads
from features.table import KINDS, PATH, names
from gloo_reference import gloo_results

KNOWN_TORCH = "2.13"
COMPILES = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="inductor needs a C++ compiler"
)

CASES = [
    pytest.param(feature.name, kind, id=f"{feature.name} [{kind}]", marks=_marks)
    for feature in FEATURES.values()
    for kind in KINDS
    if kind == "processes" or not feature.processes_only
    for _marks in [[pytest.mark.slow] * feature.slow + [COMPILES] * ("inductor" in feature.name)]
]


def chosen(request, kind=None):
    """The features whose tests run in this session, in their order."""
    found = {
        item.callspec.params["name"]
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_feature"
        and kind in (None, item.callspec.params["kind"])
    }
    return [name for name in FEATURES if name in found]


@pytest.fixture(scope="session")
def gloo(request):
    """What real gloo gives, for the features that are compared with it."""
    return gloo_results(
        [
            name
            for name in chosen(request)
            if FEATURES[name].reference == "gloo" and not FEATURES[name].refused
        ]
    )


@pytest.fixture(scope="session")
def processes(request, tmp_path_factory):
    """How each feature ends on ranks that are processes."""
    return on_processes(chosen(request, "processes"), tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_feature(name, kind, gloo, request, feature_outcomes):
    feature = FEATURES[name]
    if feature.refused and not torch.__version__.startswith(KNOWN_TORCH):
        pytest.skip(f"what torch itself refuses is written down for {KNOWN_TORCH} on CPUs")
    if kind == "threads":
        outcomes = on_threads(feature)
    else:
        outcomes = request.getfixturevalue("processes")[name]
    said = difference(feature, outcomes, gloo.get(name))
    feature_outcomes[name, kind] = said
    if said:
        traces = [outcome[2] for outcome in outcomes if len(outcome) > 2][:1]
        pytest.fail("\n".join([said, *traces]), pytrace=False)


def test_the_table_lists_every_feature():
    assert names(PATH.read_text(encoding="utf-8")) == [
        feature.name for group in _groups() for feature in group
    ]


def _groups():
    """The features in the table's order: by group, and within a group as they are registered."""
    by_group = {}
    for feature in FEATURES.values():
        by_group.setdefault(feature.group, []).append(feature)
    return by_group.values()
