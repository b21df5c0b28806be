"""The one Definitions of this deployment: assets, gates, jobs, sensors and schedules. No I/O."""

import dagster as dg

from assets import ASSETS, GATES, JOBS
from resources import EXECUTOR, RESOURCES
from ro_platform.orchestration import govern
from sensors import operations

defs = govern(
    dg.Definitions.merge(
        dg.Definitions(
            assets=ASSETS, asset_checks=GATES, jobs=JOBS, resources=RESOURCES, executor=EXECUTOR
        ),
        operations(JOBS),
    )
)
