"""A backend over another that is only read: of that, nothing but the objects that were let in.

What is written is written here. Who asks for an object gets this backend's own, or else the other's
if its name was let in: by whoever has asked the guard. Names and bindings of the other are never
listed and never found.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

from ro_platform.artifacts.backends.base import BlobBackend, StagedWrite, WriteGroup


class OverlayBackend(BlobBackend):
    """``own`` over ``below``, of which only what :meth:`admit` named can be read."""

    def __init__(self, own: BlobBackend, below: BlobBackend) -> None:
        self._own = own
        self._below = below
        self._admitted: set[str] = set()

    def admit(self, name: str) -> None:
        """Let an object of the other backend be read from here on, in this process."""
        self._admitted.add(name)

    @property
    def location(self) -> str:
        """Where this backend writes."""
        return self._own.location

    def stage(self) -> StagedWrite:
        """See :class:`BlobBackend`."""
        return self._own.stage()

    def group(self) -> WriteGroup:
        """See :class:`BlobBackend`."""
        return self._own.group()

    def open(self, name: str) -> BinaryIO:
        """See :class:`BlobBackend`."""
        return self._of(name).open(name)

    def read(self, name: str, limit: int) -> bytes:
        """See :class:`BlobBackend`."""
        return self._of(name).read(name, limit)

    def size(self, name: str) -> int | None:
        """See :class:`BlobBackend`."""
        return self._of(name).size(name)

    def names(self, prefix: str = "") -> Iterator[str]:
        """See :class:`BlobBackend`: this backend's own."""
        return self._own.names(prefix)

    def erase(self, name: str) -> bool:
        """See :class:`BlobBackend`: this backend's own."""
        return self._own.erase(name)

    def sweep(self, *, older_than_seconds: float, now: datetime) -> int:
        """See :class:`BlobBackend`: this backend's own."""
        return self._own.sweep(older_than_seconds=older_than_seconds, now=now)

    def _of(self, name: str) -> BlobBackend:
        if name in self._admitted and self._own.size(name) is None:
            return self._below
        return self._own
