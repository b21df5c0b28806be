"""Administrative actions and the event that each leaves behind."""

from __future__ import annotations

from enum import StrEnum

from pydantic import PositiveInt

from ro_platform.contracts.base import Actor, Contract, JsonObject, Name, Reason, UtcTimestamp


class AdminActionType(StrEnum):
    """The closed set of what an operator can do."""

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


class AdminEvent(Contract):
    """One action: who, why, on what, and what it changed."""

    admin_event_id: Name
    action_type: AdminActionType
    actor: Actor
    observed_at_utc: UtcTimestamp
    reason: Reason
    targets: tuple[str, ...] = ()
    before: JsonObject | None = None
    after: JsonObject | None = None
    result: str | None = None


class SecretRotationEvent(Contract):
    """A secret changed hands: its name and versions, never its value."""

    secret_name: Name
    old_version: PositiveInt | None = None
    new_version: PositiveInt
    actor: Actor
    observed_at_utc: UtcTimestamp
    reason: Reason
