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
anywhere in between leaves a run without a seal, which is what the next pass looks for. The
orchestrator is asked by the ids of runs, never for "what is newer than the last I saw".

Which runs are not settled yet: an attempt is open, or all have ended and no seal says so.

Only what moves can unsettle a run, and every move is an entry: a transition of an attempt, the
registration of a manifest whose attempts ended before it, or the reopening of a sealed record. So a
pass reads these entries from where the last one came to, and the runs that were left unsettled
then; what is settled is not read again, however much of it there is. The ledger's ``seq`` has no
gaps and commits in order, so nothing can appear before a :class:`ReconciliationCursor` later. A
mark that is lost costs time only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Protocol

from ro_platform.contracts import AttemptTransition, EntryKind, JobStatus, LedgerEntry
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.log import Ledger, standing_seals
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import is_open, transition_of
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.seals import RunSeals

MOST_CARRIED = 1000
"""How many runs a mark names; further ones hold back its ``start`` instead."""

_UNSETTLING = (EntryKind.RUN_REGISTERED, EntryKind.ATTEMPT_TRANSITION, EntryKind.RUN_REOPENED)
_RUNS_A_QUESTION = 500
_CARRIED = -1


@dataclass(frozen=True, slots=True)
class ReconciliationCursor:
    """How far the ledger is done with: before ``start`` (a ``seq``) every run is settled, but for
    ``runs`` (manifest fingerprints)."""

    start: int = 0
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt without an end: where it began in the ledger, where it stands and since when."""

    begun: int
    since: datetime
    attempt: AttemptTransition
    dagster_run_id: str | None


@dataclass(frozen=True, slots=True)
class UnsettledRun:
    """A run that has attempts, or a record that was opened again, and no seal on it.

    ``met`` is the entry by which it was found. ``dagster_runs`` are those with attempts in its open
    record, and when the last of them moved.
    """

    fingerprint: str
    met: int
    registered: bool
    open: tuple[OpenAttempt, ...]
    dagster_runs: Mapping[str, datetime]


def unsettled_runs(
    log: LedgerReader, mark: ReconciliationCursor, *, end: int
) -> list[UnsettledRun]:
    """The runs that are unsettled by the entries before ``end``, in the order of ``met``."""
    met = dict.fromkeys(mark.runs, _CARRIED)
    for kind in _UNSETTLING:
        for entry in log.scan(start=mark.start, end=end, kind=kind):
            met.setdefault(str(entry.body["manifest_fingerprint"]), entry.seq)
    found = (_unsettled(log, one, met[one], end) for one in _unsealed(log, met))
    return sorted(filter(None, found), key=lambda run: run.met)


def next_mark(unsettled: Sequence[UnsettledRun], *, end: int) -> ReconciliationCursor:
    """From where the next pass reads, if these runs are still unsettled at ``end``."""
    ordered = sorted(unsettled, key=lambda run: run.met)
    carried, rest = ordered[:MOST_CARRIED], ordered[MOST_CARRIED:]
    return ReconciliationCursor(
        rest[0].met if rest else end, tuple(run.fingerprint for run in carried)
    )


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


def _unsealed(log: LedgerReader, fingerprints: Iterable[str]) -> Iterator[str]:
    """Those of the runs that no seal stands on."""
    left = iter(fingerprints)
    while some := list(islice(left, _RUNS_A_QUESTION)):
        seals = standing_seals(log, [run_id(one) for one in some])
        yield from (one for one, seal in zip(some, seals, strict=True) if seal is None)


def _unsettled(log: LedgerReader, fingerprint: str, met: int, end: int) -> UnsettledRun | None:
    """A run's open record; None if it is the first one and has no attempts in it."""
    run = run_id(fingerprint)
    reopened = log.latest(EntryKind.RUN_REOPENED, names.run_subject(run))
    start = reopened.seq if reopened else 0
    kind = EntryKind.ATTEMPT_TRANSITION
    moves = list(log.scan(run_id=run, kind=kind, start=start, end=end))
    if not moves and reopened is None:
        return None
    heard = {move.correlation_ids.dagster_run_id: move.recorded_at_utc for move in moves}
    return UnsettledRun(
        fingerprint,
        met,
        log.latest(EntryKind.RUN_REGISTERED, names.run_subject(run)) is not None,
        tuple(open_attempts(moves)),
        {name: moment_of(last) for name, last in heard.items() if name is not None},
    )


LEASE = timedelta(minutes=10)
"""How long something that should have been submitted, or is executed outside, may be silent."""

LOST_CODE = "RO_ATTEMPT_LOST"
"""The ``error_code`` of an attempt that vanished. It is no error that is raised."""

_FROM_THE_START = ReconciliationCursor()
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
    mark: ReconciliationCursor


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

    def run(self, mark: ReconciliationCursor = _FROM_THE_START, *, dry_run: bool = False) -> Pass:
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
