"""What is done to the ledger and the store by schedule: checkpoints, and verification.

A checkpoint signs the ledger and hands it to the witnesses, by the hour and by size; none starts
before there is a signing key (``ro ledger key --create``). Verification reads everything stored
and recomputes the ledger's tree.
"""

import dagster as dg

from ro_platform import errors
from ro_platform.checkpoints.keys import deployment_key, has_deployment_key
from ro_platform.config.settings import Settings
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.resource import PlaneResource

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
        failed: list[errors.RunOperateError] = []
        for one in deliveries:
            counts = f"{len(one.delivered)} handed over, {len(one.missing)} missing"
            context.log.info(f"{one.witness}: {counts}")
            if one.error:
                context.log.error(str(one.error))
                failed.append(one.error)
        if failed:
            raise failed[0]


@dg.job(description="`ro ledger checkpoint`.")
def checkpoint() -> None:
    """Sign the ledger and serve its witnesses."""
    issue_checkpoint()


def hourly_checkpoint(
    *,
    cron: str = "30 * * * *",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """A schedule that starts the job ``checkpoint`` once there is a signing key.

    A ledger that did not grow keeps its checkpoint, and its witnesses are served.
    """

    @dg.schedule(job=checkpoint, cron_schedule=cron, default_status=default_status)
    def hourly_checkpoint(
        context: dg.ScheduleEvaluationContext,  # noqa: ARG001
    ) -> dg.RunRequest | dg.SkipReason:
        return dg.RunRequest() if has_deployment_key(Settings.load()) else dg.SkipReason(_NO_KEY)

    return hourly_checkpoint


def checkpoint_by_size(
    *,
    every_entries: int = 1000,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """A sensor that starts the job ``checkpoint`` when so many entries came since the last one,
    which is a reason for one before the hour is over. It looks once a minute.

    Raises :class:`SettingsError` for fewer than one entry.
    """
    if every_entries < 1:
        raise errors.SettingsError(
            f"a checkpoint after every {every_entries} entries cannot be issued.",
            next_step="Say after how many entries: one, or more.",
        )

    @dg.sensor(
        job=checkpoint,
        minimum_interval_seconds=60,
        default_status=default_status,
        description=f"A checkpoint once {every_entries} entries came since the last one.",
    )
    def checkpoint_by_size(
        context: dg.SensorEvaluationContext,  # noqa: ARG001
        plane: PlaneResource,
    ) -> dg.RunRequest | dg.SkipReason:
        if not has_deployment_key(Settings.load()):
            return dg.SkipReason(_NO_KEY)
        opened = plane.plane
        if not opened.checkpoints.due(every_entries):
            words = f"Fewer than {every_entries} entries came since the last checkpoint."
            return dg.SkipReason(words)
        # One key for each multiple, so a checkpoint that fails is not started every minute.
        return dg.RunRequest(run_key=f"checkpoint/{opened.ledger.size() // every_entries}")

    return checkpoint_by_size


@dg.op(description="Read everything stored against its digest and against the ledger.")
def verify_artifacts(context: dg.OpExecutionContext, plane: PlaneResource) -> None:
    """Fails, naming the first, if any stored bytes are not what they are named by."""
    with shown_by_dagster():
        findings = list(plane.plane.audit.everything())
        altered = [finding for finding in findings if finding.error]
        context.add_output_metadata({"verified": len(findings), "altered": len(altered)})
        for finding in altered:
            context.log.error(str(finding.error))
        if altered:
            raise errors.IntegrityError(
                f"{len(altered)} of {len(findings)} stored objects are not what was recorded; "
                f"first: {altered[0].locator}.",
                next_step="Run `ro artifact verify --all`; keep the files as evidence.",
            )


@dg.op(description="Recompute the ledger's tree, and compare it with every checkpoint kept of it.")
def verify_ledger(context: dg.OpExecutionContext, plane: PlaneResource) -> None:
    """Fails, naming the first bad entry, if the ledger is not what its tree commits to, or does
    not extend a checkpoint of ours or of a witness; also if a witness cannot be asked."""
    with shown_by_dagster():
        service = plane.plane.checkpoints
        kept = service.kept(service.policy.trusted(), witnesses=service.witnesses())
        verification = plane.plane.ledger.verify(against=kept)
        context.add_output_metadata(
            {
                "entries": verification.size,
                "root": verification.root.hex(),
                "checkpoints": len(kept),
            }
        )


@dg.job(description="`ro artifact verify --all` and `ro ledger verify`.")
def verification() -> None:
    """Verify the store and the ledger, each whatever the other says."""
    verify_artifacts()
    verify_ledger()


def nightly_verification(
    *,
    cron: str = "0 3 * * *",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.RUNNING,
) -> dg.ScheduleDefinition:
    """A schedule that starts the job ``verification``, at 03:00 UTC unless it is told otherwise."""
    return dg.ScheduleDefinition(
        name="nightly_verification",
        job=verification,
        cron_schedule=cron,
        default_status=default_status,
    )
