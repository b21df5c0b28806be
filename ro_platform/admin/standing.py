"""Directives as they stand, read from their moves, and how an end comes on record.

A directive whose action has its outcome reads as executed or failed, and one whose time is over as
expired, before anybody recorded that move: a crash in between loses nothing. An execution that has
begun has the outcome of that, and no other end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ro_platform import errors
from ro_platform.admin.intents import DONE
from ro_platform.admin.moves import move_draft, moved, projected
from ro_platform.admin.outcomes import Outcome
from ro_platform.admin.service import AdminService
from ro_platform.contracts import DirectiveRecord, DirectiveStatus, EntryKind, LedgerEntry
from ro_platform.kernel.clock import Clock, moment_of
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

OPEN = (DirectiveStatus.PROPOSED, DirectiveStatus.APPROVED)


class StandingDirectives:
    """The directives of one environment, as they stand."""

    def __init__(self, ledger: Ledger, service: AdminService, clock: Clock) -> None:
        self._ledger = ledger
        self._service = service
        self._clock = clock

    def get(self, name: str, log: LedgerReader | None = None) -> DirectiveRecord:
        """One directive. Raises :class:`NotFoundError`."""
        log = log or self._ledger
        found = self.recorded(name, log)
        if found.status not in OPEN:
            return found
        outcome = self.outcome(found)
        if outcome is not None:
            done = outcome.result == DONE
            status = DirectiveStatus.EXECUTED if done else DirectiveStatus.FAILED
            return found.model_copy(update={"status": status})
        over = moment_of(found.expires_at_utc) <= self._clock()
        if over and not self.has_begun(found, log):
            return found.model_copy(update={"status": DirectiveStatus.EXPIRED})
        return found

    def list(self) -> Iterator[DirectiveRecord]:
        """Every directive, newest move first."""
        found: dict[str, None] = {}
        for entry in self._ledger.scan(kind=EntryKind.DIRECTIVE_MOVED, newest_first=True):
            found.setdefault(names.directive_name.part_of(entry.subject))
        return map(self.get, found)

    def recorded(self, name: str, log: LedgerReader) -> DirectiveRecord:
        """As its moves alone say. Raises :class:`NotFoundError`."""
        found: Sequence[LedgerEntry] = tuple(
            log.scan(kind=EntryKind.DIRECTIVE_MOVED, subject=names.directive_name(name))
        )
        if not found:
            raise errors.NotFoundError(
                f"there is no directive {name!r}.", next_step="See `ro directive list --all`."
            )
        return projected(found)

    def outcome(self, found: DirectiveRecord) -> Outcome | None:
        """What came of its execution; None while it has no outcome."""
        return self._service.find(
            found.request.action_type, names.directive_name(found.directive_id)
        )

    def has_begun(self, found: DirectiveRecord, log: LedgerReader) -> bool:
        """Whether its execution has begun."""
        key = names.directive_name(found.directive_id)
        return self._service.has_begun(found.request.action_type, key, log)

    def record_outcome(self, found: DirectiveRecord, outcome: Outcome, *, actor: str) -> None:
        """Put on record how its execution ended."""
        done = outcome.result == DONE
        words = "done" if done else str(outcome.after.get("error", "failed"))
        status = DirectiveStatus.EXECUTED if done else DirectiveStatus.FAILED
        self.record_end(found, status, words, actor=actor, event=outcome.event_id)

    def record_expiry(self, found: DirectiveRecord, *, actor: str) -> None:
        """Put on record that its time is over."""
        self.record_end(found, DirectiveStatus.EXPIRED, "its time is over", actor=actor)

    def record_end(
        self,
        found: DirectiveRecord,
        status: DirectiveStatus,
        words: str,
        *,
        actor: str,
        event: str | None = None,
    ) -> None:
        """Put an end on record, unless it has one, or has begun and would merely expire."""

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            is_open = self.recorded(found.directive_id, log).status in OPEN
            expires = status is DirectiveStatus.EXPIRED
            if not is_open or (expires and self.has_begun(found, log)):
                return []
            ended = moved(found, status, words, event=event)
            return [move_draft(log, ended, actor, found.request)]

        self._ledger.append_with(build)
