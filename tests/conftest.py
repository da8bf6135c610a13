"""What holds for all tests: random inputs are drawn the same way each time, and a slow machine fails nothing.

The fast loop, `./run pytest -m "not slow"`, is the unit tests but their long ones, and one small build. That build runs
the rules of every stage from the bucket to the lock but two: models are trained and judged in tests/unit/learning and
tests/unit/evaluation. Imports, inquiry and reader, which lie off the build's path, have a folder of unit tests each.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported: its threads sleep while they wait for each other. Left to themselves they spin, and take the
# processor from whatever else runs here; the bytes are the same.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A failing example must be found again by whoever reads the message, on a machine that may be ten times as slow.
settings.register_profile(
    "cocomine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("cocomine")

SLOW_FOLDERS = ("integration", "workflow", "cloud", "cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count whole folders of tests as slow, except those marked `quick`, which come first.

    The small build among them takes longest: of two workers, one would wait for it at the end.
    """
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW_FOLDERS and item.get_closest_marker("quick") is None:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("quick") is None)
