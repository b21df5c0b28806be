"""Readiness: each set of passing digests is met once, however looks, verdicts and restarts fall."""

import itertools
from collections.abc import Callable, Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    ArtifactBound,
    BoundRef,
    CodeRef,
    CorrelationIds,
    EntryKind,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    PassRevoked,
    RunManifest,
    UsedArtifact,
)
from ro_platform.errors import (
    ArtifactNotFoundError,
    BackendUnavailableError,
    ContractError,
    GateAbsentError,
    LedgerCorruptError,
)
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import attempt_id, manifest_fingerprint, run_id
from ro_platform.ledger.backends.base import Row, Selection
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject, revocation_subject
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.readiness import Bounds, Passed, Readiness, ReadinessCursor, ReadinessScan
from tests.effort import times

ACTOR = "SYSTEM::dagster"
CONSUMER = "reports"
PRODUCERS = ("gated", "free")
RULE = GateRule(gate_id="gated.good", code_version="1")
PASS, FAIL = GateStatus.PASS, GateStatus.FAIL


class CountingLedger(MemoryLedgerBackend):
    """A ledger that counts the rows it hands out, and can stop to answer."""

    rows_read = 0
    is_down = False

    def page(self, selection: Selection, limit: int) -> list[Row]:
        if self.is_down:
            raise BackendUnavailableError("the ledger does not answer.")
        rows = super().page(selection, limit)
        self.rows_read += len(rows)
        return rows


class World:
    """Two producers (one with a gate) under several manifests, and a consumer's launches."""

    def __init__(self, manifests: int = 1) -> None:
        self.rows = CountingLedger()
        self.plane = Plane.over(MemoryBackend(), self.rows, clock=ManualClock())
        self._attempts = itertools.count(1)
        self.manifests = [self._register(number) for number in range(manifests)]
        self.plane.gates.declare("gated", (RULE,), actor=ACTOR)
        self.plane.gates.declare("free", (), actor=ACTOR)
        self.launched: list[tuple[str, str]] = []
        self.position = ReadinessCursor()

    def _register(self, number: int) -> str:
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="even" if number % 2 == 0 else "odd",
            parameters={"number": number},
            code=CodeRef(version="1"),
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor=ACTOR)
        return file.fingerprint

    def bind(
        self, asset: str, fingerprint: str, data: bytes = b"1", inputs: Iterable[BoundRef] = ()
    ) -> BoundRef:
        """Make an asset's artifact, on record."""
        stored = self.plane.store.put_bytes(data, media_type="application/octet-stream")
        recorded = artifact_of(self.plane.ledger, asset, fingerprint)
        ref = self.plane.store.bind(
            asset, fingerprint, stored, deterministic=False, recorded=recorded
        )
        body = ArtifactBound(
            asset=asset,
            manifest_fingerprint=fingerprint,
            attempt_id=attempt_id("1" * 32, next(self._attempts)),
            artifact=ref,
            inputs=tuple(UsedArtifact(ref=item.ref, digest=item.digest) for item in inputs) or None,
        )
        self._append(EntryKind.ARTIFACT_BOUND, artifact_subject(ref.ref), body)
        return ref

    def judge(self, fingerprint: str, status: GateStatus = PASS, rule: GateRule = RULE) -> None:
        """A verdict of the gate on what is bound."""
        receipt = GateReceipt(
            gate_id=rule.gate_id,
            status=status,
            subject=self.bound("gated", fingerprint),
            scope=GateScope(
                asset="gated", manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)
            ),
            rule_digest=rule_digest(rule, self.plane.runs.manifest(fingerprint)),
            attempt_id=attempt_id("0" * 32, next(self._attempts)),
            produced_at_utc=utc_text(self.plane.clock()),
        )
        self.plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())

    def revoke(self, fingerprint: str, rule: GateRule = RULE) -> None:
        """Withdraw the PASS of the gate on what is bound."""
        ref = self.bound("gated", fingerprint)
        under = rule_digest(rule, self.plane.runs.manifest(fingerprint))
        recorded = self.plane.receipts.latest(rule.gate_id, fingerprint, ref.digest)
        assert recorded is not None
        body = PassRevoked(
            asset="gated",
            manifest_fingerprint=fingerprint,
            gate_id=rule.gate_id,
            subject_digest=ref.digest,
            rule_digest=under,
            receipt=recorded.receipt,
            reason="found wrong",
            blocked=0,
            admin_event_id="event",
        )
        subject = revocation_subject(rule.gate_id, fingerprint, ref.digest, under)
        self._append(EntryKind.PASS_REVOKED, subject, body)

    def _append(self, kind: EntryKind, subject: str, body: ArtifactBound | PassRevoked) -> None:
        self.plane.ledger.append(EntryDraft(kind=kind, subject=subject, actor=ACTOR, body=body))

    def noise(self, entries: int) -> None:
        """Entries of kinds that make nothing ready."""
        drafts = [
            EntryDraft(EntryKind.ADMIN_EVENT, f"noise/{number}", ACTOR, {"number": number})
            for number in range(entries)
        ]
        self.plane.ledger.append_many(drafts)

    def bound(self, asset: str, fingerprint: str) -> BoundRef:
        ref = artifact_of(self.plane.ledger, asset, fingerprint)
        assert ref is not None
        return ref

    def passes(self, fingerprint: str) -> None:
        """All that a manifest needs."""
        self.bind("free", fingerprint)
        self.bind("gated", fingerprint)
        self.judge(fingerprint)

    def readiness(self, workloads: set[str] | None = None) -> Readiness:
        plane = self.plane
        return Readiness(
            plane.ledger,
            plane.guard,
            plane.runs,
            producers=PRODUCERS,
            workloads=workloads,
        )

    def look(
        self,
        bounds: Bounds = Bounds(),  # noqa: B008  (frozen)
        *,
        position: ReadinessCursor | None = None,
        workloads: set[str] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> ReadinessScan:
        """One look, its launches, and its position kept: as text, as a daemon keeps it."""

        def is_launched(passed: Passed) -> bool:
            meanwhile()
            return (passed.fingerprint, passed.launch_id(CONSUMER)) in self.launched

        start = self.position if position is None else position
        look = self.readiness(workloads).look(start, bounds, is_launched=is_launched)
        self.launched += [(item.fingerprint, item.launch_id(CONSUMER)) for item in look.passed]
        self.position = ReadinessCursor.of(look.position.text())
        return look


@pytest.fixture
def world() -> World:
    return World()


def found(look: ReadinessScan) -> list[str]:
    return [item.fingerprint for item in look.passed]


def test_a_manifest_is_met_after_its_last_producer_in_whichever_order(world: World) -> None:
    """Nothing before all stand; once then; nothing at the next look."""
    (fingerprint,) = world.manifests
    seen = []
    for step in (
        lambda: world.bind("gated", fingerprint),
        lambda: world.judge(fingerprint),
        lambda: world.bind("free", fingerprint),
        lambda: None,
    ):
        step()
        seen.append(found(world.look()))

    assert seen == [[], [], [fingerprint], []]


def test_who_is_not_ready_is_named_with_the_guards_own_refusal(world: World) -> None:
    """First no artifact of the other producer, then no verdict."""
    (fingerprint,) = world.manifests
    world.bind("gated", fingerprint)
    assert isinstance(world.look().refused[fingerprint], ArtifactNotFoundError)
    world.bind("free", fingerprint)
    assert isinstance(world.look().refused[fingerprint], GateAbsentError)


def test_a_pass_given_twice_is_one_launch_and_other_bytes_are_another(world: World) -> None:
    """The launch is known by the digests, not by the verdict."""
    (fingerprint,) = world.manifests
    world.passes(fingerprint)
    first = world.look().passed
    world.judge(fingerprint)
    again = world.look().passed
    world.bind("gated", fingerprint, b"2")
    unjudged = world.look().passed
    world.judge(fingerprint)
    second = world.look().passed

    assert [len(item) for item in (first, again, unjudged, second)] == [1, 0, 0, 1]
    assert second[0].producers["gated"].digest == sha256_hex(b"2")
    assert first[0].launch_id(CONSUMER) != second[0].launch_id(CONSUMER)


def test_equal_bytes_under_two_manifests_are_two_launches() -> None:
    """The manifest is part of what tells launches apart."""
    world = World(2)
    for fingerprint in world.manifests:
        world.passes(fingerprint)

    assert found(world.look()) == world.manifests
    assert len(set(world.launched)) == 2


def test_a_fail_and_a_revoked_pass_are_not_ready(world: World) -> None:
    """FAIL after PASS, then PASS again and its revocation: none is met."""
    (fingerprint,) = world.manifests
    world.passes(fingerprint)
    world.judge(fingerprint, FAIL)
    assert found(world.look()) == []
    world.judge(fingerprint)
    world.revoke(fingerprint)
    assert found(world.look()) == []


def test_a_thousand_that_pass_at_once_come_in_forty_bounded_looks() -> None:
    """25 at a time, in the ledger's order, none lost, none twice; then nothing."""
    world = World(1_000)
    for fingerprint in world.manifests:
        world.passes(fingerprint)

    looks = [found(world.look(Bounds(passed=25))) for _ in range(41)]

    assert [len(each) for each in looks] == [25] * 40 + [0]
    assert [fingerprint for each in looks for fingerprint in each] == world.manifests


def test_a_full_batch_leaves_the_position_at_the_entry_that_was_not_dealt_with() -> None:
    """It is the first of the next manifest's entries."""
    world = World(2)
    first, second = world.manifests
    world.passes(first)
    waiting = world.plane.ledger.size()
    world.passes(second)

    assert found(world.look(Bounds(passed=1))) == [first]
    assert world.position.next <= waiting
    assert found(world.look(Bounds(passed=1))) == [second]


def test_a_lost_or_an_older_position_repeats_nothing() -> None:
    """What was launched is known by its digests."""
    world = World(3)
    for fingerprint in world.manifests:
        world.passes(fingerprint)
    world.look()

    assert found(world.look(position=ReadinessCursor())) == []
    world.bind("gated", world.manifests[1], b"2")
    world.judge(world.manifests[1])
    assert found(world.look(position=ReadinessCursor(next=5))) == [world.manifests[1]]


def test_a_dropped_gate_makes_older_manifests_ready_in_bounded_portions() -> None:
    """Artifacts bound long before are asked about again, also where one look is not enough."""
    world = World(4)
    for fingerprint in world.manifests:
        world.bind("free", fingerprint)
        world.bind("gated", fingerprint)
    while world.position.next < world.plane.ledger.size():
        assert found(world.look()) == []
    world.plane.gates.drop("gated", RULE.gate_id, reason="no longer needed", actor=ACTOR)

    bound = [entry.seq for entry in world.plane.ledger.scan(kind=EntryKind.ARTIFACT_BOUND)]

    looks = [found(world.look(Bounds(passed=1)))]
    assert world.position.again == (bound[1], world.plane.ledger.size() - 1)
    looks += [found(world.look(Bounds(passed=1))) for _ in range(5)]

    assert [item for each in looks for item in each] == world.manifests
    assert looks[-1] == []
    assert world.position == ReadinessCursor(next=world.plane.ledger.size())


def test_a_new_gate_asks_about_nobody_again(world: World) -> None:
    """It can only refuse; no artifact is gone through for it."""
    world.passes(world.manifests[0])
    world.look()
    world.plane.gates.amend("free", GateRule(gate_id="free.new", code_version="1"), actor=ACTOR)

    assert world.look().asked == set()
    assert world.position.again is None


def test_only_the_named_workloads_manifests_count() -> None:
    """The others are not launched, and are not refused either."""
    world = World(4)
    for fingerprint in world.manifests:
        world.passes(fingerprint)

    look = world.look(workloads={"odd"})

    assert found(look) == [world.manifests[1], world.manifests[3]]
    assert look.refused == {}


def test_a_look_reads_its_window_only() -> None:
    """As many rows after 10,000 entries that make nothing ready as after 100; then none at all."""
    read = []
    for noise in (100, 10_000):
        world = World()
        world.noise(noise)
        world.look()
        world.noise(noise)
        world.passes(world.manifests[0])
        world.rows.rows_read = 0
        assert found(world.look()) == world.manifests
        read.append(world.rows.rows_read)
        world.look()
        assert world.rows.rows_read == read[-1]

    assert read == [3, 3]


def test_a_look_stops_at_its_bounds_and_the_next_goes_on() -> None:
    """Neither many entries about one manifest nor many unready manifests keep a look going."""
    world = World(30)
    for fingerprint in world.manifests:
        world.bind("gated", fingerprint)
    world.look(Bounds(entries=10))  # the gate sets' declarations come first
    assert world.look(Bounds(asked=10)).asked == set(world.manifests[8:18])
    assert world.look(Bounds(entries=10)).asked == set(world.manifests[18:28])


def test_a_ledger_that_does_not_answer_leaves_the_position_where_it_was(world: World) -> None:
    """The look raises, and the same position finds the manifest later."""
    world.look()
    before = world.position
    world.passes(world.manifests[0])
    world.rows.is_down = True
    with pytest.raises(BackendUnavailableError):
        world.look()
    world.rows.is_down = False

    assert world.position == before
    assert found(world.look()) == world.manifests


def test_a_position_beyond_the_ledgers_end_is_refused(world: World) -> None:
    """Another ledger, or one that was rolled back: nobody guesses where to go on."""
    with pytest.raises(LedgerCorruptError, match="read to entry 1000"):
        world.look(position=ReadinessCursor(next=1000))


def test_a_position_that_is_none_is_refused_by_name() -> None:
    """Nobody's typing error becomes a start from nothing."""
    assert ReadinessCursor.of(None) == ReadinessCursor()
    with pytest.raises(ContractError, match="the cursor"):
        ReadinessCursor.of('{"next": -1}')


def test_what_was_made_from_exactly_these_artifacts_is_made(world: World) -> None:
    """Not what was made from an older one, nor what lacks one of the consumer's assets."""
    (fingerprint,) = world.manifests
    world.passes(fingerprint)
    readiness, makes = world.readiness(), {"report": set(PRODUCERS), "mail": {"report"}}
    (passed,) = world.look().passed

    assert not readiness.is_made(passed, makes)
    report = world.bind("report", fingerprint, inputs=passed.producers.values())
    assert not readiness.is_made(passed, makes)
    world.bind("mail", fingerprint, inputs=[report])
    assert readiness.is_made(passed, makes)

    world.bind("gated", fingerprint, b"2")
    world.judge(fingerprint)
    (newer,) = world.look().passed
    assert not readiness.is_made(newer, makes)
    assert not readiness.is_made(passed, {})


MANIFESTS = st.integers(min_value=0, max_value=2)
NARROW = st.builds(
    Bounds,
    passed=st.integers(1, 2),
    asked=st.integers(1, 3),
    entries=st.integers(1, 4),
)


class Looks(RuleBasedStateMachine):
    """Producers are made, judged, revoked and regulated while a sensor looks, dies and returns.

    The model knows nothing of seq: who stands is computed from the last thing said of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World(3)
        self.rule: GateRule | None = RULE
        self.bytes: dict[tuple[str, str], bytes] = {}
        self.said: dict[tuple[str, bytes], tuple[GateStatus, GateRule]] = {}
        self.revoked: set[tuple[str, bytes, str]] = set()
        self.kept = [ReadinessCursor()]
        self.fresh = itertools.count(3)

    def stands(self, fingerprint: str) -> bool:
        gated, free = (self.bytes.get((asset, fingerprint)) for asset in PRODUCERS)
        if gated is None or free is None:
            return False
        if self.rule is None:
            return True
        version = self.rule.code_version
        is_passed = self.said.get((fingerprint, gated)) == (PASS, self.rule)
        return is_passed and (fingerprint, gated, version) not in self.revoked

    def launch(self, fingerprint: str) -> tuple[str, str]:
        """The launch of what is bound now."""
        refs = {asset: self.world.bound(asset, fingerprint) for asset in PRODUCERS}
        digests = {asset: sha256_hex(self.bytes[asset, fingerprint]) for asset in PRODUCERS}
        assert {asset: ref.digest for asset, ref in refs.items()} == digests
        return fingerprint, Passed(fingerprint, refs).launch_id(CONSUMER)

    @initialize()
    def make_everything(self) -> None:
        """Verdicts are all that is missing."""
        for number, asset in itertools.product(range(3), PRODUCERS):
            self.bind(number, asset, b"1")

    @rule(number=MANIFESTS, asset=st.sampled_from(PRODUCERS), data=st.sampled_from([b"1", b"2"]))
    def bind(self, number: int, asset: str, data: bytes) -> None:
        fingerprint = self.world.manifests[number]
        self.world.bind(asset, fingerprint, data)
        self.bytes[asset, fingerprint] = data

    @rule(number=MANIFESTS)
    def make_bytes_that_never_were(self, number: int) -> None:
        self.bind(number, "gated", b"%d" % next(self.fresh))

    @rule(numbers=st.lists(MANIFESTS, unique=True, min_size=2), bounds=NARROW)
    def several_pass_at_once(self, numbers: list[int], bounds: Bounds) -> None:
        """Their verdicts are all that was missing, and come between two looks."""
        for number in numbers:
            self.make_bytes_that_never_were(number)
        self.look(Bounds())
        for number in numbers:
            self.judge(number, PASS)
        self.look(bounds)

    @rule(number=MANIFESTS, status=st.sampled_from([PASS, FAIL]))
    def judge(self, number: int, status: GateStatus) -> None:
        fingerprint = self.world.manifests[number]
        if self.rule is not None and ("gated", fingerprint) in self.bytes:
            self.world.judge(fingerprint, status, self.rule)
            self.said[fingerprint, self.bytes["gated", fingerprint]] = (status, self.rule)

    @rule(number=MANIFESTS)
    def revoke(self, number: int) -> None:
        fingerprint = self.world.manifests[number]
        data = self.bytes.get(("gated", fingerprint))
        said = self.said.get((fingerprint, data)) if data is not None else None
        if data is not None and said is not None and said[0] is PASS:
            self.world.revoke(fingerprint, said[1])
            self.revoked.add((fingerprint, data, said[1].code_version))

    @rule(version=st.sampled_from(["1", "2", None]))
    def regulate(self, version: str | None) -> None:
        """The gate's rule changes, or the gate is dropped."""
        if version is not None:
            self.rule = RULE.model_copy(update={"code_version": version})
            self.world.plane.gates.declare("gated", (self.rule,), actor=ACTOR)
        elif self.rule is not None:
            self.world.plane.gates.drop("gated", RULE.gate_id, reason="a test", actor=ACTOR)
            self.rule = None

    @rule(bounds=NARROW)
    def look(self, bounds: Bounds) -> None:
        before = set(self.world.launched)
        look = self.world.look(bounds)
        for passed in look.passed:
            launch = (passed.fingerprint, passed.launch_id(CONSUMER))
            assert self.stands(passed.fingerprint)
            assert launch == self.launch(passed.fingerprint)
            assert launch not in before
        assert len(look.passed) <= bounds.passed
        self.kept.append(self.world.position)

    @rule(bounds=NARROW, number=MANIFESTS)
    def look_while_a_verdict_comes(self, bounds: Bounds, number: int) -> None:
        """A PASS lands between the look's first answer and its end."""
        meanwhile = iter([lambda: self.judge(number, PASS)])
        self.world.look(bounds, meanwhile=lambda: next(meanwhile, lambda: None)())
        self.kept.append(self.world.position)

    @rule(back=st.integers(min_value=0, max_value=3), is_lost=st.sampled_from([False] * 4 + [True]))
    def restart_from_an_older_position(self, back: int, is_lost: bool) -> None:
        self.world.position = (
            ReadinessCursor() if is_lost else self.kept[-1 - back % len(self.kept)]
        )

    @rule(bounds=NARROW)
    def catch_up(self, bounds: Bounds) -> None:
        """Once all is dealt with, whatever stands is launched."""
        caught_up = ReadinessCursor(next=self.world.plane.ledger.size())
        for _ in range(1_000):
            if self.world.position == caught_up:
                break
            self.look(bounds)
        assert self.world.position == caught_up
        for fingerprint in self.world.manifests:
            if self.stands(fingerprint):
                assert self.launch(fingerprint) in self.world.launched

    @invariant()
    def nothing_is_launched_twice(self) -> None:
        assert len(self.world.launched) == len(set(self.world.launched))

    def teardown(self) -> None:
        self.catch_up(Bounds(passed=1, asked=2, entries=3))


TestLooks = Looks.TestCase
TestLooks.settings = settings(max_examples=times(150), stateful_step_count=20, deadline=None)
