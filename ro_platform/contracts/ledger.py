"""The ledger's entry, the seal that closes a run's record, and where entries were copied to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints

from ro_platform.contracts.artifact import BoundRef, Locator, MediaType
from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.base import (
    Actor,
    Contract,
    Hex32,
    Hex64,
    JsonObject,
    Reason,
    UtcTimestamp,
)

EntryKey = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class EntryKind(StrEnum):
    """The kinds of fact that exist so far."""

    RUN_REGISTERED = "run_registered"
    ATTEMPT_TRANSITION = "attempt_transition"
    ARTIFACT_BOUND = "artifact_bound"
    GATE_SET_DECLARED = "gate_set_declared"
    GATE_RECEIPT = "gate_receipt"
    CONFIG_PUBLISHED = "config_published"
    ADMIN_EVENT = "admin_event"
    PASS_REVOKED = "pass_revoked"
    ARTIFACT_BLOCKED = "artifact_blocked"
    RUN_SEALED = "run_sealed"
    RUN_REOPENED = "run_reopened"
    ARTIFACT_ERASED = "artifact_erased"
    SEGMENT_ARCHIVED = "segment_archived"
    TOKEN_ISSUED = "token_issued"
    TOKEN_REVOKED = "token_revoked"
    DIRECTIVE_MOVED = "directive_moved"
    ACCESS_REFUSED = "access_refused"


class LedgerEntry(Contract):
    """One leaf of the Merkle tree: its canonical bytes are what the leaf hash covers."""

    seq: NonNegativeInt = Field(description="Its place in the log, from 0: the leaf index.")
    kind: EntryKind
    subject: EntryKey = Field(description="What the entry is about; the log is indexed by it.")
    key: EntryKey | None = Field(
        default=None, description="Idempotency key: at most one entry of the log carries it."
    )
    actor: Actor
    recorded_at_utc: UtcTimestamp
    mentions: tuple[EntryKey, ...] | None = Field(
        default=None, description="What else it speaks of; the log is indexed by each."
    )
    correlation_ids: CorrelationIds = Field(default_factory=CorrelationIds)
    body: JsonObject


class RunSealed(Contract):
    """The ledger's body for the end of a run's record.

    ``root`` is the RFC 9162 root over the leaf hashes of the record's entries in their order: all
    entries that carry the run's id, from ``first`` up to and without the seal itself. ``touched``
    counts all entries before the seal that touched the run without being of its record, and
    ``touched_root`` is the root over theirs: of a run that nothing touched, SHA-256 of no bytes.
    """

    run_id: Hex32
    manifest_fingerprint: Hex64
    record: PositiveInt
    first: NonNegativeInt
    count: PositiveInt
    root: Hex64
    touched: NonNegativeInt
    touched_root: Hex64
    previous: NonNegativeInt | None = None


class RunReopened(Contract):
    """The ledger's body for the first entry of a further record: why, and the seal before it."""

    run_id: Hex32
    manifest_fingerprint: Hex64
    record: PositiveInt
    sealed: NonNegativeInt
    reason: Reason


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
