"""By what right an action is done, and under which key it is not."""

from __future__ import annotations

from ro_platform.access.policy import POLICY_CONFIG, Decision
from ro_platform.admin.intents import REFUSALS
from ro_platform.admin.moves import directive_key
from ro_platform.contracts import AdminAuthority, ConfigPublished, EntryKind
from ro_platform.errors import ConflictError, InvalidInputError
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader


def authority_by(policy: str | None, directive_id: str | None = None) -> AdminAuthority:
    """The policy with that digest, or the single-user mode where that is None; and the directive,
    if a second person approved."""
    return AdminAuthority(
        policy=policy, single_user=True if policy is None else None, directive_id=directive_id
    )


def require_free_key(key: str) -> None:
    """Raise :class:`InvalidInputError` for a key under which only this room records: the outcome of
    another action would be taken for a directive's, or hide a refusal."""
    if key.startswith((directive_key(""), REFUSALS)):
        raise InvalidInputError(
            f"The key {key!r} is one that directives and refusals have.",
            next_step="Give another key, or none.",
            key=key,
        )


def require_same_policy(decision: Decision, log: LedgerReader) -> None:
    """Raise :class:`ConflictError` where the policy that decided is not ``log``'s any more."""
    entry = log.latest(EntryKind.CONFIG_PUBLISHED, f"config/{POLICY_CONFIG}")
    found = body_of(entry, ConfigPublished).version.digest if entry else None
    if found != decision.policy_digest:
        raise ConflictError(
            "The access policy changed while this was being decided, so nothing was done.",
            next_step="Ask for it again.",
        )
