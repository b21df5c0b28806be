"""Where a run's purchases come from: the manifest's input, or its seed and parameters."""

from __future__ import annotations

import pyarrow as pa

from assets.purchases.cdnow import parse_master_file
from assets.purchases.generation import generate_purchases
from assets.purchases.settings import Generation
from ro_platform.errors import InvalidInputError

INPUT = "purchases"


def build_scenario(
    purchases: bytes | None, seed: int | None, generate: Generation | None
) -> pa.Table:
    """The scenario's rows (SCENARIO_SCHEMA) from exactly one source.

    Raises :class:`InvalidInputError` when the manifest names both sources or neither.
    """
    match purchases, generate:
        case bytes(), None:
            return parse_master_file(purchases)
        case None, Generation() if seed is not None:
            return generate_purchases(seed, generate)
        case bytes(), Generation():
            problem = f"both an input {INPUT!r} and parameters.generate"
        case None, Generation():
            problem = "parameters.generate, but no seed"
        case _:
            problem = f"neither an input {INPUT!r} nor parameters.generate"
    raise InvalidInputError(
        f"the manifest has {problem}.",
        next_step=f"Name one source: an input {INPUT!r}, or a seed and parameters.generate.",
    )
