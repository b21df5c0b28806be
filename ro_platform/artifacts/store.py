"""The artifact store: final, over a backend that only creates, opens and lists named objects.

A crash at any instruction of a ``put`` or ``bind`` leaves the whole artifact visible or nothing.
Every byte that leaves the store has been verified against the reference it was asked for by.
Errors are those of :mod:`ro_platform.errors` only; besides the ones named at each method, every
method may raise :class:`BackendUnavailableError`, and those that write also
:class:`StoreNotWritableError` and :class:`OutcomeUnknownError` (repeat the call: it is idempotent).

Which backend keeps the bytes: the one place that reads the store's URL.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ro_platform import errors
from ro_platform.artifacts import bindings, tombstones, trees
from ro_platform.artifacts import bindings as receipts
from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.base import BlobBackend, Bytes
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.posix import fsync_below, fsync_folder
from ro_platform.artifacts.blobs import BlobSpace, BlobWriter, Decided
from ro_platform.contracts.artifact import ArtifactRef, BoundRef
from ro_platform.contracts.gate import GateReceipt
from ro_platform.contracts.ledger import ArtifactErased
from ro_platform.kernel.urls import local_path

OCTETS = "application/octet-stream"
LEASE_SECONDS = 24 * 3600.0
"""How long an abandoned temporary file is left alone, in case its writer is only slow."""


PROBE_BYTES = 1 << 16
"""What :meth:`ArtifactStore.check_writable` writes: enough for a full file system to refuse it."""


class ArtifactStore:
    """Immutable artifacts by digest, their bindings to assets, and the receipts of gates."""

    def __init__(self, backend: BlobBackend, decided: Decided | None = None) -> None:
        """``decided`` says which erasures are on record; without it every tombstone counts."""
        self.backend = backend
        self.blobs = BlobSpace(backend, decided)

    def put_bytes(
        self, data: Bytes, *, media_type: str, schema_version: str | None = None
    ) -> BoundRef:
        """Store bytes; the reference's ``ref`` is the blob's name.

        Bytes that are there already are verified and left as they are; if they were damaged since,
        that is a :class:`DigestMismatchError`. Bytes that were erased are not taken in again, by
        this or any other way: :class:`ArtifactErasedError`.
        """
        return self.blobs.put_bytes(data, media_type=media_type, schema_version=schema_version)

    def writer(
        self, *, media_type: str, schema_version: str | None = None
    ) -> AbstractContextManager[BlobWriter]:
        """A writable binary stream; after its ``with`` block ``.ref`` is the reference.

        An exception in the block leaves nothing. Memory stays at a few MiB whatever the size.
        """
        return self.blobs.writer(media_type=media_type, schema_version=schema_version)

    def put_file(
        self, path: Path, *, media_type: str = OCTETS, schema_version: str | None = None
    ) -> BoundRef:
        """Store a file's bytes, streaming. :class:`InvalidInputError` if it cannot be read."""
        return self.blobs.put_file(path, media_type=media_type, schema_version=schema_version)

    def put_tree(self, folder: Path, *, schema_version: str | None = None) -> BoundRef:
        """Store a folder as one artifact (media type ``application/vnd.ro.tree+json``).

        :class:`EncodingError` for links, devices, empty folders and names that cannot be kept.
        """
        return trees.put_tree(self.blobs, folder, schema_version=schema_version)

    def has(self, ref: ArtifactRef) -> bool:
        """Whether all blobs of the artifact are there in the right size. Not whether intact."""
        if not self.blobs.has(ref):
            return False
        return all(self.blobs.has(member) for member in self.members(ref))

    def read(self, ref: ArtifactRef) -> bytes:
        """The bytes, verified; of a tree, those of its manifest.

        :class:`ArtifactNotFoundError`, :class:`ArtifactErasedError` for bytes that are gone by a
        decision on record, :class:`DigestMismatchError`, or :class:`InvalidInputError` for a
        reference without a digest.
        """
        return self.blobs.read(ref)

    def open_verified(
        self, ref: ArtifactRef, *, folder: Path | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """A seekable stream over a verified private copy: in memory to 64 MiB, else a nameless
        file in ``folder``. Raises as :meth:`read` does."""
        return self.blobs.open_verified(ref, folder=folder)

    def copy_to(self, ref: ArtifactRef, destination: Path, *, durable: bool = False) -> None:
        """Copy to a new file (or folder, for a tree) that appears only when it is verified.

        Raises as :meth:`read` does, and :class:`InvalidInputError` if something is there or the
        place cannot be written. A crash leaves at most a hidden neighbour named ``.ro-…``. The copy
        is sure to outlive a loss of power only with ``durable``, which waits for the disk.
        """
        if os.path.lexists(destination):
            raise _bad_destination(destination, "something is there already")
        try:
            with tempfile.TemporaryDirectory(prefix=".ro-", dir=destination.parent) as private:
                copy = Path(private) / "copy"
                if ref.media_type == trees.TREE:
                    trees.copy_tree(self.blobs, ref, copy)
                else:
                    self.blobs.copy_to_file(ref, copy)
                if durable:
                    fsync_below(copy)
                copy.rename(destination)
                if durable:
                    fsync_folder(destination.parent)
        except OSError as error:
            raise _bad_destination(destination, error.strerror or str(error)) from error

    def verify(self, ref: ArtifactRef, *, full: bool = False) -> None:
        """Read the artifact, every member of a tree too, and check what :meth:`read` would.

        With ``full``, both digests. Raises as :meth:`read` does.
        """
        self.blobs.verify(ref, full=full)
        for member in self.members(ref):
            self.blobs.verify(member, full=full)

    def bind(
        self,
        asset: str,
        fingerprint: str,
        ref: BoundRef,
        *,
        deterministic: bool = True,
        recorded: BoundRef | None = None,
    ) -> BoundRef:
        """Take a binding for ``ref`` under the manifest of that fingerprint, for good.

        ``recorded`` is the asset's artifact on record, beside which nothing that the store says
        counts. Answers ``ref`` with the binding's own locator. The same content again changes
        nothing. Other content is an :class:`AddressConflictError`, or the next revision if not
        ``deterministic``. :class:`ArtifactNotFoundError` if the store lacks the bytes.
        """
        if not self.has(ref):
            raise bindings.missing_blob(asset, ref)
        return bindings.bind(
            self.backend, asset, fingerprint, ref, deterministic=deterministic, recorded=recorded
        )

    def binding(self, asset: str, fingerprint: str, revision: int | None = None) -> BoundRef | None:
        """What the store's index says is bound (the latest revision, or the one asked for).

        Nobody vouches for it: what may be read is what the ledger recorded. None if there is none;
        :class:`BindingCorruptError` if it is not what a store writes.
        """
        return bindings.binding(self.backend, asset, fingerprint, revision)

    def bindings(self, asset_prefix: str = "") -> Iterator[tuple[str, str, int, BoundRef]]:
        """(asset, fingerprint, revision, reference) of the asset and of those below it, sorted, as
        the store's index has them: see :meth:`binding`.

        All assets by default. Raises :class:`BindingCorruptError` where it meets one.
        """
        return bindings.bindings(self.backend, asset_prefix)

    def compare(self, recorded: BoundRef) -> None:
        """Raise :class:`BindingCorruptError`, which names each field, unless the store's index has
        an artifact as it is on record."""
        bindings.compare(self.backend, recorded)

    def put_receipt(self, receipt: GateReceipt) -> BoundRef:
        """Store a gate's verdict, once. Another one at its address: AddressConflictError."""
        return receipts.put_receipt(self.backend, receipt)

    def read_receipt(self, ref: BoundRef) -> GateReceipt:
        """The receipt, if both digests hold; else :class:`ReceiptUnverifiableError`."""
        return receipts.read_receipt(self.backend, ref)

    def tombstone(self, digest: str) -> ArtifactErased | None:
        """What the store keeps of erased bytes. :class:`IntegrityError` if it cannot be read."""
        return tombstones.find_tombstone(self.backend, digest)

    def erase(self, tombstone: ArtifactErased, digests: Iterable[str]) -> tuple[int, int]:
        """Write the tombstone, then remove the blobs of those digests; answer how many there were,
        and their bytes.

        The one way by which bytes leave a store, and for blobs only: bindings and receipts stay.
        What is to go and what somebody else needs is the caller's to know. A crash leaves the
        tombstone and some of the blobs; the same call again removes the rest.
        """
        tombstones.put_tombstone(self.backend, tombstone)
        blobs = size_bytes = 0
        for digest in digests:
            name = blob_name(digest)
            size = self.backend.size(name)
            if self.backend.erase(name) and size is not None:
                blobs, size_bytes = blobs + 1, size_bytes + size
        return blobs, size_bytes

    def check_writable(self) -> None:
        """Try a write that leaves nothing. Raises :class:`StoreNotWritableError`."""
        with self.backend.stage() as staged:  # never committed
            staged.write(bytes(PROBE_BYTES))

    def sweep(self, now: datetime, *, lease_seconds: float = LEASE_SECONDS) -> int:
        """Remove what writers that died left behind, untouched for a lease; answer how many."""
        return self.backend.sweep(older_than_seconds=lease_seconds, now=now)

    def members(self, ref: ArtifactRef) -> Iterator[BoundRef]:
        """The files of a tree, each by its blob; none of anything else. Raises as :meth:`read`."""
        if ref.media_type == trees.TREE:
            for member in trees.tree_of(self.blobs, ref).members:
                yield trees.member_ref(member)


def _bad_destination(destination: Path, reason: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(
        f"The artifact cannot be copied to {destination}: {reason}.",
        next_step="Name a place that does not exist yet, in a folder that can be written.",
        destination=destination,
    )


SETTING = "RO_STORE_URL"


def blobs_at(url: str) -> FilesystemBackend:
    """The backend of a store: ``file:///absolute/path`` is a folder. Creates nothing.

    Raises :class:`SettingsError` for a URL that this version cannot open.
    """
    forms = "file:///absolute/path"
    return FilesystemBackend(local_path(url, scheme="file", setting=SETTING, forms=forms))
