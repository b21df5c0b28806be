"""The life of an attempt, as a pure state machine.

- It begins QUEUED, or RUNNING when Dagster restarts a step without queueing it again, or REFUSED.
- QUEUED may become RUNNING, CANCELED, LOST or REFUSED.
- RUNNING may become SUCCEEDED, FAILED, CANCELED or LOST.
- Nothing follows an end. Trying again is another attempt.

The names by which one piece of work is known beside its run: a training run, a bundle.

Both come from what an asset says of itself in its definition's metadata. ``ro/train_run: True``:
making it is a training run, known by its attempt (``train_run_id`` = ``attempt_id``), so that
training again is another one. ``ro/bundle: True``: it is a bundle, known by its bytes
(``bundle_id`` = the digest), so that the same bundle made again is the same one. The entry that
binds the artifact carries them, and so does the end of its attempt; each is mentioned, too, so
that it is found without reading anything else. What is said of the artifact later (a verdict, a
revocation, a block, an erasure) carries them as well: :mod:`ro_platform.gates.made`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ro_platform import errors
from ro_platform.contracts import (
    AttemptTransition,
    CorrelationIds,
    EntryKind,
    JobAttemptRecord,
    JobStatus,
    LedgerEntry,
    NamedArtifact,
)
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader

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
        raise errors.InvalidTransitionError(
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


def mentions_of(ids: CorrelationIds) -> tuple[str, ...]:
    """What an entry with these correlation ids mentions; the other two ids have columns."""
    trained = (names.train_run_mention(ids.train_run_id),) if ids.train_run_id else ()
    bundled = (names.bundle_mention(ids.bundle_id),) if ids.bundle_id else ()
    return trained + bundled


def ids_of_outputs(
    log: LedgerReader, attempt_id: str, outputs: Iterable[NamedArtifact] | None
) -> CorrelationIds:
    """``train_run_id`` and ``bundle_id`` of what an attempt bound, as the ledger has them."""
    subjects = [names.artifact_subject(item.artifact.ref) for item in outputs or ()]
    found = log.latest_of([(EntryKind.ARTIFACT_BOUND, subject) for subject in subjects])
    own = [
        entry.correlation_ids
        for entry in found
        if entry is not None and entry.body["attempt_id"] == attempt_id
    ]
    return CorrelationIds(
        train_run_id=next((ids.train_run_id for ids in own if ids.train_run_id), None),
        bundle_id=next((ids.bundle_id for ids in own if ids.bundle_id), None),
    )
