"""The life of an attempt, as a pure state machine.

- It begins QUEUED, or RUNNING when Dagster restarts a step without queueing it again, or REFUSED.
- QUEUED may become RUNNING, CANCELED, LOST or REFUSED.
- RUNNING may become SUCCEEDED, FAILED, CANCELED or LOST.
- Nothing follows an end. Trying again is another attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

from ro_platform.contracts import (
    AttemptTransition,
    JobAttemptRecord,
    JobStatus,
    LedgerEntry,
)
from ro_platform.errors import InvalidTransitionError
from ro_platform.ledger.entry import body_of

_MOVES: dict[JobStatus | None, frozenset[JobStatus]] = {
    None: frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.REFUSED}),
    JobStatus.QUEUED: frozenset(
        {JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.LOST, JobStatus.REFUSED}
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.LOST}
    ),
}

SKIPPED_CODE = "RO_SKIPPED"
"""The ``error_code`` of an attempt that ended CANCELED because an optional output was not handed
over: its own, or one that it depends on. It is no error that is raised, and fails nothing."""

BEGINNINGS = tuple(sorted(_MOVES[None]))
"""The states in which an attempt can begin."""


def is_open(status: JobStatus) -> bool:
    """Whether an attempt in that state can still move."""
    return status in _MOVES


def is_skipped(attempt: AttemptTransition | JobAttemptRecord) -> bool:
    """Whether an attempt ended without a result because an optional output was not handed over."""
    return attempt.error_code == SKIPPED_CODE


def shown_status(attempt: AttemptTransition | JobAttemptRecord) -> str:
    """Its status for a person: ``SKIPPED`` where nothing was canceled and nothing failed."""
    return "SKIPPED" if is_skipped(attempt) else attempt.status.value


def check_move(old: JobStatus | None, new: JobStatus) -> None:
    """Raise :class:`InvalidTransitionError` unless that move exists."""
    if new not in _MOVES.get(old, frozenset()):
        raise InvalidTransitionError(
            f"an attempt does not go from {old or 'nothing'} to {new}.",
            next_step="What ended stays ended; a retry is a new attempt.",
        )


def transition_of(entry: LedgerEntry) -> AttemptTransition:
    """The transition in a ledger entry of that kind."""
    return body_of(entry, AttemptTransition)


def project(entries: Iterable[LedgerEntry]) -> list[JobAttemptRecord]:
    """The attempts as they stand, in the order in which they began, from their transitions."""
    records: dict[str, JobAttemptRecord] = {}
    for entry in entries:
        move = transition_of(entry)
        said = move.model_dump(exclude_none=True)
        before = records.get(move.attempt_id)
        said |= {
            "created_at_utc": before.created_at_utc if before else entry.recorded_at_utc,
            "updated_at_utc": entry.recorded_at_utc,
            "correlation_ids": entry.correlation_ids.model_dump(),
        }
        known = before.model_dump(exclude_none=True) if before else {}
        records[move.attempt_id] = JobAttemptRecord.model_validate(known | said)
    return list(records.values())
