"""What a refused launch leaves behind: in the ledger, in its attempts and in Dagster.

Each part may be repeated: a crash in between leaves a run that has executed nothing, and the next
look at it refuses it again.
"""

from __future__ import annotations

import dagster as dg

from ro_platform.contracts import CorrelationIds, EntryKind, JobStatus
from ro_platform.contracts.access import AccessRefused
from ro_platform.errors import PausedError, RunOperateError
from ro_platform.kernel.clock import utc_text
from ro_platform.ledger.entry import EntryDraft
from ro_platform.orchestration.dagster_private import report_refusal
from ro_platform.orchestration.launches import ACTOR, REFUSED, REFUSED_BY
from ro_platform.plane import DAGSTER_ACTOR, Plane

_MOST_WORDS = 1000


def record_refusal(plane: Plane, run: dg.DagsterRun, error: RunOperateError) -> None:
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
    instance: dg.DagsterInstance, run: dg.DagsterRun, error: RunOperateError
) -> None:
    """End the run as CANCELED, with the refusal's words in its log and its code in its tags."""
    facts = error.diagnostics()
    by = str(facts.get("target") or facts.get("actor") or "access")
    instance.add_run_tags(run.run_id, {REFUSED: error.code, REFUSED_BY: by})
    shown = {key: str(value) for key, value in facts.items() if value is not None}
    report_refusal(instance, run, str(error), {**shown, "code": error.code})
    instance.report_run_canceled(run, message=f"Refused. {error}")


def _record_access(plane: Plane, run: dg.DagsterRun, error: RunOperateError) -> None:
    # A pause is asked about only after the run's grant, so the tag is its grant's; and the error
    # names who paused.
    known = run.tags if isinstance(error, PausedError) else error.diagnostics()
    body = AccessRefused(
        operation="launch",
        actor=known.get(ACTOR if isinstance(error, PausedError) else "actor"),
        source=f"dagster_run/{run.run_id}",
        code=error.code,
        reason=_one_line(str(error)),
        count=1,
        observed_at_utc=utc_text(plane.clock()),
    )
    key = f"refused/launch/{run.run_id}"
    draft = EntryDraft(
        EntryKind.ACCESS_REFUSED,
        f"launch/{run.run_id}",
        DAGSTER_ACTOR,
        body,
        key=key,
        correlation_ids=CorrelationIds(dagster_run_id=run.run_id),
    )
    plane.ledger.append_with(lambda log: [] if log.find(key) else [draft])


def _one_line(words: str) -> str:
    return " ".join(words.split())[:_MOST_WORDS]
