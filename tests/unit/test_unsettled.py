"""What a pass of reconciliation leaves unsettled, what it seals, and what it costs to find out."""

from __future__ import annotations

import pytest

from ro_platform.contracts import EntryKind
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.base import Row, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.runs import reconciliation as unsettled
from ro_platform.runs.reconciliation import (
    LEASE,
    Phase,
    Reconciliation,
    ReconciliationCursor,
    RunFacts,
)
from ro_platform.runs.seals import reopening
from tests.unit.test_reconciliation import ACTOR, FP, NOW, FakeRecords, S, Small

OTHERS = [f"{number:064x}" for number in range(200)]
SUCCEEDED = RunFacts(Phase.ENDED, "SUCCESS")


class Counting(MemoryLedgerBackend):
    """Counts the rows it hands out."""

    rows = 0

    def page(self, selection: Selection, limit: int) -> list[Row]:
        """See :class:`LedgerRows`."""
        found = super().page(selection, limit)
        self.rows += len(found)
        return found


def finished(plane: Small, fingerprint: str = FP, run: str = "run-1") -> None:
    """A registered run whose attempt ended, and which nobody sealed."""
    plane.register(fingerprint)
    plane.ran(fingerprint, run)


def test_a_finished_run_that_nobody_sealed_is_sealed_once() -> None:
    """A crash between its last end and its seal: the next pass seals it, a further one writes
    nothing, and a dry run before them says so."""
    plane, records = Small(), FakeRecords({"run-1": SUCCEEDED})
    finished(plane)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    size = plane.ledger.size()
    assert passes.run(dry_run=True).sealed == (FP,)
    assert plane.ledger.size() == size
    done = passes.run()
    assert (done.ended, done.open, done.sealed, done.mark) == (
        (),
        (),
        (FP,),
        ReconciliationCursor(size),
    )
    assert [seal.actor for seal in plane.seals()] == [ACTOR]
    for mark in (ReconciliationCursor(), done.mark):
        assert passes.run(mark).sealed == ()
    assert plane.ledger.size() == size + 1


def test_a_run_is_not_finished_while_somebody_may_begin_another_attempt() -> None:
    """Between a failed try and its retry no attempt is open, and Dagster's run is under way."""
    plane = Small()
    finished(plane)
    records = FakeRecords({"run-1": RunFacts(Phase.UNDER_WAY, "STARTED")})
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    first = passes.run()
    assert (first.sealed, first.mark.runs, plane.seals()) == ((), (FP,), [])
    records.runs["run-1"] = SUCCEEDED
    assert passes.run(first.mark).sealed == (FP,)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (RunFacts(Phase.UNDER_WAY, "STARTED", worker_is_gone=True), ("run-1", False)),
        (RunFacts(Phase.CANCELING, "CANCELING", worker_is_gone=True), ("run-1", True)),
        (RunFacts(Phase.CREATED, "NOT_STARTED"), ("run-1", True)),
    ],
)
def test_what_a_crash_kept_from_the_orchestrator_is_told_by_the_next_pass(
    facts: RunFacts, told: tuple[str, bool]
) -> None:
    """The attempts were ended and the process died: without a seal, the run is looked at again."""
    clock = ManualClock(NOW)
    plane, records = Small(clock), FakeRecords({"run-1": facts})
    finished(plane)
    clock.advance(LEASE.total_seconds() + 1)

    class Dies(FakeRecords):
        def end_run(self, run: str, words: str, *, canceled: bool) -> None:
            raise ConnectionError("the process is gone")

    with pytest.raises(ConnectionError):
        Reconciliation(plane.ledger, Dies(records.runs), clock, actor=ACTOR).run()
    assert plane.seals() == []
    passes = Reconciliation(plane.ledger, records, clock, actor=ACTOR)
    assert passes.run().sealed == (FP,)
    assert records.told == [told]
    assert passes.run().sealed == ()
    assert records.told == [told]


def test_a_record_that_was_opened_for_what_touched_the_run_is_closed() -> None:
    """Whoever opened it died before sealing it: there is no attempt in it, and it is sealed."""
    plane, records = Small(), FakeRecords({"run-1": SUCCEEDED})
    finished(plane)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    first = passes.run()
    plane.ledger.append_with(lambda log: reopening(log, FP, actor=ACTOR, reason="touched"))
    second = passes.run(first.mark)
    assert (second.sealed, len(plane.seals())) == ((FP,), 2)
    assert passes.run(second.mark).sealed == ()


def test_a_manifest_that_is_registered_after_its_attempts_ended_is_found() -> None:
    """Until then there is nothing to seal, and nothing is kept in mind."""
    plane, records = Small(), FakeRecords()
    plane.attempts.begin(FP, "x", step_key="x", dagster_run_id="gone", status=S.REFUSED)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    first = passes.run()
    assert (first.sealed, first.mark) == ((), ReconciliationCursor(1))
    plane.register()
    assert passes.run(first.mark).sealed == (FP,)


def test_a_registered_run_that_never_ran_is_not_finished() -> None:
    """It is neither sealed nor kept in mind."""
    plane = Small()
    plane.register()
    done = Reconciliation(plane.ledger, FakeRecords(), plane.clock, actor=ACTOR).run()
    assert (done.sealed, done.mark, plane.seals()) == ((), ReconciliationCursor(1), [])


def test_each_record_of_a_run_that_is_executed_again_is_sealed() -> None:
    """A later attempt reopens the run; if nobody seals it, the pass does, with the next number."""
    plane, records = Small(), FakeRecords({"run-1": SUCCEEDED, "run-2": SUCCEEDED})
    finished(plane)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    mark = passes.run().mark
    plane.ran(FP, "run-2")
    assert passes.run(mark).sealed == (FP,)
    assert [seal.body["record"] for seal in plane.seals()] == [1, 2]
    assert plane.seals()[1].body["previous"] == plane.seals()[0].seq


def test_a_pass_costs_what_is_new_and_what_is_unsettled() -> None:
    """Behind its mark are 200 sealed runs, one that waits, and one that nobody sealed; ahead of it,
    one that ran."""
    log = Counting()
    plane, records = Small(log=log), FakeRecords({"run-1": SUCCEEDED})
    waiting, unsealed, new, *settled = OTHERS
    for fingerprint in settled:
        finished(plane, fingerprint)
    plane.register(waiting)
    plane.attempts.begin(waiting, "x", step_key="x", dagster_run_id="waits")
    records.runs["waits"] = RunFacts(Phase.UNDER_WAY, "QUEUED")
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    first = passes.run()
    assert (len(first.sealed), first.mark.runs) == (len(settled), (waiting,))
    finished(plane, unsealed)
    second = passes.run(passes.run(first.mark, dry_run=True).mark)
    assert second.sealed == (unsealed,)
    finished(plane, new)
    log.rows = 0
    assert passes.run(second.mark).sealed == (new,)
    assert log.rows < 30, "it walked the settled runs"


def test_a_mark_names_only_so_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more, the later ones hold back where the next pass begins; none is forgotten."""
    monkeypatch.setattr(unsettled, "MOST_CARRIED", 3)
    plane, records = Small(), FakeRecords({"run-1": RunFacts(Phase.UNDER_WAY, "QUEUED")})
    runs = OTHERS[:10]
    for fingerprint in runs:
        finished(plane, fingerprint)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    mark = passes.run().mark
    assert mark.runs == tuple(runs[:3])
    assert plane.ledger.get(mark.start).body["manifest_fingerprint"] == runs[3]
    mark = passes.run(mark).mark
    records.runs["run-1"] = SUCCEEDED
    done = passes.run(mark)
    assert sorted(done.sealed) == runs
    assert done.mark.runs == ()


def test_an_entry_of_another_kind_unsettles_nothing() -> None:
    """A sealed run stays as it is whatever touches it."""
    plane, records = Small(), FakeRecords({"run-1": SUCCEEDED})
    finished(plane)
    passes = Reconciliation(plane.ledger, records, plane.clock, actor=ACTOR)
    passes.run()
    kinds = {entry.kind for entry in plane.ledger.scan()}
    assert kinds == {EntryKind.RUN_REGISTERED, EntryKind.ATTEMPT_TRANSITION, EntryKind.RUN_SEALED}
    assert passes.run().mark == ReconciliationCursor(plane.ledger.size())
