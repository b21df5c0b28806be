"""By what right an action is done."""

from __future__ import annotations

from ro_platform import errors
from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.contracts import AdminAuthority, ConfigPublished, EntryKind
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader


def authority_by(policy: str | None, directive_id: str | None = None) -> AdminAuthority:
    """The policy with that digest, or the single-user mode where that is None; and the directive,
    if a second person approved."""
    return AdminAuthority(
        policy=policy, single_user=True if policy is None else None, directive_id=directive_id
    )


def require_same_policy(policy: str | None, log: LedgerReader) -> None:
    """Raise :class:`ConflictError` where the policy that decided, by its digest, is not ``log``'s
    any more."""
    entry = log.latest(EntryKind.CONFIG_PUBLISHED, names.config_subject(POLICY_CONFIG))
    found = body_of(entry, ConfigPublished).version.digest if entry else None
    if found != policy:
        raise errors.ConflictError(
            "The access policy changed since this was decided, so nothing was done.",
            next_step="Ask for it again.",
        )
