"""What all tests share: examples of properties are the same in every run, and never timed."""

from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=SLOW, print_blob=True
)
# Another draw every time, and more of them: pytest --hypothesis-profile=explore
settings.register_profile(
    "explore", deadline=None, max_examples=1000, suppress_health_check=SLOW, print_blob=True
)
settings.load_profile("same")


def pytest_collection_modifyitems(items):
    """Skip what needs the kernel where none was built; one that is there and broken fails."""
    if find_spec("simnet.engine._kernel.core") is not None:
        return
    skip = pytest.mark.skip(reason="needs the kernel, which was not compiled here")
    for item in items:
        if item.get_closest_marker("kernel") is not None:
            item.add_marker(skip)
