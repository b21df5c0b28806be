"""The history of attempts in the ledger: every execution leaves one, and none is ever rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ro_platform.contracts import (
    AttemptTransition,
    CorrelationIds,
    EntryKind,
    JobAttemptRecord,
    JobStatus,
)
from ro_platform.kernel.identity import attempt_id, job_id, run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import (
    BEGINNINGS,
    check_move,
    ids_of_outputs,
    mentions_of,
    project,
    transition_of,
)
from ro_platform.runs.seals import reopening

_NOTHING_MADE = CorrelationIds()

StepAttempts = tuple[AttemptTransition, ...]
"""The newest transition of each attempt of one step: one, unless the step spans partitions."""

_IDENTITY = {"job_id", "attempt_id", "unit", "step_key", "manifest_fingerprint", "number"}


class AttemptHistory:
    """All attempts of one environment. ``actor`` is who records them."""

    def __init__(self, ledger: Ledger, *, actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    def begin(
        self,
        fingerprint: str,
        unit: str,
        *,
        step_key: str,
        dagster_run_id: str | None,
        status: JobStatus = JobStatus.QUEUED,
        **facts: Any,
    ) -> AttemptTransition:
        """Begin the next attempt of a unit of work. Its number is taken inside the append.

        A sealed run is reopened by it, in the same commit. ``dagster_run_id`` is None for work that
        Dagster does not execute.
        """
        check_move(None, status)
        job = job_id(run_id(fingerprint), unit)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            number = _last_number(log, job) + 1
            move = AttemptTransition(
                job_id=job,
                attempt_id=attempt_id(job, number),
                unit=unit,
                step_key=step_key,
                manifest_fingerprint=fingerprint,
                number=number,
                status=status,
                **facts,
            )
            opened = reopening(
                log, fingerprint, actor=self._actor, reason=f"attempt {number} of {unit} begins"
            )
            return [*opened, self._draft(move, dagster_run_id)]

        return transition_of(self._ledger.append_with(build)[-1])

    def move(
        self,
        attempt: AttemptTransition,
        status: JobStatus,
        *,
        dagster_run_id: str | None,
        **facts: Any,
    ) -> AttemptTransition:
        """Record an attempt's next state. The same move again changes nothing.

        Raises :class:`InvalidTransitionError`, judging by the ledger: an attempt that somebody
        else has ended meanwhile stays ended.
        """
        moved = AttemptTransition(
            job_id=attempt.job_id,
            attempt_id=attempt.attempt_id,
            unit=attempt.unit,
            step_key=attempt.step_key,
            manifest_fingerprint=attempt.manifest_fingerprint,
            number=attempt.number,
            status=status,
            **facts,
        )

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            recorded = newest_of(log, attempt)
            if recorded is None or recorded.status is not status:
                check_move(recorded.status if recorded else None, status)
            made = ids_of_outputs(log, moved.attempt_id, moved.outputs)
            return [self._draft(moved, dagster_run_id, made)]

        self._ledger.append_with(build)
        return moved

    def end(
        self,
        attempt: AttemptTransition,
        status: JobStatus,
        *,
        dagster_run_id: str | None,
        **facts: Any,
    ) -> AttemptTransition | None:
        """End an attempt if it still stands as the caller saw it; None if it has moved since.

        For those who judge from outside: whoever was quicker has spoken.
        """
        check_move(attempt.status, status)
        said = attempt.model_dump(include=_IDENTITY) | {"status": status, **facts}
        ended = AttemptTransition.model_validate(said)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            recorded = newest_of(log, attempt)
            stands = recorded is not None and recorded.status is attempt.status
            if not stands:
                return []
            made = ids_of_outputs(log, ended.attempt_id, ended.outputs)
            return [self._draft(ended, dagster_run_id, made)]

        return ended if self._ledger.append_with(build) else None

    def of_dagster_run(self, dagster_run_id: str) -> Mapping[str, StepAttempts]:
        """The newest attempt of each unit of each step (by step key) of one Dagster run, as it
        stands: not one before it, though that may have moved later."""
        entries = self._ledger.scan(
            kind=EntryKind.ATTEMPT_TRANSITION, dagster_run_id=dagster_run_id
        )
        newest: dict[tuple[str, str], AttemptTransition] = {}
        for move in map(transition_of, entries):
            known = newest.get((move.step_key, move.job_id))
            if known is None or move.number >= known.number:
                newest[move.step_key, move.job_id] = move
        steps: dict[str, list[AttemptTransition]] = {}
        for (step_key, _), move in newest.items():
            steps.setdefault(step_key, []).append(move)
        return {step: tuple(moves) for step, moves in steps.items()}

    def of_run(self, fingerprint: str) -> list[JobAttemptRecord]:
        """Every attempt under one manifest, in the order in which they began."""
        return project(
            self._ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION, run_id=run_id(fingerprint))
        )

    def newest(self, fingerprint: str, unit: str) -> AttemptTransition | None:
        """The newest transition of the newest attempt of a unit of work."""
        job = job_id(run_id(fingerprint), unit)
        number = _last_number(self._ledger, job)
        moves = _moves_of(self._ledger, job, attempt_id(job, number))
        return next(moves, None)

    def _draft(
        self,
        move: AttemptTransition,
        dagster_run_id: str | None,
        made: CorrelationIds = _NOTHING_MADE,
    ) -> EntryDraft:
        return EntryDraft(
            kind=EntryKind.ATTEMPT_TRANSITION,
            subject=names.job_subject(move.job_id),
            key=names.attempt_key(move.attempt_id, move.status),
            actor=self._actor,
            correlation_ids=CorrelationIds(
                run_id=run_id(move.manifest_fingerprint),
                train_run_id=made.train_run_id,
                bundle_id=made.bundle_id,
                dagster_run_id=dagster_run_id,
            ),
            mentions=mentions_of(made),
            body=move.to_json_value(),
        )


def newest_of(log: LedgerReader, attempt: AttemptTransition) -> AttemptTransition | None:
    """Where an attempt stands. Usually the first entry: later ones belong to later attempts."""
    return next(_moves_of(log, attempt.job_id, attempt.attempt_id), None)


def _moves_of(log: LedgerReader, job: str, attempt: str) -> Iterator[AttemptTransition]:
    """The transitions of one attempt, newest first."""
    moves = log.scan(
        kind=EntryKind.ATTEMPT_TRANSITION, subject=names.job_subject(job), newest_first=True
    )
    return (move for move in map(transition_of, moves) if move.attempt_id == attempt)


def _last_number(log: LedgerReader, job: str) -> int:
    """The number of the job's last attempt; 0 if it has none.

    The newest transition may be an earlier attempt's: several runs may wait for the same work. So
    from its number one goes up, as long as there is an attempt with the next one.
    """
    last = log.latest(EntryKind.ATTEMPT_TRANSITION, names.job_subject(job))
    number = transition_of(last).number if last else 0
    while _has_begun(log, attempt_id(job, number + 1)):
        number += 1
    return number


def _has_begun(log: LedgerReader, attempt: str) -> bool:
    return any(log.find(names.attempt_key(attempt, status)) for status in BEGINNINGS)
