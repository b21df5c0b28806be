"""An administrative action on its way: intent and outcome as entries of the ledger.

The intent has the key ``admin/<event id>``, the outcome ``admin/<event id>/outcome``: the log takes
each once, so an action has one intent and one outcome, whoever completes it. The event id is
computed from the action and the idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.contracts import (
    AdminActionType,
    AdminAuthority,
    AdminEvent,
    AdminRequest,
    CorrelationIds,
    EntryKind,
    JsonObject,
)
from ro_platform.contracts.base import contract_error
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import admin_event_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.reader import LedgerReader

INTENDED, DONE, FAILED, REFUSED = "intended", "done", "failed", "refused"
_OWN_KEYS = (names.directive_name.head, names.action_refusal_event_key.head)
_FACTS = (
    names.PAUSES,
    names.channel_subject.head,
    names.retention_subject.head,
    names.action_subject.head,
)


def require_free_key(key: str) -> None:
    """Raise :class:`InvalidInputError` for a key under which only this room records: another event
    would be taken for the execution of a directive, or hide a refusal."""
    if key.startswith(_OWN_KEYS):
        raise errors.InvalidInputError(
            f"The key {key!r} is one that directives and refusals have.",
            next_step="Give another key, or none.",
            key=key,
        )


def require_free(subject: str) -> None:
    """Raise :class:`InvalidInputError` for a subject about which only the service records."""
    if subject.startswith(_FACTS):
        raise errors.InvalidInputError(
            f"What is recorded about {subject!r} is a fact, which only an action can change.",
            next_step="Do it with `ro admin`, or record the event about another subject.",
        )


def canonical_digest(value: Any) -> str:
    """SHA-256 (64 hex) of a value's canonical JSON: how a request and a state are named."""
    return sha256_hex(canonical_bytes(value))


def admin_request(kind: AdminActionType, *, reason: str, parameters: JsonObject) -> AdminRequest:
    """A request. Raises :class:`ContractError` for a blank reason."""
    try:
        return AdminRequest(action_type=kind, reason=reason, parameters=parameters)
    except ValidationError as error:
        raise contract_error(error, kind="AdminRequest", where=f"admin {kind}") from None


@dataclass(frozen=True, slots=True)
class Intent:
    """An action whose intent is on record. It is the :class:`~ro_platform.ledger.events.Commission`
    that whoever does it is given. ``by`` is who completes it; the event stays its actor's.
    ``stands`` raises where, in that log, what was intended is not to be done any more. The outcome
    concerns whom the intent's entry does: ``correlation_ids`` and ``concerned`` are that one's."""

    event: AdminEvent
    by: str
    clock: Clock
    correlation_ids: CorrelationIds
    concerned: tuple[str, ...]
    stands: Callable[[LedgerReader], None] = field(compare=False, repr=False)

    @property
    def event_id(self) -> str:
        """The event's id (32 hex)."""
        return self.event.admin_event_id

    @property
    def request(self) -> AdminRequest:
        """What was asked for."""
        return AdminRequest(
            action_type=self.event.action_type,
            targets=self.event.targets,
            reason=self.event.reason,
            parameters=self.event.parameters or {},
        )

    def require_same(self, request: AdminRequest, actor: str) -> None:
        """Raise :class:`EntryConflictError` unless this is what that actor asked for."""
        if self.request != request or self.event.actor != actor:
            raise errors.EntryConflictError(
                f"The key {self.event.key!r} is that of another request: {self.event.action_type} "
                f"of {', '.join(self.event.targets)} by {self.event.actor}.",
                next_step="Give another key; the same key is the same request, done once.",
                key=self.event.key,
                admin_event_id=self.event_id,
            )

    def is_closed(self, log: LedgerReader) -> bool:
        """Whether the outcome is on record."""
        return log.find(names.outcome_key(self.event_id)) is not None

    def may_begin(self, log: LedgerReader) -> bool:
        """See :class:`~ro_platform.ledger.events.Commission`."""
        if self.is_closed(log):
            return False
        self.stands(log)
        return True

    def outcome(
        self, after: JsonObject, *, subject: str | None = None, mentions: Sequence[str] = ()
    ) -> EntryDraft:
        """The outcome ``done``, with what is so after it."""
        subject = subject or names.action_subject(self.event.action_type)
        return self._outcome(DONE, after, subject, mentions)

    def failure(self, code: str, words: str) -> EntryDraft:
        """The outcome ``failed``. It is never about a state's subject: nothing changed."""
        after: JsonObject = {"error_code": code, "error": words}
        return self._outcome(FAILED, after, names.action_subject(self.event.action_type), ())

    def _outcome(
        self, result: str, after: JsonObject, subject: str, mentions: Sequence[str]
    ) -> EntryDraft:
        moment = utc_text(self.clock())
        changes = {"after": after, "result": result, "observed_at_utc": moment}
        return EntryDraft(
            kind=EntryKind.ADMIN_EVENT,
            subject=subject,
            key=names.outcome_key(self.event_id),
            actor=self.by,
            body=self.event.model_copy(update=changes),
            correlation_ids=self.correlation_ids,
            mentions=(names.intent_key(self.event_id), *self.concerned, *mentions),
        )


def intent_draft(
    request: AdminRequest,
    *,
    actor: str,
    key: str,
    before: JsonObject,
    authority: AdminAuthority,
    moment: str,
) -> EntryDraft:
    """The entry by which an action begins. Raises :class:`ContractError` for an actor that is
    none."""
    event = _event(request, actor, key, moment, INTENDED, before, authority)
    return EntryDraft(
        kind=EntryKind.ADMIN_EVENT,
        subject=names.action_subject(event.action_type),
        key=names.intent_key(event.admin_event_id),
        actor=actor,
        body=event,
        mentions=(names.INTENTS,),
    )


def action_refusal_draft(
    request: AdminRequest,
    *,
    actor: str,
    code: str,
    words: str,
    authority: AdminAuthority,
    moment: str,
) -> EntryDraft:
    """The entry of a refusal. Its key names who, what and why, and the day: asked again and again
    on one day under one policy, it is one entry."""
    known = [actor, request.targets, request.parameters, code, authority.policy, moment[:10]]
    key = names.action_refusal_event_key(canonical_digest(known))
    after: JsonObject = {"error_code": code, "error": words}
    event = _event(request, actor, key, moment, REFUSED, None, authority)
    return EntryDraft(
        kind=EntryKind.ADMIN_EVENT,
        subject=names.action_subject(event.action_type),
        key=names.intent_key(event.admin_event_id),
        actor=actor,
        body=event.model_copy(update={"after": after}),
    )


def _event(
    request: AdminRequest,
    actor: str,
    key: str,
    moment: str,
    result: str,
    before: JsonObject | None,
    authority: AdminAuthority,
) -> AdminEvent:
    try:
        return AdminEvent(
            admin_event_id=admin_event_id(request.action_type.value, key),
            action_type=request.action_type,
            actor=actor,
            observed_at_utc=moment,
            reason=request.reason,
            targets=request.targets,
            before=before,
            result=result,
            parameters=request.parameters,
            key=key,
            authority=authority,
        )
    except ValidationError as error:
        raise contract_error(
            error, kind="AdminEvent", where=f"admin {request.action_type}"
        ) from None
