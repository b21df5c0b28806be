"""Reconciliation against Dagster's own records: by a sensor, and by ``ro attempts reconcile``.

The rules are in :mod:`ro_platform.runs.reconciliation`. Here Dagster is asked what they need, by
the ids of runs, and is told of a run that is over and that it still believes in. Nobody has to be
alive for it but the one who asks: a worker that signed on and is dead is found by its process.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

import dagster as dg

from ro_platform.config.settings import Settings
from ro_platform.orchestration.instances import open_instance
from ro_platform.orchestration.launcher import worker_is_gone
from ro_platform.orchestration.partitions import is_fingerprint
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.orchestration.workers import free_slots
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.reconciliation import (
    Pass,
    Phase,
    Reconciliation,
    ReconciliationCursor,
    RunFacts,
)

RECONCILIATION_ACTOR = "SYSTEM::reconciliation"
_RUNS_A_QUESTION = 200
_Status = dg.DagsterRunStatus
_PHASES = {
    _Status.NOT_STARTED: Phase.CREATED,
    _Status.CANCELING: Phase.CANCELING,
    _Status.CANCELED: Phase.CANCELED,
    _Status.SUCCESS: Phase.ENDED,
    _Status.FAILURE: Phase.ENDED,
}
_EXECUTING = (_Status.STARTED, _Status.CANCELING)


class DagsterRecords:
    """What a Dagster instance has on record of runs."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def facts(self, runs: Collection[str]) -> Mapping[str, RunFacts]:
        """See :class:`ro_platform.runs.reconciliation.RunRecords`."""
        return {
            record.dagster_run.run_id: self._facts(record) for record in self._records(sorted(runs))
        }

    def end_run(self, run: str, words: str, *, canceled: bool) -> None:
        """See :class:`ro_platform.runs.reconciliation.RunRecords`."""
        known = self._instance.get_run_by_id(run)
        if known is None or known.is_finished:
            return
        if canceled:
            self._instance.report_run_canceled(known, message=words)
        else:
            self._instance.report_run_failed(known, message=words)

    def release(self, run: str) -> None:
        """See :class:`ro_platform.runs.reconciliation.RunRecords`."""
        free_slots(self._instance, run, is_over=True)

    def _records(self, runs: Collection[str]) -> Iterator[dg.RunRecord]:
        left = iter(runs)
        while some := list(islice(left, _RUNS_A_QUESTION)):
            yield from self._instance.get_run_records(dg.RunsFilter(run_ids=some))

    def _facts(self, record: dg.RunRecord) -> RunFacts:
        run, gone = record.dagster_run, False
        if run.status in _EXECUTING and worker_is_gone(run):
            # It may have ended just before it died: only now nothing more can come from it.
            run = self._instance.get_run_by_id(run.run_id) or run
            gone = run.status in _EXECUTING
        phase = _PHASES.get(run.status, Phase.UNDER_WAY)
        if phase in (Phase.UNDER_WAY, Phase.CANCELING) and not gone:
            return RunFacts(phase, run.status.value)
        return RunFacts(
            phase=phase,
            status=run.status.value,
            steps=self._steps(run.run_id),
            last_event_at=self._last_event_at(record),
            worker_is_gone=gone,
        )

    def _steps(self, run: str) -> dict[str, str]:
        stats = self._instance.get_run_step_stats(run)
        return {step.step_key: step.status.value if step.status else "started" for step in stats}

    def _last_event_at(self, record: dg.RunRecord) -> datetime:
        """By the run's log; by the run's row if the log was wiped."""
        found = self._instance.get_records_for_run(
            record.dagster_run.run_id, limit=1, ascending=False
        ).records
        if found:
            return datetime.fromtimestamp(found[0].timestamp, UTC)
        return record.update_timestamp.replace(tzinfo=UTC)


def reconcile_attempts(settings: Settings, *, actor: str, dry_run: bool = False) -> Pass:
    """One pass over all of this deployment's runs. See :meth:`Reconciliation.run`."""
    plane, instance = shared_plane(settings), open_instance(settings)
    return _reconciliation(plane, instance, actor).run(dry_run=dry_run)


def reconciliation_sensor(
    *,
    name: str = "attempt_reconciliation",
    minimum_interval_seconds: int = 30,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """A sensor that ends the attempts whose end nobody told, and seals the runs that nobody sealed.
    It launches nothing.

    The cursor is a :class:`~ro_platform.runs.reconciliation.ReconciliationCursor`, so that a tick
    reads what is new and what is unsettled: losing it costs time only. A tick that fails leaves it
    where it was.
    """

    @dg.sensor(
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description="Ends the attempts whose worker vanished, by what Dagster has on record, and "
        "seals the runs that nobody sealed.",
    )
    def reconciliation(
        context: dg.SensorEvaluationContext, plane: PlaneResource
    ) -> dg.SensorResult:
        passes = _reconciliation(plane.plane, context.instance, RECONCILIATION_ACTOR)
        done = passes.run(_mark(context.cursor, plane.plane))
        for ending in done.ended:
            attempt = ending.item.attempt
            context.log.warning(
                f"Attempt {attempt.attempt_id} of {attempt.unit!r}: {attempt.status} became "
                f"{ending.status}. {ending.why}"
            )
        words = (
            f"{len(done.ended)} attempts were ended, {len(done.open)} are open; "
            f"{len(done.sealed)} runs were sealed."
        )
        return dg.SensorResult(cursor=_cursor(done.mark), skip_reason=dg.SkipReason(words))

    return reconciliation


def _reconciliation(plane: Plane, instance: dg.DagsterInstance, actor: str) -> Reconciliation:
    return Reconciliation(plane.ledger, DagsterRecords(instance), plane.clock, actor=actor)


def _cursor(mark: ReconciliationCursor) -> str:
    return json.dumps({"from": mark.start, "runs": mark.runs})


def _mark(cursor: str | None, plane: Plane) -> ReconciliationCursor:
    """Where the cursor points; the beginning for none, or for one that is not of this ledger."""
    try:
        said = json.loads(cursor or "{}")
        mark = ReconciliationCursor(int(said.get("from", 0)), tuple(map(str, said["runs"])))
    except (ValueError, TypeError, AttributeError, KeyError):
        return ReconciliationCursor()
    known = 0 <= mark.start <= plane.ledger.size() and all(map(is_fingerprint, mark.runs))
    return mark if known else ReconciliationCursor()
