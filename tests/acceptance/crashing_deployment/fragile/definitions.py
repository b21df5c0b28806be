"""A code location that a test breaks after a run of it was queued."""

import dagster as dg

from ro_platform.orchestration import MANIFESTS, govern


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def fragile() -> dict[str, int]:
    """Never made."""
    return {}


defs = govern(dg.Definitions(assets=[fragile], jobs=[dg.define_asset_job("broken", selection="*")]))
