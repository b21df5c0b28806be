"""Checkpoints by the hour and by size: the ledger is signed and handed to its witnesses.

Nothing starts before there is a signing key (``ro ledger key --create``).
"""

import dagster as dg

from ro_platform.checkpoints.keys import deployment_key, has_deployment_key
from ro_platform.config.settings import Settings
from ro_platform.errors import RunOperateError
from ro_platform.orchestration import PlaneResource
from ro_platform.orchestration.failures import shown_by_dagster

EVERY_ENTRIES = 1000
"""How many entries since the last checkpoint are a reason for one before the hour is over."""

_NO_KEY = "There is no signing key: make one with `ro ledger key --create`."


@dg.op(description="Sign the ledger's size and root, and hand each witness what it lacks.")
def issue_checkpoint(context: dg.OpExecutionContext, plane: PlaneResource) -> None:
    """Fails if the ledger contradicts an earlier checkpoint, or if a witness did not take all it
    lacks; the other witnesses have been served by then."""
    with shown_by_dagster():
        service = plane.plane.checkpoints
        signed = service.issue(deployment_key(Settings.load()))
        deliveries = service.deliver()
        said = signed.checkpoint
        context.add_output_metadata({"size": said.size, "root": said.root.hex()})
        errors: list[RunOperateError] = []
        for one in deliveries:
            counts = f"{len(one.delivered)} handed over, {len(one.missing)} missing"
            context.log.info(f"{one.witness}: {counts}")
            if one.error:
                context.log.error(str(one.error))
                errors.append(one.error)
        if errors:
            raise errors[0]


@dg.job(description="`ro ledger checkpoint`.")
def checkpoint() -> None:
    """Sign the ledger and serve its witnesses."""
    issue_checkpoint()


@dg.schedule(
    job=checkpoint, cron_schedule="30 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
def hourly_checkpoint(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:  # noqa: ARG001
    """Every hour; a ledger that did not grow keeps its checkpoint, and witnesses are served."""
    settings = Settings.load()
    return dg.RunRequest() if has_deployment_key(settings) else dg.SkipReason(_NO_KEY)


@dg.sensor(
    job=checkpoint,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"A checkpoint once {EVERY_ENTRIES} entries came since the last one.",
)
def checkpoint_by_size(
    context: dg.SensorEvaluationContext,  # noqa: ARG001
    plane: PlaneResource,
) -> dg.RunRequest | dg.SkipReason:
    """At most one run for each thousand entries, so a failing one is not started every minute."""
    if not has_deployment_key(Settings.load()):
        return dg.SkipReason(_NO_KEY)
    opened = plane.plane
    if not opened.checkpoints.due(EVERY_ENTRIES):
        return dg.SkipReason(f"Fewer than {EVERY_ENTRIES} entries came since the last checkpoint.")
    return dg.RunRequest(run_key=f"checkpoint/{opened.ledger.size() // EVERY_ENTRIES}")
