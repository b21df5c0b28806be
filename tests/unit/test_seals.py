"""Seals: a run's record is closed with the count and root of its entries, and stays closed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ro_platform.contracts import (
    AdminActionType,
    AttemptTransition,
    CodeRef,
    CorrelationIds,
    EntryKind,
    JobStatus,
    LedgerEntry,
    RunManifest,
    RunReopened,
    RunSealed,
)
from ro_platform.errors import InvalidTransitionError, RunSealedError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.kernel.merkle import fold, leaf_hash
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import run_subject, touched_mention
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.seals import RunSeals, reopening
from tests.acting import revoke_pass
from tests.effort import times
from tests.unit.small_world import BOSS, DAGSTER, InterruptedLedger, SmallWorld


def seal_of(entry: LedgerEntry) -> RunSealed:
    """What a seal says."""
    return RunSealed.from_json(canonical_bytes(entry.body))


def record(world: SmallWorld, seal: LedgerEntry) -> list[LedgerEntry]:
    """The entries that a seal is about, found the plain way."""
    first = seal_of(seal).first
    run = run_id(world.fingerprint)
    entries = list(world.plane.ledger.scan(start=first, end=seal.seq))
    return [entry for entry in entries if entry.correlation_ids.run_id == run]


def fact(
    world: SmallWorld, kind: EntryKind = EntryKind.ADMIN_EVENT, **changes: object
) -> EntryDraft:
    """Something about the run of that world."""
    ids = CorrelationIds(run_id=run_id(world.fingerprint))
    return EntryDraft(kind, "about", BOSS, {"n": 1}, correlation_ids=ids, **changes)  # type: ignore[arg-type]


@pytest.fixture
def world() -> SmallWorld:
    """One run, in which something was made."""
    made = SmallWorld()
    made.made("source")
    return made


@pytest.fixture
def seals(world: SmallWorld) -> RunSeals:
    """Its seals."""
    return RunSeals(world.plane.ledger, actor=DAGSTER)


def sealed(world: SmallWorld, seals: RunSeals) -> LedgerEntry:
    """Its run, sealed."""
    seal = seals.seal(world.fingerprint)
    assert seal is not None
    return seal


def test_a_seal_commits_to_every_entry_of_the_run(world: SmallWorld, seals: RunSeals) -> None:
    """Count and root are those of all entries that carry the run's id, in their order."""
    entry = sealed(world, seals)
    seal, entries = seal_of(entry), record(world, entry)
    assert (seal.record, seal.previous) == (1, None)
    assert (seal.first, seal.count) == (entries[0].seq, len(entries))
    assert entries[0].kind is EntryKind.RUN_REGISTERED
    assert len(entries) == 5
    assert seal.root == fold([leaf_hash(canonical_bytes(item)) for item in entries]).hex()
    assert entry.subject == run_subject(seal.run_id)


def test_sealing_again_is_the_same_seal(world: SmallWorld, seals: RunSeals) -> None:
    """However often a run is sealed, one entry says so."""
    first, size = sealed(world, seals), world.plane.ledger.size()
    assert seals.seal(world.fingerprint) == first == seals.newest(world.fingerprint)
    assert world.plane.ledger.size() == size


def test_a_run_with_an_open_attempt_is_not_sealed(world: SmallWorld, seals: RunSeals) -> None:
    """While something may still be added, nothing is closed."""
    world.begun("late")
    assert seals.seal(world.fingerprint) is None
    assert seals.newest(world.fingerprint) is None


def test_a_run_whose_manifest_is_not_registered_is_not_sealed(world: SmallWorld) -> None:
    """A refused attempt under an unknown manifest does not keep that manifest from being
    registered later."""
    manifest = RunManifest(kind="ro.run_manifest.v0", workload="w", code=CodeRef(version="new"))
    fingerprint = manifest_fingerprint(manifest)
    world.plane.attempts.begin(
        fingerprint, "x", step_key="x", dagster_run_id="d", status=JobStatus.REFUSED
    )
    assert world.plane.seals.seal(fingerprint) is None
    world.plane.runs.register(ManifestFile(manifest, fingerprint, None), actor=BOSS)
    assert world.plane.seals.seal(fingerprint) is not None


def test_an_append_to_a_sealed_run_is_refused(world: SmallWorld, seals: RunSeals) -> None:
    """Nothing of the call is recorded, also not what is about other runs or none."""
    entry, size = sealed(world, seals), world.plane.ledger.size()
    other = EntryDraft(EntryKind.ADMIN_EVENT, "other", BOSS, {})
    with pytest.raises(RunSealedError) as refused:
        world.plane.ledger.append_many([other, fact(world)])
    assert f"entry {entry.seq}" in refused.value.message
    assert world.plane.ledger.size() == size
    world.plane.ledger.append(other)


def test_what_is_on_record_already_is_answered_after_the_seal(
    world: SmallWorld, seals: RunSeals
) -> None:
    """A repeated call whose reply was lost is no addition."""
    before = world.plane.ledger.append(fact(world, key="k"))
    sealed(world, seals)
    assert world.plane.ledger.append(fact(world, key="k")) == before
    file = ManifestFile(world.plane.runs.manifest(world.fingerprint), world.fingerprint, None)
    assert not world.plane.runs.register(file, actor=BOSS)


def test_a_later_attempt_begins_a_new_record_that_links_to_the_seal(
    world: SmallWorld, seals: RunSeals
) -> None:
    """Its first entry is the reopening, which says what begins; its seal names the one before."""
    first = sealed(world, seals)
    ref = world.made("later")
    second = sealed(world, seals)
    entries, seal = record(world, second), seal_of(second)
    assert ref.digest
    assert entries[0].kind is EntryKind.RUN_REOPENED
    reopened = RunReopened.from_json(canonical_bytes(entries[0].body))
    assert (reopened.record, reopened.sealed) == (2, first.seq)
    assert reopened.reason == "attempt 1 of later begins"
    assert (seal.record, seal.previous, seal.count) == (2, first.seq, len(entries))
    assert seal.first == entries[0].seq


def test_an_ended_attempt_stays_ended_after_the_seal(world: SmallWorld, seals: RunSeals) -> None:
    """A seal does not turn the refusal of a move into another error."""
    attempt = world.plane.attempts.newest(world.fingerprint, "source")
    assert attempt is not None
    sealed(world, seals)
    with pytest.raises(InvalidTransitionError):
        world.plane.attempts.move(attempt, JobStatus.FAILED, dagster_run_id=None)


@pytest.mark.parametrize("change", [{"record": 3}, {"record": 1}, {"sealed": 0}])
def test_a_reopening_that_does_not_link_to_the_newest_seal_is_refused(
    world: SmallWorld, seals: RunSeals, change: dict[str, int]
) -> None:
    """A record's number and its link are not the caller's to choose."""
    sealed(world, seals)
    (good,) = reopening(world.plane.ledger, world.fingerprint, actor=BOSS, reason="r")
    bad = EntryDraft(
        good.kind,
        good.subject,
        BOSS,
        good.body_object() | change,
        correlation_ids=good.correlation_ids,
    )
    with pytest.raises(RunSealedError):
        world.plane.ledger.append(bad)
    world.plane.ledger.append(good)
    with pytest.raises(RunSealedError, match="it is not sealed"):
        world.plane.ledger.append(bad)


def test_nothing_follows_a_seal_in_the_same_append(world: SmallWorld, seals: RunSeals) -> None:
    """The refusal holds inside one call, too."""
    with pytest.raises(RunSealedError):
        world.plane.ledger.append_many([fact(world, EntryKind.RUN_SEALED, key="s"), fact(world)])
    assert seals.newest(world.fingerprint) is None


def test_a_revocation_touches_a_sealed_run_and_adds_nothing_to_its_record(
    world: SmallWorld, seals: RunSeals
) -> None:
    """It is found by the run it touches: intent, the PASS withdrawn, outcome, what it blocked."""
    source = world.made("origin")
    world.made("made_of_it", source)
    entry = sealed(world, seals)
    revoke_pass(world.plane, "origin.good", source, reason="wrong")
    touched = list(world.plane.ledger.scan(mention=touched_mention(run_id(world.fingerprint))))
    kinds = [item.kind for item in touched]
    assert kinds == [
        EntryKind.ADMIN_EVENT,
        EntryKind.PASS_REVOKED,
        EntryKind.ADMIN_EVENT,
        EntryKind.ARTIFACT_BLOCKED,
    ]
    assert {item.correlation_ids.run_id for item in touched} == {None}
    assert seals.seal(world.fingerprint) == entry


def test_a_seal_covers_what_touched_the_run_before_it(world: SmallWorld, seals: RunSeals) -> None:
    """Touched after its seal, a run gets one more record for it, which links to the seal and is
    sealed at once; asked again, nothing is added."""
    first = sealed(world, seals)
    assert seals.seal_with_touches(world.fingerprint) == first
    assert first.body["touched"] == 0
    touch = world.plane.record_admin_event(
        AdminActionType.CANCEL_RUN,
        key="touch",
        subject=f"run/{run_id(world.fingerprint)}",
        actor=BOSS,
        reason="late",
    )
    second = seals.seal_with_touches(world.fingerprint)
    assert second is not None
    said = seal_of(second)
    assert (said.record, said.previous, said.count, said.touched) == (2, first.seq, 1, 1)
    assert said.touched_root == leaf_hash(canonical_bytes(touch)).hex()
    assert seals.seal_with_touches(world.fingerprint) == second


def test_a_run_that_is_reopened_while_it_is_sealed_is_not_sealed() -> None:
    """Between the reading and the lock another attempt begins: nothing is closed over it."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    world.made("source")
    log.before = [lambda: world.begun("late")]
    assert RunSeals(world.plane.ledger, actor=DAGSTER).seal(world.fingerprint) is None
    assert list(world.plane.ledger.scan(kind=EntryKind.RUN_SEALED)) == []


def test_what_is_added_between_the_reading_and_the_lock_is_under_the_seal() -> None:
    """Another attempt begins and ends in between: count and root are with it."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    world.made("source")
    log.before = [lambda: world.made("late")]
    seal = RunSeals(world.plane.ledger, actor=DAGSTER).seal(world.fingerprint)
    assert seal is not None
    entries = record(world, seal)
    assert {entry.body.get("unit") for entry in entries} >= {"source", "late"}
    assert seal_of(seal).count == len(entries)


@pytest.mark.parametrize("reopened", [False, True])
def test_who_seals_second_answers_what_stands(*, reopened: bool) -> None:
    """Somebody else seals in between: that seal, or None if another attempt has begun since."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    world.made("source")
    other = RunSeals(world.plane.ledger, actor=BOSS)

    def somebody_else() -> None:
        other.seal(world.fingerprint)
        if reopened:
            world.begun("late")

    log.before = [somebody_else]
    seal = RunSeals(world.plane.ledger, actor=DAGSTER).seal(world.fingerprint)
    (only,) = world.plane.ledger.scan(kind=EntryKind.RUN_SEALED)
    assert only.actor == BOSS
    assert seal == (None if reopened else only)


def test_a_run_that_cannot_be_sealed_locks_nobody_out() -> None:
    """While an attempt is open the ledger is only read."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    world.begun("late")
    locked: list[int] = []
    log.before = [lambda: locked.append(1)]
    assert RunSeals(world.plane.ledger, actor=DAGSTER).seal(world.fingerprint) is None
    assert locked == []


class Records(RuleBasedStateMachine):
    """Attempts begin, end, and the run is sealed, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = SmallWorld()
        self.seals = RunSeals(self.world.plane.ledger, actor=DAGSTER)
        self.open: list[AttemptTransition] = []

    @rule(unit=st.sampled_from("ab"))
    def begin(self, unit: str) -> None:
        """Another attempt; its run is open then."""
        self.open.append(
            self.world.plane.attempts.begin(
                self.world.fingerprint, unit, step_key=unit, dagster_run_id="d"
            )
        )
        assert self.seals.newest(self.world.fingerprint) is None

    @precondition(lambda self: self.open)
    @rule()
    def end(self) -> None:
        """The oldest open attempt ends."""
        self.world.plane.attempts.move(self.open.pop(0), JobStatus.LOST, dagster_run_id="d")

    @rule()
    def seal(self) -> None:
        """Sealed exactly when nothing is open."""
        assert (self.seals.seal(self.world.fingerprint) is None) == bool(self.open)

    @invariant()
    def records_are_whole_and_linked(self) -> None:
        """Every entry of the run is in exactly one record, and each record names the one before."""
        entries = list(self.world.plane.ledger.scan(run_id=run_id(self.world.fingerprint)))
        leaves: list[bytes] = []
        previous, number, first = None, 1, entries[0].seq
        for entry in entries:
            if entry.kind is not EntryKind.RUN_SEALED:
                if not leaves:
                    first = entry.seq
                    assert (entry.kind is EntryKind.RUN_REOPENED) == (number > 1)
                leaves.append(leaf_hash(canonical_bytes(entry)))
                continue
            said = seal_of(entry)
            assert (said.record, said.first, said.previous) == (number, first, previous)
            assert (said.count, said.root) == (len(leaves), fold(leaves).hex())
            leaves, previous, number = [], entry.seq, number + 1


TestRecords = Records.TestCase
TestRecords.settings = settings(max_examples=times(40), stateful_step_count=20, deadline=None)
