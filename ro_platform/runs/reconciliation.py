"""Reconciliation: an attempt whose end nobody told is ended by what the orchestrator knows of it.

Who may still speak is waited for. The rules, for an attempt that the ledger has open:

| the orchestrator's run | QUEUED becomes | RUNNING becomes |
|---|---|---|
| is not on its records any more | LOST | LOST |
| was canceled | CANCELED | CANCELED |
| ended otherwise, or its worker is gone | CANCELED: it never began | LOST |
| was created, not submitted, and is silent for a lease | LOST, or REFUSED if another was | LOST |
| is waiting or under way | stays | stays |
| is none (work outside it), and the attempt is silent for a lease | LOST | LOST |

Each end is written only if the attempt still stands as it was judged, so a second pass, or somebody
who speaks up meanwhile, ends nothing twice. A crash between two ends leaves the rest to the next
pass. The orchestrator is asked by the ids of runs, never for "what is newer than the last I saw".
The ledger's ``seq`` has no gaps and commits in order, so :attr:`Pass.watermark` (every attempt
begun before it has ended) holds for good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from ro_platform.contracts import AttemptTransition, EntryKind, JobStatus, LedgerEntry
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.ledger.log import Ledger
from ro_platform.runs.attempt import is_open, transition_of
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.seals import RunSeals

LEASE = timedelta(minutes=10)
"""How long something that should have been submitted, or is executed outside, may be silent."""

LOST_CODE = "RO_ATTEMPT_LOST"
"""The ``error_code`` of an attempt that vanished. It is no error that is raised."""


class Phase(StrEnum):
    """Where a run of the orchestrator is, as far as that matters here."""

    CREATED = "created"
    UNDER_WAY = "under way"
    CANCELING = "canceling"
    CANCELED = "canceled"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the orchestrator knows of one run: its own word for the status, the steps it has heard
    of with its word for each, and when it last heard of the run."""

    phase: Phase
    status: str
    steps: Mapping[str, str] = field(default_factory=dict)
    last_event_at: datetime | None = None
    worker_is_gone: bool = False


class RunRecords(Protocol):
    """The orchestrator's own records, asked by the ids of runs."""

    def facts(self, runs: Collection[str]) -> Mapping[str, RunFacts]:
        """What it knows of these runs; one that it has no record of is left out."""

    def end_run(self, run: str, words: str, *, canceled: bool) -> None:
        """Let it know that a run is over that it still believes in; nothing if it knows already."""


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt without an end: where it began in the ledger, where it stands and since when."""

    begun: int
    since: datetime
    attempt: AttemptTransition
    dagster_run_id: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an open attempt ends, and why."""

    item: OpenAttempt
    status: JobStatus
    why: str
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: the attempts it ended, those that stay open, and how far the ledger is
    done with (a ``seq``: where the next pass may start)."""

    ended: tuple[Ending, ...]
    open: tuple[OpenAttempt, ...]
    watermark: int


def open_attempts(entries: Iterable[LedgerEntry]) -> list[OpenAttempt]:
    """The attempts that have not ended, oldest first, from their transitions in order."""
    found: dict[str, OpenAttempt] = {}
    for entry in entries:
        move = transition_of(entry)
        if not is_open(move.status):
            found.pop(move.attempt_id, None)
            continue
        before = found.get(move.attempt_id)
        found[move.attempt_id] = OpenAttempt(
            begun=before.begun if before else entry.seq,
            since=moment_of(entry.recorded_at_utc),
            attempt=move,
            dagster_run_id=entry.correlation_ids.dagster_run_id,
        )
    return sorted(found.values(), key=lambda item: item.begun)


def judge(
    item: OpenAttempt, run: RunFacts | None, *, now: datetime, refused: str | None = None
) -> Ending | None:
    """How an open attempt ends, or None while it stays open. ``run`` is None for one that is not
    on record; ``refused`` is the code with which another attempt of the run was refused."""
    if item.dagster_run_id is None:
        words = f"It was begun outside Dagster and is silent since {utc_text(item.since)}."
        return _lost(item, words) if now - item.since > LEASE else None
    if run is None:
        return _lost(item, f"Dagster has no record of its run {item.dagster_run_id} any more.")
    words = _words(item, run)
    if run.phase is Phase.CREATED:
        if now - max(item.since, run.last_event_at or item.since) <= LEASE:
            return None
        if refused and item.attempt.status is JobStatus.QUEUED:
            return Ending(item, JobStatus.REFUSED, f"The run was refused. {words}", refused)
        return _lost(item, f"The run was created and never submitted. {words}")
    if run.phase in (Phase.UNDER_WAY, Phase.CANCELING) and not run.worker_is_gone:
        return None
    canceled = run.phase in (Phase.CANCELING, Phase.CANCELED)
    end = ended_with_run(item.attempt, canceled=canceled)
    return Ending(item, end, words, LOST_CODE if end is JobStatus.LOST else None)


def ended_with_run(attempt: AttemptTransition, *, canceled: bool) -> JobStatus:
    """How an attempt ends that is open when its run ends: what never began was CANCELED. The rule
    of :func:`judge` for whoever hears of the run's end itself."""
    never_began = attempt.status is JobStatus.QUEUED
    return JobStatus.CANCELED if canceled or never_began else JobStatus.LOST


class Reconciliation:
    """Passes over the open attempts of one environment. ``actor`` is who records the ends."""

    def __init__(self, ledger: Ledger, records: RunRecords, clock: Clock, *, actor: str) -> None:
        self._ledger = ledger
        self._records = records
        self._clock = clock
        self._attempts = AttemptHistory(ledger, actor=actor)
        self._seals = RunSeals(ledger, actor=actor)

    def run(self, *, start: int = 0, dry_run: bool = False) -> Pass:
        """One pass over the attempts begun at ``start`` or later; ``dry_run`` writes nothing.

        Raises the errors of the ledger and of the orchestrator's storage; what was ended before
        stays ended.
        """
        size = self._ledger.size()
        found = open_attempts(
            self._ledger.scan(start=start, end=size, kind=EntryKind.ATTEMPT_TRANSITION)
        )
        facts = self._records.facts({item.dagster_run_id for item in found if item.dagster_run_id})
        ended, left = [], []
        for item in found:
            ending = self._judged(item, facts)
            if ending is None:
                left.append(item)
            elif dry_run or self._end(ending):
                ended.append(ending)
            else:
                left.append(item)  # it moved meanwhile: the next pass sees where to
        if not dry_run:
            self._tell(ended, facts)
            for fingerprint in sorted({item.item.attempt.manifest_fingerprint for item in ended}):
                self._seals.seal(fingerprint)
        kept = [item.begun for item in left] + [item.item.begun for item in ended if dry_run]
        return Pass(tuple(ended), tuple(left), min(kept, default=size))

    def _judged(self, item: OpenAttempt, facts: Mapping[str, RunFacts]) -> Ending | None:
        run = facts.get(item.dagster_run_id or "")
        refused = self._refusal(item) if run and run.phase is Phase.CREATED else None
        return judge(item, run, now=self._clock(), refused=refused)

    def _refusal(self, item: OpenAttempt) -> str | None:
        steps = self._attempts.of_dagster_run(item.dagster_run_id or "").values()
        codes = [
            move.error_code
            for attempts in steps
            for move in attempts
            if move.status is JobStatus.REFUSED
        ]
        return next(filter(None, codes), None)

    def _end(self, ending: Ending) -> bool:
        written = self._attempts.end(
            ending.item.attempt,
            ending.status,
            dagster_run_id=ending.item.dagster_run_id,
            error=ending.why,
            error_code=ending.error_code,
            retryable=ending.status is not JobStatus.REFUSED,
        )
        return written is not None

    def _tell(self, ended: Iterable[Ending], facts: Mapping[str, RunFacts]) -> None:
        """What is over for the ledger must not stay under way for the orchestrator."""
        words = {item.item.dagster_run_id: item.why for item in ended}
        for run, why in words.items():
            known = facts.get(run or "")
            if run and known and known.phase not in (Phase.CANCELED, Phase.ENDED):
                self._records.end_run(run, why, canceled=known.phase is not Phase.UNDER_WAY)


def _lost(item: OpenAttempt, why: str) -> Ending:
    return Ending(item, JobStatus.LOST, why, LOST_CODE)


def _words(item: OpenAttempt, run: RunFacts) -> str:
    worker = " and its worker is gone" if run.worker_is_gone else ""
    step = run.steps.get(item.attempt.step_key, "never started")
    heard = utc_text(run.last_event_at) if run.last_event_at else "never"
    return (
        f"In Dagster the run is {run.status}{worker}, step {item.attempt.step_key!r} {step}; "
        f"last heard of at {heard}."
    )
