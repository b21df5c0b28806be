"""The ledger's entry: who did what when, about which subject, under which run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, NonNegativeInt, StringConstraints

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.base import Actor, Contract, JsonObject, UtcTimestamp

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
