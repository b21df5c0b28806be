"""Artifacts from outside: bound with the verdicts on them, and never readable before the last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    CodeRef,
    EntryKind,
    GateRule,
    GateStatus,
    JobStatus,
    RunManifest,
)
from ro_platform.engine_formats.objects import EngineGateReceipt, as_engine_receipt
from ro_platform.errors import (
    AddressConflictError,
    ArtifactNotFoundError,
    BundleRefusedError,
    ConflictError,
    ContractError,
    GateAbsentError,
    GateFailedError,
    GateRefusedError,
    GateRevokedError,
    GateSetShrankError,
    InvalidInputError,
    ManifestNotRegisteredError,
    NotFoundError,
    RunOperateError,
    VersionNotPinnedError,
)
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.ledger.backends.base import LedgerTransaction
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from ro_platform.runs.engine_bundle import SealedBundle, register_bundle
from ro_platform.runs.external import Registered
from ro_platform.runs.external_checks import ExternalVerdict
from ro_platform.runs.manifest import ManifestFile
from tests.acting import revoke_pass

ACTOR = "HUMAN::importer"
PASS, FAIL = GateStatus.PASS, GateStatus.FAIL
ASSET = "engine/bundle"
ALL_FILES = "sha256_bundle_digest"
LISTED_FILES = "sha256_index_json_ascii_lex_raw_bytes"
MEMBER_DIGESTS = "sha256_member_digest_concat"
RULES = [GateRule(gate_id=f"engine.bundle.{name}", code_version="1") for name in ("a", "b")]


class Crash(BaseException):
    """The process ends here."""


class Countdown:
    """Lets that many writes happen, and ends the process before or after the next."""

    def __init__(self) -> None:
        self.left = -1
        self.after = False

    def set(self, writes: int, *, after: bool) -> None:
        self.left, self.after = writes, after

    @contextmanager
    def write(self) -> Iterator[None]:
        self.left -= 1
        if self.left == -1 and not self.after:
            raise Crash
        yield
        if self.left == -1 and self.after:
            raise Crash


class MortalBlobs(MemoryBackend):
    """A store whose process may end at any write."""

    def __init__(self, fate: Countdown) -> None:
        super().__init__()
        self._fate = fate

    def create(self, name: str, data: bytes) -> bool:
        with self._fate.write():
            return super().create(name, data)


class MortalLedger(MemoryLedgerBackend):
    """A ledger whose process may end at any commit."""

    def __init__(self, fate: Countdown) -> None:
        super().__init__()
        self._fate = fate

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        with self._fate.write(), super().transaction() as transaction:
            yield transaction


class World:
    """A plane, a manifest and bytes from outside."""

    def __init__(self) -> None:
        self.fate = Countdown()
        self.blobs, self.log = MortalBlobs(self.fate), MortalLedger(self.fate)
        self.plane = Plane.over(self.blobs, self.log, clock=ManualClock())
        self.manifest, self.fingerprint = self.registered()

    def registered(self, seed: int = 1) -> tuple[RunManifest, str]:
        manifest = RunManifest(
            kind="ro.run_manifest.v0", workload="w", seed=seed, code=CodeRef(version="1")
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor=ACTOR)
        return manifest, file.fingerprint

    def again(self) -> None:
        """Another process over the same store and ledger."""
        self.plane = Plane.over(self.blobs, self.log, clock=ManualClock())

    def put(self, data: bytes) -> BoundRef:
        return self.plane.store.put_bytes(data, media_type="application/octet-stream")

    def bring(
        self,
        *verdicts: ExternalVerdict,
        data: bytes = b"from outside",
        deterministic: bool = True,
        reason: str | None = None,
    ) -> Registered:
        return self.plane.external.register(
            ASSET,
            self.fingerprint,
            self.put(data),
            verdicts or [ExternalVerdict(rule, PASS) for rule in RULES],
            actor=ACTOR,
            deterministic=deterministic,
            reason=reason,
        )

    def read(self) -> bytes:
        ref = self.plane.guard.require(ASSET, self.manifest, self.fingerprint)
        return self.plane.store.read(ref)

    def statuses(self) -> list[JobStatus]:
        return [item.status for item in self.plane.attempts.of_run(self.fingerprint)]

    def is_sound(self) -> None:
        """Ledger and store are whole, and agree."""
        self.plane.ledger.verify()
        assert [item.error for item in self.plane.audit.everything(full=True) if item.error] == []


@pytest.fixture
def world() -> World:
    return World()


# --- what is on record ----------------------------------------------------------------------------


def test_what_passed_outside_is_read_here(world: World) -> None:
    """Bound under the asset and the manifest, one attempt that ended well, every receipt there."""
    evidence = world.put(b"what was seen")
    verdicts = [
        ExternalVerdict(RULES[0], PASS, evidence, "as seen"),
        ExternalVerdict(RULES[1], PASS),
    ]

    registered = world.bring(*verdicts, reason="ordered by audit")

    assert (world.read(), registered.new, registered.refusal) == (b"from outside", True, None)
    receipts = [world.plane.receipts.read(item) for item in registered.receipts]
    seen = [item.evidence and item.evidence.to_json_value() for item in receipts]
    assert seen == [evidence.to_json_value(), None]
    assert [item.notes for item in receipts] == ["as seen\nordered by audit", "ordered by audit"]
    assert {item.subject.digest for item in receipts} == {sha256(b"from outside").hexdigest()}
    (attempt,) = world.plane.attempts.of_run(world.fingerprint)
    assert (attempt.unit, attempt.step_key, attempt.status) == (
        ASSET,
        "external",
        JobStatus.SUCCEEDED,
    )
    assert [item.artifact for item in attempt.outputs] == [registered.artifact]
    assert attempt.correlation_ids.dagster_run_id is None
    entries = world.plane.ledger.scan(start=1)
    assert {entry.actor for entry in entries} == {ACTOR}
    world.is_sound()


def test_registering_the_same_again_changes_nothing(world: World) -> None:
    """Same bytes, same verdicts, same evidence: the record stands as it is."""
    first = world.bring()
    size, objects = world.plane.ledger.size(), dict(world.blobs.objects)
    again = world.bring(reason="another day")
    assert (again.new, again.artifact, again.receipts) == (False, first.artifact, first.receipts)
    assert (world.plane.ledger.size(), world.blobs.objects) == (size, objects)


def test_a_fail_is_recorded_and_nobody_reads(world: World) -> None:
    """Bound, with its verdict on record; a later PASS from outside is another attempt."""
    failed = ExternalVerdict(RULES[0], FAIL), ExternalVerdict(RULES[1], PASS)
    registered = world.bring(*failed)
    assert isinstance(registered.refusal, GateFailedError)
    with pytest.raises(GateFailedError):
        world.read()
    assert world.bring(*failed).new is False
    assert world.bring().refusal is None
    assert world.read() == b"from outside"
    assert world.statuses() == [JobStatus.SUCCEEDED] * 2


def test_a_guest_gate_binds_what_came_from_outside(world: World) -> None:
    """What a consumer's code location asks of the asset is asked besides the verdict."""
    guest = GateRule(gate_id="engine.bundle.guest", code_version="1", guest=True)
    world.plane.gates.amend(ASSET, guest, actor=ACTOR)
    registered = world.bring()
    assert isinstance(registered.refusal, GateAbsentError)
    assert registered.refusal.diagnostics()["gate"] == guest.gate_id
    with pytest.raises(GateAbsentError):
        world.read()


def test_a_receipt_that_was_lost_is_written_again(world: World) -> None:
    """What cannot vouch any more is no reason to say that all is on record."""
    lost = world.bring().receipts[1].receipt.ref
    del world.blobs.objects[lost]
    with pytest.raises(GateRefusedError):
        world.read()
    assert world.bring().new is True
    assert world.read() == b"from outside"


# --- what is refused ------------------------------------------------------------------------------


def unknown_manifest(world: World) -> None:
    world.fingerprint = "0" * 64
    world.bring()


def no_verdict(world: World) -> None:
    world.plane.external.register(ASSET, world.fingerprint, world.put(b"x"), [], actor=ACTOR)


def the_same_gate_twice(world: World) -> None:
    world.bring(ExternalVerdict(RULES[0], PASS), ExternalVerdict(RULES[0], FAIL))


def config_not_pinned(world: World) -> None:
    world.bring(ExternalVerdict(RULES[0].model_copy(update={"configs": ("limits",)}), PASS))


def own_gate_left_out(world: World) -> None:
    world.plane.gates.declare(ASSET, tuple(RULES), actor=ACTOR)
    world.bring(ExternalVerdict(RULES[0], PASS))


def other_rule(world: World) -> None:
    world.plane.gates.declare(ASSET, tuple(RULES), actor=ACTOR)
    changed = RULES[1].model_copy(update={"code_version": "2"})
    world.bring(ExternalVerdict(RULES[0], PASS), ExternalVerdict(changed, PASS))


def not_stored(world: World) -> None:
    ref = world.put(b"x")
    del world.blobs.objects[ref.ref]
    verdicts = [ExternalVerdict(rule, PASS) for rule in RULES]
    world.plane.external.register(ASSET, world.fingerprint, ref, verdicts, actor=ACTOR)


def evidence_not_stored(world: World) -> None:
    absent = ArtifactRef(ref=f"blobs/sha256/{'0' * 2}/{'0' * 62}", digest="0" * 64)
    world.bring(ExternalVerdict(RULES[0], PASS, absent))


def no_asset_path(world: World) -> None:
    ref, verdicts = world.put(b"x"), [ExternalVerdict(RULES[0], PASS)]
    world.plane.external.register("a/../b", world.fingerprint, ref, verdicts, actor=ACTOR)


@pytest.mark.parametrize(
    ("history", "refusal"),
    [
        (unknown_manifest, ManifestNotRegisteredError),
        (no_verdict, InvalidInputError),
        (the_same_gate_twice, InvalidInputError),
        (config_not_pinned, VersionNotPinnedError),
        (own_gate_left_out, GateSetShrankError),
        (other_rule, ConflictError),
        (not_stored, ArtifactNotFoundError),
        (evidence_not_stored, ArtifactNotFoundError),
        (no_asset_path, InvalidInputError),
    ],
    ids=lambda item: item.__name__,
)
def test_a_refusal_leaves_no_trace(
    world: World, history: Callable[[World], None], refusal: type[RunOperateError]
) -> None:
    """No attempt, no binding, no gate: as if it had not been asked."""
    with pytest.raises(refusal) as caught:
        history(world)
    assert caught.value.next_step
    kinds = {entry.kind for entry in world.plane.ledger.scan()}
    assert kinds <= {EntryKind.RUN_REGISTERED, EntryKind.GATE_SET_DECLARED}
    assert list(world.plane.store.bindings()) == []


def test_other_bytes_conflict_unless_they_are_a_new_revision(world: World) -> None:
    """One asset and one manifest have one artifact; a non-deterministic asset has revisions."""
    world.bring()
    size = world.plane.ledger.size()
    with pytest.raises(AddressConflictError, match="under that manifest"):
        world.bring(data=b"other")
    assert world.plane.ledger.size() == size
    assert world.read() == b"from outside"
    registered = world.bring(data=b"other", deterministic=False)
    assert registered.artifact.ref.endswith("rev=000002.json")
    assert world.read() == b"other"


def test_a_conflict_that_a_race_brings_ends_the_attempt_as_failed(world: World) -> None:
    """Somebody else binds other bytes between the question and the binding."""
    other = world.put(b"other")
    amend = world.plane.gates.amend

    def first_somebody_else(asset: str, rule: GateRule, *, actor: str) -> None:
        world.plane.store.bind(ASSET, world.fingerprint, other)
        amend(asset, rule, actor=actor)

    world.plane.gates.amend = first_somebody_else  # type: ignore[method-assign]
    with pytest.raises(AddressConflictError):
        world.bring()
    assert world.statuses() == [JobStatus.FAILED]
    with pytest.raises(GateRefusedError):
        world.read()


def test_a_revoked_pass_does_not_come_back_by_registering_again(world: World) -> None:
    """Neither the same bytes under the same rule, nor under another attempt."""
    ref = world.bring().artifact
    gate = RULES[0].gate_id
    revoke_pass(world.plane, gate, ref, reason="withdrawn by its maker")
    size = world.plane.ledger.size()
    with pytest.raises(GateRevokedError):
        world.bring()
    assert world.plane.ledger.size() == size
    with pytest.raises(GateRevokedError):
        world.read()


# --- crashes --------------------------------------------------------------------------------------


def crashed(world: World, writes: int, *, after: bool, data: bytes, revision: bool) -> bool:
    """Register, ending the process at that write; False if there are not so many writes."""
    ref = world.put(data)
    verdicts = [ExternalVerdict(rule, PASS) for rule in RULES]
    world.fate.set(writes, after=after)
    try:
        world.plane.external.register(
            ASSET, world.fingerprint, ref, verdicts, actor=ACTOR, deterministic=not revision
        )
    except Crash:
        return True
    finally:
        world.fate.set(-1, after=False)
        world.again()
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("revision", [False, True], ids=["first", "next revision"])
def test_a_crash_at_any_write_lets_nothing_out_and_is_mended_by_asking_again(
    after: bool, revision: bool
) -> None:
    """Before and after each write to the store and the ledger, in order, until none is left."""
    writes = 0
    while True:
        world = World()
        if revision:
            world.bring(data=b"earlier", deterministic=False)
        if not crashed(world, writes, after=after, data=b"from outside", revision=revision):
            break
        received = [
            world.plane.receipts.latest(
                rule.gate_id, world.fingerprint, sha256(b"from outside").hexdigest()
            )
            for rule in RULES
        ]
        if None in received:
            try:
                assert world.read() == b"earlier"
            except (GateRefusedError, NotFoundError):
                assert world.plane.store.binding(ASSET, world.fingerprint) or not revision
        else:
            assert world.read() == b"from outside"
        world.is_sound()

        world.bring(deterministic=not revision)

        assert world.read() == b"from outside"
        assert JobStatus.RUNNING not in world.statuses()
        assert world.statuses()[-1] is JobStatus.SUCCEEDED
        size = world.plane.ledger.size()
        assert world.bring(deterministic=not revision).new is False
        assert world.plane.ledger.size() == size
        world.is_sound()
        writes += 1
    assert writes == (9 if revision else 11)  # the last one seals the run


# --- bundles --------------------------------------------------------------------------------------

MEMBERS = {"checks/rows.csv": b"check,rows\r\nsites,12\r\n", "report.json": b'{"ok":true}\n'}


def seal(folder: Path, law: str = ALL_FILES, members: dict[str, bytes] = MEMBERS) -> Path:
    """A bundle as the engine would write it, by hashlib alone."""
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    own = {name: sha256(data).hexdigest() for name, data in members.items()}
    entries = [{"path": name, "sha256_hex": digest} for name, digest in own.items()]
    index = json.dumps({"members": entries}).encode()
    (folder / "index.json").write_bytes(index)
    every = sorted({**members, "index.json": index}.items())
    material = {
        ALL_FILES: b"".join(data for _, data in every),
        LISTED_FILES: b"".join(data for name, data in every if name != "index.json"),
        MEMBER_DIGESTS: "".join(own.values()).encode(),
    }[law]
    (folder / "_passed.flag").write_text(f"sha256_hex = {sha256(material).hexdigest()}\n")
    return folder


def bring_bundle(world: World, bundle: SealedBundle, *, revision: bool = False) -> Registered:
    verdict, registered = register_bundle(
        world.plane.store,
        world.plane.external,
        bundle,
        ASSET,
        world.fingerprint,
        actor=ACTOR,
        deterministic=not revision,
    )
    assert verdict.status is PASS
    assert registered is not None
    return registered


def contents(world: World, ref: BoundRef, folder: Path) -> dict[str, bytes]:
    world.plane.store.copy_to(ref, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("law", [ALL_FILES, LISTED_FILES, MEMBER_DIGESTS])
def test_a_bundle_is_registered_under_its_law(world: World, tmp_path: Path, law: str) -> None:
    """The whole folder, under the gate ``asset.law``; its evidence names no place on a machine."""
    folder = seal(tmp_path / "bundle", law)
    registered = bring_bundle(world, SealedBundle(folder, law))
    assert registered.refusal is None
    (rule,) = world.plane.gates.gates_of(ASSET) or ()
    assert (rule.gate_id, rule.code_version) == (f"engine.bundle.{law}", law)
    found = contents(world, registered.artifact, tmp_path / "read")
    assert found == {**MEMBERS, **{n: (folder / n).read_bytes() for n in found.keys() - MEMBERS}}
    assert found.keys() == {*MEMBERS, "index.json", "_passed.flag"}
    evidence = world.plane.receipts.read(registered.receipts[0]).evidence
    assert evidence is not None
    said = json.loads(world.plane.store.read(evidence))
    assert (said["status"], said["rule"]["law"]) == ("PASS", law)
    assert said["bundle"] == f"sha256:{registered.artifact.digest}"
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    assert bring_bundle(world, SealedBundle(elsewhere, law)).new is False


def in_a_run(tmp_path: Path) -> SealedBundle:
    """A bundle whose members lie elsewhere in the run."""
    run = seal(tmp_path / "run", LISTED_FILES)
    bundle = run / "data" / "validation"
    bundle.mkdir(parents=True)
    for name in ("index.json", "_passed.flag"):
        (run / name).rename(bundle / name)
    (run / "unrelated.txt").write_text("no part of it")
    return SealedBundle(bundle, LISTED_FILES, run_root=run, index_order=True)


def test_of_a_run_only_what_the_verdict_speaks_of_is_stored(world: World, tmp_path: Path) -> None:
    """The bundle's files and the members, at their paths below the run's root."""
    bundle = in_a_run(tmp_path)
    registered = bring_bundle(world, bundle)
    found = contents(world, registered.artifact, tmp_path / "read")
    own = {f"data/validation/{name}" for name in ("index.json", "_passed.flag")}
    assert found.keys() == {*MEMBERS, *own}
    (rule,) = world.plane.gates.gates_of(ASSET) or ()
    assert rule.code_version == f"{LISTED_FILES}.index_order.run_root"


def test_a_flag_that_lies_elsewhere_is_named_by_the_evidence(world: World, tmp_path: Path) -> None:
    """It is no part of the artifact; its digest is in the verdict."""
    folder = seal(tmp_path / "bundle")
    flag = (folder / "_passed.flag").rename(tmp_path / "kept.flag")
    registered = bring_bundle(world, SealedBundle(folder, ALL_FILES, flag=flag))
    found = contents(world, registered.artifact, tmp_path / "read")
    assert found.keys() == {*MEMBERS, "index.json"}
    evidence = world.plane.receipts.read(registered.receipts[0]).evidence
    assert evidence is not None
    said = json.loads(world.plane.store.read(evidence))
    assert f"sha256_hex = {said['expected_digest']}\n" == flag.read_text()


def test_a_bundle_that_fails_leaves_nothing(world: World, tmp_path: Path) -> None:
    """The verdict says what differs; ledger and store have no trace."""
    folder = seal(tmp_path / "bundle")
    (folder / "report.json").write_bytes(b'{"ok":TRUE}\n')
    size, objects = world.plane.ledger.size(), dict(world.blobs.objects)
    verdict, registered = register_bundle(
        *(world.plane.store, world.plane.external, SealedBundle(folder, ALL_FILES)),
        *(ASSET, world.fingerprint),
        actor=ACTOR,
    )
    assert (verdict.status, registered) == (FAIL, None)
    assert (world.plane.ledger.size(), world.blobs.objects) == (size, objects)


def with_a_file_nobody_lists(folder: Path) -> SealedBundle:
    seal(folder, LISTED_FILES)
    (folder / "stray.csv").write_text("who wrote this?")
    return SealedBundle(folder, LISTED_FILES)


def with_a_link(folder: Path) -> SealedBundle:
    (seal(folder) / "link").symlink_to("report.json")
    return SealedBundle(folder, ALL_FILES)


def outside_its_run(folder: Path) -> SealedBundle:
    inside = in_a_run(folder)
    assert inside.run_root is not None
    moved = (inside.run_root / "data").rename(folder / "data") / "validation"
    return SealedBundle(moved, LISTED_FILES, run_root=inside.run_root, index_order=True)


def of_a_member_nothing_vouches_for(folder: Path) -> SealedBundle:
    """The law hashes the bundle's own files; a member elsewhere has no digest of its own."""
    bundle = folder / "run" / "bundle"
    bundle.mkdir(parents=True)
    (folder / "run" / "member.csv").write_text("anything")
    index = b'[{"path": "member.csv"}]'
    (bundle / "index.json").write_bytes(index)
    (bundle / "_passed.flag").write_text(f"sha256_hex = {sha256(index).hexdigest()}\n")
    return SealedBundle(bundle, ALL_FILES, run_root=folder / "run")


def under_an_unknown_law(folder: Path) -> SealedBundle:
    return SealedBundle(seal(folder), "sha256_of_something")


@pytest.mark.parametrize(
    "make",
    [
        with_a_file_nobody_lists,
        with_a_link,
        outside_its_run,
        of_a_member_nothing_vouches_for,
        under_an_unknown_law,
    ],
    ids=lambda item: item.__name__,
)
def test_what_no_verdict_speaks_of_is_not_taken_in(
    world: World, tmp_path: Path, make: Callable[[Path], SealedBundle]
) -> None:
    """A refusal: no consumer reads beside the verdict."""
    size = world.plane.ledger.size()
    with pytest.raises(BundleRefusedError):
        bring_bundle(world, make(tmp_path / "made"))
    assert world.plane.ledger.size() == size
    assert list(world.plane.store.bindings()) == []


def test_what_changes_between_the_verdict_and_the_store_is_found(
    world: World, tmp_path: Path
) -> None:
    """The stored copy is judged, whatever the folder was a moment before."""
    folder = seal(tmp_path / "bundle")
    put_tree = world.plane.store.put_tree

    def changed_meanwhile(path: Path, *, schema_version: str | None = None) -> BoundRef:
        (path / "report.json").write_bytes(b'{"ok":TRUE}\n')
        return put_tree(path, schema_version=schema_version)

    world.plane.store.put_tree = changed_meanwhile  # type: ignore[method-assign, assignment]
    verdict, registered = register_bundle(
        *(world.plane.store, world.plane.external, SealedBundle(folder, ALL_FILES)),
        *(ASSET, world.fingerprint),
        actor=ACTOR,
    )
    assert (verdict.status, registered) == (FAIL, None)
    assert list(world.plane.store.bindings()) == []

    def sealed_anew_meanwhile(path: Path, *, schema_version: str | None = None) -> BoundRef:
        shutil.rmtree(path)
        return put_tree(seal(path, members={"other.csv": b"1"}), schema_version=schema_version)

    world.plane.store.put_tree = sealed_anew_meanwhile  # type: ignore[method-assign, assignment]
    with pytest.raises(BundleRefusedError, match="changed while it was stored"):
        bring_bundle(world, SealedBundle(seal(tmp_path / "again"), ALL_FILES))
    assert list(world.plane.store.bindings()) == []


def test_another_law_or_option_needs_a_recorded_decision(world: World, tmp_path: Path) -> None:
    """No bundle loosens the rule of those before it in passing."""
    bring_bundle(world, SealedBundle(seal(tmp_path / "one", LISTED_FILES), LISTED_FILES))
    loosened = SealedBundle(tmp_path / "one", LISTED_FILES, without_index=True)
    with pytest.raises(ConflictError, match="go stale"):
        bring_bundle(world, loosened)
    _, world.fingerprint = world.registered(seed=2)
    other = SealedBundle(seal(tmp_path / "two", ALL_FILES), ALL_FILES)
    with pytest.raises(GateSetShrankError):
        bring_bundle(world, other)
    gate = f"engine.bundle.{LISTED_FILES}"
    world.plane.gates.drop(ASSET, gate, reason="the engine seals otherwise now", actor=ACTOR)
    assert bring_bundle(world, other).refusal is None
    manifest, first = world.registered(seed=1)
    with pytest.raises(GateAbsentError):
        world.plane.guard.require(ASSET, manifest, first)


def test_an_asset_whose_gate_would_have_no_name_is_refused(tmp_path: Path, world: World) -> None:
    """A gate's name has 128 characters at most."""
    with pytest.raises(ContractError):
        register_bundle(
            *(world.plane.store, world.plane.external, SealedBundle(seal(tmp_path), ALL_FILES)),
            *("a" * 120, world.fingerprint),
            actor=ACTOR,
        )


def test_a_verdict_goes_out_in_the_engines_form(world: World) -> None:
    """A gate_receipt that reads back, about the manifest and the exact bytes."""
    registered = world.bring(ExternalVerdict(RULES[0], PASS), reason="ordered")
    receipt = world.plane.receipts.read(registered.receipts[0])
    said = as_engine_receipt(receipt).to_json_value()
    assert EngineGateReceipt.from_json(json.dumps(said)).to_json_value() == said
    assert said == {
        "gate_id": RULES[0].gate_id,
        "status": "PASS",
        "scope": {"manifest_fingerprint": world.fingerprint},
        "produced_at_utc": receipt.produced_at_utc,
        "receipt_kind": "json_receipt",
        "digest": {"algo": "sha256", "hex": sha256(b"from outside").hexdigest()},
        "notes": "ordered",
    }
