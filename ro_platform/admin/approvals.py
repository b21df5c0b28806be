"""Roles that somebody gave to themselves: they do not make anybody a second person.

Where a role came from is read in the ledger: in which version of the access policy the binding
appeared that lets them approve, and who brought that version about. That is whoever published it,
and, where a directive did, whoever proposed and whoever executed it. The binding may be another one
than before, so all that let them approve there are asked, and one that others gave is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from ro_platform.access.policy import POLICY_CONFIG, Decision, covers
from ro_platform.access.roles import actions_of
from ro_platform.admin.moves import directive_subject
from ro_platform.contracts import (
    AccessPolicy,
    AdminActionType,
    AdminEvent,
    ConfigPublished,
    EntryKind,
    LedgerEntry,
    RoleBinding,
)
from ro_platform.errors import DirectiveRefusedError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader

_POLICY_ACTIONS = (
    AdminActionType.GRANT_ROLE,
    AdminActionType.REVOKE_ROLE,
    AdminActionType.PUBLISH_CONFIG,
)


class SelfGrants:
    """Who gave whom a role. ``content`` reads a config's content by its digest."""

    def __init__(self, content: Callable[[str], object]) -> None:
        self._content = content

    def require_granted(self, actor: str, decision: Decision, log: LedgerReader) -> None:
        """Raise :class:`DirectiveRefusedError` if every role by which the decision lets the actor
        approve was given to them by themselves. Without a policy nobody gave any: refused too."""
        versions = list(self._versions(log))
        if not versions:
            raise _self_granted(actor)
        policy = versions[-1][1]
        own = [
            binding
            for binding in policy.bindings
            if binding.actor == actor
            and decision.action in actions_of(binding.role)
            and covers(binding.scope, decision.target)
        ]
        if all(actor in givers(binding, versions, log) for binding in own):
            raise _self_granted(actor)

    def _versions(self, log: LedgerReader) -> Iterator[tuple[LedgerEntry, AccessPolicy]]:
        subject = f"config/{POLICY_CONFIG}"
        for entry in log.scan(kind=EntryKind.CONFIG_PUBLISHED, subject=subject):
            digest = body_of(entry, ConfigPublished).version.digest
            content = canonical_bytes(self._content(digest))
            yield entry, AccessPolicy.from_json(content, where=f"{POLICY_CONFIG} {digest}")


def givers(
    binding: RoleBinding, versions: list[tuple[LedgerEntry, AccessPolicy]], log: LedgerReader
) -> set[str]:
    """Who brought about the version in which a binding of the newest one last appeared."""
    appeared = versions[0][0]
    for (_, before), (entry, policy) in itertools.pairwise(versions):
        if binding in policy.bindings and binding not in before.bindings:
            appeared = entry
    return _authors(appeared, log)


def _authors(entry: LedgerEntry, log: LedgerReader) -> set[str]:
    """Who published it, as the event beside it in the same commit says, and by which directive."""
    authors = {entry.actor}
    beside = next(log.scan(start=entry.seq + 1, end=entry.seq + 2), None)
    if beside is None or beside.kind is not EntryKind.ADMIN_EVENT:
        return authors
    event = body_of(beside, AdminEvent)
    if event.action_type not in _POLICY_ACTIONS:
        return authors
    authors.add(event.actor)
    if event.authority and event.authority.directive_id:
        subject = directive_subject(event.authority.directive_id)
        moves = log.scan(kind=EntryKind.DIRECTIVE_MOVED, subject=subject, limit=1)
        authors |= {move.actor for move in moves}
    return authors


def _self_granted(actor: str) -> DirectiveRefusedError:
    return DirectiveRefusedError(
        f"{actor} may approve there only by a role that they gave to themselves, "
        "which makes them no second person.",
        next_step="Ask somebody to whom another person gave the role.",
        actor=actor,
    )
