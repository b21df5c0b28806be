"""Files on their way into the store: only what nobody changes meanwhile is stored.

A file that is written while it is read gives bytes that it never held. Its identity, size and times
are compared before and after; a writer cannot put the change time back. Two things hide from that,
and are looked for:

* The kernel stamps files by a clock that ticks every few milliseconds, so two writes within a tick
  leave one time. Reading begins when the last change is older than that.
* A program that has mapped the file writes without any call that stamps it. Whether anybody has it
  open for writing is asked of the kernel (a lease, given back at once); if so, or if the kernel
  does not say, the file is read a second time and has to be the same. So is a small one, unasked:
  that costs less than the question.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from ro_platform import errors
from ro_platform.kernel.clock import wall_nanoseconds
from ro_platform.kernel.digest import StreamingHasher, blake3_hex
from ro_platform.kernel.files import Name, open_descriptor

CHUNK = 512 << 10
"""Bytes moved at a time: small enough that a hash finds them still in the processor's cache."""
SMALL = 1 << 20
"""Artifacts up to this size are hashed, written and read in one piece."""
READ_TWICE = 64 << 10
"""Bytes up to which reading again costs less than to ask whether anybody writes."""
TICK_NS = 20_000_000
"""Two changes within that time may have the same stamp: two ticks of the slowest kernel clock."""
SECOND_NS = 1_000_000_000
"""A stamp of whole seconds is that of a file system which knows no smaller time."""


class Source:
    """One open file that is being stored. Use :func:`open_source`, or :func:`open_listed`."""

    def __init__(self, path: Name, descriptor: int, before: os.stat_result) -> None:
        self.path = path
        self._descriptor = descriptor
        self._before = before
        small = before.st_size <= READ_TWICE
        self._doubtful = small or _is_recent(before) or _is_held_for_writing(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def size_bytes(self) -> int:
        """How many bytes it had in the beginning."""
        return self._before.st_size

    @property
    def executable(self) -> bool:
        """Whether its owner may execute it."""
        return bool(self._before.st_mode & stat.S_IXUSR)

    def chunks(self) -> Iterator[bytes]:
        """As many bytes as it had: more or fewer are a change, and an endless file has more.

        What came out counts once :meth:`require_whole` has returned. Raises
        :class:`InvalidInputError` if it cannot be read.
        """
        left = self.size_bytes
        try:
            while chunk := os.read(self._descriptor, min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if left:
            raise changed(self.path)

    def require_whole(self, blake3: Callable[[], str]) -> None:
        """Raise :class:`SourceChangedError` unless the file held exactly the bytes that were read,
        all at one moment. ``blake3`` answers their digest, and is asked only in doubt."""
        after = os.fstat(self._descriptor)
        if _content(self._before) != _content(after):
            raise changed(self.path)
        if after.st_ctime_ns != self._before.st_ctime_ns:  # a link, a mode, or a time put back
            self._require_named()
        elif not self._doubtful:
            return
        if self._digest_again() != blake3():
            raise changed(self.path)

    def _require_named(self) -> None:
        """That the path has not come to name another file."""
        try:
            named = Path(self.path).stat()
        except OSError:
            raise changed(self.path) from None
        if _content(named) != _content(self._before):
            raise changed(self.path)

    def _digest_again(self) -> str:
        if self.size_bytes <= READ_TWICE:
            return blake3_hex(os.pread(self._descriptor, self.size_bytes + 1, 0))
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with StreamingHasher(sha256=False) as hasher:
            for chunk in self.chunks():
                hasher.update(chunk)
            hasher.finish()
        return hasher.blake3


def open_source(path: Path) -> Source:
    """A single file, once it can be told whether it changes. To be closed by a ``with`` block.

    Raises :class:`InvalidInputError` if it is no regular file that can be read, and
    :class:`EncodingError` if it is set to run as somebody else.
    """
    descriptor = _opened(path, follow=True)
    try:
        found = os.fstat(descriptor)
        require_keepable(path, found.st_mode)
        if found.st_size > SMALL:  # to read less again costs less than to wait
            settle(found.st_ctime_ns)
    except BaseException:
        os.close(descriptor)
        raise
    return Source(path, descriptor, found)


def open_listed(path: Name, listed: os.stat_result) -> Source:
    """A file of a folder, which has to be the one that was listed. Raises as :func:`open_source`;
    a link or a pipe in its place is no file, and another file is a change."""
    return Source(path, _opened(path, follow=False), listed)


def settle(changed_ns: int) -> None:
    """Wait until another change would get a later time than that: at most for one tick."""
    early = changed_ns + TICK_NS - wall_nanoseconds()
    if early > 0:
        time.sleep(min(TICK_NS, early) / SECOND_NS)


def require_keepable(path: Name, mode: int) -> None:
    """Raise :class:`EncodingError` for a file that runs as somebody else: that cannot be kept."""
    if mode & (stat.S_ISUID | stat.S_ISGID):
        raise errors.EncodingError(
            f"{path} is set to run as its owner or group, which the store does not keep.",
            next_step="Take that away before it is stored: `chmod a-s FILE`.",
            path=path,
        )


def require_same_folder(path: Path, before: os.stat_result) -> None:
    """Raise :class:`SourceChangedError` if a name came or went in that folder since."""
    try:
        after = path.lstat()
    except OSError:
        raise changed(path) from None
    if _content(before) != _content(after):
        raise changed(path)


def changed(path: Name) -> errors.SourceChangedError:
    """The error for what was written while it was stored."""
    return errors.SourceChangedError(
        f"{path} changed while it was stored, or is not as large as it says: it would be torn.",
        next_step="Write it under a temporary name, close it, rename it, and only then hand it on; "
        "nothing may write to it after that.",
        path=path,
    )


def _content(found: os.stat_result) -> tuple[int, ...]:
    """What no change of a file's bytes, or of a folder's names, leaves all as it was, but for the
    time of modification that is put back."""
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)


def _is_recent(found: os.stat_result) -> bool:
    """Whether another change may leave the same time."""
    changed_ns = found.st_ctime_ns
    grain = TICK_NS if changed_ns % SECOND_NS else 2 * SECOND_NS
    return wall_nanoseconds() - grain < changed_ns


def _opened(path: Name, *, follow: bool) -> int:
    try:
        return open_descriptor(path, follow=follow)
    except OSError as error:
        raise _unreadable(path, error) from None


def _is_held_for_writing(descriptor: int) -> bool:
    """Whether anybody may write to the file without opening it first; also if that is not known.

    The kernel grants a read lease only on a file that nobody has open, or mapped, for writing. Who
    opens it in the moment that the lease is held waits for that moment, and the signal which tells
    us so is one that is ignored.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def _unreadable(path: Name, error: OSError) -> errors.InvalidInputError:
    if error.errno == errno.EAGAIN:  # a special file in the place of one
        return changed(path)
    return errors.InvalidInputError(
        f"{path} cannot be read: {error.strerror or error}.",
        next_step="Name an existing file that this user may read.",
        path=path,
    )
