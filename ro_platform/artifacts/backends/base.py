"""The port of the store: named objects that are created once and never replaced.

This class is the specification; every backend passes ``tests/contract/test_blob_backends.py``.
A backend knows nothing of digests or artifacts. What it promises:

* **Create-only.** An object appears whole under its name or not at all, and no call replaces one.
  Of many writers of one name exactly one is told that it created the object.
* **One way out.** :meth:`BlobBackend.erase` alone removes an object; the store calls it for blobs
  whose tombstone is there already, and for nothing else.
* **Durable before visible.** Once a name can be opened, its bytes outlive a loss of power; once
  ``commit``, ``create`` or a group's exit has returned, so does the name.
* **Documented errors only.** ``ArtifactNotFoundError`` (no such object), ``InvalidInputError`` (not
  a name), ``StoreNotWritableError`` and ``BackendUnavailableError`` (nothing became visible, the
  call can be repeated), ``OutcomeUnknownError`` (the object may be visible: read back).

A name is made of POSIX segments, ``[A-Za-z0-9_.=-]+`` each and none with a leading dot, so it is
at once a relative path and an S3 key. The first segment ``tmp`` is kept for the backend.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Self

from ro_platform import errors

Bytes = bytes | bytearray | memoryview

MAX_NAME = 1024
"""Bytes in a name: S3's limit."""
MAX_SEGMENT = 255
"""Bytes between two slashes: the limit of the usual file systems."""

_SEGMENT = rf"(?!\.)[A-Za-z0-9_.=\-]{{1,{MAX_SEGMENT}}}"
_NAME = re.compile(rf"(?!tmp(?:/|\Z)){_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_.=\-]+/)*[A-Za-z0-9_.=\-]*")


def is_name(text: str) -> bool:
    """Whether the text can name an object."""
    return _NAME.fullmatch(text) is not None and len(text) <= MAX_NAME


def checked_name(name: str) -> str:
    """The name itself. Raises :class:`InvalidInputError` if it cannot name an object."""
    if not is_name(name):
        raise errors.InvalidInputError(
            f"{name!r} cannot name an object of the store.",
            next_step="Use segments of letters, digits and _ . = - joined by slashes, "
            f"none with a leading dot or over {MAX_SEGMENT} characters.",
            name=name,
        )
    return name


def checked_prefix(prefix: str) -> str:
    """The prefix itself. Raises :class:`InvalidInputError` if no name can begin with it."""
    if not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/"):
        raise errors.InvalidInputError(f"No object's name begins with {prefix!r}.", prefix=prefix)
    return prefix


class StagedWrite(ABC):
    """Bytes on their way in, invisible until committed. Leaving the ``with`` block drops them."""

    @abstractmethod
    def write(self, data: Bytes) -> None:
        """Append the bytes; the buffer is the caller's again when this returns."""

    @abstractmethod
    def commit(self, name: str) -> bool:
        """Make the bytes durable, then visible under ``name``.

        True if this call created the object; False if one was there, which stays as it is (and is
        durable now). Call it once; a crash inside leaves the whole object or none.
        """

    @abstractmethod
    def discard(self) -> None:
        """Drop what has not been committed. Never raises; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


class WriteGroup(ABC):
    """Many small objects made durable together when the ``with`` block ends.

    Nothing of the group is visible before all of its bytes are durable. An exception in the block
    drops the group. A crash during the exit leaves some of its objects visible, each one whole.
    """

    def __init__(self) -> None:
        self.existing: list[str] = []
        """After the exit: the names that were there before and stay as they were."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Add an object. A name that is in the group already is ignored."""

    @abstractmethod
    def publish(self) -> None:
        """Make the group durable, then visible; called by the block's regular end."""

    @abstractmethod
    def discard(self) -> None:
        """Drop what has not been published. Never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self.discard()


class BlobBackend(ABC):
    """Create-only named objects. Safe to use from many threads and processes at once."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the objects are, as a URL without credentials, for messages."""

    @abstractmethod
    def stage(self) -> StagedWrite:
        """Begin an object whose name may be known only when all its bytes are written."""

    @abstractmethod
    def group(self) -> WriteGroup:
        """Begin many small objects that become durable together."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The object's bytes from the start, unbuffered: ``read(n)`` may return fewer.

        Raises :class:`ArtifactNotFoundError`. The caller closes the stream. It need not be
        seekable, and its reads raise the documented errors only.
        """

    def read(self, name: str, limit: int) -> bytes:
        """The object's first ``limit`` bytes, or all if it has fewer, in one call.

        Raises :class:`ArtifactNotFoundError`. For small objects: a backend may make it cheaper
        than a stream.
        """
        with self.open(name) as source:
            data = source.read(limit)
            while 0 < len(data) < limit and (more := source.read(limit - len(data))):
                data += more
        return data

    @abstractmethod
    def size(self, name: str) -> int | None:
        """The object's size in bytes, or None if there is none of that name."""

    @abstractmethod
    def names(self, prefix: str = "") -> Iterator[str]:
        """The names that begin with ``prefix`` (any text, not only whole segments), sorted.

        What does not have the form of a name is no object of this store and is left out.
        """

    @abstractmethod
    def erase(self, name: str) -> bool:
        """Remove the object, durably: True if this call did, False if there was none.

        A crash leaves the object whole or gone. Raises :class:`StoreNotWritableError` or
        :class:`BackendUnavailableError` where it is still there, and :class:`OutcomeUnknownError`
        where a loss of power may bring it back: repeat the call. Who has it open may read on.
        """

    @abstractmethod
    def sweep(self, *, older_than_seconds: float, now: datetime) -> int:
        """Remove what abandoned writers left, untouched for at least that long; answer how many.

        Never touches an object. A writer that was only slow finds its bytes gone when it commits
        and is told so by :class:`BackendUnavailableError`.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Write and commit in one call: True if created, False if an object was there."""
        with self.stage() as staged:
            staged.write(data)
            return staged.commit(name)
