"""The administrative service: authorise, intend, act, record the outcome. Once, whatever happens.

An action is named by its idempotency key: the same key and the same request are the same action,
done once, with one outcome; another request under that key is refused. A crash between any two
steps leaves an intent without an outcome, which asking again under the same key, or
:meth:`AdminService.reconcile`, brings to exactly one outcome.

Authority is decided when the intent is recorded, by the policy in force at that moment, which the
event names. Refusals are recorded too: who was refused the same thing all day is one entry a day.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ro_platform import errors
from ro_platform.access.policy import Access, Decision
from ro_platform.admin.action import AdminAction
from ro_platform.admin.authority import authority_by, require_same_policy
from ro_platform.admin.intents import (
    FAILED,
    Intent,
    action_refusal_draft,
    canonical_digest,
    intent_draft,
    require_free_key,
)
from ro_platform.admin.outcomes import (
    Outcome,
    may_pass,
    outcome_of,
    raising,
    second_person,
)
from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    AdminRequest,
    EntryKind,
    LedgerEntry,
)
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.identity import admin_event_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.related import concerning

Actions = Mapping[AdminActionType, AdminAction[Any]]


@dataclass(frozen=True, slots=True)
class Approved:
    """That a second person approved an action: ``require`` raises, within the commit of the
    intent, unless the approval still stands."""

    directive_id: str
    require: Callable[[LedgerReader], None]


class AdminService:
    """Does the actions of the closed set, as far as this deployment has them."""

    def __init__(self, ledger: Ledger, access: Access, clock: Clock, actions: Actions) -> None:
        self._ledger = ledger
        self._access = access
        self._clock = clock
        self._actions = actions

    @property
    def offered(self) -> Collection[AdminActionType]:
        """The actions that can be done here."""
        return self._actions.keys()

    def extended(self, actions: Sequence[AdminAction[Any]]) -> AdminService:
        """The same service with more actions: those that need an orchestrator."""
        more = {action.action_type: action for action in actions}
        return AdminService(self._ledger, self._access, self._clock, {**self._actions, **more})

    def action(self, kind: AdminActionType) -> AdminAction[Any]:
        """One action. Raises :class:`InvalidInputError` for one that is not offered here."""
        found = self._actions.get(kind)
        if found is None:
            raise errors.InvalidInputError(
                f"The action {kind} cannot be done here.",
                next_step=f"There are: {', '.join(sorted(self._actions))}.",
                action=kind.value,
            )
        return found

    def normal(self, request: AdminRequest) -> AdminRequest:
        """The request with its targets as they follow from its parameters. Raises
        :class:`ContractError`, or what is raised for what does not exist."""
        targets = self.action(request.action_type).targets(request)
        return AdminRequest(
            action_type=request.action_type,
            reason=request.reason,
            parameters=request.parameters,
            targets=targets,
        )

    def preview(self, request: AdminRequest) -> tuple[Any, Any]:
        """What would change: the JSON value before, and after. Changes nothing."""
        return self.action(request.action_type).preview(request, self._ledger)

    def key_for(self, request: AdminRequest) -> str:
        """A key for a request that comes without one: the request, and how long the log is, so
        that the same again later is another action."""
        known = [request.to_json_value(), self._ledger.size()]
        return names.unnamed_event_key(canonical_digest(known))

    def perform(self, request: AdminRequest, *, actor: str, key: str) -> Outcome:
        """Do an action, once. The same key again answers, or completes, what is on record.

        Raises :class:`AccessDeniedError` (recorded) for who may not,
        :class:`SecondPersonRequiredError` (recorded) for what needs a directive,
        :class:`EntryConflictError` for a key of another request, what the action raises for a
        request that cannot be done, and what made it fail (recorded, and raised again for the same
        key). After a :class:`BackendUnavailableError` or :class:`OutcomeUnknownError` repeat it
        with the same key.
        """
        request, decision = self.permitted(request, actor)
        if decision.needs_second:
            raise self.refused(request, actor, second_person(request))
        require_free_key(key)
        return self._perform(request, actor, key, decision, None)

    def perform_approved(
        self, request: AdminRequest, *, actor: str, key: str, approved: Approved
    ) -> Outcome:
        """As :meth:`perform`, for what a second person approved."""
        decision = self.authorised(request, actor)
        return self._perform(request, actor, key, decision, approved)

    def authorised(self, request: AdminRequest, actor: str) -> Decision:
        """The decision, if it is yes. A refusal is recorded, and raised."""
        return self.permitted(request, actor)[1]

    def permitted(self, request: AdminRequest, actor: str) -> tuple[AdminRequest, Decision]:
        """The request with its targets (:meth:`normal`), and the decision, if it is yes.

        A refusal is recorded, and raised. What is named and is not there is raised only for who may
        do it wherever it were; to anybody else it is said in the words of what is not theirs.
        """
        action = self.action(request.action_type)
        right = action.right(request)
        try:
            try:
                request = self.normal(request)
                target = action.target(request, self._access.environment)
            except errors.RunOperateError:
                self._access.require(actor, right, self._access.target(action.named(request)))
                raise
            return request, self._access.require(actor, right, target)
        except errors.AccessDeniedError as error:
            raise self.refused(request, actor, error) from None

    def refused(
        self, request: AdminRequest, actor: str, error: errors.AccessDeniedError
    ) -> errors.AccessDeniedError:
        """Put on record that the actor was refused what concerns that request; answers the error,
        to be raised."""
        found = self._access.in_force
        authority = authority_by(found.digest if found else None)
        draft = action_refusal_draft(
            request,
            actor=actor,
            code=error.code,
            words=error.message,
            authority=authority,
            moment=utc_text(self._clock()),
        )
        key = str(draft.key)
        if self._ledger.find(key) is None:
            self._ledger.append_with(
                lambda log: [] if log.find(key) else [concerning(log, draft, request.targets)]
            )
        error.recorded = True
        return error

    def find(self, kind: AdminActionType, key: str) -> Outcome | None:
        """What came of the action with that key; None while it has no outcome."""
        event_id = admin_event_id(kind.value, key)
        entry = self._ledger.find(names.outcome_key(event_id))
        return outcome_of(entry, new=False) if entry else None

    def has_begun(self, kind: AdminActionType, key: str, log: LedgerReader) -> bool:
        """Whether the action with that key is intended, or has its outcome already."""
        return log.find(names.intent_key(admin_event_id(kind.value, key))) is not None

    def open_intents(self) -> Iterator[Intent]:
        """Intents without an outcome, oldest first: under way, or left by a crash."""
        for entry in self._ledger.scan(kind=EntryKind.ADMIN_EVENT, mention=names.INTENTS):
            intent = self._intent(entry, by=entry.actor)
            if not intent.is_closed(self._ledger):
                yield intent

    def complete(self, intent: Intent, *, by: str) -> Outcome:
        """Bring an intent that a crash left to its one outcome.

        What has not begun is done now if the state and the access policy are still those it was
        intended on, and fails otherwise, because what was meant for Monday may be wrong on
        Wednesday. What has begun is completed. Never raises for what the
        action itself comes to; raises :class:`BackendUnavailableError` and the like, and
        :class:`InvalidInputError` for an action that this process cannot do: it stays open.
        """
        intent = replace(intent, by=by)
        self.action(intent.event.action_type).ready()
        try:
            return self._finish(intent)
        except errors.RunOperateError as error:
            if may_pass(error):
                raise
        return self._read(intent, new=True)

    def _perform(
        self,
        request: AdminRequest,
        actor: str,
        key: str,
        decision: Decision,
        approved: Approved | None,
    ) -> Outcome:
        action = self.action(request.action_type)
        name = names.intent_key(admin_event_id(request.action_type.value, key))
        found = self._ledger.find(name)
        if found is None:
            so = action.settled(request)
            if so is not None:
                return Outcome(request, actor, so, so, "done")
            action.ready()
            found = self._intend(request, actor, key, decision, approved)
        intent = self._intent(found, by=actor)
        if approved is None:
            intent.require_same(request, actor)
        return self._finish(intent)

    def _intent(self, entry: LedgerEntry, *, by: str) -> Intent:
        """The intent that an entry records. It stands while the policy and the state are its own:
        what a second person approved, or one person decided, is done on that or not at all."""
        event = body_of(entry, AdminEvent)

        def stands(log: LedgerReader) -> None:
            require_same_policy(event.authority.policy if event.authority else None, log)
            before = self.action(event.action_type).before(intent.request, log)
            if before != (event.before or {}):
                raise errors.ConflictError(
                    "What it was about to change has changed since it was intended.",
                    next_step="Look at the state, and ask for the action again.",
                    admin_event_id=event.admin_event_id,
                )

        concerned = tuple(name for name in entry.mentions or () if name != names.INTENTS)
        intent = Intent(event, by, self._clock, entry.correlation_ids, concerned, stands)
        return intent

    def _intend(
        self,
        request: AdminRequest,
        actor: str,
        key: str,
        decision: Decision,
        approved: Approved | None,
    ) -> LedgerEntry:
        """The intent on record, with the state as it is in that commit."""
        authority = authority_by(
            decision.policy_digest, approved.directive_id if approved else None
        )
        action, moment = self.action(request.action_type), utc_text(self._clock())
        name = names.intent_key(admin_event_id(request.action_type.value, key))

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if log.find(name):
                return []  # somebody else was faster by a moment
            require_same_policy(decision.policy_digest, log)
            if approved:
                approved.require(log)
            before = action.before(request, log)
            draft = intent_draft(
                request, actor=actor, key=key, before=before, authority=authority, moment=moment
            )
            return [concerning(log, draft, request.targets)]

        entries = self._ledger.append_with(build)
        found = entries[0] if entries else self._ledger.find(name)
        assert found is not None
        return found

    def _finish(self, intent: Intent) -> Outcome:
        if intent.is_closed(self._ledger):
            return raising(self._read(intent, new=False))
        try:
            self.action(intent.event.action_type).act(intent, intent.request)
        except errors.RunOperateError as error:
            if may_pass(error):
                raise
            self._close(intent, error)
            outcome = self._read(intent, new=False)
            if outcome.result != FAILED:
                return outcome  # somebody else was faster by a moment, and did it
            raise
        return raising(self._read(intent, new=True))

    def _close(self, intent: Intent, error: errors.RunOperateError) -> None:
        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            return [] if intent.is_closed(log) else [intent.failure(error.code, error.message)]

        self._ledger.append_with(build)

    def _read(self, intent: Intent, *, new: bool) -> Outcome:
        entry = self._ledger.find(names.outcome_key(intent.event_id))
        assert entry is not None, "an action leaves its outcome"
        return outcome_of(entry, new=new)
