"""A deployment with one of everything that can be administered: two assets with gates, a job, a
schedule and a sensor that never fire by themselves."""

from typing import Any

import dagster as dg

from ro_platform.orchestration import MANIFESTS, gate, govern


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def numbers() -> dict[str, Any]:
    """Some numbers."""
    return {"numbers": [1, 2, 3]}


@gate(asset=numbers, code_version="1")
def few_enough(numbers: dict[str, Any]) -> dg.AssetCheckResult:
    """No more than ten."""
    return dg.AssetCheckResult(passed=len(numbers["numbers"]) <= 10)


adding = dg.define_asset_job(
    "adding", selection=dg.AssetSelection.assets(numbers), partitions_def=MANIFESTS
)


@dg.schedule(job=adding, cron_schedule="0 0 1 1 *")
def yearly() -> dg.SkipReason:
    """Nothing."""
    return dg.SkipReason("nothing to do")


@dg.sensor(job=adding)
def watching() -> dg.SkipReason:
    """Nothing."""
    return dg.SkipReason("nothing to see")


defs = govern(
    dg.Definitions(
        assets=[numbers],
        asset_checks=[few_enough],
        jobs=[adding],
        schedules=[yearly],
        sensors=[watching],
    )
)
