"""Documents on disk: what a person hands in as a file."""

from __future__ import annotations

from pathlib import Path

from ro_platform.errors import DocumentSyntaxError
from ro_platform.kernel.documents import MAX_DOCUMENT_BYTES
from ro_platform.kernel.files import read_file


def document_bytes(path: Path) -> bytes:
    """The bytes of a file that was handed in. Raises :class:`DocumentSyntaxError`."""
    try:
        return read_file(path, MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise DocumentSyntaxError(
            f"{path} cannot be read: {error.strerror}.",
            next_step="Name a YAML or JSON file that this user may read.",
        ) from None
