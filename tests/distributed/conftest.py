"""What the tests of torch.distributed's features need: the features, and the table of them."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # ranks that are processes import the features too


def pytest_addoption(parser):
    parser.addoption(
        "--write-feature-table",
        action="store_true",
        help="write docs/torch-features.md from how the features end",
    )


@pytest.fixture(scope="session")
def feature_outcomes(request):
    """What was wrong with each feature and kind of ranks; the table is made of it."""
    from features import table

    outcomes = {}
    yield outcomes
    if request.config.getoption("--write-feature-table", default=False):
        table.PATH.parent.mkdir(exist_ok=True)
        table.PATH.write_text(table.text(outcomes), encoding="utf-8")
