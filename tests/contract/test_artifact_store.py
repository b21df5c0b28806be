"""The artifact store over every backend: verified reads, final bindings, whole or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.addressing import (
    BindingAddress,
    ReceiptAddress,
    blob_name,
    digest_of_blob,
    parse_binding,
    parse_receipt,
)
from ro_platform.artifacts.backends.base import BlobBackend, Bytes, StagedWrite, WriteGroup
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.sources import SMALL
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.trees import TREE
from ro_platform.contracts import (
    ArtifactErased,
    ArtifactRef,
    ArtifactTree,
    BoundRef,
    GateReceipt,
    GateScope,
    GateStatus,
    TreeMember,
)
from ro_platform.errors import (
    AddressConflictError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    BindingCorruptError,
    DigestMismatchError,
    EncodingError,
    IntegrityError,
    InvalidInputError,
    OutcomeUnknownError,
    ReceiptUnverifiableError,
    RunOperateError,
    StoreNotWritableError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import StreamingHasher, digests_of, sha256_hex
from tests.effort import times

OCTETS = "application/octet-stream"
FP = "ab" * 32
BACKENDS: dict[str, Callable[[Path], BlobBackend]] = {
    "memory": lambda _: MemoryBackend(),
    "filesystem": FilesystemBackend,
}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(BACKENDS[request.param](tmp_path / "store"))


def put(store: ArtifactStore, data: bytes = b"data") -> BoundRef:
    return store.put_bytes(data, media_type=OCTETS)


def corrupt(store: ArtifactStore, name: str, data: bytes) -> None:
    """Change an object behind the store's back."""
    if isinstance(store.backend, MemoryBackend):
        store.backend.objects[name] = data
    else:
        assert isinstance(store.backend, FilesystemBackend)
        path = Path(store.backend.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)


def raw(store: ArtifactStore, name: str) -> bytes:
    with store.backend.open(name) as source:
        return source.read(-1)


def all_names(store: ArtifactStore) -> list[str]:
    return list(store.backend.names())


# --- blobs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4096, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 7])
def test_what_is_put_is_read(store: ArtifactStore, size: int, tmp_path: Path) -> None:
    """Any size, small or pipelined: the reference is complete, and the bytes come back."""
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    ref = store.put_bytes(data, media_type=OCTETS, schema_version="v1")
    assert ref.ref == blob_name(sha256_hex(data))
    assert (ref.digest, ref.blake3, ref.size_bytes) == (
        digests_of(data).sha256,
        digests_of(data).blake3,
        size,
    )
    assert ref.schema_version == "v1"
    assert store.read(ref) == data
    assert store.read(ref.model_copy(update={"blake3": None, "size_bytes": None})) == data
    store.copy_to(ref, tmp_path / "copy", durable=True)
    assert (tmp_path / "copy").read_bytes() == data
    store.verify(ref, full=True)
    with store.open_verified(ref) as file:
        assert file.read() == data
    assert store.has(ref)
    assert all_names(store) == [ref.ref]


@settings(max_examples=times(30))
@given(st.lists(st.binary(max_size=300_000).map(lambda b: b * 7), max_size=5), st.booleans())
def test_the_way_bytes_are_cut_does_not_matter(pieces: list[bytes], as_view: bool) -> None:
    """A stream in any pieces is the artifact that put_bytes makes of them joined."""
    store = ArtifactStore(MemoryBackend())
    with store.writer(media_type=OCTETS) as out:
        for piece in pieces:
            scratch = bytearray(piece)
            out.write(memoryview(scratch) if as_view else piece)
            scratch[:] = bytes(len(scratch))  # the caller's buffer is its own again
    assert out.ref == put(store, b"".join(pieces))


@settings(max_examples=times(40))
@given(st.lists(st.integers(0, 400_000), max_size=12))
def test_the_streaming_hasher_gives_the_plain_digests(sizes: list[int]) -> None:
    """Threads or none: the digests are those of the bytes in one piece."""
    pieces = [bytes([size % 256]) * size for size in sizes]
    with StreamingHasher() as hasher:
        for piece in pieces:
            hasher.update(piece)
        found = hasher.digests()
    assert found == digests_of(b"".join(pieces))


def test_putting_the_same_bytes_again_changes_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    """By bytes, by stream and by file it is one blob and one reference."""
    data = b"x" * (SMALL + 5)
    (tmp_path / "file").write_bytes(data)
    first = put(store, data)
    with store.writer(media_type=OCTETS) as out:
        shutil.copyfileobj((tmp_path / "file").open("rb"), out)
    assert first == out.ref == store.put_file(tmp_path / "file") == put(store, data)
    assert all_names(store) == [first.ref]


def test_a_stream_that_fails_leaves_nothing(store: ArtifactStore) -> None:
    """An exception in the block: no blob, no reference, and the stream takes no more."""
    with pytest.raises(ZeroDivisionError), store.writer(media_type=OCTETS) as out:  # noqa: PT012
        out.write(b"x" * 3 * SMALL)
        raise ZeroDivisionError
    assert all_names(store) == []
    with pytest.raises(ValueError, match="no reference"):
        _ = out.ref


@settings(max_examples=times(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(min_size=1, max_size=2000),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
    large=st.booleans(),
)
def test_any_changed_byte_is_found_on_every_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, where: float, flip: int, large: bool
) -> None:
    """Flip any one byte anywhere: no way of reading hands the bytes out; they stay as evidence."""
    data = data * (2 * SMALL // len(data)) if large else data
    position = int(where * len(data))
    folder = tmp_path_factory.mktemp("flip")
    for make in BACKENDS.values():
        store = ArtifactStore(make(folder / "store"))
        ref = put(store, data)
        bad = data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :]
        corrupt(store, ref.ref, bad)
        for read in readers(store, ref, folder / "copy"):
            with pytest.raises(DigestMismatchError):
                read()
        assert not (folder / "copy").exists()
        assert raw(store, ref.ref) == bad
        # Nor does putting the good bytes pretend that they are stored.
        with pytest.raises(DigestMismatchError):
            put(store, data)


def readers(store: ArtifactStore, ref: BoundRef, copy: Path) -> list[Callable[[], object]]:
    def opened() -> bytes:
        with store.open_verified(ref) as file:
            return file.read()

    foreign = ref.model_copy(update={"blake3": None, "size_bytes": None})
    return [
        lambda: store.read(ref),
        lambda: store.read(foreign),
        lambda: store.copy_to(ref, copy),
        lambda: store.verify(ref),
        lambda: store.verify(ref, full=True),
        opened,
    ]


@pytest.mark.parametrize("size", [10, SMALL + 10])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_cut_short_or_grown_is_found(
    store: ArtifactStore, tmp_path: Path, size: int, change: int
) -> None:
    """A torn or extended file is a mismatch on every read, small or large."""
    ref = put(store, b"y" * size)
    corrupt(store, ref.ref, b"y" * (size + change))
    for read in readers(store, ref, tmp_path / "copy"):
        with pytest.raises(DigestMismatchError):
            read()
    assert not store.has(ref)


def test_full_verification_checks_sha256_too(store: ArtifactStore) -> None:
    """A reference whose two digests contradict each other passes the quick check only."""
    ref, other = put(store, b"one"), put(store, b"two")
    corrupt(store, ref.ref, b"two")
    forged = ref.model_copy(update={"blake3": other.blake3})
    store.verify(forged)
    with pytest.raises(DigestMismatchError):
        store.verify(forged, full=True)


def test_a_reference_must_be_checkable(store: ArtifactStore) -> None:
    """No digest, no read; nor does a locator that belongs to other bytes pass."""
    ref = put(store)
    with pytest.raises(InvalidInputError, match="no digest"):
        store.read(ArtifactRef(ref=ref.ref))
    with pytest.raises(InvalidInputError, match="digest is that of"):
        store.read(ref.model_copy(update={"ref": blob_name("00" * 32)}))


def test_a_missing_blob_is_said_to_be_missing(store: ArtifactStore, tmp_path: Path) -> None:
    """Every way of reading says RO_ARTIFACT_NOT_FOUND."""
    ref = put(ArtifactStore(MemoryBackend()), b"elsewhere")
    for read in readers(store, ref, tmp_path / "copy"):
        with pytest.raises(ArtifactNotFoundError):
            read()
    assert not store.has(ref)


def test_a_copy_goes_only_where_nothing_is(store: ArtifactStore, tmp_path: Path) -> None:
    """An existing destination, a link to nothing or a missing folder is refused, untouched."""
    ref = put(store)
    (tmp_path / "there").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("there", "dangling", "no/folder"):
        with pytest.raises(InvalidInputError):
            store.copy_to(ref, tmp_path / name)
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_of_damaged_bytes_leaves_no_trace(store: ArtifactStore, tmp_path: Path) -> None:
    """Neither the destination nor a neighbour of it remains."""
    ref = put(store, b"z" * 3 * SMALL)
    corrupt(store, ref.ref, b"z" * 2 * SMALL + b"a" * SMALL)
    (tmp_path / "out").mkdir()
    with pytest.raises(DigestMismatchError):
        store.copy_to(ref, tmp_path / "out" / "copy")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unreadable_file_is_not_stored(store: ArtifactStore, tmp_path: Path) -> None:
    """A missing file or a folder is a clear refusal, and the store stays empty."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidInputError):
            store.put_file(path)
    assert all_names(store) == []


def test_a_copy_survives_short_writes(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination that takes a few bytes at a time still gets all of them."""
    data = bytes(range(256)) * 40
    ref, real = put(store, data), os.write
    monkeypatch.setattr("os.write", lambda descriptor, piece: real(descriptor, piece[:1000]))
    store.copy_to(ref, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


# --- trees ---------------------------------------------------------------------------------------


def make_tree(root: Path) -> Path:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a-first").write_bytes(b"1")
    (root / "a" / "b" / "deep.txt").write_bytes(b"deep")
    (root / "a" / "same.txt").write_bytes(b"deep")
    (root / "empty").write_bytes(b"")
    (root / ".hidden").write_bytes(b"h")
    (root / "large").write_bytes(b"L" * (SMALL + 3))
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_folder_comes_back_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    """Members, names and bytes survive; the same folder again is the same artifact."""
    source = make_tree(tmp_path / "source")
    ref = store.put_tree(source)
    assert ref.media_type == TREE
    assert store.has(ref)
    store.verify(ref, full=True)
    store.copy_to(ref, tmp_path / "copy", durable=True)
    assert files_of(tmp_path / "copy") == files_of(source)
    before = all_names(store)
    assert store.put_tree(tmp_path / "copy") == ref
    assert all_names(store) == before
    tree = ArtifactTree.from_json(store.read(ref))
    assert [member.path for member in tree.members] == sorted(files_of(source))


def test_an_empty_folder_is_an_empty_tree(store: ArtifactStore, tmp_path: Path) -> None:
    """The folder itself may be empty: it comes back empty."""
    (tmp_path / "source").mkdir()
    store.copy_to(store.put_tree(tmp_path / "source"), tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_damaged_member_stops_the_whole_copy(store: ArtifactStore, tmp_path: Path) -> None:
    """One changed byte in one member: no folder appears, and verify and put find it too."""
    source = make_tree(tmp_path / "source")
    ref = store.put_tree(source)
    corrupt(store, blob_name(sha256_hex(b"deep")), b"deeP")
    with pytest.raises(DigestMismatchError):
        store.copy_to(ref, tmp_path / "copy")
    with pytest.raises(DigestMismatchError):
        store.verify(ref)
    with pytest.raises(DigestMismatchError):
        store.put_tree(source)
    assert not (tmp_path / "copy").exists()


def test_a_missing_member_makes_the_tree_incomplete(store: ArtifactStore, tmp_path: Path) -> None:
    """A tree whose member is gone is not had, and cannot be bound."""
    ref = store.put_tree(make_tree(tmp_path / "source"))
    other = ArtifactStore(MemoryBackend())
    manifest = other.put_bytes(store.read(ref), media_type=TREE)
    assert not other.has(manifest)
    with pytest.raises(ArtifactNotFoundError):
        other.bind("asset", FP, manifest)


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "empty folder", "not utf-8"])
def test_what_a_tree_cannot_keep_is_refused(
    store: ArtifactStore, tmp_path: Path, kind: str
) -> None:
    """Links, devices, empty folders and odd names are named in an error, and nothing is stored."""
    source = make_tree(tmp_path / "source")
    match kind:
        case "link":
            (source / "odd").symlink_to(source / "empty")
        case "folder link":
            (source / "odd").symlink_to(source / "a")
        case "pipe":
            os.mkfifo(source / "odd")
        case "empty folder":
            (source / "odd").mkdir()
        case _:
            (source / os.fsdecode(b"odd\xff")).write_bytes(b"")
    with pytest.raises(EncodingError, match="odd"):
        store.put_tree(source)
    assert all_names(store) == []


@pytest.mark.parametrize(
    "paths", [["a", "a"], ["a", "a/b"], ["../a"], ["/a"], ["a/../../b"], ["a//b"], ["./a"]]
)
def test_a_tree_never_writes_outside_its_folder(
    store: ArtifactStore, tmp_path: Path, paths: list[str]
) -> None:
    """A manifest with a path that leaves the folder or stands twice is refused as a whole."""
    blob = put(store)
    members = [
        TreeMember.model_construct(path=path, digest=blob.digest, size_bytes=4, blake3=blob.blake3)
        for path in paths
    ]
    manifest = canonical_bytes(
        {"kind": "ro.artifact_tree.v0", "members": [dict(member) for member in members]}
    )
    ref = store.put_bytes(manifest, media_type=TREE)
    (tmp_path / "out").mkdir()
    with pytest.raises((IntegrityError, InvalidInputError)):
        store.copy_to(ref, tmp_path / "out" / "copy")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "a").exists()


# --- bindings ------------------------------------------------------------------------------------


def test_a_binding_is_made_once(store: ArtifactStore) -> None:
    """The same content again changes nothing; the stored reference differs only in its locator."""
    ref = put(store)
    bound = store.bind("group/asset", FP, ref)
    assert bound.ref == f"refs/group/asset/fingerprint={FP}/rev=000001.json"
    assert bound.model_copy(update={"ref": ref.ref}) == ref
    assert store.bind("group/asset", FP, ref) == bound == store.bind("group/asset", FP, bound)
    assert store.binding("group/asset", FP) == bound == store.binding("group/asset", FP, 1)
    assert raw(store, bound.ref) == canonical_bytes(bound)
    assert store.read(bound) == b"data"
    assert store.binding("group/asset", FP, 2) is None
    assert store.binding("group", FP) is None


def test_other_bytes_for_a_deterministic_asset_are_a_conflict(store: ArtifactStore) -> None:
    """The error names the asset and both digests, says what to do, and nothing changes."""
    first, second = put(store, b"one"), put(store, b"two")
    bound = store.bind("asset", FP, first)
    before = all_names(store)
    with pytest.raises(AddressConflictError) as caught:
        store.bind("asset", FP, second)
    assert "asset" in caught.value.message
    assert first.digest in caught.value.message
    assert second.digest in caught.value.message
    assert "non-deterministic" in caught.value.next_step
    with pytest.raises(AddressConflictError, match="described differently"):
        store.bind("asset", FP, first.model_copy(update={"media_type": "text/plain"}))
    assert all_names(store) == before
    assert store.binding("asset", FP) == bound


def test_a_non_deterministic_asset_gets_revisions(store: ArtifactStore) -> None:
    """Other content is the next revision, the same is none, and every revision stays."""
    refs = [put(store, b"%d" % number) for number in range(3)]
    bound = [store.bind("asset", FP, ref, deterministic=False) for ref in refs]
    assert [ref.ref[-15:] for ref in bound] == [f"rev=00000{n}.json" for n in (1, 2, 3)]
    assert store.bind("asset", FP, refs[2], deterministic=False) == bound[2]
    assert store.binding("asset", FP) == bound[2]
    assert store.binding("asset", FP, 1) == bound[0]
    assert len(all_names(store)) == 6


def test_bytes_that_are_not_stored_cannot_be_bound(store: ArtifactStore) -> None:
    """A binding never points at nothing, nor at a blob of another size."""
    missing = put(ArtifactStore(MemoryBackend()), b"elsewhere")
    with pytest.raises(ArtifactNotFoundError):
        store.bind("asset", FP, missing)
    short = put(store)
    corrupt(store, short.ref, b"dat")
    with pytest.raises(ArtifactNotFoundError):
        store.bind("asset", FP, short)
    assert store.binding("asset", FP) is None


def test_bindings_are_listed_by_asset(store: ArtifactStore) -> None:
    """All of them, or an asset's and those below it, but not those whose name only begins so."""
    ref = put(store)
    for asset in ("a", "a/b", "ab", "c"):
        store.bind(asset, FP, ref)
    store.bind("c", FP, put(store, b"other"), deterministic=False)
    listed = [(asset, fp, revision) for asset, fp, revision, _ in store.bindings()]
    assert sorted(listed) == [
        (a, FP, r) for a, r in sorted([("a", 1), ("a/b", 1), ("ab", 1), ("c", 1), ("c", 2)])
    ]
    assert {asset for asset, *_ in store.bindings("a")} == {"a", "a/b"}
    assert list(store.bindings("none")) == []


@pytest.mark.parametrize("damage", ["empty", "cut", "spaces", "moved", "unknown field", "huge"])
def test_a_damaged_binding_is_an_integrity_error(store: ArtifactStore, damage: str) -> None:
    """What is not byte for byte a binding of this address is refused, never half believed."""
    bound = store.bind("asset", FP, put(store))
    good = raw(store, bound.ref)
    bad = {
        "empty": b"",
        "cut": good[:-1],
        "spaces": good.replace(b",", b", "),
        "moved": good.replace(b"refs/asset", b"refs/other"),
        "unknown field": good[:-1] + b',"x":1}',
        "huge": good + b" " * 100_000,
    }[damage]
    corrupt(store, bound.ref, bad)
    with pytest.raises(BindingCorruptError):
        store.binding("asset", FP)
    with pytest.raises(BindingCorruptError):
        list(store.bindings())
    with pytest.raises(BindingCorruptError):
        store.bind("asset", FP, put(store))
    assert raw(store, bound.ref) == bad


@pytest.mark.parametrize("asset", ["", "/a", "a/", "a//b", "../a", "a.b", "fingerprint=x", "a b"])
def test_only_asset_paths_and_fingerprints_are_bound(store: ArtifactStore, asset: str) -> None:
    """A name that is not an asset key, or a fingerprint that is none, is refused."""
    ref = put(store)
    with pytest.raises(InvalidInputError):
        store.bind(asset, FP, ref)
    with pytest.raises(InvalidInputError):
        store.bind("asset", "AB" * 32, ref)
    assert all_names(store) == [ref.ref]


@pytest.mark.parametrize("deterministic", [True, False])
def test_racing_bindings_have_one_winner_or_one_revision_each(
    store: ArtifactStore, deterministic: bool
) -> None:
    """Ten threads, ten contents: one wins and nine conflict, or each gets its own revision."""
    refs = [put(store, b"%d" % number) for number in range(10)]
    binders = [partial(store.bind, "asset", FP, ref, deterministic=deterministic) for ref in refs]
    outcomes = race(binders)
    won = [outcome for outcome in outcomes if isinstance(outcome, BoundRef)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, AddressConflictError)]
    assert (len(won), len(lost)) == ((1, 9) if deterministic else (10, 0))
    assert len({bound.ref for bound in won}) == len(won)
    latest = store.binding("asset", FP)
    assert latest is not None
    assert latest.digest in {bound.digest for bound in won}


def test_racing_bindings_of_the_same_bytes_all_succeed(store: ArtifactStore) -> None:
    """Ten threads put and bind one content: one blob, one revision, ten equal answers."""
    data = b"same" * 500_000
    outcomes = race([lambda: store.bind("asset", FP, put(store, data))] * 10)
    assert [outcome for outcome in outcomes if outcome != outcomes[0]] == []
    assert len(all_names(store)) == 2


def race(calls: Sequence[Callable[[], object]]) -> list[object]:
    """What each call returned or raised, all started at once."""
    barrier, outcomes = threading.Barrier(len(calls)), list[object]()

    def run(call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            outcomes.append(call())
        except RunOperateError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# --- receipts ------------------------------------------------------------------------------------


def receipt(store: ArtifactStore, **changes: object) -> GateReceipt:
    scope = GateScope(asset="group/asset", manifest_fingerprint=FP, run_id="cd" * 16)
    base = GateReceipt(
        gate_id="rows_add_up",
        status=GateStatus.PASS,
        subject=put(store),
        scope=scope,
        rule_digest="ef" * 32,
        attempt_id="01" * 16,
        produced_at_utc="2030-01-01T00:00:00.000000Z",
    )
    return base.model_copy(update=changes)


def test_a_receipt_is_written_once_and_read_back(store: ArtifactStore) -> None:
    """The same verdict again changes nothing; another for the same attempt is a conflict."""
    verdict = receipt(store)
    ref = store.put_receipt(verdict)
    assert ref.ref == (f"receipts/group/asset/fingerprint={FP}/rows_add_up/{'01' * 16}.json")
    assert store.put_receipt(verdict) == ref
    assert store.read_receipt(ref) == verdict
    with pytest.raises(AddressConflictError):
        store.put_receipt(receipt(store, status=GateStatus.FAIL))
    assert store.read_receipt(ref) == verdict


def test_a_gate_name_cannot_leave_its_folder(store: ArtifactStore) -> None:
    """A gate called ``..`` has no receipt."""
    with pytest.raises(InvalidInputError):
        store.put_receipt(receipt(store, gate_id=".."))


@settings(max_examples=times(80))
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_receipt_with_any_changed_byte_does_not_count(where: float, flip: int) -> None:
    """Flip any one byte: RO_RECEIPT_UNVERIFIABLE."""
    store = ArtifactStore(MemoryBackend())
    ref = store.put_receipt(receipt(store))
    data = bytearray(raw(store, ref.ref))
    data[int(where * len(data))] ^= flip
    corrupt(store, ref.ref, bytes(data))
    with pytest.raises(ReceiptUnverifiableError):
        store.read_receipt(ref)


def test_a_receipt_is_believed_only_at_its_own_place(store: ArtifactStore) -> None:
    """Missing, moved, not a receipt's place, or not a receipt: all are unverifiable."""
    verdict = receipt(store)
    ref = store.put_receipt(verdict)
    moved = ref.ref.replace("rows_add_up", "another")
    corrupt(store, moved, raw(store, ref.ref))
    data = canonical_bytes({"status": "PASS"})
    fake = ref.ref.replace("01" * 16, "02" * 16)
    corrupt(store, fake, data)
    digests = digests_of(data)
    for bad in (
        ref.model_copy(update={"ref": moved}),
        ref.model_copy(update={"ref": ref.ref.replace("01" * 16, "03" * 16)}),
        ref.model_copy(update={"ref": verdict.subject.ref}),
        BoundRef(
            ref=fake,
            digest=digests.sha256,
            blake3=digests.blake3,
            size_bytes=digests.size_bytes,
            media_type="application/json",
        ),
    ):
        with pytest.raises(ReceiptUnverifiableError):
            store.read_receipt(bad)


# --- addresses -----------------------------------------------------------------------------------

_PARTS = st.lists(st.from_regex(r"[A-Za-z0-9_\-]{1,8}", fullmatch=True), min_size=1, max_size=3)


@given(_PARTS, st.from_regex(r"[a-f0-9]{64}", fullmatch=True), st.integers(1, 999_999))
def test_addresses_parse_back(parts: list[str], hexes: str, number: int) -> None:
    """Every address is read back as what it was made of, and by its own parser only."""
    asset = "/".join(parts)
    binding = BindingAddress(asset, hexes, number)
    verdict = ReceiptAddress(asset, hexes, "gate.v1", hexes[:32])
    assert parse_binding(binding.name) == binding
    assert parse_receipt(verdict.name) == verdict
    assert digest_of_blob(blob_name(hexes)) == hexes
    assert parse_binding(verdict.name) is None
    assert parse_receipt(binding.name) is None
    assert digest_of_blob(binding.name) is None


# --- failing backends ----------------------------------------------------------------------------


class Faulty(BlobBackend):
    """A backend whose chosen step fails once, after or before doing its work."""

    def __init__(self, inner: BlobBackend, fault: str) -> None:
        self.inner, self.fault = inner, fault

    def failing(self, step: str) -> bool:
        failing, self.fault = self.fault == step, "" if self.fault == step else self.fault
        return failing

    @property
    def location(self) -> str:
        return "faulty://"

    def stage(self) -> StagedWrite:
        return _FaultyStage(self, self.inner.stage())

    def group(self) -> WriteGroup:
        return self.inner.group()

    def open(self, name: str) -> BinaryIO:
        return self.inner.open(name)

    def size(self, name: str) -> int | None:
        return self.inner.size(name)

    def names(self, prefix: str = "") -> Iterator[str]:
        return iter(()) if self.failing("stale list") else self.inner.names(prefix)

    def erase(self, name: str) -> bool:
        if self.failing("no erasing"):
            raise StoreNotWritableError("read-only", errno=errno.EROFS)
        erased = self.inner.erase(name)
        if self.failing("lost reply to erase"):
            raise OutcomeUnknownError("lost")
        return erased

    def sweep(self, **_: object) -> int:
        return 0


class _FaultyStage(StagedWrite):
    def __init__(self, backend: Faulty, inner: StagedWrite) -> None:
        self.backend, self.inner = backend, inner

    def write(self, data: Bytes) -> None:
        if self.backend.failing("no space in write"):
            raise StoreNotWritableError("full", errno=errno.ENOSPC)
        self.inner.write(bytes(data)[:-1] if self.backend.failing("torn write") else data)

    def commit(self, name: str) -> bool:
        if self.backend.failing("no space at fsync"):
            raise StoreNotWritableError("full", errno=errno.ENOSPC)
        created = self.inner.commit(name)
        if self.backend.failing("lost reply"):
            raise OutcomeUnknownError("lost")
        return created

    def discard(self) -> None:
        self.inner.discard()


@pytest.mark.parametrize("size", [10, SMALL + 10])
@pytest.mark.parametrize("fault", ["no space in write", "no space at fsync", "lost reply"])
@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
def test_a_failed_put_or_bind_is_repeated_with_success(
    tmp_path: Path, make: Callable[[Path], BlobBackend], fault: str, size: int
) -> None:
    """Each step that fails leaves nothing or the whole; the same call then succeeds."""
    backend = Faulty(make(tmp_path / "store"), fault)
    store, data = ArtifactStore(backend), b"d" * size
    with pytest.raises((StoreNotWritableError, OutcomeUnknownError)):
        put(store, data)
    assert len(all_names(store)) == (1 if fault == "lost reply" else 0)
    ref = put(store, data)
    backend.fault = fault
    with pytest.raises((StoreNotWritableError, OutcomeUnknownError)):
        store.bind("asset", FP, ref)
    assert (store.binding("asset", FP) is not None) is (fault == "lost reply")
    bound = store.bind("asset", FP, ref)
    assert store.read(bound) == data
    assert len(all_names(store)) == 2


def tombstone(ref: BoundRef) -> ArtifactErased:
    return ArtifactErased(
        digest=ref.digest, reason="asked for", actor="HUMAN::boss", admin_event_id="0" * 32
    )


@pytest.mark.parametrize("size", [10, SMALL + 10])
def test_erased_bytes_are_gone_and_do_not_come_back(store: ArtifactStore, size: int) -> None:
    """The blob goes, its tombstone and its binding stay, and other blobs are not touched."""
    data = b"d" * size
    ref, other = store.bind("asset", FP, put(store, data)), put(store, b"other")
    assert store.erase(tombstone(ref), [ref.digest]) == (1, size)
    assert store.erase(tombstone(ref), [ref.digest]) == (0, 0)
    assert not store.has(ref)
    for use in (store.read, store.verify):
        with pytest.raises(ArtifactErasedError, match="asked for"):
            use(ref)
    with pytest.raises(ArtifactErasedError, match="asked for"):
        put(store, data)
    assert store.binding("asset", FP) == ref
    assert store.tombstone(ref.digest) == tombstone(ref)
    assert store.tombstone(other.digest) is None
    assert store.read(other) == b"other"


@pytest.mark.parametrize("fault", ["no space in write", "no erasing", "lost reply to erase"])
@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
def test_a_failed_erasure_is_repeated_with_success(
    tmp_path: Path, make: Callable[[Path], BlobBackend], fault: str
) -> None:
    """Never bytes gone without a tombstone; and the same call then removes what is left."""
    backend = Faulty(make(tmp_path / "store"), "")
    store = ArtifactStore(backend)
    ref = put(store)
    backend.fault = fault
    with pytest.raises((StoreNotWritableError, OutcomeUnknownError)):
        store.erase(tombstone(ref), [ref.digest])
    assert (store.tombstone(ref.digest) is not None) is (fault != "no space in write")
    assert store.has(ref) is (fault != "lost reply to erase")
    store.erase(tombstone(ref), [ref.digest])
    assert not store.has(ref)
    with pytest.raises(ArtifactErasedError):
        put(store)


def test_a_torn_write_is_never_read(tmp_path: Path) -> None:
    """A backend that loses bytes yields no value: every read of that blob refuses."""
    for size in (10, SMALL + 10):
        store = ArtifactStore(Faulty(MemoryBackend(), "torn write"))
        ref = put(store, b"t" * size)
        for read in readers(store, ref, tmp_path / "copy"):
            with pytest.raises(DigestMismatchError):
                read()


def test_a_stale_list_does_not_lose_a_binding() -> None:
    """A list that misses the newest binding leads to a conflict or the same binding, not to two."""
    backend = Faulty(MemoryBackend(), "")
    store = ArtifactStore(backend)
    bound = store.bind("asset", FP, put(store, b"one"))
    backend.fault = "stale list"
    assert store.bind("asset", FP, put(store, b"one")) == bound
    backend.fault = "stale list"
    with pytest.raises(AddressConflictError):
        store.bind("asset", FP, put(store, b"two"))


def test_set_up_learns_whether_the_store_can_be_written(
    store: ArtifactStore, tmp_path: Path
) -> None:
    """A good store says nothing and keeps nothing; one that cannot be made says so."""
    store.check_writable()
    assert all_names(store) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreNotWritableError):
        ArtifactStore(FilesystemBackend(tmp_path / "file")).check_writable()


KILLED = """
import sys
from pathlib import Path
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.store import ArtifactStore
store = ArtifactStore(FilesystemBackend(Path(sys.argv[1])))
print("ready", flush=True)
number = int(sys.argv[2]) * 1_000_000
while True:
    number += 1
    with store.writer(media_type="text/plain") as out:
        for _ in range(number % 4):
            out.write(b"%d," % number * 60_000)
    store.bind(f"asset/{number}", "ab" * 32, out.ref)
"""


def test_sigkill_leaves_every_binding_readable(tmp_path: Path) -> None:
    """Writers killed at arbitrary moments: each binding is whole and all its bytes verify."""
    for round_number in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(round_number)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        threading.Event().wait(0.02 + 0.013 * round_number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    store = ArtifactStore(FilesystemBackend(tmp_path))
    bound = [ref for *_, ref in store.bindings()]
    assert len(bound) > 12
    for ref in bound:
        store.verify(ref, full=True)
    for name in store.backend.names("blobs/"):
        assert sha256_hex(raw(store, name)) == digest_of_blob(name)


BOUNDED = """
import resource, sys
from pathlib import Path
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.store import ArtifactStore
folder, mib = Path(sys.argv[1]), 256
store = ArtifactStore(FilesystemBackend(folder / "store"))
store.put_bytes(b"warm" * 600_000, media_type="text/plain")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with store.writer(media_type="text/plain") as out:
    for number in range(mib):
        out.write(b"%07d\\n" % number * (1 << 17))
store.copy_to(out.ref, folder / "copy")
store.put_file(folder / "copy", media_type="text/plain")
store.verify(out.ref)
with store.open_verified(out.ref, folder=folder) as file:
    assert len(file.read(10)) == 10
print(out.ref.size_bytes >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_large_artifact_never_sits_in_memory(tmp_path: Path) -> None:
    """256 MiB written, stored, copied, verified and opened: memory grows by under 48 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    size, growth = map(int, done.stdout.split())
    assert size == 256
    assert growth < 48
