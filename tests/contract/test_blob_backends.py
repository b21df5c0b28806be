"""One suite for every backend: objects are created once, whole, durable and never replaced."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.artifacts.backends import filesystem, posix
from ro_platform.artifacts.backends.base import BlobBackend, is_name
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.errors import (
    ArtifactNotFoundError,
    BackendUnavailableError,
    InvalidInputError,
    OutcomeUnknownError,
    StoreNotWritableError,
)
from tests.effort import times

BACKENDS: dict[str, Callable[[Path], BlobBackend]] = {
    "memory": lambda _: MemoryBackend(),
    "filesystem": FilesystemBackend,
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> BlobBackend:
    return BACKENDS[request.param](tmp_path / "store")


def content(backend: BlobBackend, name: str) -> bytes:
    with backend.open(name) as source:
        data = b""
        while more := source.read(1 << 20):
            data += more
        return data


# --- the port ------------------------------------------------------------------------------------


def test_an_object_is_created_once(backend: BlobBackend) -> None:
    """The second writer of a name is told so, and the first one's bytes stay."""
    assert backend.create("a/b", b"first") is True
    assert backend.create("a/b", b"second") is False
    assert backend.create("a/b", b"first") is False
    assert content(backend, "a/b") == b"first"
    assert backend.size("a/b") == 5
    assert [backend.read("a/b", limit) for limit in (0, 2, 5, 6)] == [
        b"",
        b"fi",
        b"first",
        b"first",
    ]


def test_a_staged_object_is_invisible_until_committed(backend: BlobBackend) -> None:
    """Pieces become one object on commit, and none at all without it."""
    with backend.stage() as staged:
        staged.write(b"one ")
        staged.write(memoryview(bytearray(b"two")))
        assert list(backend.names()) == []
        assert staged.commit("x/y") is True
    with backend.stage() as dropped:
        dropped.write(b"never")
    assert list(backend.names()) == ["x/y"]
    assert content(backend, "x/y") == b"one two"


def test_a_staged_object_does_not_replace(backend: BlobBackend) -> None:
    """A commit to a name that was taken meanwhile answers False and changes nothing."""
    with backend.stage() as staged:
        staged.write(b"late")
        backend.create("x/y", b"early")
        assert staged.commit("x/y") is False
    assert content(backend, "x/y") == b"early"


def test_what_is_absent_is_said_to_be_absent(backend: BlobBackend) -> None:
    """No object: no size, an error on open, nothing in the list; a folder is no object."""
    backend.create("a/b/c", b"")
    for name in ("a/none", "a/b", "a", "a/b/c/d"):
        assert backend.size(name) is None
        with pytest.raises((ArtifactNotFoundError, BackendUnavailableError)):
            backend.open(name)
        with pytest.raises((ArtifactNotFoundError, BackendUnavailableError)):
            backend.read(name, 1)
    with pytest.raises(ArtifactNotFoundError):
        backend.open("a/none")
    assert list(backend.names("a/none")) == []


def test_names_are_listed_in_order_under_any_prefix(backend: BlobBackend) -> None:
    """The list is sorted as text, whatever the folders, and a prefix may end inside a segment."""
    names = ["a-b/x", "a.b/x", "a/b", "a/bc/d", "a/b.json", "b/c", "tmp-not/x", "a0"]
    for name in names:
        backend.create(name, b"")
    assert list(backend.names()) == sorted(names)
    assert list(backend.names("a/b")) == ["a/b", "a/b.json", "a/bc/d"]
    assert list(backend.names("a/bc/")) == ["a/bc/d"]
    assert list(backend.names("nothing/")) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            ".a",
            "a/.b",
            "a b",
            "a\n",
            "ä",
            "a\\b",
            "a\0b",
        ),
        *("tmp", "tmp/x", "a/" + "x" * 256, "/".join(["x" * 200] * 6)),
    ],
)
def test_only_safe_names_are_written_or_read(backend: BlobBackend, name: str) -> None:
    """What could leave the store, hide in it or exceed a limit is refused on every way."""
    for call in (
        lambda: backend.create(name, b""),
        lambda: backend.open(name),
        lambda: backend.read(name, 1),
        lambda: backend.size(name),
        lambda: backend.stage().commit(name),
        lambda: backend.group().create(name, b""),
    ):
        with pytest.raises(InvalidInputError):
            call()
    assert list(backend.names()) == []


@settings(max_examples=times(200), deadline=None)
@given(st.text(alphabet="ab.=-_/\n\\ ~é\0", max_size=12))
def test_a_name_is_always_inside_the_store(text: str) -> None:
    """Whatever is accepted as a name stays below the root and outside its temporary folder."""
    if is_name(text):
        path = Path(os.path.normpath(f"/store/{text}"))
        assert path.is_relative_to("/store")
        assert str(path) == f"/store/{text}"
        assert not path.is_relative_to("/store/tmp")


def test_a_group_appears_at_its_end(backend: BlobBackend) -> None:
    """Nothing of a group is visible inside it; afterwards all is, and it says what was there."""
    backend.create("g/000", b"before")
    with backend.group() as group:
        for number in range(40):
            group.create(f"g/{number:03}", b"%d" % number)
            group.create(f"g/{number:03}", b"again")
        assert list(backend.names("g/")) == ["g/000"]
    assert len(list(backend.names("g/"))) == 40
    assert group.existing == ["g/000"]
    assert content(backend, "g/000") == b"before"
    assert content(backend, "g/039") == b"39"


def test_a_group_that_fails_leaves_nothing(backend: BlobBackend) -> None:
    """An exception inside the block drops all of it."""
    with suppress(ZeroDivisionError), backend.group() as group:
        group.create("g/1", b"1")
        raise ZeroDivisionError
    assert list(backend.names()) == []


@pytest.mark.parametrize("same", [True, False])
def test_of_racing_writers_exactly_one_creates(backend: BlobBackend, same: bool) -> None:
    """Ten threads, one name: one True, nine False, and the winner's bytes whole."""
    barrier, created = threading.Barrier(10), []

    def write(number: int) -> None:
        data = b"x" * 5000 if same else b"%d" % number * 5000
        with backend.stage() as staged:
            staged.write(data)
            barrier.wait()
            if staged.commit("race/it"):
                created.append(data)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1
    assert content(backend, "race/it") == created[0]


def test_an_erased_object_is_gone(backend: BlobBackend) -> None:
    """It has no size, no bytes and no place in the list; its neighbours stay; it can be erased
    once, and its name can be given again."""
    for name in ("a/b", "a/bc", "a/d/e"):
        backend.create(name, b"data")
    assert backend.erase("a/b") is True
    assert backend.erase("a/b") is False
    assert backend.size("a/b") is None
    with pytest.raises(ArtifactNotFoundError):
        backend.open("a/b")
    assert list(backend.names()) == ["a/bc", "a/d/e"]
    assert backend.create("a/b", b"other") is True
    assert content(backend, "a/b") == b"other"


@pytest.mark.parametrize("name", ["a", "a/b/c", "none/at/all"])
def test_what_is_no_object_is_not_erased(backend: BlobBackend, name: str) -> None:
    """A folder, a name below an object, a name nobody used: False, and nothing is touched."""
    backend.create("a/b", b"data")
    assert backend.erase(name) is False
    assert content(backend, "a/b") == b"data"


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "a/../b", "tmp/x", "", ".hidden"])
def test_only_an_objects_name_is_erased(backend: BlobBackend, name: str) -> None:
    """Nothing outside the store, and nothing of the backend's own, goes by this way."""
    with pytest.raises(InvalidInputError):
        backend.erase(name)


def test_of_racing_erasers_exactly_one_erases(backend: BlobBackend) -> None:
    """Many threads erase one object: one is told that it did, none fails."""
    backend.create("race/it", b"data")
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(backend.erase("race/it"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]
    assert backend.size("race/it") is None


# --- the filesystem ------------------------------------------------------------------------------


class FaultyOs:
    """The module ``os`` with one call that fails; after a crash, every later call fails too."""

    CALLS = ("open", "write", "fsync", "link", "unlink", "close", "lstat")

    def __init__(self, fail_at: int, fault: BaseException, *, after: bool, crash: bool) -> None:
        self.fail_at, self.fault, self.after, self.crash = fail_at, fault, after, crash
        self.seen: list[str] = []

    @property
    def happened(self) -> bool:
        return len(self.seen) > self.fail_at

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._guarded(name, real) if name in self.CALLS else real

    def _guarded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            position = len(self.seen)
            self.seen.append(name)
            if self.crash and position > self.fail_at:
                raise self.fault
            if position != self.fail_at:
                return real(*arguments, **options)
            if self.after:
                real(*arguments, **options)
            raise self.fault

        return call


class Crash(BaseException):
    """The process is gone: no handler of the library may expect it."""


def faulty(monkeypatch: pytest.MonkeyPatch, calls: FaultyOs) -> None:
    monkeypatch.setattr(filesystem, "os", calls)
    monkeypatch.setattr(posix, "os", calls)


def write_single(backend: FilesystemBackend) -> None:
    with backend.stage() as staged:
        staged.write(b"whole " * 1000)
        staged.write(b"bytes")
        staged.commit("a/b/c")


def write_group(backend: FilesystemBackend) -> None:
    with backend.group() as group:
        for number in range(3):
            group.create(f"g/{number}", b"whole")


WRITES = {"single": write_single, "group": write_group}
WHOLE = {"a/b/c": b"whole " * 1000 + b"bytes", "g/0": b"whole", "g/1": b"whole", "g/2": b"whole"}


def calls_of(write: Callable[[FilesystemBackend], None], root: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        counting = FaultyOs(10**9, Crash(), after=False, crash=False)
        faulty(patch, counting)
        write(FilesystemBackend(root))
    return counting.seen


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("after", [False, True], ids=["before-the-call", "after-the-call"])
def test_a_crash_at_any_call_leaves_whole_objects_or_none(
    tmp_path: Path, write: Callable[[FilesystemBackend], None], after: bool
) -> None:
    """Stopped at each system call in turn, what is visible is whole, and a retry completes it."""
    total = len(calls_of(write, tmp_path / "counted"))
    assert total > 10
    for position in range(total):
        root = tmp_path / f"at-{position}"
        with pytest.MonkeyPatch.context() as patch:
            calls = FaultyOs(position, Crash(), after=after, crash=True)
            faulty(patch, calls)
            with pytest.raises(Crash):
                write(FilesystemBackend(root))
            assert calls.happened
        survivor = FilesystemBackend(root)
        for name in survivor.names():
            assert content(survivor, name) == WHOLE[name]
        write(survivor)
        assert all(content(survivor, name) == WHOLE[name] for name in survivor.names())
        survivor.sweep(older_than_seconds=0, now=datetime.now(UTC) + timedelta(hours=1))
        assert list((root / "tmp").iterdir()) == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, StoreNotWritableError),
        (errno.EROFS, StoreNotWritableError),
        (errno.EACCES, StoreNotWritableError),
        (errno.EIO, BackendUnavailableError),
    ],
)
def test_a_refused_call_is_a_documented_error_and_leaves_nothing(
    tmp_path: Path,
    write: Callable[[FilesystemBackend], None],
    code: int,
    expected: type[BackendUnavailableError],
) -> None:
    """A disk that refuses any one call gives one clear error: nothing visible, or "read back"."""
    for position, called in enumerate(calls_of(write, tmp_path / "counted")):
        root = tmp_path / f"at-{position}"
        with pytest.MonkeyPatch.context() as patch:
            faulty(patch, FaultyOs(position, OSError(code, "no"), after=False, crash=False))
            try:
                write(FilesystemBackend(root))
                problem = None
            except (BackendUnavailableError, OutcomeUnknownError) as error:
                problem = error
        visible = list(FilesystemBackend(root).names())
        if isinstance(problem, BackendUnavailableError):
            assert type(problem) is expected
            assert problem.next_step
            assert visible == []
        elif problem is None:
            # Only what comes after the bytes are safe, or is tried again by sweep, may be ignored.
            assert called in ("close", "unlink") or code == errno.EACCES
        if called != "unlink":
            assert list((root / "tmp").glob("*")) == []


def test_a_failure_after_linking_is_an_unknown_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the folder cannot be made durable the caller must read back; a retry then succeeds."""
    backend = FilesystemBackend(tmp_path)
    backend.create("a/other", b"")
    with monkeypatch.context() as patch:
        patch.setattr(posix, "fsync_folder", _raise(OSError(errno.EIO, "lost")))
        with pytest.raises(OutcomeUnknownError):
            backend.create("a/b", b"data")
    assert backend.create("a/b", b"data") is False
    assert content(backend, "a/b") == b"data"


@pytest.mark.parametrize("after", [False, True], ids=["before-the-call", "after-the-call"])
def test_a_crash_while_erasing_leaves_the_object_whole_or_gone(tmp_path: Path, after: bool) -> None:
    """Stopped at each system call in turn, what is left is whole, and a retry completes it."""
    position = 0
    while True:
        root = tmp_path / f"at-{position}"
        FilesystemBackend(root).create("a/b", b"whole")
        with pytest.MonkeyPatch.context() as patch:
            calls = FaultyOs(position, Crash(), after=after, crash=True)
            faulty(patch, calls)
            with suppress(Crash):
                FilesystemBackend(root).erase("a/b")
        survivor = FilesystemBackend(root)
        if survivor.size("a/b") is not None:
            assert content(survivor, "a/b") == b"whole"
        survivor.erase("a/b")
        assert survivor.size("a/b") is None
        if not calls.happened:
            break
        position += 1
    assert calls.seen == ["lstat", "unlink", "open", "fsync", "close"]


@pytest.mark.parametrize(
    ("call", "code", "expected", "left"),
    [
        ("unlink", errno.EROFS, StoreNotWritableError, 5),
        ("unlink", errno.EIO, BackendUnavailableError, 5),
        ("fsync", errno.EIO, OutcomeUnknownError, None),
    ],
)
def test_an_erasure_that_fails_says_how_far_it_got(
    tmp_path: Path, call: str, code: int, expected: type[Exception], left: int | None
) -> None:
    """Still there, or gone until power is lost: two errors, and the same call again completes."""
    backend = FilesystemBackend(tmp_path)
    backend.create("a/b", b"whole")
    with pytest.MonkeyPatch.context() as patch:
        calls = FaultyOs(-1, Crash(), after=False, crash=False)
        patch.setattr(calls, call, _raise(OSError(code, "no")), raising=False)
        faulty(patch, calls)
        with pytest.raises(expected) as raised:
            backend.erase("a/b")
        assert getattr(raised.value, "next_step", "")
    assert backend.size("a/b") == left
    assert backend.erase("a/b") is (left is not None)


def test_a_torn_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write(2) that takes only part of the bytes is followed by another."""
    real = os.write
    calls = FaultyOs(-1, Crash(), after=False, crash=False)
    monkeypatch.setattr(calls, "write", lambda fd, data: real(fd, data[:7]), raising=False)
    faulty(monkeypatch, calls)
    backend = FilesystemBackend(tmp_path)
    backend.create("a/b", b"0123456789" * 10)
    assert content(backend, "a/b") == b"0123456789" * 10


def test_without_syncfs_each_file_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where libc has no syncfs, a large group falls back to fsync and is as visible after."""
    monkeypatch.setattr(posix, "_syncfs", None)
    backend = FilesystemBackend(tmp_path)
    with backend.group() as group:
        for number in range(30):
            group.create(f"g/{number}", b"data")
    assert len(list(backend.names("g/"))) == 30


def test_a_failing_syncfs_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group whose bytes did not reach the disk stays invisible."""
    monkeypatch.setattr(posix, "syncfs", _raise(OSError(errno.ENOSPC, "full")))
    backend = FilesystemBackend(tmp_path)
    group = backend.group()
    for number in range(30):
        group.create(f"g/{number}", b"data")
    with pytest.raises(StoreNotWritableError), group:
        pass
    assert list(backend.names()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("where", ["root", "tmp", "blobs"])
def test_a_file_where_a_folder_should_be_is_not_writable(tmp_path: Path, where: str) -> None:
    """A store that cannot be made says so, for every user, and the file stays."""
    root = tmp_path / "store"
    obstacle = root if where == "root" else root / where
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.write_text("in the way")
    with pytest.raises(StoreNotWritableError, match="RO_STORE_URL"):
        FilesystemBackend(root).create("blobs/x", b"data")
    assert obstacle.read_text() == "in the way"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.errors import StoreNotWritableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
backend = FilesystemBackend(Path(sys.argv[1]))
try:
    with backend.stage() as staged:
        for _ in range(4):
            staged.write(b"x" * (1 << 20))
        staged.commit("a/b")
except StoreNotWritableError as error:
    print(error.code)
"""


def test_the_kernel_refusing_to_write_more_leaves_nothing(tmp_path: Path) -> None:
    """A real limit of the kernel in the middle of a file: one clear error, nothing left behind."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "RO_STORE_NOT_WRITABLE"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


KILLED = """
import sys
from pathlib import Path
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
backend = FilesystemBackend(Path(sys.argv[1]))
print("ready", flush=True)
number = int(sys.argv[2]) * 1_000_000
while True:
    number += 1
    backend.create(f"k/{number % 7}/{number}", b"%d," % number * 3000)
"""


def test_sigkill_leaves_only_whole_objects(tmp_path: Path) -> None:
    """Two dozen writers killed at arbitrary moments: every visible object is whole."""
    for round_number in range(24):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(round_number)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        threading.Event().wait(0.005 + 0.0017 * round_number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    backend = FilesystemBackend(tmp_path)
    names = list(backend.names())
    assert len(names) > 24
    for name in names:
        assert content(backend, name) == b"%d," % int(name.rpartition("/")[2]) * 3000


def test_objects_are_read_only_and_temporary_files_gone(tmp_path: Path) -> None:
    """A stored file has no write permission, and nothing stays in tmp."""
    FilesystemBackend(tmp_path).create("a/b", b"data")
    assert (tmp_path / "a/b").stat().st_mode & 0o222 == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_sweep_takes_only_what_is_older_than_the_lease(tmp_path: Path) -> None:
    """An abandoned file goes after its lease; a fresh one, and every object, stays."""
    backend = FilesystemBackend(tmp_path)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    backend.create("a/b", b"object")
    for name, age in {"old": 3600, "fresh": 3599}.items():
        path = tmp_path / "tmp" / name
        path.write_bytes(b"left")
        os.utime(path, (now.timestamp() - age,) * 2)
    assert backend.sweep(older_than_seconds=3600, now=now) == 1
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["fresh"]
    assert content(backend, "a/b") == b"object"
    assert FilesystemBackend(tmp_path / "none").sweep(older_than_seconds=0, now=now) == 0


def test_a_writer_whose_bytes_were_swept_is_told(tmp_path: Path) -> None:
    """Sweeping under a slow writer makes its commit fail, never succeed with less."""
    backend = FilesystemBackend(tmp_path)
    with backend.stage() as staged:
        staged.write(b"slow")
        backend.sweep(older_than_seconds=0, now=datetime.now(UTC) + timedelta(days=1))
        with pytest.raises(BackendUnavailableError):
            staged.commit("a/b")
    assert list(backend.names()) == []


def test_strange_files_in_the_folder_are_no_objects(tmp_path: Path) -> None:
    """Hidden files, links and names that no object has are neither listed nor counted."""
    backend = FilesystemBackend(tmp_path)
    backend.create("a/b", b"data")
    (tmp_path / "a/.nfs0001").write_bytes(b"")
    (tmp_path / "a/b c").write_bytes(b"")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b")
    assert list(backend.names()) == ["a/b"]
    assert backend.size("a/link") is None


@settings(
    max_examples=times(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(["a/1", "a/2", "b/1"]), st.binary(max_size=8))))
def test_every_backend_behaves_as_a_dictionary_that_only_grows(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, bytes]]
) -> None:
    """Any sequence of creates leaves exactly the first bytes given for each name."""
    for make in BACKENDS.values():
        backend, model = make(tmp_path_factory.mktemp("store")), dict[str, bytes]()
        for name, data in writes:
            assert backend.create(name, data) is (name not in model)
            model.setdefault(name, data)
        assert {name: content(backend, name) for name in backend.names()} == model


def _raise(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call
