"""Files that hold one secret: made once, whole, for their owner's eyes alone, never overwritten."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ro_platform.errors import SettingsError
from ro_platform.kernel.files import open_file

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
        raise SettingsError(
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
