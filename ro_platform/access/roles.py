"""What each role may do, and what needs a second person. Closed: nothing is allowed but this."""

from __future__ import annotations

from collections.abc import Mapping

from ro_platform.contracts.access import Action, Role
from ro_platform.contracts.admin import AdminActionType

_LOOK = frozenset({Action.VIEW, Action.READ_ARTIFACT})

ROLE_ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.READER: _LOOK,
    Role.AUDITOR: _LOOK | {Action.AUDIT},
    Role.OPERATOR: _LOOK
    | {
        Action.LAUNCH,
        Action.REGISTER,
        Action.AUTOMATE,
        Action.CANCEL_RUN,
        Action.PAUSE,
        Action.RESUME,
        Action.DRAIN,
        Action.REPLAY_REQUEST,
        Action.REVOKE_PASS,
    },
    Role.DEPLOYER: _LOOK
    | {Action.DEPLOY, Action.PROMOTE, Action.RELOAD, Action.REGISTER, Action.PUBLISH_CONFIG},
    Role.STREAM_ADMIN: frozenset({Action.VIEW, Action.APPLY_STREAMS, Action.CHANGE_RETENTION}),
    Role.PUBLISHER: frozenset({Action.VIEW}),
    Role.SUBSCRIBER: frozenset({Action.VIEW}),
    Role.APPROVER: frozenset({Action.VIEW, Action.AUDIT, Action.APPROVE}),
    Role.SECRET_ADMIN: frozenset({Action.VIEW, Action.ROTATE_SECRET}),
    Role.ADMIN: frozenset(
        {
            Action.VIEW,
            Action.AUDIT,
            Action.GRANT_ROLE,
            Action.REVOKE_ROLE,
            Action.ISSUE_TOKEN,
            Action.REVOKE_TOKEN,
            Action.CHANGE_RETENTION,
            Action.ERASE_ARTIFACT,
            Action.REVOKE_PASS,
            Action.GRANT_LEDGER,
        }
    ),
}

ALWAYS_FOUR_EYES = frozenset(
    {
        AdminActionType.ERASE_ARTIFACT,
        AdminActionType.CHANGE_RETENTION,
        AdminActionType.PROMOTE,
        AdminActionType.GRANT_ROLE,
    }
)
"""Actions that no policy can let one person do alone: what cannot be taken back, what makes bytes
the ones that others use, and what gives power."""

NEVER_FOUR_EYES = frozenset({AdminActionType.GRANT_LEDGER, AdminActionType.MIGRATE_LEDGER})
"""Actions that no policy can give a second person: they are done where the ledger is kept, by its
owner and by commands of their own, and no directive does them."""


def actions_of(role: Role) -> frozenset[Action]:
    """What the role may do."""
    return ROLE_ACTIONS[role]
