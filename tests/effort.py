"""How hard the laws are tried: ``make matrix`` multiplies examples and rounds.

What a table lists runs whole at any effort; only what is drawn by chance is more or less.
"""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("RO_TEST_EFFORT", "1"))


def times(usual: int) -> int:
    """As many examples, or rounds, as this run of the tests is asked for."""
    return usual * EFFORT
