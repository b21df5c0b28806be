"""Hypothesis: the same commit tries the same examples, and a slow machine is no failure.

One S3 server serves the whole session; it starts when the first test asks for it.
"""

import os
import sys
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

from tests.ceph import S3Server, s3_server
from tests.effort import EFFORT, times

settings.register_profile(
    "house",
    derandomize=EFFORT == 1,  # make matrix chooses a seed and names it
    deadline=None,
    max_examples=times(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    """A test leaves the next one of its process no variable, and Dagster no instance of its own."""
    with patch.dict(os.environ):
        yield
    if dagster := sys.modules.get("dagster._core.storage.defs_state.base"):
        dagster._current_storage.set(None)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The server; tests take buckets of their own."""
    with s3_server() as server:
        yield server
