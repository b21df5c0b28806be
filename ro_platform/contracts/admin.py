"""Administrative actions, the event that each leaves behind, and directives that ask for one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints

from ro_platform.contracts.base import (
    Actor,
    Contract,
    Hex32,
    Hex64,
    JsonObject,
    Name,
    Reason,
    UtcTimestamp,
)

Words = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class AdminActionType(StrEnum):
    """The closed set of what an operator can do. A new one stands at the end."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    REPLAY_REQUEST = "replay_request"
    ROTATE_SECRET = "rotate_secret"
    CHANGE_RETENTION = "change_retention"
    CANCEL_RUN = "cancel_run"
    PUBLISH_CONFIG = "publish_config"
    APPLY_STREAMS = "apply_streams"
    DEPLOY = "deploy"
    PROMOTE = "promote"
    REVOKE_PASS = "revoke_pass"
    ERASE_ARTIFACT = "erase_artifact"
    GRANT_ROLE = "grant_role"
    REVOKE_ROLE = "revoke_role"
    GRANT_LEDGER = "grant_ledger"
    MIGRATE_LEDGER = "migrate_ledger"


class AdminRequest(Contract):
    """What somebody wants done: an action, on what, why, and the values that it takes.

    ``parameters`` say exactly what to do; ``targets`` are the names of what it is done to, which
    the service computes from them, whatever was sent.
    """

    action_type: AdminActionType
    reason: Reason
    parameters: JsonObject = Field(default_factory=dict)
    targets: tuple[Words, ...] = ()


class AdminAuthority(Contract):
    """By what right an action was done: the access policy's digest, or the single-user mode, and
    the directive by which a second person approved it."""

    policy: Hex64 | None = None
    single_user: Literal[True] | None = None
    directive_id: Hex32 | None = None


class AdminEvent(Contract):
    """One action: who, why, on what, and what it changed.

    ``result`` is ``intended``, then ``done`` or ``failed``; or ``refused``. ``parameters``, ``key``
    (the idempotency key) and ``authority`` are there where the administrative service did it.
    """

    admin_event_id: Name
    action_type: AdminActionType
    actor: Actor
    observed_at_utc: UtcTimestamp
    reason: Reason
    targets: tuple[str, ...] = ()
    before: JsonObject | None = None
    after: JsonObject | None = None
    result: str | None = None
    parameters: JsonObject | None = None
    key: str | None = None
    authority: AdminAuthority | None = None


class Pause(Contract):
    """That nothing starts on a target: ``plane``, ``workload/<name>``, ``asset/<key>`` or
    ``consumer/<stream>/<name>``.

    ``draining`` says that what runs there is being waited for, until ``until`` at most.
    """

    target: Words
    actor: Actor
    reason: Reason
    since: UtcTimestamp
    draining: bool = False
    until: UtcTimestamp | None = None


class SecretRotationEvent(Contract):
    """A secret changed hands: its name and versions, never its value."""

    secret_name: Name
    old_version: PositiveInt | None = None
    new_version: PositiveInt
    actor: Actor
    observed_at_utc: UtcTimestamp
    reason: Reason


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
