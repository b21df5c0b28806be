"""What a refused launch leaves behind: in the ledger, in its attempts and in Dagster.

Each part may be repeated: a crash in between leaves a run that has executed nothing, and the next
look at it refuses it again.
"""

from __future__ import annotations

import dagster as dg

from ro_platform import errors
from ro_platform.access.refusals import access_refusal_draft, record_once
from ro_platform.contracts import CorrelationIds, JobStatus
from ro_platform.dagster_private.running import report_refusal
from ro_platform.ledger import names
from ro_platform.orchestration.launches import ACTOR, REFUSED, REFUSED_BY
from ro_platform.plane import DAGSTER_ACTOR, Plane


def record_refusal(plane: Plane, run: dg.DagsterRun, error: errors.RunOperateError) -> None:
    """Put on record that a launch was refused, and end its waiting attempts as REFUSED."""
    _record_access(plane, run, error)
    for attempts in plane.attempts.of_dagster_run(run.run_id).values():
        for attempt in attempts:
            if attempt.status is JobStatus.QUEUED:
                plane.attempts.move(
                    attempt,
                    JobStatus.REFUSED,
                    dagster_run_id=run.run_id,
                    error_code=error.code,
                    error=str(error),
                    retryable=False,
                )


def cancel_refused(
    instance: dg.DagsterInstance, run: dg.DagsterRun, error: errors.RunOperateError
) -> None:
    """End the run as CANCELED, with the refusal's words in its log and its code in its tags."""
    facts = error.diagnostics()
    by = str(facts.get("target") or facts.get("actor") or "access")
    instance.add_run_tags(run.run_id, {REFUSED: error.code, REFUSED_BY: by})
    shown = {key: str(value) for key, value in facts.items() if value is not None}
    report_refusal(instance, run, str(error), {**shown, "code": error.code})
    instance.report_run_canceled(run, message=f"Refused. {error}")


def record_backfill_refusal(plane: Plane, backfill_id: str, error: errors.RunOperateError) -> None:
    """Put on record that nobody who may asked for a backfill, so that it was not stored."""
    subject, actor = names.backfill_launch_subject(backfill_id), error.diagnostics().get("actor")
    _record(plane, "launch", subject, names.backfill_target(backfill_id), error, actor)


def record_report_refusal(plane: Plane, actor: str | None, error: errors.RunOperateError) -> None:
    """Put on record that a report on an asset was refused; one entry a day for each actor."""
    who, day = actor or "nobody", plane.clock().date().isoformat()
    _record(plane, "report", names.report_subject(who, day), f"{who}/{day}", error, actor)


def _record_access(plane: Plane, run: dg.DagsterRun, error: errors.RunOperateError) -> None:
    # These are asked about only after the run's grant, so the tag is its grant's; and the error of
    # a pause names who paused.
    granted = isinstance(error, errors.PausedError | errors.RunConfigError)
    actor = run.tags.get(ACTOR) if granted else error.diagnostics().get("actor")
    subject, source = names.launch_subject(run.run_id), names.dagster_run_target(run.run_id)
    _record(plane, "launch", subject, source, error, actor, run.run_id)


def _record(
    plane: Plane,
    operation: str,
    subject: str,
    source: str,
    error: errors.RunOperateError,
    actor: str | None,
    dagster_run_id: str | None = None,
) -> None:
    draft = access_refusal_draft(
        operation=operation,
        actor=actor,
        source=source,
        code=error.code,
        why=str(error),
        moment=plane.clock(),
        by=DAGSTER_ACTOR,
        subject=subject,
        key=names.refusal_key(subject),
        ids=CorrelationIds(dagster_run_id=dagster_run_id),
    )
    record_once(plane.ledger, draft)
