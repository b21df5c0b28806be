"""Revocation: a PASS is withdrawn, and with it whatever was made from the bytes it vouched for.

What is revoked is the PASS of one gate on exact bytes, under one manifest and one rule. Judging
again under that rule does not bring it back; other bytes, another rule or another manifest were
never touched. In the same commit every artifact in the blast radius is blocked, until it is made
again from inputs that stand.

The radius is found before the ledger is locked, and inside the transaction only what was appended
since is looked at, so that it is exact at the moment of the commit. A crash leaves the revocation
and all of its blocks, or nothing. Each revocation blocks its whole radius, also what another had
blocked already: so each stands for itself, and the reason given is the newest. The guard compares
only the newest block with the newest making, so a second block adds nothing to what lifts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.artifacts.addressing import BindingAddress, parse_binding
from ro_platform.contracts import (
    AdminActionType,
    ArtifactBlocked,
    BoundRef,
    CorrelationIds,
    EntryKind,
    GateStatus,
    JsonObject,
    LedgerEntry,
    PassRevoked,
    ReceiptRecorded,
    UsedArtifact,
)
from ro_platform.contracts.base import contract_error
from ro_platform.gates.impact import Impact, Origin, Progress, explore
from ro_platform.gates.made import earlier_revisions, made_ids
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.clock import Clock
from ro_platform.kernel.identity import admin_event_id, run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.events import Commission, admin_event_draft
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation on record. ``impact`` is what it blocked, if this call recorded it; None if the
    PASS had been revoked before, and nothing was done."""

    entry: LedgerEntry
    body: PassRevoked
    impact: Impact | None


@dataclass(frozen=True, slots=True)
class _Request:
    """Whose PASS on what is to be revoked, by whom, and why."""

    gate_id: str
    ref: BoundRef
    address: BindingAddress
    actor: str
    reason: str
    made: CorrelationIds = field(default_factory=CorrelationIds)
    commission: Commission | None = None

    def event_id(self, subject: str) -> str:
        """The administrative event that the revocation is."""
        return self.commission.event_id if self.commission else _event_id(subject)

    def newest_pass(self, log: LedgerReader) -> ReceiptRecorded:
        """The newest PASS, whatever was said after it: somebody may have read under it.

        Raises :class:`NotFoundError`.
        """
        about = names.verdict_subject(self.gate_id, self.address.fingerprint, self.ref.digest)
        verdicts = log.scan(kind=EntryKind.GATE_RECEIPT, subject=about, newest_first=True)
        for recorded in map(recorded_in, verdicts):
            if recorded.status is GateStatus.PASS:
                return recorded
        raise errors.NotFoundError(
            f"there is no PASS to revoke: gate {self.gate_id!r} never said PASS to sha256:"
            f"{self.ref.digest} of {self.address.asset!r}.",
            next_step="`ro gate receipts TARGET` lists every verdict on it.",
            gate=self.gate_id,
            digest=self.ref.digest,
        )

    def subject(self, recorded: ReceiptRecorded) -> str:
        """The subject under which the guard looks for this revocation."""
        return names.revocation_subject(
            self.gate_id, self.address.fingerprint, self.ref.digest, recorded.rule_digest
        )


class Revocations:
    """What was made from an artifact, and the withdrawal of a PASS on it."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def impact(self, ref: BoundRef, progress: Progress = lambda _count: None) -> Impact:
        """Every artifact made, directly or through others, from the one bound there.

        Raises :class:`NotFoundError` if ``ref`` is no binding's.
        """
        address = _address(ref)
        return explore(self._ledger, lambda: self._origin(address, ref.digest), progress)[1]

    def found(
        self, gate_id: str, ref: BoundRef, log: LedgerReader | None = None
    ) -> tuple[ReceiptRecorded, PassRevoked | None]:
        """The newest PASS of a gate on a bound artifact, and its revocation if there is one.

        Raises :class:`NotFoundError` where the gate never said PASS to it.
        """
        request = _Request(gate_id, ref, _address(ref), "", "")
        recorded = request.newest_pass(log or self._ledger)
        subject = request.subject(recorded)
        entry = (log or self._ledger).latest(EntryKind.PASS_REVOKED, subject)
        return recorded, body_of(entry, PassRevoked) if entry else None

    def revoked(self, gate_id: str, ref: BoundRef) -> Revoked:
        """The revocation on record of a gate's newest PASS. Raises :class:`NotFoundError`."""
        request = _Request(gate_id, ref, _address(ref), "", "")
        subject = request.subject(request.newest_pass(self._ledger))
        if found := self._ledger.latest(EntryKind.PASS_REVOKED, subject):
            return Revoked(found, body_of(found, PassRevoked), None)
        raise errors.NotFoundError(f"the PASS of gate {gate_id!r} stands.", gate=gate_id)

    def revoke(
        self,
        gate_id: str,
        ref: BoundRef,
        *,
        reason: str,
        actor: str,
        progress: Progress = lambda _count: None,
        commission: Commission | None = None,
    ) -> Revoked:
        """Withdraw a gate's PASS on a bound artifact, and block all that was made from it.

        In one commit, all or nothing; revoking the same PASS again answers what is on record. Of
        an administrative action the ``commission`` drafts the event, in the same commit.
        Raises :class:`NotFoundError` where the gate never said PASS to it, and
        :class:`ContractError` for a blank reason or an actor that is none.
        """
        address, made = _address(ref), made_ids(self._ledger, [ref.ref])
        request = _Request(gate_id, ref, address, actor, reason, made, commission)
        recorded = request.newest_pass(self._ledger)
        found = self._ledger.latest(EntryKind.PASS_REVOKED, request.subject(recorded))
        if found and commission is None:
            return Revoked(found, body_of(found, PassRevoked), None)
        exploration, impact = explore(
            self._ledger, lambda: self._origin(request.address, ref.digest), progress
        )
        drafts = self._drafts(request, recorded, impact)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            nonlocal recorded, impact, drafts
            if commission and not commission.may_begin(log):
                return []
            now = request.newest_pass(log)
            if exploration.catch_up(log) or now != recorded:
                recorded, impact = now, exploration.impact(log)
                drafts = self._drafts(request, recorded, impact)
            before = log.latest(EntryKind.PASS_REVOKED, request.subject(now))
            if before and commission:
                return [commission.outcome(_after(body_of(before, PassRevoked)))]
            return [] if before else drafts

        entries = self._ledger.append_with(build)
        if entries and entries[0].kind is EntryKind.PASS_REVOKED:
            return Revoked(entries[0], body_of(entries[0], PassRevoked), impact)
        return self.revoked(gate_id, ref)  # somebody else was faster by a moment

    def _origin(self, address: BindingAddress, digest: str) -> Origin:
        """All revisions that hold those bytes: a verdict speaks of bytes, not of revisions."""
        asset, fingerprint, _ = address
        revisions = earlier_revisions(self._ledger, asset, fingerprint)
        same = {made.ref for made in revisions if made.digest == digest}
        return Origin(asset, fingerprint, digest, tuple(sorted(same | {address.name})))

    def _drafts(
        self, request: _Request, recorded: ReceiptRecorded, impact: Impact
    ) -> list[EntryDraft]:
        try:
            return [*self._decision(request, recorded, impact), *_blocks(request, recorded, impact)]
        except ValidationError as error:
            raise contract_error(error, kind="PassRevoked", where="gate revoke") from None

    def _decision(
        self, request: _Request, recorded: ReceiptRecorded, impact: Impact
    ) -> list[EntryDraft]:
        """The revocation itself, and the administrative event that it is."""
        subject = request.subject(recorded)
        body = PassRevoked(
            asset=request.address.asset,
            manifest_fingerprint=request.address.fingerprint,
            gate_id=request.gate_id,
            subject_digest=request.ref.digest,
            rule_digest=recorded.rule_digest,
            receipt=recorded.receipt,
            reason=request.reason,
            blocked=len(impact.artifacts),
            admin_event_id=request.event_id(subject),
        )
        touched = (names.touched_mention(run_id(request.address.fingerprint)),)
        by = (names.intent_key(request.commission.event_id),) if request.commission else ()
        draft = EntryDraft(
            kind=EntryKind.PASS_REVOKED,
            subject=subject,
            key=names.revoked_key(subject),
            actor=request.actor,
            correlation_ids=request.made,
            mentions=(*touched, *by),
            body=body,
        )
        if request.commission:
            return [draft, request.commission.outcome(_after(body))]
        event = admin_event_draft(
            AdminActionType.REVOKE_PASS,
            key=subject,
            subject=subject,
            actor=request.actor,
            reason=request.reason,
            moment=self._clock(),
            targets=(request.gate_id, request.ref.ref),
            before={"verdict": "PASS", "receipt": recorded.receipt.ref},
            after=_after(body),
        )
        return [draft, replace(event, correlation_ids=request.made, mentions=touched)]


def _blocks(request: _Request, recorded: ReceiptRecorded, impact: Impact) -> list[EntryDraft]:
    """One entry for each artifact in the radius."""
    event = request.event_id(request.subject(recorded))
    runs = {print_: run_id(print_) for print_ in {item.fingerprint for item in impact.artifacts}}
    return [
        EntryDraft(
            kind=EntryKind.ARTIFACT_BLOCKED,
            subject=names.artifact_subject(item.ref),
            actor=request.actor,
            correlation_ids=CorrelationIds(
                train_run_id=item.train_run_id, bundle_id=item.digest if item.bundle else None
            ),
            mentions=(names.touched_mention(runs[item.fingerprint]),),
            body=ArtifactBlocked(
                asset=item.asset,
                manifest_fingerprint=item.fingerprint,
                artifact=UsedArtifact(ref=item.ref, digest=item.digest),
                because=item.because,
                admin_event_id=event,
            ),
        )
        for item in impact.artifacts
    ]


def _after(body: PassRevoked) -> JsonObject:
    return {"verdict": "REVOKED", "blocked": body.blocked}


def _event_id(subject: str) -> str:
    return admin_event_id(AdminActionType.REVOKE_PASS.value, subject)


def _address(ref: BoundRef) -> BindingAddress:
    address = parse_binding(ref.ref)
    if address is None:
        raise errors.NotFoundError(
            f"{ref.ref!r} is bound to no asset, so no gate speaks of it.",
            next_step="Give the reference of a binding: `ro artifact list` prints them.",
        )
    return address
