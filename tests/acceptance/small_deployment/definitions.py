"""A deployment small enough to be tampered with: two assets, one gate each.

``sums`` adds what ``numbers`` lists. A file ``outside.txt`` beside this module is read by
``numbers`` though no manifest names it, which is what a workload must never do.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern

OUTSIDE = Path(__file__).with_name("outside.txt")


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def numbers(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, Any]:
    """The numbers from 0 to below ``count``, and whatever lies about."""
    run = plane.run(context)
    count = int(str(run.parameters["count"]))
    stray = OUTSIDE.read_text() if OUTSIDE.exists() else ""
    return {"numbers": list(range(count)), "stray": stray}


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def sums(numbers: dict[str, Any]) -> dict[str, Any]:
    """Their sum."""
    return {"sum": sum(numbers["numbers"])}


@gate(asset=numbers, configs=("limits",), code_version="1")
def few_enough(
    context: dg.AssetCheckExecutionContext, plane: PlaneResource, numbers: dict[str, Any]
) -> dg.AssetCheckResult:
    """No more numbers than the pinned limit."""
    most = int(str(plane.run(context).config("limits")["most"]))
    return dg.AssetCheckResult(passed=len(numbers["numbers"]) <= most)


@gate(asset=sums, code_version="1")
def not_negative(sums: dict[str, Any]) -> dg.AssetCheckResult:
    """A sum of natural numbers is none below zero."""
    return dg.AssetCheckResult(passed=sums["sum"] >= 0)


defs = govern(
    dg.Definitions(
        assets=[numbers, sums],
        asset_checks=[few_enough, not_negative],
        jobs=[
            dg.define_asset_job(
                "adding",
                selection=dg.AssetSelection.assets(numbers, sums),
                partitions_def=MANIFESTS,
            )
        ],
    )
)
