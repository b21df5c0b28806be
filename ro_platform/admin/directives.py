"""Directives: an action that needs a second person, from the proposal to its one outcome.

proposed → approved or rejected → executed, expired or failed. Who proposes may do the action, who
approves may approve there, and they are two people: actors are compared, never tokens, and a role
that somebody gave to themselves does not count. A proposal and an approval name the digest of the
state they were based on, and the execution asks for it again, within the commit of the action's
intent: if it moved since the approval, the directive fails and says so. The proposer's right and
the approver's are asked for again in that same commit.

The action is done by the administrative service under the key ``directive/<id>``: of two who
execute at once one does it, and both hear its outcome. A crash after the action leaves a directive
that reads as executed, and whose move is recorded by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from ro_platform import errors
from ro_platform.access.policy import Access
from ro_platform.admin.action import AdminAction
from ro_platform.admin.approvals import SecondPeople
from ro_platform.admin.intents import canonical_digest
from ro_platform.admin.moves import move_draft, moved, refused_move, require_status
from ro_platform.admin.outcomes import Outcome
from ro_platform.admin.service import AdminService, Approved
from ro_platform.admin.standing import OPEN, StandingDirectives
from ro_platform.contracts import (
    Action,
    AdminRequest,
    DirectiveMoved,
    DirectiveRecord,
    DirectiveStatus,
    EntryKind,
)
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.identity import directive_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

LIFETIME = timedelta(hours=24)
"""How long a directive may be acted upon, unless its proposer says otherwise."""
MAX_LIFETIME = timedelta(days=14)


class Directives:
    """The directives of one environment."""

    def __init__(
        self,
        ledger: Ledger,
        access: Access,
        service: AdminService,
        second: SecondPeople,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._access = access
        self._service = service
        self._second = second
        self._clock = clock
        self._standing = StandingDirectives(ledger, service, clock)

    def over(self, service: AdminService) -> Directives:
        """The same directives, executed by a service that can do more."""
        return Directives(self._ledger, self._access, service, self._second, self._clock)

    def propose(
        self,
        request: AdminRequest,
        *,
        actor: str,
        key: str | None = None,
        lifetime: timedelta = LIFETIME,
    ) -> DirectiveRecord:
        """Put a request on record for a second person. The same key is the same proposal.

        Raises :class:`AccessDeniedError` (recorded) for who may not do the action itself,
        :class:`DirectiveRefusedError` in the single-user mode, where there is no second person,
        and what the action raises for a request that cannot be done.
        """
        request, _ = self._service.permitted(request, actor)
        self._require_policy()
        name = directive_id(key or self._service.key_for(request))
        lasts = min(lifetime, MAX_LIFETIME)
        expires = utc_text(self._clock() + lasts)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if log.latest(EntryKind.DIRECTIVE_MOVED, names.directive_name(name)):
                return []
            before = self._service.action(request.action_type).before(request, log)
            move = DirectiveMoved(
                directive_id=name,
                status=DirectiveStatus.PROPOSED,
                reason=request.reason,
                request=request,
                before=before,
                state_digest=self._state(request, log),
                expires_at_utc=expires,
            )
            return [move_draft(log, move, actor, request)]

        self._ledger.append_with(build)
        found = self.get(name)
        if found.request != request or found.proposer != actor:
            raise errors.EntryConflictError(
                f"The key {key!r} is that of another directive: {name}.",
                next_step="Give another key; the same key is the same proposal.",
            )
        return found

    def approve(
        self,
        name: str,
        *,
        reason: str,
        actor: str,
        seen: str | None = None,
        vouched_by: str | None = None,
    ) -> DirectiveRecord:
        """Approve it on the state whose digest is ``seen``, by default that of the proposal;
        ``vouched_by`` is who issued the token that says who the actor is
        (:meth:`Tokens.vouched_by`).

        Raises :class:`AccessDeniedError` for who may not approve there, and
        :class:`DirectiveRefusedError` for who is no second person (:mod:`.approvals`), by a token
        that the proposer issued, where what was seen is not so any more, and for a directive that
        is not proposed, or expired.
        """

        def draft(log: LedgerReader, found: DirectiveRecord) -> DirectiveMoved:
            require_status(found, DirectiveStatus.PROPOSED)
            self._second.require(found, actor, self._action(found), log)
            if vouched_by == found.proposer:
                raise refused_move(found, f"{vouched_by}, who proposed it, issued that token")
            state = self._state(found.request, log)
            if state != (found.state_digest if seen is None else seen):
                since = "it was proposed" if seen is None else "you looked"
                raise refused_move(found, f"what it would change has changed since {since}")
            return moved(found, DirectiveStatus.APPROVED, reason, state=state)

        return self._moved(name, actor, draft)

    def reject(self, name: str, *, reason: str, actor: str) -> DirectiveRecord:
        """End it unexecuted: by who may approve there, or by its proposer, who withdraws it."""

        def draft(log: LedgerReader, found: DirectiveRecord) -> DirectiveMoved:
            require_status(found, *OPEN)
            if self._standing.has_begun(found, log):
                raise refused_move(found, "it is being executed")
            if actor != found.proposer:
                self._second.require_right(found, actor, self._action(found))
            return moved(found, DirectiveStatus.REJECTED, reason)

        return self._moved(name, actor, draft)

    def execute(self, name: str, *, actor: str) -> Outcome:
        """Do what was approved, once. Executing it again answers the outcome on record.

        Raises :class:`AccessDeniedError` for who may not do the action, and
        :class:`DirectiveRefusedError` where it is not approved, expired, or its approval does not
        stand any more; then it has failed, with the words. Raises what the action raises.
        """
        found = self.found(name, actor)
        self._service.authorised(found.request, actor)
        if found.status is not DirectiveStatus.EXECUTED:
            require_status(found, DirectiveStatus.APPROVED)
        approved = Approved(name, lambda log: self._require_standing(name, log))
        try:
            outcome = self._service.perform_approved(
                found.request, actor=actor, key=names.directive_name(name), approved=approved
            )
        except errors.RunOperateError as error:
            self._settle(name, actor, error)
            raise
        self._standing.record_outcome(found, outcome, actor=actor)
        return outcome

    def get(self, name: str) -> DirectiveRecord:
        """One directive as it stands. Raises :class:`NotFoundError`."""
        return self._standing.get(name)

    def found(self, name: str, actor: str, *, called: str | None = None) -> DirectiveRecord:
        """One directive as it stands, for who may look at directives, or do something about it.

        To anybody else :class:`AccessDeniedError` says the same whether it is there or not: they
        may not view what they ``called`` it. Of one that is there the refusal is recorded.
        """
        if self.may_look(actor):
            return self.get(name)
        target = self._access.target(f"directive {called or name}")
        error = self._access.denied(self._access.decide(actor, Action.VIEW, target))
        try:
            found = self.get(name)
        except errors.NotFoundError:
            raise error from None
        if not self.concerns(found, actor):
            raise self._service.refused(found.request, actor, error)
        return found

    def may_look(self, actor: str) -> bool:
        """Whether the actor may look at all directives."""
        target = self._access.target("directives")
        return self._access.decide(actor, Action.VIEW, target).allowed

    def concerns(self, found: DirectiveRecord, actor: str) -> bool:
        """Whether the actor proposed it, may approve it, or may do what it asks for."""
        if actor == found.proposer:
            return True
        try:
            action = self._action(found)
            target = action.target(found.request, self._access.environment)
        except errors.RunOperateError:
            return False  # this process cannot say what it is about
        rights = (Action.APPROVE, action.right(found.request))
        return any(self._access.decide(actor, right, target).allowed for right in rights)

    def list(self, *, only_open: bool = False) -> Iterator[DirectiveRecord]:
        """Every directive as it stands, newest first."""
        return (item for item in self._standing.list() if not only_open or item.status in OPEN)

    def difference(self, found: DirectiveRecord) -> tuple[Any, Any]:
        """What it would change now: the JSON value before, and after."""
        return self._service.preview(found.request)

    def state_digest(self, found: DirectiveRecord) -> str:
        """The digest (64 hex) of what an approval is based on, computed afresh."""
        return self._state(found.request, self._ledger)

    def record_ends(self, *, actor: str) -> Sequence[DirectiveRecord]:
        """Record the ends that nobody recorded: those that expired, and those whose action was
        done before a crash. Those that the actor has no right to are left to somebody else."""
        ended = []
        for found in tuple(self.list()):
            recorded = self._standing.recorded(found.directive_id, self._ledger)
            if found.status is recorded.status or not self._may_end(found, actor):
                continue
            outcome = self._standing.outcome(found)
            if outcome:
                self._standing.record_outcome(found, outcome, actor=actor)
            else:
                self._standing.record_expiry(found, actor=actor)
            ended.append(self.get(found.directive_id))
        return ended

    def _action(self, found: DirectiveRecord) -> AdminAction[Any]:
        return self._service.action(found.request.action_type)

    def _may_end(self, found: DirectiveRecord, actor: str) -> bool:
        """Whether the actor may automate, or do the action themselves."""
        access = self._access
        if access.decide(actor, Action.AUTOMATE, access.target("directives")).allowed:
            return True
        try:
            action = self._action(found)
            target = action.target(found.request, access.environment)
        except errors.RunOperateError:
            return False  # this process cannot say what it is about
        return access.decide(actor, action.right(found.request), target).allowed

    def _require_standing(self, name: str, log: LedgerReader) -> None:
        """Raise unless, in this commit, it is approved, its people may still do what they did, and
        nothing moved."""
        found = self._standing.get(name, log)
        require_status(found, DirectiveStatus.APPROVED)
        assert found.approver is not None
        action = self._action(found)
        target = action.target(found.request, self._access.environment)
        try:
            self._access.require(found.proposer, action.right(found.request), target)
            self._second.require(found, found.approver, action, log)
        except errors.AccessDeniedError as error:
            raise refused_move(found, f"its approval does not stand: {error.message}") from None
        if found.approved_digest != self._state(found.request, log):
            raise refused_move(found, "its approval is stale: what it would change has changed")

    def _state(self, request: AdminRequest, log: LedgerReader) -> str:
        before = self._service.action(request.action_type).before(request, log)
        return canonical_digest({"request": request.to_json_value(), "before": before})

    def _moved(
        self,
        name: str,
        actor: str,
        draft: Callable[[LedgerReader, DirectiveRecord], DirectiveMoved],
    ) -> DirectiveRecord:
        """Append a move that ``draft`` decides on the state as nobody else can change it."""
        found = self.found(name, actor)
        if found.status is DirectiveStatus.EXPIRED:
            self._standing.record_expiry(found, actor=actor)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            standing = self._standing.get(name, log)
            return [move_draft(log, draft(log, standing), actor, standing.request)]

        try:
            self._ledger.append_with(build)
        except errors.AccessDeniedError as error:
            raise self._service.refused(found.request, actor, error) from None
        return self.get(name)

    def _settle(self, name: str, actor: str, error: errors.RunOperateError) -> None:
        """After an execution that raised: the end it has, if it has one."""
        found = self.get(name)
        outcome = self._standing.outcome(found)
        if outcome:
            self._standing.record_outcome(found, outcome, actor=actor)
        elif found.status is DirectiveStatus.APPROVED and isinstance(
            error, errors.DirectiveRefusedError
        ):
            self._standing.record_end(found, DirectiveStatus.FAILED, error.message, actor=actor)

    def _require_policy(self) -> None:
        if self._access.in_force is None:
            raise errors.DirectiveRefusedError(
                "In the single-user mode there is no second person who could approve.",
                next_step="Do it with `ro admin`, or publish an access policy first.",
            )
