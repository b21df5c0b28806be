"""Every verdict on one artifact, in their order: what was said, by which rule, on what evidence."""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    EntryKind,
    GateStatus,
    LedgerEntry,
    ReceiptRecorded,
)
from ro_platform.errors import NotFoundError, ReceiptUnverifiableError
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.receipts import recorded_in
from ro_platform.ledger.names import asset_name, revocation_subject, verdict_subject
from ro_platform.ledger.reader import LedgerReader


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict on record. ``problem`` is why its receipt cannot be believed; then its evidence
    is not known. ``revoked`` is the entry that withdrew every PASS under its rule."""

    entry: LedgerEntry
    recorded: ReceiptRecorded
    evidence: ArtifactRef | None
    problem: ReceiptUnverifiableError | None
    revoked: LedgerEntry | None

    @property
    def word(self) -> str:
        """What it says, if it can be believed; a PASS with a warning says ``WARN``."""
        if self.problem:
            return "UNVERIFIABLE"
        return "WARN" if self.recorded.warned else self.recorded.status.value


def verdicts_on(store: ArtifactStore, log: LedgerReader, ref: BoundRef) -> list[Verdict]:
    """What the gates that the asset ever had on record said of these bytes under this manifest.

    Raises :class:`NotFoundError` if ``ref`` is no binding's.
    """
    address = parse_binding(ref.ref)
    if address is None:
        raise NotFoundError(f"{ref.ref!r} is bound to no asset, so no gate speaks of it.")
    declared = log.scan(kind=EntryKind.GATE_SET_DECLARED, subject=asset_name(address.asset))
    gates = {rule.gate_id for entry in declared for rule in declared_in(entry).gates}
    found = [
        entry
        for gate in gates
        for entry in log.scan(
            kind=EntryKind.GATE_RECEIPT,
            subject=verdict_subject(gate, address.fingerprint, ref.digest),
        )
    ]
    return [_verdict(store, log, entry) for entry in sorted(found, key=lambda entry: entry.seq)]


def _verdict(store: ArtifactStore, log: LedgerReader, entry: LedgerEntry) -> Verdict:
    recorded = recorded_in(entry)
    revoked = None
    if recorded.status is GateStatus.PASS:
        about = (recorded.gate_id, recorded.manifest_fingerprint, recorded.subject_digest)
        subject = revocation_subject(*about, recorded.rule_digest)
        revoked = log.latest(EntryKind.PASS_REVOKED, subject)
    try:
        evidence = store.read_receipt(recorded.receipt).evidence
    except ReceiptUnverifiableError as problem:
        return Verdict(entry, recorded, None, problem, revoked)
    return Verdict(entry, recorded, evidence, None, revoked)
