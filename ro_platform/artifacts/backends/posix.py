"""What the file system backend asks of the kernel beyond Python's ``os``, and its errors in words.

``syncfs(2)`` and ``sync_file_range(2)`` are Linux calls reached through libc; where libc lacks
them, the callers fall back to ``fsync(2)`` of each file, which is slower and as safe.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ro_platform import errors

_SYNC_FILE_RANGE_WRITE = 2

_NOT_WRITABLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EEXIST,  # a file stands where a folder should be made
    }
)


def _libc_call(name: str, *arguments: Any) -> Callable[..., int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is not None:
        call.argtypes = arguments
    return call


_syncfs = _libc_call("syncfs", ctypes.c_int)
_sync_file_range = _libc_call(
    "sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
)


def syncfs(descriptor: int) -> bool:
    """Make everything written to that file system durable; False where there is no such call.

    Reports write-back errors since the descriptor was opened (Linux 5.8), so open it first.
    """
    if _syncfs is None:
        return False
    if _syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True


def start_writeback(descriptor: int, offset: int, count: int) -> None:
    """Ask the kernel to start writing the range to disk without waiting for it.

    A hint only: errors are left for the ``fsync`` that follows to report.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, count, _SYNC_FILE_RANGE_WRITE)


def fsync_below(root: Path) -> None:
    """Make a file durable, or a folder with everything in it."""
    for folder, _, files in os.walk(root):
        for file in files:
            _fsync_path(Path(folder, file))
        fsync_folder(Path(folder))
    if not root.is_dir():
        _fsync_path(root)


def fsync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    _fsync_path(folder, os.O_DIRECTORY)


def _fsync_path(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: memoryview) -> None:
    """Write every byte: one ``write(2)`` may take fewer, and at most 2 GiB."""
    while data:
        data = data[os.write(descriptor, data) :]


def unavailable_error(error: OSError, root: Path) -> errors.BackendUnavailableError:
    """The documented error for a failed call that made nothing visible."""
    reason = error.strerror or str(error)
    if error.errno in _NOT_WRITABLE:
        return errors.StoreNotWritableError(
            f"The store folder {root} cannot be written: {reason}.",
            next_step="Free space on its disk, or correct its owner and permissions, or name "
            "another folder in RO_STORE_URL; nothing was stored.",
            folder=root,
            errno=errno.errorcode.get(error.errno or 0),
        )
    return errors.BackendUnavailableError(
        f"The store folder {root} does not serve: {reason}.",
        next_step="Check the disk or the mount, then repeat the call; nothing was stored.",
        folder=root,
        errno=errno.errorcode.get(error.errno or 0),
    )


def in_doubt(error: OSError, root: Path, name: str) -> errors.OutcomeUnknownError:
    """The documented error for a failure after the object may have become visible."""
    return errors.OutcomeUnknownError(
        f"{name} may have been stored in {root}, but its folder was not made durable: "
        f"{error.strerror or error}.",
        next_step="Check the disk, then repeat the call: it finds the object or creates it.",
        folder=root,
        name=name,
    )


def in_doubt_erased(error: OSError, root: Path, name: str) -> errors.OutcomeUnknownError:
    """The documented error for a failure after an object was removed, before that was durable."""
    return errors.OutcomeUnknownError(
        f"{name} was removed from {root}, but its folder was not made durable: "
        f"{error.strerror or error}.",
        next_step="Check the disk, then repeat the call: after a loss of power it may be back.",
        folder=root,
        name=name,
    )
