"""What came of an action: its outcome as it is on record, and what is raised for it."""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform import errors
from ro_platform.admin.action import typed
from ro_platform.admin.intents import FAILED
from ro_platform.contracts import (
    AdminEvent,
    AdminRequest,
    JsonObject,
    LedgerEntry,
)
from ro_platform.ledger.entry import body_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action. ``event_id`` and ``entry`` are None where it was so already, and
    nothing was recorded; ``new`` is False if the outcome was on record before this call."""

    request: AdminRequest
    actor: str
    before: JsonObject
    after: JsonObject
    result: str
    event_id: str | None = None
    entry: LedgerEntry | None = None
    new: bool = False


def outcome_of(entry: LedgerEntry, *, new: bool) -> Outcome:
    """The outcome that an entry records."""
    event = body_of(entry, AdminEvent)
    intent = AdminRequest(
        action_type=event.action_type,
        targets=event.targets,
        reason=event.reason,
        parameters=event.parameters or {},
    )
    return Outcome(
        intent,
        event.actor,
        event.before or {},
        event.after or {},
        event.result or "",
        event.admin_event_id,
        entry,
        new,
    )


def raising(outcome: Outcome) -> Outcome:
    """The outcome, unless it is a failure: then the error that was recorded."""
    if outcome.result != FAILED:
        return outcome
    kind = errors.error_for(str(outcome.after.get("error_code"))) or errors.RunOperateError
    raise kind(
        str(outcome.after.get("error")),
        next_step="This is the recorded outcome; ask again with another key.",
        admin_event_id=outcome.event_id,
    )


def may_pass(error: errors.RunOperateError) -> bool:
    """Whether the intent stays open: the same again may succeed."""
    return error.retryable or isinstance(error, errors.OutcomeUnknownError)


def second_person(request: AdminRequest) -> errors.SecondPersonRequiredError:
    """The error for what nobody does alone."""
    return errors.SecondPersonRequiredError(
        f"{request.action_type} of {', '.join(request.targets)} needs a second person.",
        next_step=f"Propose it: `ro directive propose {typed(request.action_type)} ...`.",
        action=request.action_type.value,
    )
