"""Directives: a request for an action that needs a second person, and how it moved."""

from __future__ import annotations

from enum import StrEnum

from ro_platform.contracts.admin import AdminRequest
from ro_platform.contracts.base import (
    Actor,
    Contract,
    Hex32,
    Hex64,
    JsonObject,
    Reason,
    UtcTimestamp,
)


class DirectiveStatus(StrEnum):
    """The states of a directive. It ends rejected, executed, expired or failed."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXECUTED = "executed"
    EXPIRED = "expired"
    FAILED = "failed"


class DirectiveMoved(Contract):
    """The ledger's body for one move of a directive.

    The first one carries what is asked for and until when. A proposal and an approval name, as
    ``state_digest``, the state on which they were based.
    """

    directive_id: Hex32
    status: DirectiveStatus
    reason: Reason
    request: AdminRequest | None = None
    before: JsonObject | None = None
    state_digest: Hex64 | None = None
    expires_at_utc: UtcTimestamp | None = None
    admin_event_id: Hex32 | None = None


class DirectiveRecord(Contract):
    """A directive as it stands: the projection of its moves."""

    directive_id: Hex32
    status: DirectiveStatus
    request: AdminRequest
    proposer: Actor
    proposed_at_utc: UtcTimestamp
    expires_at_utc: UtcTimestamp
    before: JsonObject
    state_digest: Hex64
    approver: Actor | None = None
    approved_digest: Hex64 | None = None
    ended_by: Actor | None = None
    words: str | None = None
    updated_at_utc: UtcTimestamp
