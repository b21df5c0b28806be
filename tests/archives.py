"""Unpacking what the tests keep as archives, on every Python that the library supports."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of ours. Python has the filter from 3.11.4 on; Debian 12 has 3.11.2."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(folder)
