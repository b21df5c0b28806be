"""The one Definitions of this deployment: assets, gates, jobs, sensors and schedules. No I/O."""

import dagster as dg

from assets import ASSETS, GATES, JOBS
from resources import deployment_resources
from sensors import manifest_inbox, nightly_verification, verification

defs = dg.Definitions(
    assets=ASSETS,
    asset_checks=GATES,
    jobs=[*JOBS, verification],
    schedules=[nightly_verification],
    sensors=[manifest_inbox(JOBS)],
    resources=deployment_resources(ASSETS, GATES),
    # Steps of the reference workload are shorter than starting a process for each would be.
    executor=dg.in_process_executor,
)
