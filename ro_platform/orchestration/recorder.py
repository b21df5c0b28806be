"""Dagster's event log, read as it is written: every execution of a governed step leaves an attempt.

| Dagster's event | the attempt |
|---|---|
| materialization or check planned | QUEUED |
| step started, step restarted | RUNNING; of a graph-backed asset, with its first step |
| step succeeded | SUCCEEDED, with digests in and out |
| step failed, step up for retry | FAILED, with the error's code; CANCELED if interrupted |
| step succeeded without an optional output | of that output's asset CANCELED, as skipped |
| step skipped | CANCELED, as skipped |
| run ended | what is still QUEUED was CANCELED; what still RUNS is LOST, or CANCELED with the run |

A run that nobody may launch, or of something that is paused, fails at its first step, which does
not compute: its attempts are REFUSED. This is the law for what no coordinator sees.

When a run has ended and nothing else is open under its manifest, the record of it is sealed.

An event that cannot be recorded raises, so Dagster does not go on: no execution without a record.
What is planned, what was materialized, and that a run has failed, is recorded before Dagster stores
it, everything else after: a process that is killed in between leaves an attempt without an end,
which reconciliation ends, and never Dagster's plan without an attempt. Dagster stores a failure and
only then gives the run that status, by which its daemon decides, once, whether to retry: nothing of
ours comes between.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.contracts import AttemptTransition, GateStatus, JobStatus, PinnedConfigRef
from ro_platform.dagster_private.running import (
    code_version_of,
    errors_of,
    is_of_output,
    planned_units,
)
from ro_platform.orchestration import sessions
from ro_platform.orchestration.failures import shown_by_dagster
from ro_platform.orchestration.partitions import is_fingerprint, unit_of
from ro_platform.orchestration.workers import die_with_parent
from ro_platform.plane import Plane
from ro_platform.runs.attempt import SKIPPED_CODE, is_open
from ro_platform.runs.changes import runtime_fingerprint
from ro_platform.runs.history import StepAttempts
from ro_platform.runs.reconciliation import LOST_CODE, ended_with_run

_CODE = re.compile(r"\b(RO_[A-Z_]+): ")
_MAX_ERROR_CHARS = 2000
_NOT_HANDED_OVER = "Its output is optional, and was not handed over."
_Event = dg.DagsterEventType
_PLANNED = (_Event.ASSET_MATERIALIZATION_PLANNED, _Event.ASSET_CHECK_EVALUATION_PLANNED)
_RECORDED_FIRST = frozenset({*_PLANNED, _Event.ASSET_MATERIALIZATION, _Event.RUN_FAILURE})
_GIVEN_UP = (JobStatus.CANCELED, JobStatus.LOST, JobStatus.REFUSED)


class AttemptRecorder:
    """Turns the events of this process into transitions. ``plane`` is opened at the first one.

    ``require_launch`` raises for a run, by its id, that may not start a step: it is asked before
    the first step that this process starts of it, and answers the digest of the config that the
    code gives its job. ``run_is_over`` says whether Dagster's run of
    that id has ended.
    """

    def __init__(
        self,
        plane: Callable[[], Plane],
        require_launch: Callable[[str], str | None] = lambda _: None,
        run_is_over: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._plane = plane
        self._require_launch = require_launch
        self._run_is_over = run_is_over
        self._admitted: dict[str, str | None] = {}

    def record(self, entry: dg.EventLogEntry, store: Callable[[dg.EventLogEntry], None]) -> None:
        """Have Dagster store an event, and record it. Raises if either cannot be done."""
        event = entry.dagster_event
        if event is not None and event.event_type in _RECORDED_FIRST:
            self.observe(entry)
            store(entry)
        else:
            store(entry)
            self.observe(entry)

    def observe(self, entry: dg.EventLogEntry) -> None:
        """Record what an event means for attempts; most mean nothing."""
        event = entry.dagster_event
        if event is None:
            return
        step = event.step_key or ""
        match event.event_type:
            case _Event.ASSET_MATERIALIZATION_PLANNED | _Event.ASSET_CHECK_EVALUATION_PLANNED:
                self._queue(event, entry.run_id)
            case _Event.STEP_WORKER_STARTED:
                die_with_parent()
            case _Event.STEP_START | _Event.STEP_RESTARTED:
                again = event.event_type is _Event.STEP_RESTARTED
                self._start(entry.run_id, step, again=again)
            case _Event.ASSET_MATERIALIZATION:
                if session := sessions.find_session(entry.run_id, step):
                    _note_code(session, event, entry.run_id)
                    _note_output(session, event, entry.run_id)
            case _Event.STEP_SUCCESS:
                self._end(entry.run_id, step, JobStatus.SUCCEEDED)
            case _Event.STEP_FAILURE | _Event.STEP_UP_FOR_RETRY:
                status = JobStatus.CANCELED if _is_interrupted(event) else JobStatus.FAILED
                self._end(entry.run_id, step, status, **_failure(event))
            case _Event.STEP_SKIPPED:
                for attempt in self._plane().attempts.of_dagster_run(entry.run_id).get(step, ()):
                    self._skip(attempt, entry.run_id, "What it depends on was not handed over.")
            case _Event.RUN_SUCCESS | _Event.RUN_FAILURE:
                self._end_run(event, entry.run_id, canceled=False)
            case _Event.RUN_CANCELED:
                self._end_run(event, entry.run_id, canceled=True)

    def _queue(self, event: dg.DagsterEvent, dagster_run_id: str) -> None:
        for fingerprint, unit in planned_units(event):
            if is_fingerprint(fingerprint):
                self._plane().attempts.begin(
                    fingerprint,
                    unit,
                    step_key=event.step_key or "",
                    dagster_run_id=dagster_run_id,
                )

    def _start(self, dagster_run_id: str, step: str, *, again: bool) -> None:
        if dagster_run_id not in self._admitted:
            with shown_by_dagster():
                self._admitted[dagster_run_id] = self._require_launch(dagster_run_id)
        history = self._plane().attempts
        started = []
        attempts = self._attempts(dagster_run_id, step)
        with shown_by_dagster():
            self._require_not_over(attempts, dagster_run_id, step)
        for attempt in attempts:
            facts: dict[str, Any] = {
                "runtime": runtime_fingerprint(),
                "config_versions": self._pins(attempt.manifest_fingerprint),
                "job_config_digest": self._admitted[dagster_run_id],
            }
            if attempt.status is JobStatus.QUEUED:
                started.append(
                    history.move(attempt, JobStatus.RUNNING, dagster_run_id=dagster_run_id, **facts)
                )
            elif attempt.status is JobStatus.RUNNING and not again:
                started.append(attempt)  # a step before it, inside a graph, has begun it
            elif again or attempt.step_key == step:
                # Dagster runs the step again in the same run: that is another attempt.
                started.append(
                    history.begin(
                        attempt.manifest_fingerprint,
                        attempt.unit,
                        step_key=attempt.step_key,
                        dagster_run_id=dagster_run_id,
                        status=JobStatus.RUNNING,
                        **facts,
                    )
                )
        if not started:
            return
        session = sessions.StepSession(tuple(started))
        if all(attempt.step_key == step for attempt in started):
            session = sessions.open_session(dagster_run_id, step, tuple(started))
        with shown_by_dagster():
            self._require_unloaded(session, dagster_run_id)

    def _skip(self, attempt: AttemptTransition, run: str, why: str, **facts: Any) -> None:
        code = {"error_code": SKIPPED_CODE, "error": why, "retryable": False}
        self._close(attempt, run, JobStatus.CANCELED, **facts, **code)

    def _require_not_over(self, attempts: StepAttempts, dagster_run_id: str, step: str) -> None:
        """A worker that outlived its run's end, or was taken for dead, begins nothing more in it,
        and what has succeeded in a run is not executed in it again.

        Of a step that has failed before only Dagster knows whether its run goes on.
        """
        for attempt in attempts:
            over = attempt.status in _GIVEN_UP
            over |= attempt.status is JobStatus.SUCCEEDED and attempt.step_key == step
            ended = not is_open(attempt.status)
            if over or (ended and self._run_is_over(dagster_run_id)):
                raise errors.AttemptEndedError(
                    f"attempt {attempt.attempt_id} of {attempt.unit!r} is {attempt.status}: this "
                    "run is over, and starts no step.",
                    next_step="Launch or re-execute the run: that is another attempt.",
                    attempt_id=attempt.attempt_id,
                    unit=attempt.unit,
                )

    def _require_unloaded(self, session: sessions.StepSession, dagster_run_id: str) -> None:
        """Before a step computes: what its assets depend on without loading it must stand, too.

        What is raised here is the step's failure, since Dagster does not go on without its event.
        """
        declared = sessions.declarations_of(dagster_run_id)
        for attempt in session.attempts:
            for asset in declared.unloaded_by(attempt.unit):
                if declared.is_governed(self._plane(), asset):
                    fingerprint = attempt.manifest_fingerprint
                    session.note(asset, declared.require(self._plane(), asset, fingerprint))

    def _pins(self, fingerprint: str) -> tuple[PinnedConfigRef, ...] | None:
        """The config versions that the run may read; None for a manifest not on record, which
        the step itself will be refused for."""
        try:
            return self._plane().runs.manifest(fingerprint).config_versions
        except errors.ManifestNotRegisteredError:
            return None

    def _end(self, dagster_run_id: str, step: str, status: JobStatus, **facts: Any) -> None:
        session = sessions.close_session(dagster_run_id, step)
        if session:
            attempts = session.attempts
            facts |= {
                "inputs": tuple(session.inputs),
                "outputs": tuple(session.outputs),
                "code_version": session.code_versions,
            }
        else:
            attempts = self._attempts(dagster_run_id, step)
        for attempt in attempts:
            if status is JobStatus.SUCCEEDED and session and session.left_out(attempt.unit):
                self._skip(attempt, dagster_run_id, _NOT_HANDED_OVER, **facts)
            # A step inside a graph ends the graph's attempt only by failing.
            elif attempt.step_key == step or "error_code" in facts:
                self._close(attempt, dagster_run_id, status, **facts)

    def _attempts(self, dagster_run_id: str, step: str) -> StepAttempts:
        """The attempts that a step is part of: its own, or inside a graph-backed asset that
        asset's, which Dagster plans for the step that gives the output."""
        steps = self._plane().attempts.of_dagster_run(dagster_run_id)
        if step in steps or "." not in step:
            return steps.get(step, ())
        graph = step.split(".", 1)[0] + "."
        inside = [attempts for key, attempts in steps.items() if key.startswith(graph)]
        return tuple(attempt for attempts in inside for attempt in attempts)

    def _end_run(self, event: dg.DagsterEvent, dagster_run_id: str, *, canceled: bool) -> None:
        sessions.forget_run(dagster_run_id)
        self._admitted.pop(dagster_run_id, None)
        why = f"The run ended first, as {event.event_type_value}. {event.message or ''}".strip()
        fingerprints = set()
        for attempts in self._plane().attempts.of_dagster_run(dagster_run_id).values():
            for attempt in attempts:
                fingerprints.add(attempt.manifest_fingerprint)
                status = ended_with_run(attempt, canceled=canceled)
                lost = {"error_code": LOST_CODE} if status is JobStatus.LOST else {}
                words = why[:_MAX_ERROR_CHARS]
                self._close(attempt, dagster_run_id, status, error=words, retryable=True, **lost)
        for fingerprint in sorted(fingerprints):
            # The run has ended whatever becomes of its seal: reconciliation sets what is missing.
            with suppress(errors.BackendUnavailableError, errors.OutcomeUnknownError):
                self._plane().seals.seal(fingerprint)

    def _close(
        self, attempt: AttemptTransition, dagster_run_id: str, status: JobStatus, **facts: Any
    ) -> None:
        if not is_open(attempt.status):
            return
        history, own = self._plane().attempts, _own(attempt, facts)
        if status is JobStatus.SUCCEEDED:
            # Dagster must not go on as if it had: what somebody has ended meanwhile raises.
            history.move(attempt, status, dagster_run_id=dagster_run_id, **own)
        else:
            history.end(attempt, status, dagster_run_id=dagster_run_id, **own)


def _note_output(
    session: sessions.StepSession, event: dg.DagsterEvent, dagster_run_id: str
) -> None:
    """Note that a step put out an asset. Raises, as the step's failure, for one that something
    needs and of which nothing was bound, before Dagster says that it is there."""
    if event.asset_key is None or not is_of_output(event):
        return
    unit = unit_of(event.asset_key)
    session.materialized.add(unit)
    is_bound = any(item.name == unit for item in session.outputs)
    if not is_bound and sessions.declarations_of(dagster_run_id).is_needed(unit):
        with shown_by_dagster():
            raise errors.NoValueError(
                f"asset {unit!r} handed over no value, and something governed depends on it or "
                "judges it.",
                next_step="Return what it made (a table, JSON, bytes, a path), or "
                "MaterializeResult(value=...).",
                asset=unit,
            )


def _own(attempt: AttemptTransition, facts: dict[str, Any]) -> dict[str, Any]:
    """Of a step's facts, those about this unit: a multi-asset's outputs and code versions belong
    to one each."""
    outputs = facts.get("outputs")
    if outputs is None:
        return facts
    own = tuple(item for item in outputs if item.name == attempt.unit)
    return facts | {"outputs": own, "code_version": facts["code_version"].get(attempt.unit)}


def _note_code(session: sessions.StepSession, event: dg.DagsterEvent, dagster_run_id: str) -> None:
    version = code_version_of(event, dagster_run_id)
    if version is not None and event.asset_key is not None:
        session.code_versions[unit_of(event.asset_key)] = version


def _is_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step ended because somebody stopped the run: it did not fail by itself."""
    return any(error.cls_name == "DagsterExecutionInterruptedError" for error in errors_of(event))


def _failure(event: dg.DagsterEvent) -> dict[str, Any]:
    """What a failed step says about itself: a stable code, the words, and whether to retry."""
    failures = errors_of(event)
    if not failures:
        return {"error_code": "RO_STEP_FAILED", "retryable": False}
    if failures[-1].cls_name == "DagsterAssetCheckFailedError":
        code, text = errors.GateFailedError.code, f"a gate said {GateStatus.FAIL}"
    else:
        # The library's own words come before what caused them; else the cause says it best.
        own = next(filter(None, (_own_words(error.message) for error in failures)), None)
        code, text = own or ("RO_STEP_FAILED", failures[-1].message.strip())
    kind = errors.error_for(code)
    return {
        "error_code": code,
        "error": text[:_MAX_ERROR_CHARS],
        "retryable": kind.retryable if kind else event.event_type is _Event.STEP_UP_FOR_RETRY,
    }


def _own_words(message: str) -> tuple[str, str] | None:
    """The code and the words of an error of this library; None for any other's."""
    found = _CODE.search(message)
    if found is None or errors.error_for(found.group(1)) is None:
        return None
    return found.group(1), message[found.end() :].strip()
