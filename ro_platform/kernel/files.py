"""The one way to open a file for reading: a regular file, or a refusal at once.

A path is handed in by people, programs and folders, and what it names may be a pipe that nobody
writes to, a device without an end or a socket, also when it was a file a moment ago. So the file is
opened without waiting, and what was opened is looked at, not its name.

What is wrong is an :class:`OSError` whose ``strerror`` says it, so that a caller answers with its
own error as it does for a file that is not there.

Files that hold one secret: made once, whole, for their owner's eyes alone, never overwritten.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ro_platform import errors

Name = str | os.PathLike[str]

_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def open_descriptor(path: Name, *, follow: bool = True) -> int:
    """The descriptor of a regular file. It is the caller's to close.

    Raises :class:`OSError` for anything else: :class:`IsADirectoryError` for a folder, and what
    names the kind (``EINVAL``) for a pipe, a device, a socket, or a link if not ``follow``.
    """
    try:
        descriptor = os.open(path, _READ if follow else _READ | os.O_NOFOLLOW)
    except ValueError as error:  # a name that holds a null
        raise OSError(errno.EINVAL, str(error), path) from None
    except OSError as error:
        raise _named(error, path, follow=follow) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise not_a_file(path, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_file(path: Name, *, follow: bool = True) -> io.FileIO:
    """The same as an unbuffered stream."""
    return io.FileIO(open_descriptor(path, follow=follow))


def chunks_of(path: Name) -> Iterator[bytes]:
    """A regular file's bytes, in pieces: exactly as many as it says that it has.

    Raises :class:`OSError` as :func:`open_descriptor` does, and ``EFBIG`` if it has others: it is
    being written, or has no end.
    """
    with open_file(path) as file:
        left = os.fstat(file.fileno()).st_size
        while chunk := file.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left:
        raise OSError(errno.EFBIG, "it does not have as many bytes as it says", path)


def read_file(path: Name, limit: int, *, follow: bool = True) -> bytes:
    """All bytes of a regular file, which has at most ``limit``.

    Raises :class:`OSError` as :func:`open_descriptor` does, and ``EFBIG`` for a larger file, or one
    that has no end (below ``/proc`` there are such).
    """
    with open_file(path, follow=follow) as file:
        data = bytearray()
        while chunk := file.read(min(limit + 1 - len(data), _CHUNK)):
            data += chunk
            if len(data) > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", path)
    return bytes(data)


def read_text(path: Name, limit: int) -> str:
    """The same as text. Raises :class:`UnicodeDecodeError` for what is not UTF-8."""
    return read_file(path, limit).decode("utf-8")


def not_a_file(path: Name, mode: int) -> OSError:
    """The error for what is there with that mode, and is no regular file."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        return IsADirectoryError(errno.EISDIR, "it is a folder", path)
    name = _KINDS.get(kind, "something special")
    return OSError(errno.EINVAL, f"it is {name}, neither a file nor a folder", path)


def _named(error: OSError, path: Name, *, follow: bool) -> OSError:
    """A link or a socket cannot be opened; the kernel's words for that do not say so."""
    if error.errno == errno.ELOOP and not follow:
        return not_a_file(path, stat.S_IFLNK)
    if error.errno == errno.ENXIO:
        return not_a_file(path, stat.S_IFSOCK)
    return error


_MODE = 0o600
_OTHERS = 0o077
_MAX_BYTES = 1 << 16


def create_secret_file(path: Path, text: str) -> None:
    """Make the file (mode 0600) with that text as its one line, and the folders above it.

    Durable when it returns; a crash leaves the file whole or not at all. Raises
    :class:`FileExistsError` where there is one, and other kinds of :class:`OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_secret_file(path: Path, what: str) -> str:
    """The line in the file, which holds ``what``.

    Raises :class:`SettingsError` if others than its owner can read or write it, and
    :class:`ValueError` or :class:`OSError` for no text and no file.
    """
    with open_file(path) as file:
        exposed, data = os.fstat(file.fileno()).st_mode & _OTHERS, file.read(_MAX_BYTES)
    if exposed:
        raise errors.SettingsError(
            f"The {what} {path} can be read or written by others than its owner.",
            next_step=f"Take it for stolen if others could read it; otherwise `chmod 600 {path}`.",
            key_file=path,
        )
    return data.decode("utf-8").removesuffix("\n")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises :class:`OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
