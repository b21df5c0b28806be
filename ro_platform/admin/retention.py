"""Retention: how long bytes must be kept, and how soon the ledger must be archived. Recorded facts.

What it governs. *Artifacts* (all, or one asset's): within that many days of their newest making
they are not erased; :class:`~ro_platform.admin.evidence.EraseArtifactAction` is refused before it
begins, so that a run can be replayed and judged again that long. An asset's own period goes before
the one for all. *Archives*: entries older than that many days must be in an archived segment;
:meth:`Retentions.archive_due` says how many are not. Nothing is ever removed by a period's end:
an erasure is a decision of its own. Periods of streams are not built yet.

Each change is the newest entry about its subject ``retention/<target>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from ro_platform import errors
from ro_platform.admin.action import AdminAction
from ro_platform.admin.intents import Intent
from ro_platform.contracts import (
    AdminActionType,
    AdminEvent,
    AdminRequest,
    ArtifactBound,
    Contract,
    EntryKind,
    JsonObject,
    SegmentArchived,
)
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

ARTIFACTS, ARCHIVES = "artifacts", "archives"
_ASSET = r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*"
RetentionTarget = Annotated[
    str,
    StringConstraints(pattern=rf"^({ARTIFACTS}|{ARCHIVES}|{names.asset_name(_ASSET)})$"),
    Field(description="artifacts, asset/<key> or archives."),
]
Days = Annotated[int, Field(ge=0, le=36525)]


class RetentionParameters(Contract):
    """On what, and how many days; no days end the period."""

    target: RetentionTarget
    days: Days | None = None


class Retentions:
    """The periods of one environment."""

    def __init__(self, ledger: LedgerReader, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def days(self, target: str, log: LedgerReader | None = None) -> int | None:
        """The period of a target, in days; None where none was ever set, or it was ended."""
        entry = (log or self._ledger).latest(EntryKind.ADMIN_EVENT, names.retention_subject(target))
        found = (body_of(entry, AdminEvent).after or {}).get("days") if entry else None
        return found if isinstance(found, int) else None

    def standing(self) -> dict[str, int]:
        """Every period that stands, in days, by target."""
        targets: dict[str, None] = {}
        for entry in self._ledger.scan(kind=EntryKind.ADMIN_EVENT, mention=names.RETENTIONS):
            targets.setdefault(names.retention_subject.part_of(entry.subject))
        return {name: days for name in sorted(targets) if (days := self.days(name)) is not None}

    def require_over(self, digest: str, log: LedgerReader) -> None:
        """Raise :class:`RetentionError` while an artifact with those bytes must be kept."""
        newest: dict[str, str] = {}
        for entry in log.scan(kind=EntryKind.ARTIFACT_BOUND, mention=names.digest_name(digest)):
            newest[body_of(entry, ArtifactBound).asset] = entry.recorded_at_utc
        for asset, made in newest.items():
            own = self.days(names.asset_name(asset), log)
            days = self.days(ARTIFACTS, log) if own is None else own
            if days is None:
                continue
            until = moment_of(made) + timedelta(days=days)
            if until > self._clock():
                raise errors.RetentionError(
                    f"sha256:{digest} of asset {asset!r} is kept until {utc_text(until)}: "
                    f"{days} days from when it was made.",
                    next_step="Wait, or propose another: `ro directive propose change-retention`.",
                    asset=asset,
                    days=days,
                )

    def archive_due(self) -> int:
        """How many entries are older than their period allows, and in no archived segment."""
        days = self.days(ARCHIVES)
        if days is None:
            return 0
        last = utc_text(self._clock() - timedelta(days=days))
        end = max((body.first + body.count for body in self._segments()), default=0)
        due = 0
        for entry in self._ledger.scan(start=end):
            if entry.recorded_at_utc > last:
                break
            due += 1
        return due

    def _segments(self) -> Iterator[SegmentArchived]:
        for entry in self._ledger.scan(kind=EntryKind.SEGMENT_ARCHIVED):
            yield body_of(entry, SegmentArchived)


class ChangeRetentionAction(AdminAction[RetentionParameters]):
    """A period is set, changed or ended."""

    action_type = AdminActionType.CHANGE_RETENTION
    parameters = RetentionParameters

    def __init__(self, ledger: Ledger, retentions: Retentions) -> None:
        self._ledger = ledger
        self._retentions = retentions

    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """What is kept."""
        return (self.asked(request).target,)

    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The period that stands."""
        return _days(self._retentions.days(self.asked(request).target, log))

    def would(self, request: AdminRequest) -> JsonObject:
        """The new period."""
        return _days(self.asked(request).days)

    def act(self, intent: Intent, request: AdminRequest) -> None:
        """The fact, in one commit with its event."""
        asked = self.asked(request)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if not intent.may_begin(log):
                return []
            after, subject = _days(asked.days), names.retention_subject(asked.target)
            return [intent.outcome(after, subject=subject, mentions=(names.RETENTIONS,))]

        self._ledger.append_with(build)


def _days(days: int | None) -> JsonObject:
    return {} if days is None else {"days": days}
