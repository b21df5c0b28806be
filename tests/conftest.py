"""Hypothesis: the same commit tries the same examples, and a slow machine is no failure.

One S3 server serves the whole session; it starts when the first test asks for it.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.ceph import S3Server, s3_server

settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
# New examples each time, many of them: pytest --hypothesis-profile=thorough
settings.register_profile(
    "thorough", settings.get_profile("house"), derandomize=False, max_examples=3000
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The server; tests take buckets of their own."""
    with s3_server() as server:
        yield server
