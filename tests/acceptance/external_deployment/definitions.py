"""A deployment that reads what an engine made: an external asset, and a report from it.

With ``GUEST_GATE`` in the environment, the code location also judges the bundle itself.
"""

import csv
import os
from pathlib import Path

import dagster as dg

from ro_platform.orchestration import MANIFESTS, gate, govern

engine_bundle = dg.AssetSpec("engine_bundle", partitions_def=MANIFESTS)


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def report(engine_bundle: Path) -> dict[str, str]:
    """What the engine's own checks counted."""
    with (engine_bundle / "checks" / "rows.csv").open(newline="") as file:
        return {row["check"]: row["rows"] for row in csv.DictReader(file)}


@gate(asset="engine_bundle", code_version="1")
def enough_sites(engine_bundle: Path) -> dg.AssetCheckResult:
    """The engine's PASS is not enough here: there must be ten sites."""
    with (engine_bundle / "checks" / "rows.csv").open(newline="") as file:
        counts = {row["check"]: int(row["rows"]) for row in csv.DictReader(file)}
    return dg.AssetCheckResult(passed=counts["sites"] >= 10)


GUESTS = [enough_sites] if os.environ.get("GUEST_GATE") else []
JOBS = [
    dg.define_asset_job(
        "reporting", selection=dg.AssetSelection.assets(report), partitions_def=MANIFESTS
    )
]
if GUESTS:
    JOBS.append(
        dg.define_asset_job(
            "judging",
            selection=dg.AssetSelection.checks(enough_sites),
            partitions_def=MANIFESTS,
        )
    )

defs = govern(dg.Definitions(assets=[engine_bundle, report], asset_checks=GUESTS, jobs=JOBS))
