"""Who may do what: the closed sets of roles and actions, and the policy that binds them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import PositiveInt, StringConstraints

from ro_platform.contracts.admin import AdminActionType
from ro_platform.contracts.base import Actor, Contract, Hex32, Hex64, Name, Reason, UtcTimestamp

Hex8 = Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{8}$")]


class Role(StrEnum):
    """The closed set of roles. What each may do is fixed in :mod:`ro_platform.access.roles`."""

    READER = "reader"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    STREAM_ADMIN = "stream-admin"
    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"
    APPROVER = "approver"
    SECRET_ADMIN = "secret-admin"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Action(StrEnum):
    """Everything that an actor can be allowed: the administrative actions, and daily work.

    ``migrate_ledger`` is not among them: a ledger that is outdated cannot say who may, so it is
    done by whoever owns it, and recorded.
    """

    VIEW = "view"
    READ_ARTIFACT = "read_artifact"
    AUDIT = "audit"
    LAUNCH = "launch"
    AUTOMATE = "automate"
    REGISTER = "register"
    RELOAD = "reload"
    APPROVE = "approve"
    ISSUE_TOKEN = "issue_token"
    REVOKE_TOKEN = "revoke_token"

    PAUSE = AdminActionType.PAUSE.value
    RESUME = AdminActionType.RESUME.value
    DRAIN = AdminActionType.DRAIN.value
    REPLAY_REQUEST = AdminActionType.REPLAY_REQUEST.value
    ROTATE_SECRET = AdminActionType.ROTATE_SECRET.value
    CHANGE_RETENTION = AdminActionType.CHANGE_RETENTION.value
    CANCEL_RUN = AdminActionType.CANCEL_RUN.value
    PUBLISH_CONFIG = AdminActionType.PUBLISH_CONFIG.value
    APPLY_STREAMS = AdminActionType.APPLY_STREAMS.value
    DEPLOY = AdminActionType.DEPLOY.value
    PROMOTE = AdminActionType.PROMOTE.value
    REVOKE_PASS = AdminActionType.REVOKE_PASS.value
    ERASE_ARTIFACT = AdminActionType.ERASE_ARTIFACT.value
    GRANT_ROLE = AdminActionType.GRANT_ROLE.value
    REVOKE_ROLE = AdminActionType.REVOKE_ROLE.value
    GRANT_LEDGER = AdminActionType.GRANT_LEDGER.value


class Scope(Contract):
    """Where a role holds. A field that is absent does not narrow it."""

    environment: Name | None = None
    workload: Name | None = None
    stream: Name | None = None


class RoleBinding(Contract):
    """An actor has a role, within a scope."""

    actor: Actor
    role: Role
    scope: Scope = Scope()


class AccessPolicy(Contract):
    """The whole policy of a plane: the content of the config ``access-policy``.

    ``four_eyes`` are actions that need a second person beyond those that always do.
    """

    kind: Literal["ro.access_policy.v0"]
    bindings: tuple[RoleBinding, ...]
    four_eyes: tuple[AdminActionType, ...] = ()


class TokenIssued(Contract):
    """The ledger's body for a token: whose it is and until when. ``verifier`` is the keyed hash of
    its secret, which nobody can turn back. ``key_id`` names the access key, and ``renews`` the
    token that it took the place of."""

    token_id: Hex32
    holder: Actor
    verifier: Hex64
    key_id: Hex8
    expires_at_utc: UtcTimestamp
    reason: Reason
    renews: Hex32 | None = None


class TokenRevoked(Contract):
    """The ledger's body for a token that is not taken any more."""

    token_id: Hex32
    reason: Reason


class AccessRefused(Contract):
    """The ledger's body for requests that were refused: who tried what, from where, and why.

    ``actor`` is absent where nobody was authenticated. ``count`` is how many alike this entry
    stands for: a flood is one entry at its start and one for the rest of each minute.
    """

    operation: Name
    actor: Actor | None = None
    source: str
    code: Name
    reason: Reason
    count: PositiveInt
    observed_at_utc: UtcTimestamp


class LaunchGrant(Contract):
    """That an authenticated actor asked for this launch: what the tag ``ro/grant`` of a run says.

    ``launch_digest`` is the SHA-256 of the canonical description of what is launched, so a grant
    is good for that, in that environment, until it expires, and for nothing else.
    """

    kind: Literal["ro.launch_grant.v0"]
    actor: Actor
    environment: Name
    launch_digest: Hex64
    issued_at_utc: UtcTimestamp
    expires_at_utc: UtcTimestamp


class SignedGrant(Contract):
    """A grant and its Ed25519 signature, over ``ro/grant/v0``, a line feed and the canonical bytes
    of ``grant``. ``key_id`` is that of the launch key, as in a signed note."""

    grant: LaunchGrant
    key_id: Hex8
    signature: Annotated[str, StringConstraints(pattern=r"^[a-f0-9]{128}$")]
