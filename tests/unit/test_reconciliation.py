"""Reconciliation ends what nobody ended: by fixed rules, once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ro_platform.contracts import (
    AttemptTransition,
    CorrelationIds,
    EntryKind,
    JobStatus,
    LedgerEntry,
)
from ro_platform.errors import InvalidTransitionError
from ro_platform.kernel.clock import ManualClock, moment_of, utc_text
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger, standing_seals
from ro_platform.ledger.names import run_subject
from ro_platform.runs.attempt import is_open, transition_of
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.reconciliation import (
    LEASE,
    LOST_CODE,
    OpenAttempt,
    Phase,
    Reconciliation,
    ReconciliationCursor,
    RunFacts,
    ended_with_run,
    judge,
    open_attempts,
)
from tests.effort import times

FP = "a" * 64
NOW = datetime(2030, 1, 2, tzinfo=UTC)
S = JobStatus
ACTOR = "SYSTEM::reconciliation"


class Small:
    """A ledger in memory and its attempts: all that reconciliation is about."""

    def __init__(self, clock: ManualClock | None = None, log: LedgerBackend | None = None) -> None:
        self.clock = clock or ManualClock(NOW)
        self.ledger = Ledger(log or MemoryLedgerBackend(), self.clock)
        self.attempts = AttemptHistory(self.ledger, actor="SYSTEM::dagster")

    def register(self, fingerprint: str = FP) -> None:
        """As the registry records it."""
        run = run_id(fingerprint)
        draft = EntryDraft(
            EntryKind.RUN_REGISTERED,
            run_subject(run),
            "SYSTEM::dagster",
            {"manifest_fingerprint": fingerprint},
            correlation_ids=CorrelationIds(run_id=run),
        )
        self.ledger.append(draft)

    def ran(self, fingerprint: str, run: str) -> None:
        """One attempt under that manifest, to its end."""
        begun = self.attempts.begin(fingerprint, "made", step_key="made", dagster_run_id=run)
        running = self.attempts.move(begun, S.RUNNING, dagster_run_id=run)
        self.attempts.move(running, S.SUCCEEDED, dagster_run_id=run)

    def seals(self, fingerprint: str = FP) -> list[LedgerEntry]:
        """The seals of a run."""
        return list(self.ledger.scan(kind=EntryKind.RUN_SEALED, run_id=run_id(fingerprint)))


@dataclass
class FakeRecords:
    """The orchestrator's records as a dictionary, which a test writes."""

    runs: dict[str, RunFacts] = field(default_factory=dict)
    told: list[tuple[str, bool]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def facts(self, runs: Collection[str]) -> Mapping[str, RunFacts]:
        """See :class:`RunRecords`."""
        return {name: self.runs[name] for name in runs if name in self.runs}

    def end_run(self, run: str, words: str, *, canceled: bool) -> None:
        """See :class:`RunRecords`."""
        assert words
        self.told.append((run, canceled))
        self.runs[run] = RunFacts(Phase.CANCELED if canceled else Phase.ENDED, "over")

    def release(self, run: str) -> None:
        """See :class:`RunRecords`."""
        self.released.append(run)


def item(
    status: JobStatus, *, run: str | None = "run-1", age: timedelta = timedelta()
) -> OpenAttempt:
    plane = Small()
    attempt = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id=run, status=status)
    return OpenAttempt(0, NOW - age, attempt, run)


RULES = [
    (Phase.ENDED, False, S.CANCELED, S.LOST),
    (Phase.CANCELED, False, S.CANCELED, S.CANCELED),
    (Phase.UNDER_WAY, True, S.CANCELED, S.LOST),
    (Phase.CANCELING, True, S.CANCELED, S.CANCELED),
    (Phase.UNDER_WAY, False, None, None),
    (Phase.CANCELING, False, None, None),
    (Phase.CREATED, False, None, None),
]


@pytest.mark.parametrize(("phase", "gone", "queued", "running"), RULES)
def test_an_attempt_ends_as_its_run_did(
    phase: Phase, gone: bool, queued: JobStatus | None, running: JobStatus | None
) -> None:
    """The table of the module's docstring, row by row; who may still speak is waited for."""
    run = RunFacts(phase, "WORD", {"made": "STARTED"}, NOW, worker_is_gone=gone)
    for status, expected in ((S.QUEUED, queued), (S.RUNNING, running)):
        ending = judge(item(status), run, now=NOW)
        assert (ending.status if ending else None) is expected
        if ending:
            assert (ending.error_code == LOST_CODE) is (expected is S.LOST)
            for known in ("WORD", "'made' STARTED", utc_text(NOW)):
                assert known in ending.why


@pytest.mark.parametrize("status", [S.QUEUED, S.RUNNING])
def test_a_run_that_is_gone_leaves_lost_attempts(status: JobStatus) -> None:
    """Deleted in Dagster: our history says LOST, and of which run."""
    ending = judge(item(status), None, now=NOW)
    assert ending is not None
    assert (ending.status, ending.error_code) == (S.LOST, LOST_CODE)
    assert "run-1" in ending.why


@pytest.mark.parametrize(("refused", "expected"), [(None, S.LOST), ("RO_GATE_FAILED", S.REFUSED)])
def test_a_run_that_was_never_submitted_is_waited_for_as_long_as_a_lease(
    refused: str | None, expected: JobStatus
) -> None:
    """Up to the lease it is open; then LOST, or REFUSED where the run was refused before."""
    heard = RunFacts(Phase.CREATED, "NOT_STARTED", last_event_at=NOW - LEASE)
    silent = RunFacts(Phase.CREATED, "NOT_STARTED", last_event_at=NOW - LEASE * 1.01)
    old = item(S.QUEUED, age=LEASE * 2)
    assert judge(old, heard, now=NOW, refused=refused) is None
    assert judge(item(S.QUEUED), silent, now=NOW, refused=refused) is None
    ending = judge(old, silent, now=NOW, refused=refused)
    assert ending is not None
    assert (ending.status, ending.error_code) == (expected, refused or LOST_CODE)


def test_work_outside_dagster_is_lost_after_a_lease() -> None:
    """Nobody can be asked about it, so only its silence speaks."""
    assert judge(item(S.RUNNING, run=None, age=LEASE), None, now=NOW) is None
    ending = judge(item(S.RUNNING, run=None, age=LEASE * 1.01), None, now=NOW)
    assert ending is not None
    assert ending.status is S.LOST


def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    """Then the real one does it, once; a third finds nothing."""
    plane, records = Small(), FakeRecords({"run-1": RunFacts(Phase.ENDED, "FAILURE")})
    begun = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="run-1")
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    before = plane.ledger.size()
    said = passes.run(dry_run=True)
    assert plane.ledger.size() == before
    assert said.mark.runs == (FP,)
    done = passes.run()
    assert [item.why for item in done.ended] == [item.why for item in said.ended]
    assert done.ended[0].item.attempt == begun
    after = plane.ledger.size()
    assert passes.run().ended == ()
    assert plane.ledger.size() == after
    assert [entry.actor for entry in plane.ledger.scan(start=before)] == [ACTOR] * (after - before)


def test_the_orchestrator_is_told_of_a_run_that_it_still_believes_in() -> None:
    """A dead worker's run failed, one never submitted is canceled, an ended one is left alone."""
    runs = {
        "dead": RunFacts(Phase.UNDER_WAY, "STARTED", worker_is_gone=True),
        "never": RunFacts(Phase.CREATED, "NOT_STARTED"),
        "over": RunFacts(Phase.ENDED, "FAILURE"),
    }
    clock = ManualClock(NOW)
    plane, records = Small(clock), FakeRecords(dict(runs))
    for run in (*runs, "deleted"):
        plane.attempts.begin(FP, run, step_key=run, dagster_run_id=run)
    clock.advance(LEASE.total_seconds() + 1)
    done = Reconciliation(plane.ledger, records, clock, actor=ACTOR).run()
    assert len(done.ended) == 4
    assert sorted(records.told) == [("dead", False), ("never", True)]


def test_who_speaks_up_meanwhile_is_not_overruled() -> None:
    """An attempt that moves between the question and the entry is left to the next pass."""
    plane = Small()
    begun = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="run-1")

    class SlowRecords(FakeRecords):
        def facts(self, runs: Collection[str]) -> Mapping[str, RunFacts]:
            if plane.ledger.size() == 1:
                plane.attempts.move(begun, S.RUNNING, dagster_run_id="run-1")
            return super().facts(runs)

    records = SlowRecords({"run-1": RunFacts(Phase.ENDED, "FAILURE")})
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    first = passes.run()
    assert (first.ended, len(first.open), first.mark.runs) == ((), 1, (FP,))
    assert [ending.status for ending in passes.run().ended] == [S.LOST]


def test_a_moment_is_read_as_it_was_written() -> None:
    """To the microsecond, in UTC."""
    assert moment_of(utc_text(NOW + timedelta(microseconds=7))) == NOW + timedelta(microseconds=7)


class Histories(RuleBasedStateMachine):
    """Runs that plan, start, finish, lose events and die in any order; passes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOW)
        self.plane = Small(self.clock)
        self.plane.register()
        self.records = FakeRecords()
        self.mark = ReconciliationCursor()
        self.count = 0

    def _some(self, number: int) -> str:
        return f"run-{number % self.count}"

    def _newest(self, run: str) -> AttemptTransition | None:
        return next(iter(self.plane.attempts.of_dagster_run(run).get("made", ())), None)

    def _move(self, run: str, status: JobStatus, before: JobStatus) -> None:
        attempt = self._newest(run)
        if attempt and attempt.status is before:
            self.plane.attempts.move(attempt, status, dagster_run_id=run)

    @rule(planned=st.booleans())
    def create(self, planned: bool) -> None:
        """Dagster knows a run; the process may die before anything is planned."""
        run = f"run-{self.count}"
        self.count += 1
        self.records.runs[run] = RunFacts(Phase.CREATED, "NOT_STARTED", last_event_at=self.clock())
        if planned:
            self.plane.attempts.begin(FP, "made", step_key="made", dagster_run_id=run)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0), heard=st.booleans())
    def start(self, number: int, heard: bool) -> None:
        """A worker begins; the ledger may not hear of it."""
        run = self._some(number)
        if run in self.records.runs and self.records.runs[run].phase is Phase.CREATED:
            self.records.runs[run] = RunFacts(Phase.UNDER_WAY, "STARTED")
            if heard:
                self._move(run, S.RUNNING, S.QUEUED)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0), how=st.sampled_from([S.SUCCEEDED, S.FAILED]))
    def finish(self, number: int, how: JobStatus) -> None:
        """The step ends, and says so."""
        run = self._some(number)
        if self.records.runs.get(run, RunFacts(Phase.ENDED, "")).phase is Phase.UNDER_WAY:
            self._move(run, how, S.RUNNING)

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0))
    def try_again(self, number: int) -> None:
        """A step that failed is restarted in its run: a further attempt, by a new number."""
        run = self._some(number)
        attempt = self._newest(run)
        under_way = self.records.runs.get(run, RunFacts(Phase.ENDED, "")).phase is Phase.UNDER_WAY
        if attempt and attempt.status is S.FAILED and under_way:
            known = {item.attempt_id for item in self.plane.attempts.of_run(FP)}
            again = self.plane.attempts.begin(
                FP, "made", step_key="made", dagster_run_id=run, status=S.RUNNING
            )
            assert again.attempt_id not in known
            assert again.number == len(known) + 1

    @precondition(lambda self: self.count)
    @rule(number=st.integers(0), phase=st.sampled_from([*Phase, None]), gone=st.booleans())
    def strike(self, number: int, phase: Phase | None, gone: bool) -> None:
        """Anything happens to the run behind the ledger's back: ended, killed, deleted."""
        run = self._some(number)
        if phase is None:
            self.records.runs.pop(run, None)
        elif run in self.records.runs:
            self.records.runs[run] = RunFacts(phase, phase.value, worker_is_gone=gone)

    @precondition(lambda self: self.count)
    @rule(
        number=st.integers(0), canceled=st.booleans(), seen=st.sampled_from([S.QUEUED, S.RUNNING])
    )
    def hear_of_the_end(self, number: int, canceled: bool, seen: JobStatus) -> None:
        """The recorder hears of a run's end, maybe after reconciliation judged it."""
        run = self._some(number)
        attempt = self._newest(run)
        if attempt and attempt.status is seen:
            end = ended_with_run(attempt, canceled=canceled)
            assert self.plane.attempts.end(attempt, end, dagster_run_id=run)
            assert self.plane.attempts.end(attempt, end, dagster_run_id=run) is None

    @rule(seconds=st.sampled_from([1.0, LEASE.total_seconds()]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)

    @rule(remembered=st.booleans())
    def reconcile(self, remembered: bool) -> None:
        """A pass, from the mark or from the start; the next finds nothing more to do."""
        mark = self.mark if remembered else ReconciliationCursor()
        passes = Reconciliation(self.plane.ledger, self.records, self.clock, actor=ACTOR)
        self.mark = passes.run(mark).mark
        size = self.plane.ledger.size()
        again = passes.run()
        assert (again.ended, again.sealed) == ((), ())
        assert self.plane.ledger.size() == size
        for item in again.open:
            assert self.records.runs[str(item.dagster_run_id)].phase not in (
                Phase.ENDED,
                Phase.CANCELED,
            )

    @invariant()
    def nothing_ends_twice_and_the_mark_holds(self) -> None:
        """One beginning, at most one end for each attempt; none open was begun before the mark."""
        entries = list(self.plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION))
        ends = [move.attempt_id for move in map(transition_of, entries) if not is_open(move.status)]
        assert len(ends) == len(set(ends))
        open_now = open_attempts(entries)
        assert all(item.begun >= self.mark.start or self.mark.runs == (FP,) for item in open_now)

    def teardown(self) -> None:
        """When all runs are over, each attempt has exactly one end, and the run a seal."""
        for run in self.records.runs:
            self.records.runs[run] = RunFacts(Phase.ENDED, "FAILURE")
        Reconciliation(self.plane.ledger, self.records, self.clock, actor=ACTOR).run(self.mark)
        moves = [
            transition_of(entry)
            for entry in self.plane.ledger.scan(kind=EntryKind.ATTEMPT_TRANSITION)
        ]
        ends = sorted(move.attempt_id for move in moves if not is_open(move.status))
        assert ends == sorted({move.attempt_id for move in moves})
        seals = standing_seals(self.plane.ledger, [run_id(FP)])
        assert (seals[0] is not None) == bool(moves)


TestAnyInterleaving = Histories.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=times(60), stateful_step_count=25, deadline=None
)


def test_runs_that_wait_for_the_same_work_never_share_an_attempt() -> None:
    """The newest transition is the first run's; the next number is still free of the second's."""
    plane = Small()
    first = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="one")
    second = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="two")
    running = plane.attempts.move(first, S.RUNNING, dagster_run_id="one")
    plane.attempts.move(running, S.FAILED, dagster_run_id="one")
    third = plane.attempts.begin(
        FP, "made", step_key="made", dagster_run_id="one", status=S.RUNNING
    )
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert plane.attempts.newest(FP, "made") == third


def test_a_late_success_is_refused() -> None:
    """A worker that was taken for dead does not succeed afterwards."""
    plane, records = Small(), FakeRecords()
    begun = plane.attempts.begin(FP, "made", step_key="made", dagster_run_id="deleted")
    running = plane.attempts.move(begun, S.RUNNING, dagster_run_id="deleted")
    Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR).run()
    with pytest.raises(InvalidTransitionError):
        plane.attempts.move(running, S.SUCCEEDED, dagster_run_id="deleted")
