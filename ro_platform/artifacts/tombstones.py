"""Tombstones: what the store keeps of bytes that were erased, so that they do not come back.

A tombstone is written before its bytes go, and never removed. It binds the digest: those bytes are
not taken in again, and reading them where they are gone says why. Bytes that another artifact still
holds (as a member of its tree) stay readable through that one. Where there is a ledger, a tombstone
counts only if an entry decided it (:class:`~ro_platform.artifacts.blobs.BlobSpace`).
"""

from __future__ import annotations

from ro_platform import errors
from ro_platform.artifacts.addressing import TOMBSTONES, tombstone_name
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.contracts.ledger import ArtifactErased
from ro_platform.kernel.canonical import canonical_bytes


def put_tombstone(backend: BlobBackend, tombstone: ArtifactErased) -> None:
    """Write it, durably. One that is there already stays: the digest is bound by it as well."""
    backend.create(tombstone_name(tombstone.digest), canonical_bytes(tombstone))


def find_tombstone(backend: BlobBackend, digest: str) -> ArtifactErased | None:
    """The tombstone of that digest. Raises :class:`IntegrityError` for one that cannot be read."""
    name = tombstone_name(digest)
    size = backend.size(name)
    if size is None:
        return None
    try:
        return ArtifactErased.from_json(backend.read(name, size), where=name)
    except errors.ContractError as error:
        raise errors.IntegrityError(
            f"{name} is not a tombstone: {error.message}",
            next_step="It is left as evidence, and its bytes are refused. Compare it with the "
            "ledger's entry: `ro trace DIGEST`.",
            name=name,
        ) from error


def has_tombstones(backend: BlobBackend) -> bool:
    """Whether anything was ever erased here."""
    return next(iter(backend.names(TOMBSTONES)), None) is not None


def erased_error(tombstone: ArtifactErased) -> errors.ArtifactErasedError:
    """The refusal, with the reason for which the bytes went."""
    return errors.ArtifactErasedError(
        f"sha256:{tombstone.digest} was erased by {tombstone.actor} ({tombstone.reason!r}).",
        next_step="It does not come back, and the same bytes are not taken in again. What was made "
        f"from it stands: `ro trace {tombstone.digest}` shows who used it.",
        digest=tombstone.digest,
        admin_event_id=tombstone.admin_event_id,
    )
