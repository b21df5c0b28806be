"""The one Definitions of this deployment: assets, gates, jobs, sensors and schedules. No I/O."""

import dagster as dg

from assets import ASSETS, GATES, JOBS
from resources import deployment_resources
from ro_platform.orchestration.admin_job import admin_job
from sensors import (
    attempt_reconciliation,
    checkpoint,
    checkpoint_by_size,
    hourly_checkpoint,
    manifest_inbox,
    nightly_verification,
    verification,
)

defs: dg.Definitions = dg.Definitions(
    assets=ASSETS,
    asset_checks=GATES,
    jobs=[*JOBS, verification, checkpoint, admin_job],
    schedules=[nightly_verification, hourly_checkpoint],
    sensors=[manifest_inbox(JOBS), attempt_reconciliation, checkpoint_by_size],
    resources=deployment_resources(ASSETS, GATES, lambda: defs),
    # Steps of the reference workload are shorter than starting a process for each would be.
    executor=dg.in_process_executor,
)
