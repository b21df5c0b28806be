"""Hypothesis: the same commit tries the same examples, and a slow machine is no failure."""

from hypothesis import HealthCheck, settings

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
