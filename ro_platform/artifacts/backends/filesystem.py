"""Objects as read-only files below one folder, on any POSIX file system with hard links.

An object is written to a file in ``<root>/tmp``, made durable by ``fsync``, then linked to its
name by ``link(2)``, which is atomic and fails if the name exists: no check-then-write. Then the
temporary name goes and the folder is made durable, with every folder made on the way. A crash
therefore leaves an object whole or absent, and at worst a file in ``tmp`` for :meth:`sweep`.

Files have mode 0444 less the umask. The store folder and ``tmp`` must be on one file system.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from ro_platform import errors
from ro_platform.artifacts.backends import posix
from ro_platform.artifacts.backends.base import (
    BlobBackend,
    Bytes,
    StagedWrite,
    WriteGroup,
    checked_name,
    checked_prefix,
    is_name,
)
from ro_platform.kernel.files import open_descriptor

WRITEBACK_EVERY = 16 << 20
"""Bytes after which a large file's pages are sent on to the disk, so that writing them overlaps
with hashing what follows and the closing ``fsync`` finds little left to do."""
FSYNC_SINGLY = 16
"""Groups up to this size are made durable file by file, since ``syncfs`` waits for all writers."""

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_serial = itertools.count()


class FilesystemBackend(BlobBackend):
    """The store folder. It is made by the first write, not before."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._tmp = self.root / "tmp"
        self._prefix = f"{self.root}{os.sep}"
        self._durable_folders: set[str] = set()

    @property
    def location(self) -> str:
        """The folder as a ``file://`` URL."""
        return self.root.as_uri()

    def stage(self) -> StagedWrite:
        """Begin an object in ``tmp``."""
        return _StagedFile(self)

    def group(self) -> WriteGroup:
        """Begin a group: one ``syncfs`` before its files are linked and one after."""
        return _FileGroup(self)

    def open(self, name: str) -> BinaryIO:
        """The file's bytes."""
        try:
            return _ObjectFile(self.path(name), self.root)
        except OSError as error:
            raise self._unread(error, name) from error

    def read(self, name: str, limit: int) -> bytes:
        """The file's first bytes, by as few system calls as can be."""
        try:
            descriptor = open_descriptor(self.path(name), follow=False)
            try:
                data = os.read(descriptor, limit)
                while 0 < len(data) < limit and (more := os.read(descriptor, limit - len(data))):
                    data += more
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unread(error, name) from error
        return data

    def size(self, name: str) -> int | None:
        """The size of the file, if there is one."""
        try:
            found = os.lstat(self.path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise posix.unavailable_error(error, self.root) from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names found by walking the folders that can hold them, in order."""
        folder, slash, _ = checked_prefix(prefix).rpartition("/")
        try:
            for name in self._walk(f"{folder}{slash}", prefix):
                if is_name(name):
                    yield name
        except OSError as error:
            raise posix.unavailable_error(error, self.root) from error

    def erase(self, name: str) -> bool:
        """Unlink the file and make its folder durable; its blocks are the file system's to reuse.

        Where it is gone already the folder is made durable, too: a call before may have failed
        there.
        """
        path, erased = self.path(name), False
        if self.size(name) is not None:
            try:
                os.unlink(path)  # noqa: PTH108 - by the same calls as everything else here
                erased = True
            except FileNotFoundError:
                erased = False  # somebody else was faster by a moment
            except OSError as error:
                raise posix.unavailable_error(error, self.root) from error
        folder = Path(path).parent
        if folder.is_dir():
            try:
                posix.fsync_folder(folder)
            except OSError as error:
                raise posix.in_doubt_erased(error, self.root, name) from error
        return erased

    def sweep(self, *, older_than_seconds: float, now: datetime) -> int:
        """Remove the files in ``tmp`` whose last write is at least that old."""
        oldest, removed = now.timestamp() - older_than_seconds, 0
        try:
            for entry in os.scandir(self._tmp):
                if entry.stat(follow_symlinks=False).st_mtime <= oldest:
                    removed += _unlink_quietly(entry.path)
        except FileNotFoundError:
            return removed
        except OSError as error:
            raise posix.unavailable_error(error, self.root) from error
        return removed

    def create(self, name: str, data: bytes) -> bool:
        """Write, make durable and link one object; without writing when it is there already."""
        if self.size(name) is not None:
            self.settle(name)
            return False
        return super().create(name, data)

    def path(self, name: str) -> str:
        """Where the object of that name is, or would be."""
        return self._prefix + checked_name(name)

    def make_root(self) -> None:
        """Make the store folder and ``tmp`` if they are missing. Raises OSError."""
        if not self._tmp.is_dir():
            above = [folder for folder in self.root.parents if not folder.exists()]
            self._tmp.mkdir(parents=True, exist_ok=True)
            # The ledger may be in one of those folders, too, and finds it made already.
            for folder in (self.root, *above):
                with suppress(PermissionError):  # a folder above that may be passed but not read
                    posix.fsync_folder(folder.parent)

    def open_temporary(self) -> tuple[int, str]:
        """A new file in ``tmp``: its descriptor and path. Raises OSError."""
        while True:
            path = f"{self._tmp}/{os.getpid()}-{next(_serial)}"
            try:
                return os.open(path, _CREATE, 0o444), path
            except FileExistsError:
                continue  # left by an earlier process of this number, or one on another host
            except FileNotFoundError:
                self.make_root()

    def link(self, temporary: str, name: str) -> bool:
        """Give a durable file its name; False if the name is taken. Raises OSError."""
        target = self.path(name)
        try:
            try:
                os.link(temporary, target, follow_symlinks=False)
            except FileNotFoundError:
                # Either the folder is missing, or the temporary file was swept: then this fails.
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.link(temporary, target, follow_symlinks=False)
        except FileExistsError:
            if self.size(name) is None:
                raise
            return False
        return True

    def settle(self, name: str) -> None:
        """Make an object's name durable: its folder's entry, and once also those above it."""
        folder = Path(self.path(name)).parent
        try:
            posix.fsync_folder(folder)
            while folder != self.root and str(folder) not in self._durable_folders:
                posix.fsync_folder(folder.parent)
                self._durable_folders.add(str(folder))
                folder = folder.parent
        except OSError as error:
            self._durable_folders.clear()
            raise posix.in_doubt(error, self.root, name) from error

    def _holds_no_file(self, name: str) -> bool:
        """Whether a folder, a link, a pipe or a device stands where an object would be."""
        try:
            return not stat.S_ISREG(os.lstat(self.path(name)).st_mode)
        except OSError:
            return False

    def _unread(self, error: OSError, name: str) -> errors.RunOperateError:
        if isinstance(error, FileNotFoundError):
            said = ""
        elif self._holds_no_file(name):
            said = f" What is there is no file: {error.strerror}."
        else:
            return posix.unavailable_error(error, self.root)
        return errors.ArtifactNotFoundError(
            f"{name} is not in the store {self.root}.{said}",
            next_step="Compute it again, or restore it from a copy of the store.",
            name=name,
        )

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        """Names of the files below ``folder`` ("" or ending in a slash) that begin so, sorted."""
        try:
            with os.scandir(self._prefix + folder) as found:
                entries = sorted(
                    f"{folder}{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else ''}"
                    for entry in found
                    if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in entries:
            if not name.endswith("/"):
                if name.startswith(prefix):
                    yield name
            elif name != "tmp/" and (name.startswith(prefix) or prefix.startswith(name)):
                yield from self._walk(name, prefix)


class _ObjectFile(io.FileIO):
    """A file whose reads raise only the port's errors."""

    def __init__(self, path: str, root: Path) -> None:
        super().__init__(open_descriptor(path, follow=False))
        self._root = root

    def read(self, size: int | None = -1, /) -> bytes | Any:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            raise posix.unavailable_error(error, self._root) from error

    def readinto(self, buffer: Any, /) -> int | Any:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise posix.unavailable_error(error, self._root) from error


class _StagedFile(StagedWrite):
    def __init__(self, backend: FilesystemBackend) -> None:
        self._backend = backend
        self._written = self._sent = 0
        try:
            self._descriptor, self._path = backend.open_temporary()
        except OSError as error:
            raise posix.unavailable_error(error, backend.root) from error

    def write(self, data: Bytes) -> None:
        try:
            posix.write_all(self._descriptor, memoryview(data))
        except OSError as error:
            raise posix.unavailable_error(error, self._backend.root) from error
        self._written += len(data)
        if self._written - self._sent >= WRITEBACK_EVERY:
            posix.start_writeback(self._descriptor, self._sent, self._written - self._sent)
            self._sent = self._written

    def commit(self, name: str) -> bool:
        checked_name(name)
        created = False
        try:
            if self._backend.size(name) is None:
                os.fsync(self._descriptor)
                created = self._backend.link(self._path, name)
        except OSError as error:
            raise posix.unavailable_error(error, self._backend.root) from error
        self.discard()
        self._backend.settle(name)
        return created

    def discard(self) -> None:
        if self._path:
            _close_quietly(self._descriptor)
            _unlink_quietly(self._path)
            self._path = ""


class _FileGroup(WriteGroup):
    def __init__(self, backend: FilesystemBackend) -> None:
        super().__init__()
        self._backend = backend
        self._pending: dict[str, str] = {}
        self._seen: set[str] = set()
        try:
            backend.make_root()
            # Opened before the first write, so that syncfs reports the errors of all of them.
            self._root = os.open(backend.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise posix.unavailable_error(error, backend.root) from error

    def create(self, name: str, data: bytes) -> None:
        if name in self._seen:
            return
        self._seen.add(checked_name(name))
        if self._backend.size(name) is not None:
            self.existing.append(name)
            return
        try:
            descriptor, path = self._backend.open_temporary()
            self._pending[name] = path
            try:
                posix.write_all(descriptor, memoryview(data))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise posix.unavailable_error(error, self._backend.root) from error

    def publish(self) -> None:
        try:
            self._make_bytes_durable()
        except OSError as error:
            raise posix.unavailable_error(error, self._backend.root) from error
        names = [*self._pending, *self.existing]
        try:
            for name, path in self._pending.items():
                if not self._backend.link(path, name):
                    self.existing.append(name)
            self._drop_temporaries()
            self._make_names_durable(names)
        except OSError as error:
            raise posix.in_doubt(error, self._backend.root, f"A group of {len(names)}") from error

    def discard(self) -> None:
        self._drop_temporaries()
        if self._root >= 0:
            _close_quietly(self._root)
            self._root = -1

    def _drop_temporaries(self) -> None:
        while self._pending:
            _unlink_quietly(self._pending.popitem()[1])

    def _make_bytes_durable(self) -> None:
        if len(self._pending) > FSYNC_SINGLY and posix.syncfs(self._root):
            return
        for path in self._pending.values():
            posix.fsync_below(Path(path))

    def _make_names_durable(self, names: list[str]) -> None:
        if len(names) > FSYNC_SINGLY and posix.syncfs(self._root):
            return
        for _, name in sorted({name.rpartition("/")[0]: name for name in names}.items()):
            self._backend.settle(name)


def _unlink_quietly(path: str) -> int:
    """Remove a temporary file if it is still there; what stays behind is swept later."""
    try:
        os.unlink(path)  # noqa: PTH108 - called ten thousand times in a group
    except OSError:
        return 0
    return 1


def _close_quietly(descriptor: int) -> None:
    """Close; an error here speaks of bytes that are durable already or are being dropped."""
    try:
        os.close(descriptor)
    except OSError:
        return
