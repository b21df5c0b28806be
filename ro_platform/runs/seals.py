"""Seals: the end of a run's record, with the count and the root of everything in it, and of what
touched the run before it.

A *record* of a run is all entries that carry its ``run_id``, from the first (or from the
RUN_REOPENED entry that begins a further record) to the RUN_SEALED entry. A run is sealed when its
manifest is registered and none of its attempts is open. From then on the ledger itself refuses an
entry with that ``run_id``; what begins later begins a new record, linked to the seal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ro_platform.contracts import (
    CorrelationIds,
    EntryKind,
    JobStatus,
    LedgerEntry,
    RunReopened,
    RunSealed,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.identity import run_id
from ro_platform.kernel.merkle import fold, leaf_hash
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger, standing_seals
from ro_platform.ledger.reader import LedgerReader
from ro_platform.runs.attempt import is_open


@dataclass(slots=True)
class _Record:
    """A run's open record as far as it was read: its leaves, and which attempts are open."""

    number: int = 1
    previous: int | None = None
    first: int = -1
    leaves: list[bytes] = field(default_factory=list)
    registered: bool = False
    open: set[str] = field(default_factory=set)
    touching: list[bytes] = field(default_factory=list)

    @classmethod
    def after(cls, seal: LedgerEntry | None) -> _Record:
        """The record that follows a seal; the first one without."""
        if seal is None:
            return cls()
        return cls(number=body_of(seal, RunSealed).record + 1, previous=seal.seq, registered=True)

    def take(self, entries: Iterable[LedgerEntry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.RUN_REGISTERED:
                self.registered = True
            elif entry.kind is EntryKind.ATTEMPT_TRANSITION:
                self._move(str(entry.body["attempt_id"]), JobStatus(str(entry.body["status"])))
            if not self.leaves:
                self.first = entry.seq
            self.leaves.append(leaf_hash(canonical_bytes(entry)))

    def touched_by(self, entries: Iterable[LedgerEntry]) -> None:
        self.touching += [leaf_hash(canonical_bytes(entry)) for entry in entries]

    @property
    def can_be_sealed(self) -> bool:
        return self.registered and bool(self.leaves) and not self.open

    def _move(self, attempt: str, status: JobStatus) -> None:
        if is_open(status):
            self.open.add(attempt)
        else:
            self.open.discard(attempt)


class RunSeals:
    """The seals of one environment. ``actor`` is who seals."""

    def __init__(self, ledger: Ledger, *, actor: str) -> None:
        self._ledger = ledger
        self._actor = actor

    def seal(self, fingerprint: str) -> LedgerEntry | None:
        """Seal the run of that manifest, and answer the seal; the one on record if it is sealed.

        None while an attempt of it is open or its manifest is not registered: then nothing was
        done, and whoever ends the last attempt has it to do. Most of the record is read before the
        ledger is locked, and it is locked only if the run can be sealed. Of several who seal at
        once one does. A crash leaves the run sealed or not.
        """
        run, seen = run_id(fingerprint), self._ledger.size()
        last = self._ledger.latest(EntryKind.RUN_SEALED, names.run_subject(run))
        record = _Record.after(last)
        start = last.seq + 1 if last else 0
        record.take(self._ledger.scan(run_id=run, start=start, end=seen))
        if not record.can_be_sealed:
            return self.newest(fingerprint)

        record.touched_by(self._ledger.scan(mention=names.touched_mention(run), end=seen))

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            if log.latest(EntryKind.RUN_SEALED, names.run_subject(run)) != last:
                return []  # somebody else was faster, and may have reopened it since
            record.take(log.scan(run_id=run, start=seen))
            record.touched_by(log.scan(mention=names.touched_mention(run), start=seen))
            return [self._draft(fingerprint, record)] if record.can_be_sealed else []

        entries = self._ledger.append_with(build)
        return entries[0] if entries else self.newest(fingerprint)

    def seal_with_touches(self, fingerprint: str) -> LedgerEntry | None:
        """Seal the run as :meth:`seal` does, and see that its newest seal covers what touched it.

        If something touched it after its seal, that opens a further record, which links to the
        seal and says why, and is sealed at once. A crash in between leaves an open record without
        an attempt, which whoever seals next, or reconciliation, closes.
        """
        seal = self.seal(fingerprint)
        touched = names.touched_mention(run_id(fingerprint))
        later = seal and next(self._ledger.scan(mention=touched, start=seal.seq, limit=1), None)
        if not later:
            return seal
        why = f"Entry {later.seq} ({later.kind}) touched the run after it was sealed."
        self._ledger.append_with(
            lambda log: reopening(log, fingerprint, actor=self._actor, reason=why)
        )
        return self.seal(fingerprint)

    def newest(self, fingerprint: str) -> LedgerEntry | None:
        """The seal under which the run stands now; None if it is open or was never sealed."""
        return standing_seals(self._ledger, [run_id(fingerprint)])[0]

    def _draft(self, fingerprint: str, record: _Record) -> EntryDraft:
        run = run_id(fingerprint)
        return EntryDraft(
            kind=EntryKind.RUN_SEALED,
            subject=names.run_subject(run),
            key=names.sealed_key(run, record.number),
            actor=self._actor,
            correlation_ids=CorrelationIds(run_id=run),
            body=RunSealed(
                run_id=run,
                manifest_fingerprint=fingerprint,
                record=record.number,
                first=record.first,
                count=len(record.leaves),
                root=fold(record.leaves).hex(),
                touched=len(record.touching),
                touched_root=fold(record.touching).hex(),
                previous=record.previous,
            ),
        )


def reopening(log: LedgerReader, fingerprint: str, *, actor: str, reason: str) -> list[EntryDraft]:
    """What has to come first in an append that adds to a run: nothing, or the reopening of a
    sealed one. Ask it inside the append."""
    run = run_id(fingerprint)
    sealed = standing_seals(log, [run])[0]
    if sealed is None:
        return []
    body = RunReopened(
        run_id=run,
        manifest_fingerprint=fingerprint,
        record=body_of(sealed, RunSealed).record + 1,
        sealed=sealed.seq,
        reason=reason,
    )
    draft = EntryDraft(
        kind=EntryKind.RUN_REOPENED,
        subject=names.run_subject(run),
        key=names.reopened_key(run, body.record),
        actor=actor,
        correlation_ids=CorrelationIds(run_id=run),
        body=body,
    )
    return [draft]
