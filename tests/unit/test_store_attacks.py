"""Whoever can write the store, and nothing else, makes nobody read other bytes or run code.

The ledger says which bytes an artifact is, how many, and of what type. Whatever is done to the
store, each reader gets exactly that or a refusal with a code, and the audit names what was done.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.addressing import blob_name, parse_binding, tombstone_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.bindings import differences
from ro_platform.artifacts.encodings import PICKLE, decode, encode
from ro_platform.contracts import ArtifactErased, BoundRef, JobStatus, PinnedConfigRef
from ro_platform.errors import (
    AddressConflictError,
    ArtifactNotFoundError,
    ArtifactUnrecordedError,
    BindingCorruptError,
    DigestMismatchError,
    EncodingError,
    RunOperateError,
)
from ro_platform.gates import guard as guard_module
from ro_platform.gates.made import artifact_of
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from tests.acting import erase_bytes, publish_config
from tests.unit.small_world import BOSS, DAGSTER, SmallWorld

FIRED: list[str] = []
"""What code that came out of the store has done."""


class Bomb:
    """Its pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return FIRED.append, ("code from the store ran",)


BOMB = pickle.dumps(Bomb())
VALUES: dict[str, Any] = {
    "table": pd.DataFrame({"customer": ["a", "b"], "cents": [1, 2]}),
    "document": {"limit": 3, "names": ["x", "y"]},
    "pickled": {"a set": frozenset({1, 2})},
    "octets": b"some bytes",
}
ASSETS = (*VALUES, "tree", "drifts")


@dataclass
class Home:
    """A governed home as it was left: what the store held, its ledger, and what is on record."""

    objects: dict[str, bytes]
    log: MemoryLedgerBackend
    fingerprint: str
    pin: PinnedConfigRef
    recorded: dict[str, BoundRef]
    owners: dict[str, set[str]]
    """By the name of a blob, under which locators the audit reads it."""

    def attacked(self, objects: dict[str, bytes]) -> Plane:
        """A new process over the same ledger and that store."""
        blobs = MemoryBackend()
        blobs.objects.update(objects)
        return Plane.over(blobs, self.log)


def _made(world: SmallWorld, asset: str, value: Any, encoding: str | None = None) -> BoundRef:
    work = world.begun(asset)
    ref = world.plane.publication.publish(
        asset,
        encode(world.store, value, encoding=encoding),
        work,
        actor=DAGSTER,
        deterministic=encoding is None and asset != "drifts",
    )
    world.plane.attempts.move(work.attempt, JobStatus.SUCCEEDED, dagster_run_id=work.dagster_run_id)
    evidence = world.store.put_bytes(f"why {asset}".encode(), media_type="text/plain")
    world.judge(ref, evidence=evidence)
    return ref


@cache
def home() -> Home:
    """A table, a document, a pickle, bytes, a folder and an asset with two revisions, all passed
    on evidence; a config; what was erased."""
    log = MemoryLedgerBackend()
    world = SmallWorld(log)
    pin = publish_config(world.plane, "limits", {"most": 3}, reason="r").version
    recorded = {}
    for asset, value in VALUES.items():
        recorded[asset] = _made(world, asset, value, "pickle" if asset == "pickled" else None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        (folder / "deep").mkdir(parents=True)
        (folder / "one.txt").write_bytes(b"one")
        (folder / "deep" / "two.txt").write_bytes(b"two")
        recorded["tree"] = _made(world, "tree", folder)
    first = _made(world, "drifts", b"first")
    recorded["drifts"] = _made(world, "drifts", b"second")
    gone = world.made("gone")
    erase_bytes(world.plane, gone.digest, reason="asked for")
    owners: dict[str, set[str]] = {}
    for ref in (*recorded.values(), first):
        for name in (blob_name(ref.digest), *(m.ref for m in world.store.members(ref))):
            owners.setdefault(name, set()).add(ref.ref)
        evidence = blob_name(digests_of(_evidence_of(ref)).sha256)
        owners.setdefault(evidence, set()).add(evidence)
    owners.setdefault(blob_name(pin.digest), set()).add("config/limits/1")
    owners.setdefault(blob_name(world.fingerprint), set()).add(blob_name(world.fingerprint))
    return Home(dict(world.blobs.objects), log, world.fingerprint, pin, recorded, owners)


def _evidence_of(ref: BoundRef) -> bytes:
    address = parse_binding(ref.ref)
    assert address is not None
    return f"why {address.asset}".encode()


def _seen(value: Any) -> Any:
    """A value so that two can be compared: its type, and all that is in it."""
    if isinstance(value, Path):
        files = sorted(value.rglob("*")) if value.is_dir() else [value]
        return ["path", [(str(f.relative_to(value)), f.read_bytes()) for f in files if f.is_file()]]
    if isinstance(value, pd.DataFrame):
        return ["frame", value.to_dict("list"), list(map(str, value.dtypes))]
    return [type(value).__name__, value]


def _readers(plane: Plane, home: Home, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everybody who reads, by name."""

    def consumer(asset: str) -> Any:
        manifest = plane.runs.manifest(home.fingerprint)
        ref = plane.guard.require(asset, manifest, home.fingerprint)
        return _seen(_decoded(plane, ref, folder))

    def judge(asset: str) -> Any:
        ref = artifact_of(plane.ledger, asset, home.fingerprint)
        assert ref is not None
        return _seen(_decoded(plane, ref, folder))

    def copied(asset: str) -> Any:
        located = plane.lookup.readable(f"{asset}@{home.fingerprint}")
        target = Path(tempfile.mkdtemp(dir=folder)) / "copy"
        plane.store.copy_to(located.ref, target)
        return [located.ref.to_json_value(), _seen(target)]

    for asset in ASSETS:
        yield f"consumer of {asset}", partial(consumer, asset)
        yield f"gate of {asset}", partial(judge, asset)
        yield f"artifact get {asset}", partial(copied, asset)
    yield "config", lambda: plane.configs.read(home.pin)
    yield "manifest", lambda: plane.runs.manifest(home.fingerprint).to_json_value()
    yield "list", lambda: [ref.to_json_value() for *_, ref in plane.lookup.on_record()]


def _decoded(plane: Plane, ref: BoundRef, folder: Path) -> Any:
    return decode(plane.store, ref, folder=folder, allow_pickle=ref.media_type == PICKLE)


@cache
def _untouched() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        plane = home().attacked(home().objects)
        return {who: read() for who, read in _readers(plane, home(), Path(name))}


def _read_all(objects: dict[str, bytes]) -> dict[str, RunOperateError]:
    """Who is refused. Whoever is not refused must see what he saw before."""
    refused = {}
    with tempfile.TemporaryDirectory() as name:
        plane = home().attacked(objects)
        for who, read in _readers(plane, home(), Path(name)):
            try:
                found = read()
            except RunOperateError as error:
                refused[who] = error
            else:
                assert found == _untouched()[who], who
    assert FIRED == [], "code that came from the store ran"
    return refused


# --- the two attacks ------------------------------------------------------------------------------


def _forged(asset: str, data: bytes, **said: Any) -> dict[str, bytes]:
    """Other bytes are under an artifact's digest, and its binding calls them right."""
    ref, objects = home().recorded[asset], dict(home().objects)
    digests = digests_of(data)
    binding = ref.model_copy(update={"blake3": digests.blake3, "size_bytes": len(data), **said})
    objects[blob_name(ref.digest)] = data
    objects[ref.ref] = canonical_bytes(binding)
    return objects


def test_forged_bytes_that_their_binding_vouches_for_are_read_by_nobody() -> None:
    """The second digest and the size are the ledger's too; what is printed is never of others."""
    refused = _read_all(
        _forged("table", home().objects[blob_name(home().recorded["octets"].digest)])
    )
    wanted = {"consumer of table", "gate of table", "artifact get table"}
    assert set(refused) == wanted
    assert {type(error) for error in refused.values()} == {DigestMismatchError}


@pytest.mark.parametrize("asset", ASSETS)
def test_no_binding_makes_a_pickle_of_an_artifact(asset: str) -> None:
    """What a blob is, is not said by the store: no code runs in a worker, whatever it calls it."""
    refused = _read_all(_forged(asset, BOMB, media_type=PICKLE))
    assert f"consumer of {asset}" in refused


def test_a_binding_alone_decides_nothing() -> None:
    """Altered in every field, or gone, the artifact is read as it was recorded."""
    ref, other = home().recorded["document"], home().recorded["octets"]
    lie = other.model_copy(update={"ref": ref.ref})
    assert _read_all(home().objects | {ref.ref: canonical_bytes(lie)}) == {}
    assert _read_all({name: data for name, data in home().objects.items() if name != ref.ref}) == {}
    assert _read_all({n: data for n, data in home().objects.items() if n[:5] != "refs/"}) == {}


FIELDS = {
    "blake3": "0" * 64,
    "size_bytes": 1,
    "media_type": PICKLE,
    "digest": "0" * 64,
    "schema_version": "other",
}


@pytest.mark.parametrize("name", FIELDS)
def test_whoever_is_asked_names_the_field(name: str, tmp_path: Path) -> None:
    """``artifact verify TARGET``, ``verify --all`` and the dossier, by ``RO_BINDING_CORRUPT``."""
    ref = home().recorded["document"]
    lie = ref.model_copy(update={name: FIELDS[name]})
    plane = home().attacked(home().objects | {ref.ref: canonical_bytes(lie)})
    alone = plane.audit.artifact("document", ref).error
    [found] = [item for item in plane.audit.everything() if item.error]
    for error in (alone, found.error):
        assert isinstance(error, BindingCorruptError)
        assert f"it says {name} {FIELDS[name]!r}, the ledger " in error.message
    assert found.locator == ref.ref
    assert name in differences(lie, ref)


def test_a_planted_revision_is_nobodys() -> None:
    """Not followed beside one on record, not judged, not promoted; asked for, it is refused."""
    ref = home().recorded["drifts"]
    name = ref.ref.replace("rev=000002", "rev=000003")
    planted = home().recorded["octets"].model_copy(update={"ref": name})
    objects = home().objects | {name: canonical_bytes(planted)}
    assert _read_all(objects) == {}
    plane = home().attacked(objects)
    with pytest.raises(ArtifactUnrecordedError):
        plane.lookup.readable(name)
    assert isinstance(plane.audit.artifact("drifts", planted).error, ArtifactUnrecordedError)
    assert name in {item.locator for item in plane.audit.everything()}


# --- publishing -----------------------------------------------------------------------------------


def test_publishing_again_adopts_nothing_from_the_store() -> None:
    """What is published is compared with the ledger, and answered from it; a binding that is gone
    comes back, one that was altered stays as evidence."""
    for altered in (False, True):
        world = SmallWorld()
        ref = world.made("a", data=b"data")
        lie = ref.model_copy(update={"media_type": PICKLE, "blake3": "0" * 64})
        del world.blobs.objects[ref.ref]
        if altered:
            world.blobs.objects[ref.ref] = canonical_bytes(lie)
        assert world.made("a", data=b"data", passed=False) == ref
        assert world.read(ref) == b"data"
        held = canonical_bytes(lie) if altered else canonical_bytes(ref)
        assert world.blobs.objects[ref.ref] == held


def test_two_makings_cannot_share_a_revision_by_a_removed_binding() -> None:
    """Whoever removes a binding does not make room for other bytes under its name."""
    world = SmallWorld()
    ref = world.made("a", data=b"data")
    del world.blobs.objects[ref.ref]
    with pytest.raises(AddressConflictError):
        world.made("a", data=b"other")
    later = world.made("a", data=b"other", deterministic=False)
    assert later.ref.endswith("rev=000002.json")


def test_a_revision_far_away_does_not_move_the_next_one() -> None:
    """Nobody uses up the revisions of an asset by planting the last."""
    world = SmallWorld()
    ref = world.made("a", data=b"1", deterministic=False)
    name = ref.ref.replace("rev=000001", "rev=999999")
    world.blobs.objects[name] = canonical_bytes(ref.model_copy(update={"ref": name}))
    assert world.made("a", data=b"2", deterministic=False).ref.endswith("rev=000002.json")


def test_a_removed_binding_hides_nothing_from_a_revocation_or_an_erasure() -> None:
    """Which revisions hold the bytes, and who holds a file of a tree, is asked of the ledger."""
    world = SmallWorld()
    first = world.made("a", data=b"1", deterministic=False)
    world.made("b", first)
    world.made("a", data=b"2", deterministic=False)
    again = world.made("a", data=b"1", deterministic=False)
    for name in [name for name in world.blobs.objects if name.startswith("refs/")]:
        del world.blobs.objects[name]
    impact = world.plane.revocations.impact(again)
    assert set(impact.origin.refs) == {first.ref, again.ref}
    assert [item.asset for item in impact.artifacts] == ["b"]
    other = world.made("c", data=b"1")
    del world.blobs.objects[other.ref]
    assert world.plane.erasures.bindings(first.digest) == (first.ref, again.ref, other.ref)


def test_a_planted_tombstone_does_nothing() -> None:
    """Neither are those bytes refused, nor is anybody said to have erased what is gone: no dossier
    withholds by it. That it is there, the audit says."""
    world = SmallWorld()
    ref = world.made("a", data=b"data")
    body = ArtifactErased(
        digest=ref.digest,
        bindings=(ref.ref,),
        reason="it was asked for",
        actor=BOSS,
        admin_event_id="a" * 32,
    )
    for planted in (canonical_bytes(body), b"{}"):
        world.blobs.objects[tombstone_name(ref.digest)] = planted
        assert world.read(ref) == b"data"
        assert world.store.put_bytes(b"data", media_type="text/plain").digest == ref.digest
        [found] = [item for item in world.plane.audit.everything() if item.error]
        assert found.locator == tombstone_name(ref.digest)
    del world.blobs.objects[blob_name(ref.digest)]
    with pytest.raises(ArtifactNotFoundError):
        world.read(ref)
    assert world.made("a", data=b"data", passed=False) == ref
    assert world.read(ref) == b"data"


# --- the law --------------------------------------------------------------------------------------


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*path, key))
    else:
        yield path


@cache
def _documents() -> tuple[str, ...]:
    """The names of what parses as a JSON object or list with anything in it."""
    found = []
    for name, data in sorted(home().objects.items()):
        try:
            value = json.loads(data)
        except ValueError:
            continue
        if isinstance(value, dict | list) and any(_leaves(value)):
            found.append(name)
    return tuple(found)


@cache
def _other_values() -> tuple[Any, ...]:
    """What a field may say instead: everything that any field of the home says, and more."""
    found: set[Any] = {PICKLE, "application/vnd.ro.tree+json", "PASS", "0" * 64, 0, 1, 10**9, None}
    found.add("../../etc/passwd")
    for name in _documents():
        for path in _leaves(json.loads(home().objects[name])):
            value: Any = json.loads(home().objects[name])
            for key in path:
                value = value[key]
            found.add(value)
    return tuple(sorted(found, key=repr))


Deed = Callable[[dict[str, bytes]], None]


@st.composite
def a_field_says_otherwise(draw: st.DrawFn) -> Deed:
    """One field of one document has another valid value; in canonical form."""
    name = draw(st.sampled_from(_documents()))
    document = json.loads(home().objects[name])
    *path, last = draw(st.sampled_from(sorted(_leaves(document), key=repr)))
    inner = document
    for key in path:
        inner = inner[key]
    inner[last] = draw(st.sampled_from(_other_values()))
    data = canonical_bytes(document)
    return lambda objects: objects.update({name: data})


def _names() -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(home().objects))


@st.composite
def bytes_are_altered(draw: st.DrawFn) -> Deed:
    """One byte is another, or bytes are cut off or added."""
    name, data = draw(_names()), b""
    place = draw(st.integers(0, max(len(home().objects[name]) - 1, 0)))
    whole = home().objects[name]
    way = draw(st.sampled_from(["flip", "cut", "add"]))
    if way == "flip":
        data = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] if whole else b"x"
    else:
        data = whole[:place] if way == "cut" else whole + b" "
    return lambda objects: objects.update({name: data})


@st.composite
def an_object_has_anothers_bytes(draw: st.DrawFn) -> Deed:
    """As it stands, or as a pickle that runs code."""
    name, other = draw(_names()), draw(st.one_of(_names(), st.none()))
    data = home().objects[other] if other else BOMB
    return lambda objects: objects.update({name: data})


@st.composite
def an_object_is_gone(draw: st.DrawFn) -> Deed:
    """Removed."""
    name = draw(_names())

    def removed(objects: dict[str, bytes]) -> None:
        objects.pop(name, None)

    return removed


@st.composite
def an_artifact_is_forged(draw: st.DrawFn) -> Deed:
    """Other bytes under its digest, and a binding whose every word fits them."""
    ref = home().recorded[draw(st.sampled_from(ASSETS))]
    other = draw(st.one_of(_names(), st.none()))
    data = home().objects[other] if other else BOMB
    types = sorted({item.media_type for item in home().recorded.values()})
    digests = digests_of(data)
    said = {
        "blake3": digests.blake3,
        "size_bytes": len(data),
        "media_type": draw(st.sampled_from(types)),
        "digest": draw(st.sampled_from([ref.digest, digests.sha256])),
    }
    forged = ref.model_copy(update=said)
    objects_of = {
        blob_name(ref.digest): data,
        blob_name(digests.sha256): data,
        ref.ref: canonical_bytes(forged),
    }
    return lambda objects: objects.update(objects_of)


@st.composite
def something_is_planted(draw: st.DrawFn) -> Deed:
    """A revision, a binding of another asset, a receipt under another attempt, a tombstone."""
    ref = home().recorded[draw(st.sampled_from(ASSETS))]
    what = draw(st.sampled_from(["revision", "binding", "receipt", "tombstone"]))
    if what == "tombstone":
        body = ArtifactErased(
            digest=ref.digest,
            bindings=(),
            reason="it was asked for",
            actor=BOSS,
            admin_event_id="a" * 32,
        )
        return lambda objects: objects.update({tombstone_name(ref.digest): canonical_bytes(body)})
    if what == "receipt":
        name = draw(st.sampled_from(sorted(n for n in home().objects if n[:9] == "receipts/")))
        folder = name.rpartition("/")[0]
        data = home().objects[name]
        return lambda objects: objects.update({f"{folder}/{'f' * 32}.json": data})
    address = parse_binding(home().recorded[draw(st.sampled_from(ASSETS))].ref)
    assert address is not None
    revision = draw(st.sampled_from([3, 4, 999_999]))
    asset = address.asset if what == "revision" else "unheard"
    planted = address._replace(asset=asset, revision=revision).name
    data = canonical_bytes(ref.model_copy(update={"ref": planted}))
    return lambda objects: objects.update({planted: data})


@dataclass
class Attack:
    """Several deeds, one after the other."""

    deeds: list[Deed] = field(default_factory=list)

    def done(self) -> dict[str, bytes]:
        """The store after it."""
        objects = dict(home().objects)
        for deed in self.deeds:
            deed(objects)
        return objects


ATTACKS = st.builds(
    Attack,
    st.lists(
        st.one_of(
            a_field_says_otherwise(),
            an_artifact_is_forged(),
            something_is_planted(),
            bytes_are_altered(),
            an_object_has_anothers_bytes(),
            an_object_is_gone(),
        ),
        min_size=1,
        max_size=3,
    ),
)


@settings(deadline=None)
@given(attack=ATTACKS)
def test_whoever_reads_gets_what_was_recorded_or_a_refusal(attack: Attack) -> None:
    """The very bytes and type on record, or a code; never others, and no code runs."""
    _read_all(attack.done())


@settings(deadline=None)
@given(attack=ATTACKS)
def test_the_audit_names_all_that_was_done(attack: Attack) -> None:
    """Each altered, removed or planted object, under its own name or that of what it belongs to."""
    objects = attack.done()
    findings = list(home().attacked(objects).audit.everything())
    named = {item.locator for item in findings if item.error or item.kind == "unrecorded object"}
    for name in objects.keys() | home().objects.keys():
        if objects.get(name) == home().objects.get(name):
            continue
        if name.startswith("blobs/"):
            owners = home().owners.get(name, set())
            assert not owners or owners & named, name
        else:
            assert name in named, name


def test_the_property_catches_a_guard_that_compares_only_the_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A planted fault: were the rest of a reference the store's, forged bytes would be read."""

    def believing(self: Any, asset: str, manifest: Any, fingerprint: str) -> BoundRef:
        ref = self._store.binding(asset, fingerprint)
        recorded = artifact_of(self._log, asset, fingerprint)
        assert recorded is not None
        assert ref.digest == recorded.digest
        return BoundRef(**ref.to_json_value())

    monkeypatch.setattr(guard_module.Guard, "require", believing)
    with pytest.raises(AssertionError, match="consumer of octets"):
        _read_all(_forged("octets", b"forged"))
    with pytest.raises(AssertionError, match="consumer of octets"):
        _read_all(_forged("octets", BOMB, media_type=PICKLE))
    FIRED.clear()


def test_a_pickle_is_loaded_only_where_the_record_says_so() -> None:
    """The artifact that is one on record is read; a reader who did not ask for code is refused."""
    plane = home().attacked(home().objects)
    ref = home().recorded["pickled"]
    assert decode(plane.store, ref, allow_pickle=True) == VALUES["pickled"]
    with pytest.raises(EncodingError, match="was not allowed"):
        decode(plane.store, ref)
