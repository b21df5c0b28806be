"""What is left of bytes that were erased, and where the ledger's own entries were copied to."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from ro_platform.contracts.artifact import BoundRef, Locator, MediaType
from ro_platform.contracts.base import Actor, Contract, Hex32, Hex64, Reason


class ArtifactErased(Contract):
    """The tombstone of an artifact: the ledger's body, and the same bytes in the store.

    It binds the digest: whatever was bound to it is concerned, and those bytes are taken in no
    more. ``bindings`` are the locators of all of them, ``inputs`` the fingerprints of the
    manifests that name the digest as an input; ``members`` counts a tree's files.
    """

    digest: Hex64
    size_bytes: NonNegativeInt | None = None
    media_type: MediaType | None = None
    bindings: tuple[Locator, ...] = ()
    inputs: tuple[Hex64, ...] = ()
    members: NonNegativeInt | None = None
    reason: Reason
    actor: Actor
    admin_event_id: Hex32


class SegmentArchived(Contract):
    """The ledger's body for a range of its own entries that the store holds a copy of.

    ``root`` is the RFC 9162 root of the ``count`` entries (a power of two) from ``first`` (a
    multiple of it). ``path`` are the sibling hashes from there up to ``log_root``, the root of the
    log when it had ``first + count`` entries.
    """

    first: NonNegativeInt
    count: PositiveInt
    root: Hex64
    log_root: Hex64
    path: tuple[Hex64, ...]
    segment: BoundRef
