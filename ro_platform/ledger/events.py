"""Admin events as ledger entries: who did what to what, why, and what it changed."""

from __future__ import annotations

from datetime import datetime

from ro_platform.contracts import AdminActionType, AdminEvent, EntryKind, JsonObject
from ro_platform.kernel.clock import utc_text
from ro_platform.kernel.identity import admin_event_id
from ro_platform.ledger.entry import EntryDraft


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
        key=f"admin/{event.admin_event_id}",
        actor=actor,
        body=event.to_json_value(),
    )
