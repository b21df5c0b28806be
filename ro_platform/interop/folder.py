"""A folder that somebody else wrote, read without ever leaving it.

The folder is held open by its descriptor, and whatever is read below it is opened part by part
relative to that descriptor with ``O_NOFOLLOW`` (openat(2)). So a link is never followed, at
whatever instant it is put there, and renaming the folder or one above it does not lead elsewhere.
The last part of the folder's own path may be no link either; the parts above it are the caller's.

A file is read once, in pieces, and refused if it changed meanwhile. What that cannot see: a file
that is added after the listing, and hard links, which are files like any other.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ro_platform.errors import BundleRefusedError, NotFoundError
from ro_platform.interop.primitives import is_member_path

CHUNK = 1 << 20
MAX_DEPTH = 64
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Folder:
    """The regular files below one folder. Use :func:`open_folder`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def files(self) -> tuple[str, ...]:
        """Every file's relative POSIX path, in the order of its UTF-8 bytes (ASCII order, then).

        Raises :class:`BundleRefusedError` for anything that is neither file nor folder, and for a
        name that no index could list.
        """
        try:
            return tuple(sorted(self._walk(self._descriptor, "", 0), key=str.encode))
        except OSError as error:
            raise refused(f"{self.path} cannot be listed: {error.strerror}") from None

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes in pieces of at most 1 MiB.

        Raises :class:`NotFoundError` if there is none, :class:`BundleRefusedError` if it is a
        link, no regular file, behind a link, unreadable, or changes while it is read.
        """
        with self._opened(name) as descriptor:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise refused(f"{name!r} is no regular file")
            try:
                while chunk := os.read(descriptor, CHUNK):
                    yield chunk
            except OSError as error:
                raise refused(f"{name!r} cannot be read: {error.strerror}") from None
            after = os.fstat(descriptor)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise refused(f"{name!r} changed while it was read")

    def read(self, name: str, limit: int) -> bytes:
        """A small file's bytes. Raises as :meth:`chunks` does, and beyond ``limit`` bytes."""
        data = bytearray()
        for chunk in self.chunks(name):
            data += chunk
            if len(data) > limit:
                raise refused(f"{name!r} is larger than {limit} bytes")
        return bytes(data)

    def holds_folder(self, name: str) -> bool:
        """Whether that path is a folder below this one. Raises as :meth:`chunks` does."""
        with self._opened(name) as descriptor:
            return stat.S_ISDIR(os.fstat(descriptor).st_mode)

    def _walk(self, descriptor: int, prefix: str, depth: int) -> Iterator[str]:
        if depth > MAX_DEPTH:
            raise refused(f"{prefix!r} is more than {MAX_DEPTH} folders deep")
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                mode = entry.stat(follow_symlinks=False).st_mode
                if not is_member_path(name):
                    raise refused(f"{name!r} is a name that no index may list")
                if stat.S_ISREG(mode):
                    yield name
                elif stat.S_ISDIR(mode):
                    with _descriptor(entry.name, descriptor, name, os.O_DIRECTORY) as below:
                        yield from self._walk(below, f"{name}/", depth + 1)
                else:
                    kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                    raise refused(f"{name!r} is {kind}")

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """A descriptor of what has that relative path, no part of it being a link."""
        if not is_member_path(name):
            raise refused(f"{name!r} is no path inside the folder")
        *folders, last = name.split("/")
        with ExitStack() as stack:
            at = self._descriptor
            for part in folders:
                at = stack.enter_context(_descriptor(part, at, name, os.O_DIRECTORY))
            yield stack.enter_context(_descriptor(last, at, name))


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """Hold a folder open while it is read.

    Raises :class:`BundleRefusedError` if there is none or it is a link.
    """
    with ExitStack() as stack:
        try:
            held = _descriptor(os.fspath(path), None, str(path), os.O_DIRECTORY)
            descriptor = stack.enter_context(held)
        except NotFoundError:
            raise refused(f"{path} does not exist") from None
        yield Folder(path, descriptor)


@contextmanager
def _descriptor(part: str, at: int | None, name: str, flags: int = 0) -> Iterator[int]:
    try:
        descriptor = os.open(part, _READ | flags, dir_fd=at)
    except FileNotFoundError:
        raise NotFoundError(f"{name!r} does not exist.") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise refused(f"{name!r} is a link, or lies behind what is no folder") from None
        raise refused(f"{name!r} cannot be opened: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def refused(problem: str) -> BundleRefusedError:
    """The error for what cannot be judged."""
    return BundleRefusedError(
        f"There is no verdict: {problem}.",
        next_step="Do not read this output: get it as its producer sealed it.",
    )
