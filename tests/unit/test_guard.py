"""The read guard: bytes only under a valid PASS of every gate on record."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    BoundRef,
    CodeRef,
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    PinnedConfigRef,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.errors import (
    ArtifactNotFoundError,
    ArtifactUnrecordedError,
    DigestMismatchError,
    GateAbsentError,
    GateFailedError,
    GateOlderBytesError,
    GateRefusedError,
    GateRevokedError,
    GateSetShrankError,
    GateStaleError,
    GateUndeclaredError,
    ReceiptUnverifiableError,
)
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.kernel.identity import attempt_id, manifest_fingerprint, run_id
from ro_platform.ledger.backends.base import LedgerBackend, Question, Row
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.publication import Provenance
from tests.acting import publish_config, revoke_pass
from tests.effort import times

ACTOR = "SYSTEM::dagster"
PASS, FAIL = GateStatus.PASS, GateStatus.FAIL


class World:
    """One asset under one manifest, whose gates can be judged and tampered with."""

    def __init__(self, log: LedgerBackend | None = None) -> None:
        self.blobs = MemoryBackend()
        self.plane = Plane.over(self.blobs, log or MemoryLedgerBackend(), clock=ManualClock())
        pin = publish_config(self.plane, "limits", {"max": 1}, reason="r").version
        self.manifest, self.fingerprint = self.registered(pin)
        self.a = GateRule(gate_id="made.a", code_version="1", configs=("limits",))
        self.b = GateRule(gate_id="made.b", code_version="1")
        self._attempts = itertools.count(1)

    def registered(self, pin: PinnedConfigRef) -> tuple[RunManifest, str]:
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="w",
            config_versions=(pin,),
            code=CodeRef(version="1"),
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor=ACTOR)
        return manifest, file.fingerprint

    def declare(self, *rules: GateRule) -> None:
        self.plane.gates.declare("made", rules, actor=ACTOR)

    def bind(self, data: bytes = b"bytes") -> BoundRef:
        """What an attempt makes and publishes; without a gate set, nothing is declared."""
        ref = self.plane.store.put_bytes(data, media_type="application/octet-stream")
        history = self.plane.attempts
        queued = history.begin(self.fingerprint, "made", step_key="made", dagster_run_id="d")
        running = history.move(queued, JobStatus.RUNNING, dagster_run_id="d")
        bound = self.plane.publication.publish(
            "made", ref, Provenance(running), actor=ACTOR, deterministic=False
        )
        history.move(running, JobStatus.SUCCEEDED, dagster_run_id="d")
        return bound

    def revoke(self, rule: GateRule) -> None:
        revoke_pass(self.plane, rule.gate_id, self.bound(), reason="a mistake")

    def judge(
        self,
        rule: GateRule,
        status: GateStatus,
        ref: BoundRef | None = None,
        *,
        warned: bool = False,
    ) -> ReceiptRecorded:
        """A verdict of that gate on the artifact that is bound, or on another."""
        subject = ref or self.bound()
        receipt = GateReceipt(
            gate_id=rule.gate_id,
            status=status,
            subject=subject,
            scope=GateScope(
                asset="made",
                manifest_fingerprint=self.fingerprint,
                run_id=run_id(self.fingerprint),
            ),
            rule_digest=rule_digest(rule, self.manifest),
            attempt_id=attempt_id("0" * 32, next(self._attempts)),
            produced_at_utc=utc_text(self.plane.clock()),
            warned=True if warned else None,
        )
        return self.plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())

    def bound(self) -> BoundRef:
        ref = artifact_of(self.plane.ledger, "made", self.fingerprint)
        assert ref is not None
        return ref

    def read(self) -> bytes:
        ref = self.plane.guard.require("made", self.manifest, self.fingerprint)
        return self.plane.store.read(ref)


@pytest.fixture
def world() -> World:
    """An artifact with two gates: ``b`` passed, ``a`` has not judged."""
    world = World()
    world.declare(world.a, world.b)
    world.bind()
    world.judge(world.b, PASS)
    return world


def passed(world: World) -> None:
    world.judge(world.a, PASS)


def passed_then_failed(world: World) -> None:
    world.judge(world.a, PASS)
    world.judge(world.a, FAIL)


def failed_then_passed(world: World) -> None:
    world.judge(world.a, FAIL)
    world.judge(world.a, PASS)


def passed_for_the_older_revision(world: World) -> None:
    world.judge(world.a, PASS)
    world.bind(b"other bytes")
    world.judge(world.b, PASS)


def failed_for_the_older_revision(world: World) -> None:
    world.judge(world.a, FAIL)
    world.bind(b"other bytes")
    world.judge(world.b, PASS)


def passed_again_for_the_newer_revision(world: World) -> None:
    passed_for_the_older_revision(world)
    world.judge(world.a, PASS)


def passed_under_an_older_rule(world: World) -> None:
    world.judge(world.a, PASS)
    world.declare(world.a.model_copy(update={"code_version": "2"}), world.b)


def passed_under_fewer_configs(world: World) -> None:
    world.judge(world.a, PASS)
    world.declare(world.a, world.b.model_copy(update={"configs": ("limits",)}))


def now_needs_a_config_that_is_not_pinned(world: World) -> None:
    world.judge(world.a, PASS)
    world.declare(world.a, world.b.model_copy(update={"configs": ("policy",)}))


def receipt_deleted(world: World) -> None:
    del world.blobs.objects[world.judge(world.a, PASS).receipt.ref]


def receipt_altered(world: World) -> None:
    name = world.judge(world.a, FAIL).receipt.ref
    world.blobs.objects[name] = world.blobs.objects[name].replace(b"FAIL", b"PASS")


def receipt_of_another_gate_in_its_place(world: World) -> None:
    name = world.judge(world.a, PASS).receipt.ref
    other = world.judge(world.b, PASS).receipt.ref
    world.blobs.objects[name] = world.blobs.objects[other]


def ledger_points_to_a_valid_receipt_of_another_gate(world: World) -> None:
    """A recorder that lies: entry of gate a, evidence of gate b."""
    evidence = world.judge(world.b, PASS)
    forged = evidence.model_copy(
        update={
            "gate_id": world.a.gate_id,
            "rule_digest": rule_digest(world.a, world.manifest),
        }
    )
    append_receipt(world, forged)


def ledger_says_pass_where_the_receipt_says_fail(world: World) -> None:
    append_receipt(world, world.judge(world.a, FAIL).model_copy(update={"status": PASS}))


def append_receipt(world: World, recorded: ReceiptRecorded) -> None:
    """An entry as somebody with access to the ledger could append it."""
    latest = next(iter(world.plane.ledger.scan(newest_first=True)))
    subject = f"gate/{recorded.gate_id}/{world.fingerprint}/{recorded.subject_digest}"
    world.plane.ledger.append(
        EntryDraft(kind=latest.kind, subject=subject, actor=ACTOR, body=recorded, key="forged")
    )


def gate_added_later(world: World) -> None:
    world.judge(world.a, PASS)
    world.declare(world.a, world.b, GateRule(gate_id="made.c", code_version="1"))


def gate_removed_from_the_code(world: World) -> None:
    """The declaration is refused, and the gate goes on to be required."""
    with pytest.raises(GateSetShrankError):
        world.declare(world.b)


def gate_dropped_with_a_reason(world: World) -> None:
    world.plane.gates.drop("made", "made.a", reason="superseded", actor="HUMAN::boss")


def passed_and_revoked(world: World) -> None:
    world.judge(world.a, PASS)
    world.revoke(world.a)


def revoked_and_passed_again(world: World) -> None:
    passed_and_revoked(world)
    world.judge(world.a, PASS)


def revoked_and_failed(world: World) -> None:
    passed_and_revoked(world)
    world.judge(world.a, FAIL)


def revoked_and_under_another_rule_unjudged(world: World) -> None:
    passed_and_revoked(world)
    world.a = world.a.model_copy(update={"code_version": "2"})
    world.declare(world.a, world.b)


def revoked_and_passed_under_another_rule(world: World) -> None:
    revoked_and_under_another_rule_unjudged(world)
    world.judge(world.a, PASS)


def revoked_and_other_bytes_passed(world: World) -> None:
    passed_and_revoked(world)
    world.bind(b"other bytes")
    world.judge(world.a, PASS)
    world.judge(world.b, PASS)


def passed_with_a_warning(world: World) -> None:
    world.judge(world.a, PASS, warned=True)


def nothing(_: World) -> None:
    """The gate has never judged."""


TABLE: list[tuple[Callable[[World], None], type[GateRefusedError] | None]] = [
    (nothing, GateAbsentError),
    (passed, None),
    (passed_then_failed, GateFailedError),
    (failed_then_passed, None),
    (passed_with_a_warning, None),
    (passed_for_the_older_revision, GateOlderBytesError),
    (failed_for_the_older_revision, GateOlderBytesError),
    (passed_again_for_the_newer_revision, None),
    (passed_under_an_older_rule, GateStaleError),
    (passed_under_fewer_configs, GateStaleError),
    (now_needs_a_config_that_is_not_pinned, GateStaleError),
    (receipt_deleted, ReceiptUnverifiableError),
    (receipt_altered, ReceiptUnverifiableError),
    (receipt_of_another_gate_in_its_place, ReceiptUnverifiableError),
    (ledger_points_to_a_valid_receipt_of_another_gate, ReceiptUnverifiableError),
    (ledger_says_pass_where_the_receipt_says_fail, ReceiptUnverifiableError),
    (gate_added_later, GateAbsentError),
    (gate_removed_from_the_code, GateAbsentError),
    (gate_dropped_with_a_reason, None),
    (passed_and_revoked, GateRevokedError),
    (revoked_and_passed_again, GateRevokedError),
    (revoked_and_failed, GateFailedError),
    (revoked_and_under_another_rule_unjudged, GateStaleError),
    (revoked_and_passed_under_another_rule, None),
    (revoked_and_other_bytes_passed, None),
]


@pytest.mark.parametrize(("history", "refusal"), TABLE, ids=lambda item: item and item.__name__)
def test_bytes_are_delivered_only_under_a_valid_pass(
    world: World, history: Callable[[World], None], refusal: type[GateRefusedError] | None
) -> None:
    """Every other history is refused by its own error, naming gate, digest and what to do."""
    history(world)
    if refusal is None:
        assert world.read() in (b"bytes", b"other bytes")
        return
    with pytest.raises(refusal) as caught:
        world.read()
    facts = caught.value.diagnostics()
    assert type(caught.value) is refusal
    assert facts["gate"] in caught.value.message
    assert facts["gate"] in ("made.a", "made.b", "made.c")
    assert facts["digest"] == world.bound().digest
    assert facts["digest"] in caught.value.message
    assert facts["next_step"]


def test_an_asset_without_a_recorded_gate_set_is_refused() -> None:
    """Unknown is not the same as none."""
    world = World()
    world.bind()
    with pytest.raises(GateUndeclaredError):
        world.read()
    world.declare()
    assert world.read() == b"bytes"


def test_what_no_entry_says_was_made_is_refused() -> None:
    """A binding that somebody wrote into the store, where the ledger has nothing."""
    world = World()
    world.declare(world.b)
    stored = world.plane.store.put_bytes(b"smuggled", media_type="application/octet-stream")
    world.plane.store.bind("made", world.fingerprint, stored, deterministic=False)
    world.judge(world.b, PASS, world.plane.store.binding("made", world.fingerprint))
    with pytest.raises(ArtifactUnrecordedError, match="no entry of the ledger made"):
        world.read()


def test_a_revision_planted_beside_one_on_record_is_not_followed() -> None:
    """The ledger says which revision counts; what the store has besides is nobody's."""
    world = World()
    world.declare(world.b)
    world.bind(b"bytes")
    world.judge(world.b, PASS)
    stored = world.plane.store.put_bytes(b"smuggled", media_type="application/octet-stream")
    planted = world.plane.store.bind("made", world.fingerprint, stored, deterministic=False)
    assert planted.ref.endswith("rev=000002.json")
    world.judge(world.b, PASS, planted)
    assert world.read() == b"bytes"
    with pytest.raises(ArtifactUnrecordedError):
        world.plane.guard.check("made", world.manifest, world.fingerprint, planted)


def test_a_read_costs_two_rounds_to_the_ledger_however_many_gates() -> None:
    """One for the artifact, one for all its gates."""
    rounds: list[int] = []

    class Counting(MemoryLedgerBackend):
        def latest_of(self, questions: Sequence[Question]) -> list[Row | None]:
            rounds.append(len(questions))
            return super().latest_of(questions)

    world = World(Counting())
    rules = [GateRule(gate_id=f"made.g{n}", code_version="1") for n in range(20)]
    world.declare(*rules)
    world.bind()
    for gate in rules:
        world.judge(gate, PASS)
    rounds.clear()
    assert world.read() == b"bytes"
    assert rounds == [2, 2 + 2 * len(rules)]


def test_an_asset_that_is_not_bound_is_not_found() -> None:
    """Whatever its gates."""
    world = World()
    world.declare()
    with pytest.raises(ArtifactNotFoundError, match="Materialize"):
        world.read()


def test_a_pass_under_one_manifest_counts_for_no_other(world: World) -> None:
    """The same bytes and the same gate under another config: never judged there."""
    passed(world)
    assert world.read() == b"bytes"
    pin = publish_config(world.plane, "limits", {"max": 2}, reason="r").version
    world.manifest, world.fingerprint = world.registered(pin)
    world.bind()
    with pytest.raises(GateAbsentError):
        world.read()


def test_standings_say_in_one_word_how_each_gate_stands(world: World) -> None:
    """For people: all gates, not only the first refusal."""

    def words() -> dict[str, str]:
        found = world.plane.guard.standings(
            "made", world.manifest, world.fingerprint, world.bound()
        )
        return {item.gate_id: item.word for item in found}

    assert words() == {"made.a": "ABSENT", "made.b": "PASS"}
    passed_with_a_warning(world)
    assert words()["made.a"] == "WARN"
    world.revoke(world.a)
    assert words()["made.a"] == "REVOKED"
    world.judge(world.a, FAIL)
    assert words()["made.a"] == "FAIL"
    passed_under_an_older_rule(world)
    assert words()["made.a"] == "STALE"
    receipt_deleted(world)
    assert words()["made.a"] == "UNVERIFIABLE"


def test_an_altered_blob_is_not_delivered_although_its_gates_stand(world: World) -> None:
    """The guard answers the reference; the store verifies the bytes under it."""
    passed(world)
    digest = world.bound().digest
    world.blobs.objects[f"blobs/sha256/{digest[:2]}/{digest[2:]}"] = b"BYTES"
    with pytest.raises(DigestMismatchError):
        world.read()


def test_recording_the_same_verdict_again_changes_nothing(world: World) -> None:
    """A lost reply may be repeated."""
    recorded = world.judge(world.a, PASS)
    receipt = world.plane.receipts.read(recorded)
    size = world.plane.ledger.size()
    again = world.plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())
    assert again == recorded
    assert world.plane.ledger.size() == size
    assert canonical_bytes(receipt) == world.blobs.objects[recorded.receipt.ref]


class GuardMachine(RuleBasedStateMachine):
    """Any order of events: the guard agrees with a model that keeps one set of valid passes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.gates = {"made.a": self.world.a}
        self.passes: dict[tuple[str, str], str] = {}
        self.receipts: dict[tuple[str, str], str] = {}
        self.revoked: set[tuple[str, str, str]] = set()
        self.world.declare(self.world.a)
        self.digest = self.world.bind(b"0").digest

    def version(self, gate: str) -> str:
        return rule_digest(self.gates[gate], self.world.manifest)

    @rule(gate=st.sampled_from(["made.a", "made.b"]), status=st.sampled_from(GateStatus))
    def judge(self, gate: str, status: GateStatus) -> None:
        if gate in self.gates:
            recorded = self.world.judge(self.gates[gate], status)
            self.receipts[gate, self.digest] = recorded.receipt.ref
            self.passes.pop((gate, self.digest), None)
            if status is PASS:
                self.passes[gate, self.digest] = self.version(gate)

    @precondition(lambda self: bool(self.passes))
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        gate, digest = data.draw(st.sampled_from(sorted(self.passes)))
        if digest == self.digest:
            ref = self.world.bound()
            revoke_pass(self.world.plane, gate, ref, reason="r")
            self.revoked.add((gate, digest, self.passes[gate, digest]))

    @rule(data=st.sampled_from([b"0", b"1", b"2"]))
    def bind(self, data: bytes) -> None:
        self.digest = self.world.bind(data).digest

    @rule(version=st.sampled_from("12"), gate=st.sampled_from(["made.a", "made.b"]))
    def declare(self, version: str, gate: str) -> None:
        configs = ("limits",) if gate == "made.a" else ()
        self.gates[gate] = GateRule(gate_id=gate, code_version=version, configs=configs)
        self.world.declare(*self.gates.values())

    @precondition(lambda self: len(self.gates) == 2)
    @rule()
    def drop(self) -> None:
        del self.gates["made.b"]
        with pytest.raises(GateSetShrankError):
            self.world.declare(*self.gates.values())
        self.world.plane.gates.drop("made", "made.b", reason="r", actor="HUMAN::boss")

    @precondition(lambda self: bool(self.receipts))
    @rule(data=st.data())
    def destroy_a_receipt(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.receipts)))
        del self.world.blobs.objects[self.receipts.pop(chosen)]
        self.passes.pop(chosen, None)

    @invariant()
    def bytes_only_under_a_valid_pass(self) -> None:
        allowed = all(
            self.passes.get((gate, self.digest)) == self.version(gate)
            and (gate, self.digest, self.version(gate)) not in self.revoked
            for gate in self.gates
        )
        try:
            self.world.read()
        except GateRefusedError:
            assert not allowed
        else:
            assert allowed


TestGuardMachine = GuardMachine.TestCase
TestGuardMachine.settings = settings(max_examples=times(40), stateful_step_count=25, deadline=None)
