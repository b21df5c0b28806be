"""Which backend keeps the bytes: the one place that reads the store's URL."""

from __future__ import annotations

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.kernel.urls import local_path

SETTING = "RO_STORE_URL"


def blobs_at(url: str) -> FilesystemBackend:
    """The backend of a store: ``file:///absolute/path`` is a folder. Creates nothing.

    Raises :class:`SettingsError` for a URL that this version cannot open.
    """
    forms = "file:///absolute/path"
    return FilesystemBackend(local_path(url, scheme="file", setting=SETTING, forms=forms))
