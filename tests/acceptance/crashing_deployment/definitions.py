"""A deployment whose asset does what the run's tags say: succeed, fail once, wait to be killed.

Whoever is at work leaves a file ``<name>.<pid>`` in the folder ``control``; who waits goes on when
there is ``<name>.go``.
"""

import os
import time
from pathlib import Path

import dagster as dg

from ro_platform.orchestration import MANIFESTS, PlaneResource, gate, govern
from ro_platform.orchestration.reconcile import reconciliation_sensor

CONTROL = Path(__file__).with_name("control")
PATIENCE_SECONDS = 180


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def work(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, int]:
    """Always the same, if it comes to an end."""
    name, how = context.run.tags["test/name"], context.run.tags["test/how"]
    first = not list(CONTROL.glob(f"{name}.[0-9]*"))
    (CONTROL / f"{name}.{os.getpid()}").touch()
    if how == "flaky" and first:
        raise dg.RetryRequested(max_retries=1)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while how == "wait" and not (CONTROL / f"{name}.go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.05)
    return {"count": int(str(plane.run(context).parameters["count"]))}


@gate(asset=work, code_version="1")
def fine(work: dict[str, int]) -> dg.AssetCheckResult:
    """It always is."""
    return dg.AssetCheckResult(passed=bool(work))


@dg.asset(partitions_def=MANIFESTS, code_version="1")
def after(work: dict[str, int]) -> dict[str, int]:
    """Downstream of it."""
    return work


defs = govern(
    dg.Definitions(
        assets=[work, after],
        asset_checks=[fine],
        jobs=[
            dg.define_asset_job("one", selection="*", executor_def=dg.in_process_executor),
            dg.define_asset_job(
                "many",
                selection=dg.AssetSelection.assets(work).without_checks(),
                executor_def=dg.multiprocess_executor,
            ),
        ],
        sensors=[reconciliation_sensor(minimum_interval_seconds=2)],
    )
)
