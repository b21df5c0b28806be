"""Bytes by digest: written once, and never handed out without being checked.

The name of a blob is its SHA-256. A read checks the size and BLAKE3 (SHA-256 where a foreign
reference has no BLAKE3) of the very bytes that the caller gets; there is no second read in which
they could change. A mismatch raises :class:`DigestMismatchError` and leaves the blob as evidence.
Bytes that were erased are refused by their tombstone (:class:`ArtifactErasedError`).
"""

from __future__ import annotations

import io
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ro_platform import errors
from ro_platform.artifacts.addressing import BLOBS, blob_name, tombstone_name
from ro_platform.artifacts.backends.base import BlobBackend, Bytes, StagedWrite
from ro_platform.artifacts.backends.posix import write_all
from ro_platform.artifacts.sources import CHUNK, SMALL, Source, open_source
from ro_platform.artifacts.tombstones import erased_error, find_tombstone
from ro_platform.contracts.artifact import ArtifactRef, BoundRef
from ro_platform.contracts.ledger import ArtifactErased
from ro_platform.kernel.digest import (
    Digests,
    StreamingHasher,
    blake3_hex,
    digests_of,
    sha256_hex,
)

IN_MEMORY = 64 << 20
"""Bytes up to which a private copy for random access is held in memory."""


class BlobWriter(io.RawIOBase):
    """A writable binary stream into the store. ``ref`` is set when its ``with`` block ends well."""

    def __init__(self, staged: StagedWrite, hasher: StreamingHasher) -> None:
        super().__init__()
        self._staged = staged
        self._hasher = hasher
        self._pending = bytearray()
        self._ref: BoundRef | None = None

    @property
    def ref(self) -> BoundRef:
        """What was stored. Raises ValueError while it is still being written."""
        if self._ref is None:
            raise ValueError("the artifact has no reference before its with-block has ended")
        return self._ref

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Bytes, /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Append all of the bytes; answer their number."""
        if self.closed:
            raise ValueError("the artifact's stream is closed")
        view = memoryview(data).cast("B")
        if len(view) >= CHUNK:
            self._send()
            # A hash may run later than this call, so it needs bytes that nobody can change.
            fixed = isinstance(data, bytes)
            for start in range(0, len(view), CHUNK):
                chunk = view[start : start + CHUNK]
                self._pass_on(chunk if fixed else bytes(chunk))
        else:
            self._pending += view
            if len(self._pending) >= CHUNK:
                self._send()
        return len(view)

    def finish(self) -> Digests:
        """Send on what is left; answer the digests of everything written."""
        self._send()
        return self._hasher.digests()

    def settle(self, ref: BoundRef) -> None:
        """Take the reference of what is stored now, and accept no more."""
        self._ref = ref
        self.close()

    def _send(self) -> None:
        if self._pending:
            self._pass_on(bytes(self._pending))
            self._pending.clear()

    def _pass_on(self, chunk: bytes | memoryview) -> None:
        self._hasher.update(chunk)
        self._staged.write(chunk)


Decided = Callable[[str], ArtifactErased | None]
"""The decision on record to erase the bytes with a SHA-256, if there is one."""


class BlobSpace:
    """The ``blobs/`` space of a store."""

    def __init__(self, backend: BlobBackend, decided: Decided | None = None) -> None:
        self.backend = backend
        self._decided = decided

    def require_unerased(self, digest: str) -> None:
        """Raise :class:`ArtifactErasedError` for bytes with a tombstone that was decided.

        A tombstone that nobody is on record as having decided is no reason for anything. Raises
        :class:`IntegrityError` for one that was decided and cannot be read.
        """
        if self.backend.size(tombstone_name(digest)) is None:
            return
        decided = self._decided(digest) if self._decided else find_tombstone(self.backend, digest)
        if decided is not None and find_tombstone(self.backend, digest):
            raise erased_error(decided)

    def put_bytes(
        self, data: Bytes, *, media_type: str, schema_version: str | None = None
    ) -> BoundRef:
        """Store the bytes. A crash leaves the whole blob or none."""
        if len(data) > SMALL:
            with self.writer(media_type=media_type, schema_version=schema_version) as out:
                out.write(data)
            return out.ref
        held = bytes(data)
        digests = digests_of(held)
        ref = bound_ref(digests, media_type, schema_version)
        self.require_unerased(ref.digest)
        self._settle(ref, created=self.backend.create(ref.ref, held))
        return ref

    @contextmanager
    def writer(self, *, media_type: str, schema_version: str | None = None) -> Iterator[BlobWriter]:
        """A stream whose bytes become a blob when the block ends; an exception leaves nothing."""
        with self.backend.stage() as staged, StreamingHasher() as hasher:
            out = BlobWriter(staged, hasher)
            yield out
            ref = bound_ref(out.finish(), media_type, schema_version)
            self.require_unerased(ref.digest)
            self._settle(ref, created=staged.commit(ref.ref))
            out.settle(ref)

    def put_file(
        self, path: Path, *, media_type: str, schema_version: str | None = None
    ) -> BoundRef:
        """Store a file's bytes, streaming. Nothing is left of a file that changes meanwhile."""
        with open_source(path) as source:
            return self.put_source(source, media_type=media_type, schema_version=schema_version)

    def put_source(
        self, source: Source, *, media_type: str, schema_version: str | None = None
    ) -> BoundRef:
        """Store the bytes of an open file, streaming."""
        with self.writer(media_type=media_type, schema_version=schema_version) as out:
            for chunk in source.chunks():
                out.write(chunk)
            source.require_whole(lambda: out.finish().blake3)
        return out.ref.model_copy(update={"executable": True}) if source.executable else out.ref

    def has(self, ref: ArtifactRef) -> bool:
        """Whether a blob of that digest and size is there. Its bytes are not read."""
        size = self.backend.size(located(ref))
        return size is not None and ref.size_bytes in (None, size)

    def read(self, ref: ArtifactRef) -> bytes:
        """The blob's bytes, verified."""
        name = located(ref)
        size = ref.size_bytes
        if size is None or size > SMALL:
            return self._read_large(ref, name)
        try:
            data = self.backend.read(name, size + 1)
        except errors.ArtifactNotFoundError:
            self.require_unerased(str(ref.digest))
            raise
        check(ref, len(data), sha256_hex(data) if not ref.blake3 else "", _blake3_of(ref, data))
        return data

    def copy_into(
        self, ref: ArtifactRef, sink: Callable[[memoryview], object], *, full: bool = False
    ) -> None:
        """Pass the bytes to ``sink`` in pieces, then verify: what it got counts only on return."""
        with (
            self._open(ref) as source,
            StreamingHasher(sha256=full or not ref.blake3, blake3=bool(ref.blake3)) as hasher,
        ):
            for chunk in _chunks(source):
                hasher.update(chunk)
                if ref.size_bytes is not None and hasher.size_bytes > ref.size_bytes:
                    break
                sink(chunk)
            hasher.finish()
        check(ref, hasher.size_bytes, hasher.sha256, hasher.blake3)

    def copy_to_file(self, ref: ArtifactRef, destination: Path) -> None:
        """Fill a new file. Raises OSError for what is wrong with the destination."""
        executable = isinstance(ref, BoundRef) and ref.executable is True
        with new_file(destination, executable=executable) as out:
            # An unbuffered write may take fewer bytes than it is given; this one takes all.
            self.copy_into(ref, partial(write_all, out.fileno()))

    def verify(self, ref: ArtifactRef, *, full: bool = False) -> None:
        """Read it all and check the cheaper digest, or with ``full`` every digest it has."""
        self.copy_into(ref, len, full=full)

    @contextmanager
    def open_verified(self, ref: ArtifactRef, *, folder: Path | None = None) -> Iterator[BinaryIO]:
        """A seekable stream over a verified private copy: in memory if small, else a file.

        The file has no name and is gone when the block ends, or with the process. ``folder`` says
        where it takes its space (the system's folder for temporary files by default).
        """
        if ref.size_bytes is not None and ref.size_bytes <= IN_MEMORY:
            yield io.BytesIO(self.read(ref))
            return
        with ExitStack() as stack:
            try:
                copy = stack.enter_context(tempfile.TemporaryFile(dir=folder))
                self.copy_into(ref, copy.write)
                copy.seek(0)
            except OSError as error:
                raise errors.BackendUnavailableError(
                    f"No private copy of {ref.ref} can be made: {error.strerror}.",
                    next_step="Free space in the folder for temporary files.",
                    folder=folder or tempfile.gettempdir(),
                ) from error
            yield copy

    def _open(self, ref: ArtifactRef) -> BinaryIO:
        name = located(ref)
        try:
            return self.backend.open(name)
        except errors.ArtifactNotFoundError:
            self.require_unerased(str(ref.digest))
            raise

    def _settle(self, ref: BoundRef, *, created: bool) -> None:
        """After a commit: check what was there already, and take back what was erased meanwhile.

        Whoever erases writes the tombstone first, so either it is seen here, or these bytes were
        there before it and go with it.
        """
        try:
            self.require_unerased(ref.digest)
        except errors.ArtifactErasedError:
            if created:
                self.backend.erase(blob_name(ref.digest))
            raise
        if not created:
            self.verify(ref)

    def _read_large(self, ref: ArtifactRef, name: str) -> bytes:
        """Fill one buffer while the pieces that have arrived are being hashed.

        ``BytesIO`` owns the buffer, so that the verified bytes need not be copied to be returned.
        """
        with (
            self._open(ref) as source,
            StreamingHasher(sha256=not ref.blake3, blake3=bool(ref.blake3)) as hasher,
        ):
            size = self.backend.size(name) or 0
            if ref.size_bytes not in (None, size):
                check(ref, size, "", "")
            buffer = io.BytesIO(bytes(size))
            with buffer.getbuffer() as whole:
                filled = _fill(source, whole, hasher)
            if filled == size and source.read(1):
                filled += 1
        check(ref, filled, hasher.sha256, hasher.blake3)
        return buffer.getvalue()


def located(ref: ArtifactRef) -> str:
    """The name of the blob that a reference means: by its digest, wherever ``ref`` points."""
    if ref.digest is None:
        raise errors.InvalidInputError(
            f"The reference {ref.ref} has no digest, so its bytes could not be checked.",
            next_step="Add `digest`, the SHA-256 of the bytes (`sha256sum FILE`).",
            ref=ref.ref,
        )
    name = blob_name(ref.digest)
    if ref.ref != name and ref.ref.startswith(BLOBS):
        raise errors.InvalidInputError(
            f"The reference points to {ref.ref}, but its digest is that of {name}.",
            next_step="Take the reference anew from where it was recorded.",
            ref=ref.ref,
        )
    return name


def bound_ref(
    digests: Digests, media_type: str, schema_version: str | None, locator: str | None = None
) -> BoundRef:
    """The complete reference to bytes with those digests; to their blob unless told otherwise."""
    return BoundRef(
        ref=locator or blob_name(digests.sha256),
        digest=digests.sha256,
        size_bytes=digests.size_bytes,
        media_type=media_type,
        schema_version=schema_version,
        blake3=digests.blake3,
    )


def check(ref: ArtifactRef, size: int, sha256: str, blake3: str) -> None:
    """Raise :class:`DigestMismatchError` unless the size and each digest computed are ``ref``'s."""
    if (
        ref.size_bytes in (None, size)
        and (blake3 == ref.blake3 if blake3 else sha256 != "")
        and (sha256 == ref.digest if sha256 else True)
    ):
        return
    raise errors.DigestMismatchError(
        f"{ref.ref} does not hold the bytes it is named by.",
        next_step="It is left as evidence. Restore it from a copy of the store or compute the "
        "asset again elsewhere; `ro artifact verify --all` finds what else is damaged.",
        ref=ref.ref,
        expected_size=ref.size_bytes,
        found_size=size,
        expected_sha256=ref.digest,
        found_sha256=sha256 or None,
        expected_blake3=ref.blake3,
        found_blake3=blake3 or None,
    )


def new_file(path: Path, *, executable: bool) -> io.FileIO:
    """A file that was not there, to be filled, unbuffered. The umask says for whom."""
    mode = 0o777 if executable else 0o666
    return io.FileIO(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode), "w")


def _blake3_of(ref: ArtifactRef, data: bytes) -> str:
    return blake3_hex(data) if ref.blake3 else ""


def _chunks(source: BinaryIO) -> Iterator[memoryview]:
    """The stream in pieces, in buffers used in turn: by then the hasher is done with the oldest."""
    buffers = [memoryview(bytearray(CHUNK)) for _ in range(StreamingHasher.BEHIND + 2)]
    for buffer in itertools.cycle(buffers):
        count = source.readinto(buffer)  # type: ignore[attr-defined]  # BinaryIO's stub lacks it
        if not count:
            return
        yield buffer[:count]


def _fill(source: BinaryIO, whole: memoryview, hasher: StreamingHasher) -> int:
    """Read until the buffer is full or the stream ends; answer the bytes read, all hashed."""
    position = 0
    while position < len(whole):
        window = whole[position : position + CHUNK]
        count = source.readinto(window)  # type: ignore[attr-defined]  # BinaryIO's stub lacks it
        if not count:
            break
        hasher.update(window[:count])
        position += count
    hasher.finish()
    return position
