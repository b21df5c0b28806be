"""Erasure: the bytes go, their history stays, and nobody else's bytes go with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.admin.administration import Administration
from ro_platform.artifacts.addressing import blob_name, tombstone_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.cli.main import ro
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    CodeRef,
    EntryKind,
    ManifestInput,
    RunManifest,
)
from ro_platform.errors import (
    AccessDeniedError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    BackendUnavailableError,
    ContractError,
    IntegrityError,
    InvalidInputError,
    RunOperateError,
)
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.names import digest_name, touched_mention
from ro_platform.ledger.reader import LedgerReader
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.erasure import Erasure, Erasures
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.references import BlobReferences, Held
from tests.acting import erase_bytes
from tests.effort import times
from tests.unit.older_entries import older_erasure
from tests.unit.small_world import BOSS, InterruptedLedger, SmallWorld

WHY = "the customer asked for it, DSR-7"


def erase(world: SmallWorld, ref: BoundRef, *, all_bindings: bool = False) -> Erasure:
    return erase_bytes(world.plane, ref.digest, reason=WHY, all_bindings=all_bindings)


def tree(world: SmallWorld, asset: str, folder: Path, *files: bytes, under: str = "") -> BoundRef:
    """A tree with these files, published as an asset's."""
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (folder / str(number)).write_bytes(data)
    work = world.begun(asset, under=under or None)
    ref = world.plane.publication.publish(
        asset, world.store.put_tree(folder), work, actor=BOSS, deterministic=False
    )
    world.judge(ref)
    return ref


def held(world: SmallWorld, data: bytes) -> bool:
    return world.store.backend.size(blob_name(sha256_hex(data))) is not None


def test_an_erased_artifact_is_refused_with_the_reason() -> None:
    """Its bytes are gone; the guard, the store and a gate's standing all say why."""
    world = SmallWorld()
    ref = world.made("a", data=b"personal")
    done = erase(world, ref)
    assert (done.new, done.blobs, done.size_bytes, dict(done.kept)) == (True, 1, 8, {})
    assert not held(world, b"personal")
    for read in (world.read, world.store.read):
        with pytest.raises(ArtifactErasedError, match="DSR-7") as refused:
            read(ref)
        assert refused.value.code == "RO_ARTIFACT_ERASED"
    assert world.word(ref) == "ERASED"
    assert world.store.binding("a", world.fingerprint) == ref, "the binding is history"


def test_the_decision_is_on_record_before_the_bytes_go() -> None:
    """Intent, then tombstone, then outcome, each a commit; the log still verifies."""
    world = SmallWorld()
    ref = world.made("a")
    before = world.plane.ledger.size()
    erase(world, ref)
    intent, tombstone, outcome = world.plane.ledger.scan(start=before)
    assert tombstone.kind is EntryKind.ARTIFACT_ERASED
    assert tombstone.body["bindings"] == [ref.ref]
    assert tombstone.body["reason"] == WHY
    assert tombstone.body["size_bytes"] == ref.size_bytes
    assert intent.body["admin_event_id"] == tombstone.body["admin_event_id"]
    assert [intent.body["result"], outcome.body["result"]] == ["intended", "done"]
    assert outcome.body["after"] == {"blobs": 1, "bytes": ref.size_bytes, "kept": 0}
    touched = touched_mention(run_id(world.fingerprint))
    assert all(touched in (item.mentions or ()) for item in (tombstone, intent, outcome))
    assert all(item.correlation_ids.run_id is None for item in (tombstone, intent, outcome))
    assert world.plane.ledger.verify().size == before + 3


def test_erasing_again_changes_nothing() -> None:
    """The same call answers what is on record, with the first reason."""
    world = SmallWorld()
    ref = world.made("a")
    first = erase(world, ref)
    size = world.plane.ledger.size()
    again = erase_bytes(world.plane, ref.digest, reason="another")
    assert (again.new, again.blobs, again.entry) == (False, 0, first.entry)
    assert again.body.reason == WHY
    assert world.plane.ledger.size() == size
    assert list(world.plane.erasures.resume(actor=BOSS)) == []


@pytest.mark.parametrize("size", [8, (1 << 20) + 1])
def test_the_same_bytes_do_not_come_back(size: int, tmp_path: Path) -> None:
    """Every way into the store refuses them, alone or as a file of a tree, and keeps nothing."""
    world, data = SmallWorld(), b"p" * size
    erase(world, world.made("a", data=data))
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "file"
    file.write_bytes(data)

    def stream() -> None:
        with world.store.writer(media_type="text/plain") as out:
            out.write(data)

    ways: list[Callable[[], object]] = [
        lambda: world.store.put_bytes(data, media_type="text/plain"),
        stream,
        lambda: world.store.put_file(file),
        lambda: world.store.put_tree(tmp_path / "folder"),
        lambda: world.made("b", data=data),
    ]
    for way in ways:
        with pytest.raises(ArtifactErasedError, match="DSR-7"):
            way()
    assert not held(world, data)


def test_publishing_an_erased_artifact_is_refused() -> None:
    """Also where the bytes were put before the decision, and the attempt publishes after it."""
    world = SmallWorld()
    ref = world.made("a", data=b"personal")
    work = world.begun("b")
    erase(world, ref)
    with pytest.raises(ArtifactErasedError):
        world.plane.publication.publish("b", ref, work, actor=BOSS)
    assert world.store.binding("b", world.fingerprint) is None


def test_a_publication_that_was_under_way_is_refused() -> None:
    """The question is asked again inside the append: a decision just before it counts."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    ref = world.made("a", data=b"personal")
    work = world.begun("b")
    log.before.append(lambda: erase(world, ref))
    with pytest.raises(ArtifactErasedError):
        world.plane.publication.publish("b", ref, work, actor=BOSS)
    assert world.word(ref) == "ERASED"


def test_what_was_made_from_it_stands() -> None:
    """Consumers keep their artifacts; only the erased one is refused as an input from now on."""
    world = SmallWorld()
    ref = world.made("a")
    user = world.made("b", ref)
    erase(world, ref)
    assert world.read(user) == b"b"
    assert [item.ref for item in world.plane.revocations.impact(ref).artifacts] == [user.ref]
    with pytest.raises(ArtifactErasedError):
        world.made("c", ref)


def test_bytes_bound_in_several_places_need_to_be_meant() -> None:
    """All of them are named, and nothing is written before --all-bindings says so."""
    world = SmallWorld()
    one = world.made("a", data=b"same")
    two = world.made("b", data=b"same")
    size = world.plane.ledger.size()
    with pytest.raises(InvalidInputError, match="2 places") as refused:
        erase(world, one)
    assert one.ref in refused.value.message
    assert two.ref in refused.value.message
    assert world.plane.ledger.size() == size
    assert world.read(two) == b"same"
    done = erase(world, one, all_bindings=True)
    assert done.body.bindings == (one.ref, two.ref)
    assert {world.word(one), world.word(two)} == {"ERASED"}


@pytest.mark.parametrize(
    ("reason", "actor", "kind"),
    [
        (" ", BOSS, ContractError),
        ("x" * 2001, BOSS, ContractError),
        (WHY, "HUMAN::somebody", AccessDeniedError),
    ],
)
def test_no_erasure_without_reason_and_right(
    reason: str, actor: str, kind: type[RunOperateError]
) -> None:
    """A blank reason, one that is too long, or an actor who may not: the bytes stay."""
    world = SmallWorld()
    ref = world.made("a")
    with pytest.raises(kind):
        erase_bytes(world.plane, ref.digest, reason=reason, actor=actor)
    assert world.plane.erasures.find(ref.digest) is None
    assert world.read(ref) == b"a"


def test_what_nobody_holds_cannot_be_erased() -> None:
    """An unknown digest is not found, and what is no digest is no input."""
    world = SmallWorld()
    with pytest.raises(ArtifactNotFoundError):
        erase_bytes(world.plane, "a" * 64, reason=WHY)
    with pytest.raises(ContractError):
        erase_bytes(world.plane, "../refs", reason=WHY)


def test_of_a_tree_only_what_nobody_else_holds_goes(tmp_path: Path) -> None:
    """A file that another tree, or another artifact, holds stays, and it is said who holds it."""
    world = SmallWorld()
    shared = world.made("licence", data=b"licence")
    gone = tree(world, "a", tmp_path / "a", b"personal", b"licence", b"common")
    stays = tree(world, "b", tmp_path / "b", b"common", b"other")
    done = erase(world, gone)
    assert (done.body.members, done.blobs) == (3, 2)
    assert set(done.kept) == {sha256_hex(b"licence"), sha256_hex(b"common")}
    assert done.kept[sha256_hex(b"common")] == (f"a file of {stays.ref}",)
    assert not held(world, b"personal")
    assert world.read(shared) == b"licence"
    world.store.verify(stays)
    assert erase(world, stays).blobs == 3, "the common file was kept for this one alone"
    assert not held(world, b"common")
    with pytest.raises(ArtifactErasedError):
        world.store.put_tree(tmp_path / "a")
    assert not held(world, b"personal"), "a refused folder leaves nothing in the store"


def test_a_file_that_an_erased_artifact_shares_with_a_tree_goes_with_the_tree(
    tmp_path: Path,
) -> None:
    """The artifact is refused at once; its bytes stay as long as the tree that holds them."""
    world = SmallWorld()
    ref = world.made("a", data=b"personal")
    holder = tree(world, "b", tmp_path / "b", b"personal", b"rest")
    done = erase(world, ref)
    assert (done.blobs, list(done.kept)) == (0, [ref.digest])
    assert world.word(ref) == "ERASED"
    world.store.verify(holder)
    assert [item.error for item in world.plane.audit.everything() if item.error] == []
    erase(world, holder)
    assert not held(world, b"personal")


def test_an_input_is_erased_by_its_digest(tmp_path: Path) -> None:
    """Personal data come in as inputs: its readers and its registration are refused, too."""
    world = SmallWorld()
    (tmp_path / "in.csv").write_bytes(b"names")
    item = ManifestInput(name="in", ref=ArtifactRef(ref="in.csv", digest=sha256_hex(b"names")))
    manifest = RunManifest(
        kind="ro.run_manifest.v0", workload="w", inputs=(item,), code=CodeRef(version="2")
    )
    file = ManifestFile(manifest, manifest_fingerprint(manifest), tmp_path)
    world.plane.runs.register(file, actor=BOSS)
    assert world.plane.scope(file.fingerprint).input_bytes("in") == b"names"
    done = erase_bytes(world.plane, sha256_hex(b"names"), reason=WHY)
    assert done.body.inputs == (file.fingerprint,)
    assert not held(world, b"names")
    with pytest.raises(ArtifactErasedError):
        world.plane.scope(file.fingerprint).input_bytes("in")
    with pytest.raises(ArtifactErasedError):
        world.plane.runs.register(file, actor=BOSS)
    kinds = [found.kind for found in world.plane.audit.everything()]
    assert "erased input" in kinds
    assert all(found.error is None for found in world.plane.audit.everything())


class Dying(MemoryBackend):
    """A store whose n-th write or removal does not happen, and everything after it neither."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1

    def _step(self) -> None:
        if self.left == 0:
            raise BackendUnavailableError("killed")
        self.left -= 1

    def create(self, name: str, data: bytes) -> bool:
        self._step()
        return super().create(name, data)

    def erase(self, name: str) -> bool:
        self._step()
        return super().erase(name)


@pytest.mark.parametrize("resumed", [True, False], ids=["by resume", "by erasing again"])
@pytest.mark.parametrize("dies_at", range(5))
def test_a_kill_at_any_point_is_completed(tmp_path: Path, dies_at: int, resumed: bool) -> None:
    """After each step: refused already, and completed by whoever reconciles, or by the same request
    again."""
    blobs = Dying()
    world = SmallWorld(plane=Plane.over(blobs, MemoryLedgerBackend()))
    ref = tree(world, "a", tmp_path / "a", b"one", b"two")
    blobs.left = dies_at
    key = "the same request"
    dies = dies_at < 4  # the tombstone, two files and the list of them
    with pytest.raises(BackendUnavailableError) if dies else nullcontext():
        erase_bytes(world.plane, ref.digest, reason=WHY, key=key)
    blobs.left = -1
    assert world.word(ref) == "ERASED"
    if resumed:
        user = world.plane.access.single_user
        done = list(world.plane.administration.reconcile(actor=user))
        assert [item.error for item in done] == [None] * dies
    else:
        assert erase_bytes(world.plane, ref.digest, reason=WHY, key=key).new == dies
    assert not any(held(world, data) for data in (b"one", b"two"))
    assert blobs.size(blob_name(ref.digest)) is None
    assert list(world.plane.erasures.resume(actor=BOSS)) == []
    results = [
        entry.body["result"] for entry in world.plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    ]
    assert results == ["intended", "done"]
    assert list(world.plane.admin.open_intents()) == []


@pytest.mark.parametrize("way", ["resume", "again", "command"])
def test_what_an_older_release_began_without_an_intent_is_completed(
    tmp_path: Path, way: str
) -> None:
    """By `--resume`, or by erasing those bytes again: the bytes go and its own outcome is on
    record, once; after that nothing is left to do."""
    chosen = Settings.load(
        {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    with settings_in_force(chosen):
        world = SmallWorld(plane=shared_plane(chosen))
        ref = world.made("a", data=b"personal")
        body = older_erasure(world.plane, ref)
        assert world.word(ref) == "ERASED"
        assert world.plane.erasures.completed(ref.digest) is None
        if way == "resume":
            assert [item.blobs for item in world.plane.erasures.resume(actor=BOSS)] == [1]
        elif way == "again":
            assert erase(world, ref).blobs == 1
        else:
            assert facts("artifact", "erase", "--resume")["erased"][0]["blobs"] == 1
        assert not held(world, b"personal")
        assert world.plane.erasures.completed(ref.digest) == body
        size = world.plane.ledger.size()
        assert list(world.plane.erasures.resume(actor=BOSS)) == []
        assert erase(world, ref).body == body
        assert world.plane.ledger.size() == size
        own = [item.body for item in world.plane.ledger.scan(subject=digest_name(ref.digest))]
        results = [item["result"] for item in own if "result" in item]
        assert results == ["intended", "done"]


def test_a_copy_that_was_put_back_is_found_and_removed() -> None:
    """Restoring a store's backup brings erased bytes back: audit says so, resume removes them."""
    world = SmallWorld()
    ref = world.made("a", data=b"personal")
    erase(world, ref)
    [erased] = [item for item in world.plane.audit.everything() if item.kind == "erased artifact"]
    assert erased.error is None
    world.blobs.objects[blob_name(ref.digest)] = b"personal"
    [found] = [item for item in world.plane.audit.everything() if item.error]
    assert isinstance(found.error, IntegrityError)
    assert "--resume" in found.error.next_step
    with pytest.raises(ArtifactErasedError):
        world.read(ref)
    [again] = world.plane.erasures.resume(actor=BOSS)
    assert again.blobs == 1
    assert all(item.error is None for item in world.plane.audit.everything())


def test_a_tombstone_that_no_entry_names_excuses_nothing() -> None:
    """Who removes bytes and forges a tombstone in the store is found by the audit."""
    world = SmallWorld()
    ref = world.made("a")
    other = world.made("b")
    erase(world, other)
    del world.blobs.objects[blob_name(ref.digest)]
    forged = world.blobs.objects[tombstone_name(other.digest)].replace(
        other.digest.encode(), ref.digest.encode()
    )
    world.blobs.objects[tombstone_name(ref.digest)] = forged
    found = {item.locator: item for item in world.plane.audit.everything()}
    assert found[ref.ref].error is not None
    assert found[other.ref].error is None


def test_a_damaged_tombstone_still_refuses() -> None:
    """Bytes whose tombstone cannot be read are not taken in: that is an integrity error."""
    world = SmallWorld()
    ref = world.made("a")
    erase(world, ref)
    world.blobs.objects[tombstone_name(ref.digest)] = b"{}"
    with pytest.raises(IntegrityError, match="not a tombstone"):
        world.store.put_bytes(b"a", media_type="text/plain")
    with pytest.raises(ArtifactErasedError):
        world.read(ref)


class LateTombstone(MemoryBackend):
    """A store in which, just as the next object is created, somebody erases it."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []

    def create(self, name: str, data: bytes) -> bool:
        created = super().create(name, data)
        if name.startswith("blobs/") and self.meanwhile:
            self.meanwhile.pop()()
        return created


def test_bytes_stored_while_they_are_erased_are_taken_back() -> None:
    """Either the eraser removes them, or the writer sees the tombstone: none are left."""
    blobs = LateTombstone()
    world = SmallWorld(plane=Plane.over(blobs, MemoryLedgerBackend()))
    ref = world.made("a", data=b"personal")
    body = erase(world, ref).body
    tombstone = blobs.objects.pop(tombstone_name(ref.digest))
    blobs.meanwhile.append(
        lambda: blobs.objects.__setitem__(tombstone_name(body.digest), tombstone)
    )
    with pytest.raises(ArtifactErasedError):
        world.store.put_bytes(b"personal", media_type="text/plain")
    assert not held(world, b"personal")


def test_who_publishes_before_the_bytes_go_keeps_them(tmp_path: Path) -> None:
    """A tree recorded after the holders were listed, and before a file goes, holds it."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    gone = tree(world, "a", tmp_path / "a", b"personal", b"common")
    later: list[BoundRef] = []
    log.before += [
        lambda: None,  # the intent
        lambda: None,  # the decision
        lambda: later.append(tree(world, "b", tmp_path / "b", b"common", b"other")),
    ]
    done = erase(world, gone)
    assert list(done.kept) == [sha256_hex(b"common")]
    world.store.verify(later[0])
    assert not held(world, b"personal")


class EarlierHoldings(BlobReferences):
    """Holders as they were listed before anything was bound."""

    def of(self, digests: Collection[str], log: LedgerReader) -> Held:
        return {}


def test_who_publishes_after_the_bytes_went_is_refused(tmp_path: Path) -> None:
    """Bound after the holders were listed, not on record when the file goes: it is not published,
    and succeeds when it is done again."""
    log = InterruptedLedger()
    world = SmallWorld(log)
    plane = world.plane
    gone = tree(world, "a", tmp_path / "a", b"personal", b"common")
    references = EarlierHoldings(plane.store, plane.configs, plane.runs)
    eraser = Erasures(plane.store, plane.ledger, references, plane.runs, plane.clock)
    dependencies = replace(plane.administration.dependencies, erasures=eraser)
    eager = replace(plane, erasures=eraser, administration=Administration.of(dependencies))
    work = world.begun("b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_bytes(b"common")
    ref = world.store.put_tree(tmp_path / "b")
    log.before.append(lambda: erase_bytes(eager, gone.digest, reason=WHY))
    with pytest.raises(ArtifactNotFoundError):
        plane.publication.publish("b", ref, work, actor=BOSS)
    makings = plane.ledger.scan(kind=EntryKind.ARTIFACT_BOUND)
    assert [entry.body["asset"] for entry in makings] == ["a"]
    again = plane.publication.publish("b", world.store.put_tree(tmp_path / "b"), work, actor=BOSS)
    world.store.verify(again)


FILES = [bytes([65 + number]) for number in range(4)]


@settings(max_examples=times(40), deadline=None)
@given(st.data())
def test_nobody_elses_bytes_go(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Law: after any erasures, every un-erased artifact is whole, and of erased ones only what an
    un-erased one holds is left."""
    world, folder = SmallWorld(), tmp_path_factory.mktemp("trees")
    contents: dict[str, set[bytes]] = {}
    refs: dict[str, BoundRef] = {}
    for number in range(data.draw(st.integers(1, 5))):
        files = data.draw(st.lists(st.sampled_from(FILES), min_size=1, max_size=3))
        name = f"x{number}"
        if len(files) == 1:
            refs[name] = world.made(name, data=files[0])
        else:
            refs[name] = tree(world, name, folder / name, *files)
        contents[name] = set(files)
    erased: set[str] = set()
    for name in data.draw(st.lists(st.sampled_from(sorted(refs)), max_size=4)):
        erase(world, refs[name], all_bindings=True)
        erased |= {other for other, ref in refs.items() if ref.digest == refs[name].digest}
    standing = refs.keys() - erased
    for name in standing:
        world.store.verify(refs[name])
        assert world.word(refs[name]) == "PASS"
    needed = set().union(*(contents[name] for name in standing))
    assert {item for item in FILES if held(world, item)} == needed
    assert all(world.word(refs[name]) == "ERASED" for name in erased)
    assert all(item.error is None for item in world.plane.audit.everything())


# --- ro artifact erase ---------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SmallWorld]:
    chosen = Settings.load(
        {"RO_ROOT": str(tmp_path), "RO_HOME": str(tmp_path / "home")}, cwd=tmp_path
    )
    with settings_in_force(chosen):
        yield SmallWorld(plane=shared_plane(chosen))


def ask(*args: object) -> Result:
    return CliRunner().invoke(ro, [str(arg) for arg in args])


def facts(*args: object) -> Any:
    answer = ask(*args, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_the_command_erases_and_says_what_it_did(world: SmallWorld, tmp_path: Path) -> None:
    """Places, objects and bytes; then `get` is refused with exit 5, and `verify` knows why."""
    ref = world.made("a", data=b"personal")
    answer = ask("artifact", "erase", f"a@{world.fingerprint}", "--reason", WHY)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines() == [
        f"erased: sha256:{ref.digest}",
        f"  {ref.ref}",
        "removed: 1 object, 8 B",
    ]
    refused = ask("artifact", "get", ref.digest, tmp_path / "copy")
    assert refused.exit_code == 5
    assert "RO_ARTIFACT_ERASED" in refused.stderr
    assert not (tmp_path / "copy").exists()
    verified = facts("artifact", "verify", "--all")
    assert (verified["altered"], verified["erased"]) == ([], [ref.ref])
    assert "1 erased artifact" in ask("artifact", "verify", "--all").stdout
    assert facts("artifact", "erase", ref.digest, "--reason", WHY)["erased"][0]["new"] is False
    assert "is complete" in ask("artifact", "erase", "--resume").stdout


def test_the_command_refuses_half_a_request(world: SmallWorld) -> None:
    """No target, no reason, or both a target and --resume: nothing is erased."""
    ref = world.made("a")
    wrong: tuple[list[str], ...] = (
        [],
        [ref.digest],
        [ref.digest, "--reason", WHY, "--resume"],
        ["--reason", WHY],
    )
    assert [ask("artifact", "erase", *args).exit_code for args in wrong] == [3, 3, 3, 3]
    assert world.read(ref) == b"a"


def test_the_command_says_what_of_a_folder_stays_and_who_holds_it(
    world: SmallWorld, tmp_path: Path
) -> None:
    """A file that another artifact holds; the list of the folder's files is gone by then."""
    shared = world.made("licence", data=b"licence")
    gone = tree(world, "a", tmp_path / "a", b"personal", b"licence")
    told = ask("artifact", "erase", gone.digest, "--reason", WHY).stdout
    assert f"kept: sha256:{shared.digest}, {shared.ref}" in told
    assert told.count("kept:") == 1


def test_shared_bytes_are_named_by_the_command(world: SmallWorld) -> None:
    """Exit 3 with the places and the option; with it, all of them."""
    ref = world.made("a", data=b"same")
    world.made("b", data=b"same")
    refused = ask("artifact", "erase", ref.digest, "--reason", WHY)
    assert refused.exit_code == 3
    assert "--all-bindings" in refused.stderr
    erased = facts("artifact", "erase", ref.digest, "--reason", WHY, "--all-bindings")["erased"]
    assert len(erased[0]["tombstone"]["bindings"]) == 2
