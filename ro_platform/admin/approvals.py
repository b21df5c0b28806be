"""Who is a second person for a directive, and who is not.

Not its proposer, by whatever token; nobody who gets a role by it; and nobody who may approve there
only by a role they gave to themselves. (A policy in which a service may approve fails its check.)

Where a role came from is read in the ledger: in which version of the access policy the binding
appeared that lets them approve, and who brought that version about. That is whoever published it,
and, where a directive did, whoever proposed and whoever executed it. The binding may be another one
than before, so all that let them approve there are asked, and one that others gave is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ro_platform.access.policy import POLICY_CONFIG, Access, Decision, covers
from ro_platform.access.roles import actions_of
from ro_platform.admin.action import AdminAction
from ro_platform.admin.moves import refused_move
from ro_platform.contracts import (
    AccessPolicy,
    Action,
    AdminActionType,
    AdminEvent,
    ConfigPublished,
    DirectiveRecord,
    EntryKind,
    LedgerEntry,
    RoleBinding,
)
from ro_platform.ledger import names
from ro_platform.ledger.entry import body_of
from ro_platform.ledger.reader import LedgerReader

_POLICY_ACTIONS = (
    AdminActionType.GRANT_ROLE,
    AdminActionType.REVOKE_ROLE,
    AdminActionType.PUBLISH_CONFIG,
)
_Versions = list[tuple[LedgerEntry, AccessPolicy]]


class SecondPeople:
    """Who may approve in one environment. ``policy`` reads an access policy by its digest."""

    def __init__(self, access: Access, policy: Callable[[str], AccessPolicy]) -> None:
        self._access = access
        self._policy = policy

    def require_right(
        self, found: DirectiveRecord, actor: str, action: AdminAction[Any]
    ) -> Decision:
        """The decision that the actor may approve there. Raises :class:`AccessDeniedError`."""
        target = action.target(found.request, self._access.environment)
        return self._access.require(actor, Action.APPROVE, target)

    def require(
        self,
        found: DirectiveRecord,
        actor: str,
        action: AdminAction[Any],
        log: LedgerReader,
    ) -> None:
        """Raise unless the actor may approve it and is a second person for it:
        :class:`AccessDeniedError`, :class:`DirectiveRefusedError`."""
        if actor == found.proposer:
            raise refused_move(found, f"{actor} proposed it, and nobody approves their own")
        decision = self.require_right(found, actor, action)
        if actor in action.gives(found.request, log):
            raise refused_move(found, f"{actor} is no second person for what gives them a role")
        if not self._was_given(actor, decision, log):
            raise refused_move(
                found,
                f"{actor} may approve there only by a role that they gave to themselves, which "
                "makes them no second person",
            )

    def _was_given(self, actor: str, decision: Decision, log: LedgerReader) -> bool:
        """Whether others gave a role by which the actor may approve. Without a policy: no."""
        versions = list(self._versions(log))
        own = [
            binding
            for binding in (versions[-1][1].bindings if versions else ())
            if binding.actor == actor
            and decision.action in actions_of(binding.role)
            and covers(binding.scope, decision.target)
        ]
        return any(actor not in _givers(binding, versions, log) for binding in own)

    def _versions(self, log: LedgerReader) -> Iterator[tuple[LedgerEntry, AccessPolicy]]:
        subject = names.config_subject(POLICY_CONFIG)
        for entry in log.scan(kind=EntryKind.CONFIG_PUBLISHED, subject=subject):
            yield entry, self._policy(body_of(entry, ConfigPublished).version.digest)


def _givers(binding: RoleBinding, versions: _Versions, log: LedgerReader) -> set[str]:
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
        subject = names.directive_name(event.authority.directive_id)
        moves = log.scan(kind=EntryKind.DIRECTIVE_MOVED, subject=subject, limit=1)
        authors |= {move.actor for move in moves}
    return authors
