"""``standard_operations``: what every plane needs beside its assets, in one call."""

from collections.abc import Sequence

import dagster as dg

from ro_platform.orchestration.admin_job import admin_job
from ro_platform.orchestration.inbox import WorkloadJob, manifest_inbox
from ro_platform.orchestration.reconcile import reconciliation_sensor
from ro_platform.orchestration.scheduled import (
    checkpoint,
    checkpoint_by_size,
    hourly_checkpoint,
    nightly_verification,
    verification,
)


def standard_operations(
    workloads: Sequence[WorkloadJob] = (),
    *,
    inbox_every_seconds: int | None = 15,
    reconcile_every_seconds: int | None = 30,
    checkpoint_cron: str | None = "30 * * * *",
    checkpoint_every_entries: int | None = 1000,
    verification_cron: str | None = "0 3 * * *",
    started: bool = True,
) -> dg.Definitions:
    """The jobs, schedules and sensors that every plane needs, to be merged with one's own.

    Put :func:`~ro_platform.orchestration.govern` around the whole: it brings the resource ``plane``
    that they use.

    >>> import dagster as dg
    >>> from ro_platform.orchestration import govern, standard_operations
    >>> @dg.asset
    ... def orders() -> dict[str, int]:
    ...     return {"count": 3}
    >>> shop = dg.define_asset_job("shop")
    >>> mine = dg.Definitions(assets=[orders], jobs=[shop])
    >>> defs = govern(dg.Definitions.merge(mine, standard_operations([shop])))
    >>> sorted(job.name for job in defs.jobs)
    ['checkpoint', 'ro_admin', 'shop', 'verification']
    >>> sorted(schedule.name for schedule in defs.schedules)
    ['hourly_checkpoint', 'nightly_verification']
    >>> sorted(sensor.name for sensor in defs.sensors)
    ['attempt_reconciliation', 'checkpoint_by_size', 'manifest_inbox']

    An option that is None leaves its sensor or schedule out; the jobs are always there, and can be
    launched by hand.

    - ``workloads``: the jobs that the sensor ``manifest_inbox`` launches for the manifests put
      into ``RO_MANIFEST_INBOX``. Without any there is no such sensor.
    - ``inbox_every_seconds``, ``reconcile_every_seconds``: how often ``manifest_inbox`` and
      ``attempt_reconciliation`` look, at most.
    - ``checkpoint_cron``: when ``hourly_checkpoint`` has the ledger signed, and handed to its
      witnesses, in UTC.
    - ``checkpoint_every_entries``: after how many new entries ``checkpoint_by_size`` has it done
      before that.
    - ``verification_cron``: when ``nightly_verification`` has everything stored read again, in UTC.
    - ``started``: whether they run from the start; False leaves it to whoever turns them on in
      Dagster.

    Raises :class:`SettingsError` for ``checkpoint_every_entries`` below one, and what Dagster
    raises for an interval or a cron expression that is none.
    """
    by_time = dg.DefaultScheduleStatus.RUNNING if started else dg.DefaultScheduleStatus.STOPPED
    by_look = dg.DefaultSensorStatus.RUNNING if started else dg.DefaultSensorStatus.STOPPED
    schedules: list[dg.ScheduleDefinition] = []
    sensors: list[dg.SensorDefinition] = []
    if workloads and inbox_every_seconds is not None:
        sensors.append(
            manifest_inbox(
                workloads, minimum_interval_seconds=inbox_every_seconds, default_status=by_look
            )
        )
    if reconcile_every_seconds is not None:
        sensors.append(
            reconciliation_sensor(
                minimum_interval_seconds=reconcile_every_seconds, default_status=by_look
            )
        )
    if checkpoint_every_entries is not None:
        sensors.append(
            checkpoint_by_size(every_entries=checkpoint_every_entries, default_status=by_look)
        )
    if checkpoint_cron is not None:
        schedules.append(hourly_checkpoint(cron=checkpoint_cron, default_status=by_time))
    if verification_cron is not None:
        schedules.append(nightly_verification(cron=verification_cron, default_status=by_time))
    return dg.Definitions(
        jobs=[verification, checkpoint, admin_job], schedules=schedules, sensors=sensors
    )
