"""Doing something as somebody who may read a folder and write nothing in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that every user can reach, but for root's parents of a test's own folder."""
    with tempfile.TemporaryDirectory(prefix="ro-readable-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def put(folder: Path, *files: Path) -> Path:
    """Copies of these files in the folder, which nobody may write or add to; the first one's."""
    folder.chmod(0o755)
    copies = [folder / file.name for file in files]
    for file, copy in zip(files, copies, strict=True):
        copy.unlink(missing_ok=True)
        shutil.copy(file, copy)
        copy.chmod(0o444)
    folder.chmod(0o555)
    return copies[0]


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Without root's rights, if this process has them. What is imported here must be imported
    already: that user may not be able to read the interpreter's folder."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
