"""What is read as a file is a regular file; and what is stored of one, it held at one moment."""

from __future__ import annotations

import mmap
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.encodings import decode, encode
from ro_platform.artifacts.sources import Source
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts.artifact import BoundRef
from ro_platform.errors import (
    ArtifactNotFoundError,
    EncodingError,
    InvalidInputError,
    SourceChangedError,
)
from ro_platform.kernel.files import open_file, read_file
from tests.unit.no_files import NO_FILES

LARGE = 3 << 20
Change = Callable[[Path], None]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A store in files."""
    return ArtifactStore(FilesystemBackend(tmp_path / "store"))


def blobs(store: ArtifactStore) -> list[str]:
    """Everything stored."""
    return list(store.backend.names("blobs/"))


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_refused_at_once(make: Change, tmp_path: Path) -> None:
    """By an error that says what it is; nobody waits for a writer or an end."""
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError, match=r"named pipe|device|socket|folder|No such|symbolic"):
        open_file(path)


def test_a_file_that_says_it_is_empty_and_has_no_end_is_read_to_the_limit(tmp_path: Path) -> None:
    """A file larger than the limit is refused, and one below /proc that says it has 0 bytes."""
    large = tmp_path / "large"
    large.write_bytes(bytes(101))
    assert len(read_file(large, 101)) == 101
    with pytest.raises(OSError, match="larger than 100 bytes"):
        read_file(large, 100)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_file("/proc/self/maps", 10)


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_no_artifact(make: Change, tmp_path: Path, store: ArtifactStore) -> None:
    """Handed over as a single file, or as a member of a folder."""
    path = tmp_path / "tree" / "it"
    path.parent.mkdir()
    make(path)
    with pytest.raises(InvalidInputError):
        store.put_file(path)
    with pytest.raises(EncodingError):
        store.put_tree(path.parent)
    assert blobs(store) == []


def test_a_name_that_no_file_can_have_is_no_artifact(tmp_path: Path, store: ArtifactStore) -> None:
    """A path that is too long is an input of the caller's, not a fault of the program."""
    for path in (tmp_path / ("x" * 300), Path("/" + "y/" * 3000)):
        with pytest.raises(InvalidInputError, match="too long"):
            encode(store, path)
    assert not blobs(store)


def test_a_file_of_another_size_than_it_says_is_no_artifact(store: ArtifactStore) -> None:
    """As those below /proc, which say 0."""
    with pytest.raises(SourceChangedError):
        store.put_file(Path("/proc/self/maps"))
    assert blobs(store) == []


@pytest.mark.parametrize("make", NO_FILES)
def test_what_stands_in_the_place_of_a_blob_is_no_blob(
    make: Change, tmp_path: Path, store: ArtifactStore
) -> None:
    """It is not found, at once, however it is read; and the others can be read."""
    bad, good = (store.put_bytes(data, media_type="a/b") for data in (b"bad", b"good"))
    large = store.put_bytes(bytes(LARGE), media_type="a/b")
    for ref in (bad, large):
        place = tmp_path / "store" / ref.ref
        place.unlink()
        make(place)
        with pytest.raises(ArtifactNotFoundError):
            store.read(ref)
        with pytest.raises(ArtifactNotFoundError):
            store.verify(ref)
    assert store.read(good) == b"good"


# --- what changes meanwhile -----------------------------------------------------------------------


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """Other bytes, as many, and the time of modification put back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\xff" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"\xee" * path.stat().st_size)
    other.rename(path)


def remove(path: Path) -> None:
    path.unlink()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES = (truncate, append, rewrite, rename_over, remove, replace_by_pipe)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Change], list[Path]]:
    """Let a change be made once, after the first piece of that file was read."""

    def plan(path: Path, change: Change) -> list[Path]:
        made: list[Path] = []
        chunks = Source.chunks

        def disturbed(source: Source) -> Iterator[bytes]:
            for chunk in chunks(source):
                yield chunk
                if Path(source.path) == path and not made:
                    made.append(path)
                    change(path)

        monkeypatch.setattr(Source, "chunks", disturbed)
        return made

    return plan


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_stored_is_refused(
    size: int,
    change: Change,
    tmp_path: Path,
    store: ArtifactStore,
    meanwhile: Callable[[Path, Change], list[Path]],
) -> None:
    """Whatever the change, and however young the file; nothing of it is stored."""
    path = tmp_path / "it"
    path.write_bytes(bytes(size))
    made = meanwhile(path, change)
    with pytest.raises(SourceChangedError, match="changed while it was stored"):
        store.put_file(path)
    assert made == [path]
    assert blobs(store) == []


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("change", [*CHANGES, "another comes", "another goes"])
def test_a_folder_that_changes_while_it_is_stored_is_refused(
    size: int,
    change: Change | str,
    tmp_path: Path,
    store: ArtifactStore,
    meanwhile: Callable[[Path, Change], list[Path]],
) -> None:
    """Any of its files, and its list of names; no tree is stored."""
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    path, sibling = tree / "below/it", tree / "below/sibling"
    path.write_bytes(bytes(size))
    sibling.write_bytes(b"sibling")
    acts = {
        "another comes": lambda _: (tree / "below/new").touch(),
        "another goes": lambda _: (tree / "a").unlink(),
    }
    (tree / "a").touch()
    made = meanwhile(path, acts[change] if isinstance(change, str) else change)
    with pytest.raises(InvalidInputError):
        store.put_tree(tree)
    assert made == [path]
    assert [name for name in blobs(store) if store.backend.size(name) != LARGE] == []


@pytest.mark.parametrize("size", [4096, LARGE])
def test_what_a_mapping_writes_is_noticed_though_no_time_changes(
    size: int,
    tmp_path: Path,
    store: ArtifactStore,
    meanwhile: Callable[[Path, Change], list[Path]],
) -> None:
    """A program that mapped the file before needs no call to write to it."""
    path = tmp_path / "it"
    path.write_bytes(bytes(size))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:
        mapped[0] = 1

        def write(_: Path) -> None:
            before = path.stat()
            mapped[1] = 2
            assert path.stat().st_ctime_ns == before.st_ctime_ns

        os.utime(path, (1, 1))
        made = meanwhile(path, write)
        threading.Event().wait(0.05)
        with pytest.raises(SourceChangedError):
            store.put_file(path)
    assert made == [path]
    assert blobs(store) == []


def test_what_only_gets_another_name_meanwhile_is_stored(
    tmp_path: Path, store: ArtifactStore, meanwhile: Callable[[Path, Change], list[Path]]
) -> None:
    """A link or a new time changes no byte: the file is read again, and is the same."""
    path = tmp_path / "it"
    path.write_bytes(bytes(LARGE))
    made = meanwhile(path, lambda _: os.link(path, tmp_path / "also"))
    ref = store.put_file(path)
    assert made == [path]
    assert store.read(ref) == bytes(LARGE)


def test_a_writer_that_does_not_stop_never_gets_a_torn_file_in(
    tmp_path: Path, store: ArtifactStore
) -> None:
    """A thread writes one number all over the file, then the next: what is stored has one."""
    path, stop = tmp_path / "it", threading.Event()
    path.write_bytes(bytes(LARGE))

    def write() -> None:
        number = 0
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                number = (number + 1) % 256
                file.seek(0)
                file.write(bytes([number]) * LARGE)
                stop.wait(0.002 if number % 4 else 0.03)

    writer = threading.Thread(target=write)
    writer.start()
    refused = stored = 0
    try:
        for _ in range(40):
            try:
                held = store.read(store.put_file(path))
            except SourceChangedError:
                refused += 1
            else:
                stored += 1
                assert len(set(held)) == 1
    finally:
        stop.set()
        writer.join()
    assert refused > 0
    assert len(set(blobs(store))) <= stored


# --- permissions ----------------------------------------------------------------------------------


def program(path: Path, *, mode: int = 0o755) -> Path:
    path.write_text("#!/bin/sh\necho works\n")
    path.chmod(mode)
    return path


def test_the_executable_bit_comes_back(tmp_path: Path, store: ArtifactStore) -> None:
    """Of a single file, and of a file in a folder; what was not executable is not."""
    (tmp_path / "tree").mkdir()
    program(tmp_path / "tree/run")
    program(tmp_path / "tree/text", mode=0o640)
    single = encode(store, program(tmp_path / "single"))
    tree = decode(store, encode(store, tmp_path / "tree"), Path, folder=tmp_path)
    assert os.access(decode(store, single, Path, folder=tmp_path), os.X_OK)
    assert os.access(tree / "run", os.X_OK)
    assert stat.S_IMODE((tree / "text").stat().st_mode) & 0o111 == 0
    assert (
        "executable" not in encode(store, program(tmp_path / "plain", mode=0o644)).to_json_value()
    )
    assert BoundRef.from_json(single.model_dump_json(exclude_none=True), where="it") == single


def test_the_umask_decides_for_whom(tmp_path: Path, store: ArtifactStore) -> None:
    """As for every new file."""
    ref = store.put_file(program(tmp_path / "run"))
    before = os.umask(0o077)
    try:
        store.copy_to(ref, tmp_path / "copy")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700


def test_a_tree_without_programs_keeps_its_digest(tmp_path: Path, store: ArtifactStore) -> None:
    """It is the one that every release gave it; and with a program it is another."""
    (tmp_path / "tree").mkdir()
    file = program(tmp_path / "tree/run", mode=0o644)
    plain = store.put_tree(tmp_path / "tree").digest
    assert plain == "aed604bbd33619bde9bf0fc3627252c09bffaf736c5af6511463addb9071a1f2"
    file.chmod(0o755)
    assert store.put_tree(tmp_path / "tree").digest != plain


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_file_that_runs_as_somebody_else_is_refused(
    mode: int, tmp_path: Path, store: ArtifactStore
) -> None:
    """That cannot be kept, and is not dropped."""
    (tmp_path / "tree").mkdir()
    file = program(tmp_path / "tree/run", mode=mode)
    with pytest.raises(EncodingError, match="chmod a-s"):
        store.put_file(file)
    with pytest.raises(EncodingError, match="chmod a-s"):
        store.put_tree(tmp_path / "tree")


def test_times_owners_and_links_are_not_kept(tmp_path: Path, store: ArtifactStore) -> None:
    """Two names of one file are two files, a sparse file is full: the bytes are what is kept."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(b"a")
    os.link(tmp_path / "tree/a", tmp_path / "tree/b")
    with (tmp_path / "tree/sparse").open("wb") as file:
        file.truncate(LARGE)
    ref = store.put_tree(tmp_path / "tree")
    store.copy_to(ref, tmp_path / "copy")
    assert (tmp_path / "copy/a").stat().st_nlink == 1
    assert (tmp_path / "copy/sparse").read_bytes() == bytes(LARGE)
    os.utime(tmp_path / "tree/a", (1, 1))
    assert store.put_tree(tmp_path / "tree") == ref


def test_folders_too_deep_to_be_walked_are_refused(store: ArtifactStore, tmp_path: Path) -> None:
    """Folders nested beyond what can be walked are no fault of the program."""
    deep = tmp_path / "deep"
    deep.mkdir()
    inner = os.open(deep, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 50):
        os.mkdir("d", dir_fd=inner)
        below = os.open("d", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=inner))
    os.close(inner)
    with pytest.raises(EncodingError, match="too deep"):
        store.put_tree(deep)
    assert blobs(store) == []
    subprocess.run(["rm", "-rf", deep], check=True)
