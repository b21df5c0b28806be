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
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import BindingAddress, parse_binding
from ro_platform.contracts import (
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
from ro_platform.gates.impact import Impact, Origin, Progress, explore
from ro_platform.gates.made import earlier_revisions, made_ids
from ro_platform.gates.receipts import recorded_in
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.events import Commission
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation on record: its entry, and what that says."""

    entry: LedgerEntry
    body: PassRevoked


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a gate judged: an artifact, and where it is bound."""

    gate_id: str
    ref: BoundRef
    address: BindingAddress

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

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

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
        judged = _Judged(gate_id, ref, _address(ref))
        recorded = judged.newest_pass(log or self._ledger)
        subject = judged.subject(recorded)
        entry = (log or self._ledger).latest(EntryKind.PASS_REVOKED, subject)
        return recorded, body_of(entry, PassRevoked) if entry else None

    def revoked(self, gate_id: str, ref: BoundRef) -> Revoked:
        """The revocation on record of a gate's newest PASS. Raises :class:`NotFoundError`."""
        judged = _Judged(gate_id, ref, _address(ref))
        subject = judged.subject(judged.newest_pass(self._ledger))
        if found := self._ledger.latest(EntryKind.PASS_REVOKED, subject):
            return Revoked(found, body_of(found, PassRevoked))
        raise errors.NotFoundError(f"the PASS of gate {gate_id!r} stands.", gate=gate_id)

    def revoke(self, gate_id: str, ref: BoundRef, commission: Commission) -> None:
        """Withdraw a gate's PASS on a bound artifact, and block all that was made from it.

        In one commit with the action's outcome, which the ``commission`` drafts: all or nothing.
        Of a PASS that was revoked before, only the outcome is recorded, and says what is so.
        Raises :class:`NotFoundError` where the gate never said PASS to it.
        """
        judged = _Judged(gate_id, ref, _address(ref))
        made = made_ids(self._ledger, [ref.ref])
        recorded = judged.newest_pass(self._ledger)
        exploration, impact = explore(
            self._ledger, lambda: self._origin(judged.address, ref.digest)
        )
        drafts = _drafts(judged, made, commission, recorded, impact)

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            nonlocal recorded, drafts
            if not commission.may_begin(log):
                return []
            now = judged.newest_pass(log)
            if exploration.catch_up(log) or now != recorded:
                recorded, impact = now, exploration.impact(log)
                drafts = _drafts(judged, made, commission, recorded, impact)
            before = log.latest(EntryKind.PASS_REVOKED, judged.subject(now))
            if before:
                return [commission.outcome(_after(body_of(before, PassRevoked)))]
            return drafts

        self._ledger.append_with(build)

    def _origin(self, address: BindingAddress, digest: str) -> Origin:
        """All revisions that hold those bytes: a verdict speaks of bytes, not of revisions."""
        asset, fingerprint, _ = address
        revisions = earlier_revisions(self._ledger, asset, fingerprint)
        same = {made.ref for made in revisions if made.digest == digest}
        return Origin(asset, fingerprint, digest, tuple(sorted(same | {address.name})))


def _drafts(
    judged: _Judged,
    made: CorrelationIds,
    commission: Commission,
    recorded: ReceiptRecorded,
    impact: Impact,
) -> list[EntryDraft]:
    """The revocation, the outcome of the action that it is, and what is blocked by it."""
    subject, fingerprint = judged.subject(recorded), judged.address.fingerprint
    body = PassRevoked(
        asset=judged.address.asset,
        manifest_fingerprint=fingerprint,
        gate_id=judged.gate_id,
        subject_digest=judged.ref.digest,
        rule_digest=recorded.rule_digest,
        receipt=recorded.receipt,
        reason=commission.event.reason,
        blocked=len(impact.artifacts),
        admin_event_id=commission.event_id,
    )
    draft = EntryDraft(
        kind=EntryKind.PASS_REVOKED,
        subject=subject,
        key=names.revoked_key(subject),
        actor=commission.event.actor,
        correlation_ids=made,
        mentions=(
            names.touched_mention(run_id(fingerprint)),
            names.intent_key(commission.event_id),
        ),
        body=body,
    )
    return [draft, commission.outcome(_after(body)), *_blocks(commission, impact)]


def _blocks(commission: Commission, impact: Impact) -> list[EntryDraft]:
    """One entry for each artifact in the radius."""
    runs = {print_: run_id(print_) for print_ in {item.fingerprint for item in impact.artifacts}}
    return [
        EntryDraft(
            kind=EntryKind.ARTIFACT_BLOCKED,
            subject=names.artifact_subject(item.ref),
            actor=commission.event.actor,
            correlation_ids=CorrelationIds(
                train_run_id=item.train_run_id, bundle_id=item.digest if item.bundle else None
            ),
            mentions=(names.touched_mention(runs[item.fingerprint]),),
            body=ArtifactBlocked(
                asset=item.asset,
                manifest_fingerprint=item.fingerprint,
                artifact=UsedArtifact(ref=item.ref, digest=item.digest),
                because=item.because,
                admin_event_id=commission.event_id,
            ),
        )
        for item in impact.artifacts
    ]


def _after(body: PassRevoked) -> JsonObject:
    return {"verdict": "REVOKED", "blocked": body.blocked}


def _address(ref: BoundRef) -> BindingAddress:
    address = parse_binding(ref.ref)
    if address is None:
        raise errors.NotFoundError(
            f"{ref.ref!r} is bound to no asset, so no gate speaks of it.",
            next_step="Give the reference of a binding: `ro artifact list` prints them.",
        )
    return address
