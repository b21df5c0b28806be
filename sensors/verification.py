"""Scheduled verification: every night the store and the ledger are read and recomputed."""

import dagster as dg

from ro_platform.errors import IntegrityError
from ro_platform.orchestration import PlaneResource
from ro_platform.orchestration.failures import shown_by_dagster


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
            raise IntegrityError(
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


nightly_verification = dg.ScheduleDefinition(
    name="nightly_verification",
    job=verification,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
