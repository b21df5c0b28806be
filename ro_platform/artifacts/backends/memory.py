"""Objects in this process's memory: for tests and for planes that are thrown away."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

from ro_platform import errors
from ro_platform.artifacts.backends.base import (
    BlobBackend,
    Bytes,
    StagedWrite,
    WriteGroup,
    checked_name,
    checked_prefix,
    is_name,
)


class MemoryBackend(BlobBackend):
    """A dictionary that keeps the port's promises, except that it ends with the process."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """The objects by name; a test may corrupt them."""
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """``memory://``."""
        return "memory://"

    def stage(self) -> StagedWrite:
        """Begin an object in a buffer."""
        return _StagedBuffer(self)

    def group(self) -> WriteGroup:
        """Begin a group in a dictionary."""
        return _BufferGroup(self)

    def create(self, name: str, data: bytes) -> bool:
        """Add the object unless one is there."""
        with self._lock:
            if checked_name(name) in self.objects:
                return False
            self.objects[name] = bytes(data)
            return True

    def open(self, name: str) -> BinaryIO:
        """The object's bytes as a stream."""
        try:
            return io.BytesIO(self.objects[checked_name(name)])
        except KeyError:
            raise errors.ArtifactNotFoundError(f"{name} is not in the store.", name=name) from None

    def size(self, name: str) -> int | None:
        """The length of the object, if any."""
        data = self.objects.get(checked_name(name))
        return None if data is None else len(data)

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names at this moment, sorted."""
        checked_prefix(prefix)
        with self._lock:
            found = sorted(n for n in self.objects if n.startswith(prefix) and is_name(n))
        return iter(found)

    def erase(self, name: str) -> bool:
        """Take the object out of the dictionary."""
        with self._lock:
            return self.objects.pop(checked_name(name), None) is not None

    def sweep(self, *, older_than_seconds: float, now: datetime) -> int:  # noqa: ARG002
        """Nothing outlives its writer here: 0."""
        return 0


class _StagedBuffer(StagedWrite):
    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._buffer = bytearray()

    def write(self, data: Bytes) -> None:
        self._buffer += data

    def commit(self, name: str) -> bool:
        return self._backend.create(name, bytes(self._buffer))

    def discard(self) -> None:
        self._buffer.clear()


class _BufferGroup(WriteGroup):
    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__()
        self._backend = backend
        self._pending: dict[str, bytes] = {}

    def create(self, name: str, data: bytes) -> None:
        self._pending.setdefault(checked_name(name), data)

    def publish(self) -> None:
        for name, data in self._pending.items():
            if not self._backend.create(name, data):
                self.existing.append(name)

    def discard(self) -> None:
        self._pending.clear()
