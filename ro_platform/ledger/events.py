"""Admin events as ledger entries: who did what to what, why, and what it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ro_platform.contracts import AdminActionType, AdminEvent, EntryKind, JsonObject
from ro_platform.kernel.clock import utc_text
from ro_platform.kernel.identity import admin_event_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.reader import LedgerReader


def admin_event_draft(
    action: AdminActionType,
    *,
    key: str,
    subject: str,
    actor: str,
    reason: str,
    moment: datetime,
    targets: tuple[str, ...] = (),
    before: JsonObject | None = None,
    after: JsonObject | None = None,
    result: str = "done",
) -> EntryDraft:
    """The entry of one action. ``key`` names the action once and for all: the same key is the same
    event, however often it is recorded."""
    event = AdminEvent(
        admin_event_id=admin_event_id(action.value, key),
        action_type=action,
        actor=actor,
        observed_at_utc=utc_text(moment),
        reason=reason,
        targets=targets or (subject,),
        before=before,
        after=after,
        result=result,
    )
    return EntryDraft(
        kind=EntryKind.ADMIN_EVENT,
        subject=subject,
        key=names.intent_key(event.admin_event_id),
        actor=actor,
        body=event.to_json_value(),
    )


class Commission(Protocol):
    """An administrative action whose intent is on record, given to whoever does it.

    Only the administrative service makes one, after it has asked who may: so nothing that takes one
    is done by anybody unasked. It drafts the outcome, which goes into the last commit of what is
    done: so the action and its outcome are one, and whoever does it records no event of its own.
    """

    @property
    def event(self) -> AdminEvent:
        """The intent: who wants what, and why."""

    @property
    def event_id(self) -> str:
        """The ``admin_event_id`` (32 hex) of the intent."""

    def is_closed(self, log: LedgerReader) -> bool:
        """Whether the outcome is on record, so that nothing is left to do."""

    def may_begin(self, log: LedgerReader) -> bool:
        """Whether it is to be done in this commit: False where the outcome is on record.

        Raises :class:`ConflictError` where the state, or the policy, is not the one of the intent.
        """

    def outcome(
        self, after: JsonObject, *, subject: str | None = None, mentions: Sequence[str] = ()
    ) -> EntryDraft:
        """The entry that says it was done, about ``subject`` where that is a state's."""
