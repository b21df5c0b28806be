"""The moves of a directive: entries of the ledger, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence

from ro_platform import errors
from ro_platform.contracts import (
    AdminRequest,
    DirectiveMoved,
    DirectiveRecord,
    DirectiveStatus,
    EntryKind,
    LedgerEntry,
)
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.related import concerning

_MAX_WORDS = 2000


def move_draft(
    log: LedgerReader, move: DirectiveMoved, actor: str, request: AdminRequest
) -> EntryDraft:
    """The entry of a move; each state is reached at most once. It concerns whom its action does."""
    draft = EntryDraft(
        kind=EntryKind.DIRECTIVE_MOVED,
        subject=names.directive_name(move.directive_id),
        key=names.move_key(move.directive_id, move.status),
        actor=actor,
        body=move,
    )
    return concerning(log, draft, request.targets)


def projected(entries: Sequence[LedgerEntry]) -> DirectiveRecord:
    """A directive as its moves, oldest first and at least one, say that it stands."""
    first, moves = entries[0], [body_of(entry, DirectiveMoved) for entry in entries]
    proposal = moves[0]
    assert proposal.request, "the first move says what is asked for"
    assert proposal.state_digest
    assert proposal.expires_at_utc
    found = DirectiveRecord(
        directive_id=proposal.directive_id,
        status=DirectiveStatus.PROPOSED,
        request=proposal.request,
        proposer=first.actor,
        proposed_at_utc=first.recorded_at_utc,
        expires_at_utc=proposal.expires_at_utc,
        before=proposal.before or {},
        state_digest=proposal.state_digest,
        updated_at_utc=first.recorded_at_utc,
    )
    for entry, move in zip(entries[1:], moves[1:], strict=True):
        changes: dict[str, object] = {
            "status": move.status,
            "updated_at_utc": entry.recorded_at_utc,
            "words": move.reason,
        }
        if move.status is DirectiveStatus.APPROVED:
            changes |= {"approver": entry.actor, "approved_digest": move.state_digest}
        else:
            changes |= {"ended_by": entry.actor}
        found = found.model_copy(update=changes)
    return found


def require_status(found: DirectiveRecord, *allowed: DirectiveStatus) -> None:
    """Raise :class:`DirectiveRefusedError` unless it stands in one of these states."""
    if found.status not in allowed:
        more = f": {found.words}" if found.words else ""
        raise refused_move(found, f"it is {found.status}{more}")


def refused_move(found: DirectiveRecord, why: str) -> errors.DirectiveRefusedError:
    """The error for what a directive does not let happen."""
    return errors.DirectiveRefusedError(
        f"directive {found.directive_id}: {why}.",
        next_step=f"See `ro directive show {found.directive_id}`; propose it again if it is still "
        "wanted.",
        directive_id=found.directive_id,
        status=found.status.value,
    )


def moved(
    found: DirectiveRecord,
    status: DirectiveStatus,
    reason: str,
    *,
    state: str | None = None,
    event: str | None = None,
) -> DirectiveMoved:
    """The next move of a directive, its words cut to what a reason can hold."""
    return DirectiveMoved(
        directive_id=found.directive_id,
        status=status,
        reason=reason[:_MAX_WORDS],
        state_digest=state,
        admin_event_id=event,
    )
