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
who speaks up meanwhile, ends nothing twice. A run is finished when none of its attempts is open and
the orchestrator has none under way that could begin another; then the orchestrator is told of what
it still believes in, what the run held is given back, and it is sealed, in that order. So a crash
anywhere in between leaves a run without a seal, which is what the next pass looks for
(:mod:`ro_platform.runs.unsettled`). The orchestrator is asked by the ids of runs, never for "what
is newer than the last I saw".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from ro_platform.contracts import AttemptTransition, JobStatus
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.ledger.log import Ledger
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.seals import RunSeals
from ro_platform.runs.unsettled import Mark, OpenAttempt, UnsettledRun, next_mark, unsettled_runs

LEASE = timedelta(minutes=10)
"""How long something that should have been submitted, or is executed outside, may be silent."""

LOST_CODE = "RO_ATTEMPT_LOST"
"""The ``error_code`` of an attempt that vanished. It is no error that is raised."""

_FROM_THE_START = Mark()
_OVER_WORDS = "Every attempt of the run has ended, and nobody is left who could begin another."


class Phase(StrEnum):
    """Where a run of the orchestrator is, as far as that matters here."""

    CREATED = "created"
    UNDER_WAY = "under way"
    CANCELING = "canceling"
    CANCELED = "canceled"
    ENDED = "ended"


_OVER = (Phase.CANCELED, Phase.ENDED)


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

    def release(self, run: str) -> None:
        """Give back what a run that is over holds of what is shared, such as a pool's slot."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an open attempt ends, and why."""

    item: OpenAttempt
    status: JobStatus
    why: str
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: the attempts it ended, those that stay open, the runs (by manifest
    fingerprint) that were sealed, and where the next pass may begin."""

    ended: tuple[Ending, ...]
    open: tuple[OpenAttempt, ...]
    sealed: tuple[str, ...]
    mark: Mark


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
    if not is_over(run, since=item.since, now=now):
        return None
    words = _words(item, run)
    if run.phase is Phase.CREATED:
        if refused and item.attempt.status is JobStatus.QUEUED:
            return Ending(item, JobStatus.REFUSED, f"The run was refused. {words}", refused)
        return _lost(item, f"The run was created and never submitted. {words}")
    canceled = run.phase in (Phase.CANCELING, Phase.CANCELED)
    end = ended_with_run(item.attempt, canceled=canceled)
    return Ending(item, end, words, LOST_CODE if end is JobStatus.LOST else None)


def is_over(run: RunFacts | None, *, since: datetime, now: datetime) -> bool:
    """Whether nothing more can come from a run, of which the ledger last heard at ``since``."""
    if run is None or run.worker_is_gone or run.phase in _OVER:
        return True
    last = max(since, run.last_event_at or since)
    return run.phase is Phase.CREATED and now - last > LEASE


def ended_with_run(attempt: AttemptTransition, *, canceled: bool) -> JobStatus:
    """How an attempt ends that is open when its run ends: what never began was CANCELED. The rule
    of :func:`judge` for whoever hears of the run's end itself."""
    never_began = attempt.status is JobStatus.QUEUED
    return JobStatus.CANCELED if canceled or never_began else JobStatus.LOST


class Reconciliation:
    """Passes over the unsettled runs of one environment. ``actor`` is who records what it ends."""

    def __init__(self, ledger: Ledger, records: RunRecords, clock: Clock, *, actor: str) -> None:
        self._ledger = ledger
        self._records = records
        self._clock = clock
        self._attempts = AttemptHistory(ledger, actor=actor)
        self._seals = RunSeals(ledger, actor=actor)

    def run(self, mark: Mark = _FROM_THE_START, *, dry_run: bool = False) -> Pass:
        """One pass over the runs that are unsettled since ``mark``; ``dry_run`` writes nothing.

        Raises the errors of the ledger and of the orchestrator's storage; what was ended before
        stays ended, and what was not sealed or told is by the next pass from the same mark.
        """
        size = self._ledger.size()
        runs = unsettled_runs(self._ledger, mark, end=size)
        facts = self._records.facts({name for run in runs for name in run.dagster_runs})
        ended: list[Ending] = []
        left: list[OpenAttempt] = []
        for item in sorted((item for run in runs for item in run.open), key=lambda it: it.begun):
            ending = self._judged(item, facts)
            if ending is not None and (dry_run or self._end(ending)):
                ended.append(ending)
            else:
                left.append(item)  # if it moved meanwhile, the next pass sees where to
        over = _over(runs, left, facts, self._clock())
        if not dry_run:
            self._tell(over, ended, facts)
        finished = _finished(runs, left, over)
        sealed = [run.fingerprint for run in finished if self._seal(run, dry_run=dry_run)]
        done = set() if dry_run else {run.fingerprint for run in finished}
        kept = [run for run in runs if run.fingerprint not in done]
        return Pass(tuple(ended), tuple(left), tuple(sealed), next_mark(kept, end=size))

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

    def _tell(
        self, over: Iterable[str], ended: Iterable[Ending], facts: Mapping[str, RunFacts]
    ) -> None:
        """What is over for the ledger must not stay under way for the orchestrator."""
        words = {item.item.dagster_run_id: item.why for item in ended}
        for name in over:
            known = facts.get(name)
            if known and known.phase not in _OVER:
                canceled = known.phase is not Phase.UNDER_WAY
                self._records.end_run(name, words.get(name, _OVER_WORDS), canceled=canceled)
            self._records.release(name)

    def _seal(self, run: UnsettledRun, *, dry_run: bool) -> bool:
        if dry_run or not run.registered:
            return run.registered
        return self._seals.seal(run.fingerprint) is not None


def _over(
    runs: Iterable[UnsettledRun],
    left: Iterable[OpenAttempt],
    facts: Mapping[str, RunFacts],
    now: datetime,
) -> list[str]:
    """The orchestrator's runs that begin nothing any more and of which no attempt is left open."""
    heard: dict[str, datetime] = {}
    for run in runs:
        for name, since in run.dagster_runs.items():
            heard[name] = max(since, heard.get(name, since))
    waited_for = {item.dagster_run_id for item in left}
    return [
        name
        for name, since in heard.items()
        if name not in waited_for and is_over(facts.get(name), since=since, now=now)
    ]


def _finished(
    runs: Iterable[UnsettledRun], left: Iterable[OpenAttempt], over: Iterable[str]
) -> list[UnsettledRun]:
    """The runs of which no attempt is left open, and nobody is left who could begin another."""
    waiting = {item.attempt.manifest_fingerprint for item in left}
    gone = set(over)
    return [
        run for run in runs if run.fingerprint not in waiting and gone.issuperset(run.dagster_runs)
    ]


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
