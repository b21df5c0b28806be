"""Receipts: one verdict of one gate on exact bytes, written once to the store and the ledger.

The receipt is written before the ledger's entry; a crash between the two leaves a receipt that no
entry names, which counts for nothing.

Every verdict on one artifact, in their order: what was said, by which rule, on what evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    ArtifactRef,
    BoundRef,
    CorrelationIds,
    EntryKind,
    GateReceipt,
    GateRule,
    GateStatus,
    LedgerEntry,
    ReceiptRecorded,
    ResolvedRule,
    RunManifest,
)
from ro_platform.gates.catalogue import declared_in
from ro_platform.gates.made import made_ids
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader


def rule_digest(rule: GateRule, manifest: RunManifest) -> str:
    """SHA-256 of the rule with its configs as the manifest pins them: what a verdict speaks under.

    Raises :class:`VersionNotPinnedError` when the gate needs a config that is not pinned.
    """
    pins = []
    for name in sorted(rule.configs):
        pin = manifest.pin(name)
        if pin is None:
            raise errors.VersionNotPinnedError(
                f"gate {rule.gate_id!r} reads config {name!r}, which the manifest does not pin.",
                next_step=f"Add {name!r} with version and digest to config_versions.",
                config_name=name,
            )
        pins.append(pin.model_copy(update={"ref": None}))
    resolved = ResolvedRule(
        gate_id=rule.gate_id, code_version=rule.code_version, config_versions=tuple(pins)
    )
    return sha256_hex(canonical_bytes(resolved))


def recorded_in(entry: LedgerEntry) -> ReceiptRecorded:
    """The verdict that an entry of that kind records."""
    return body_of(entry, ReceiptRecorded)


class Receipts:
    """All verdicts of one environment."""

    def __init__(self, store: ArtifactStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def record(
        self, receipt: GateReceipt, *, actor: str, correlation_ids: CorrelationIds
    ) -> ReceiptRecorded:
        """Write a verdict. Recording the same one again changes nothing.

        To the ids that are given it adds those of the artifact: a training run's, a bundle's.
        """
        made = made_ids(self._ledger, [receipt.subject.ref])
        ref = self._store.put_receipt(receipt)
        body = ReceiptRecorded(
            asset=receipt.scope.asset,
            manifest_fingerprint=receipt.scope.manifest_fingerprint,
            gate_id=receipt.gate_id,
            status=receipt.status,
            subject_digest=receipt.subject.digest,
            rule_digest=receipt.rule_digest,
            receipt=ref,
            warned=receipt.warned,
        )
        self._ledger.append(
            EntryDraft(
                kind=EntryKind.GATE_RECEIPT,
                subject=names.verdict_subject(
                    body.gate_id, body.manifest_fingerprint, body.subject_digest
                ),
                key=names.receipt_key(receipt.attempt_id, receipt.gate_id),
                actor=actor,
                correlation_ids=correlation_ids.model_copy(
                    update={"train_run_id": made.train_run_id, "bundle_id": made.bundle_id}
                ),
                body=body.to_json_value(),
            )
        )
        return body

    def latest(self, gate_id: str, fingerprint: str, subject_digest: str) -> ReceiptRecorded | None:
        """The newest verdict of a gate on those bytes under that manifest, as the ledger has it."""
        entry = self._ledger.latest(
            EntryKind.GATE_RECEIPT, names.verdict_subject(gate_id, fingerprint, subject_digest)
        )
        return recorded_in(entry) if entry else None

    def read(self, recorded: ReceiptRecorded) -> GateReceipt:
        """The receipt itself, checked against the ledger's digest of it.

        Raises :class:`ReceiptUnverifiableError`.
        """
        return self._store.read_receipt(recorded.receipt)


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """One verdict on record. ``problem`` is why its receipt cannot be believed; then its evidence
    is not known. ``revoked`` is the entry that withdrew every PASS under its rule."""

    entry: LedgerEntry
    recorded: ReceiptRecorded
    evidence: ArtifactRef | None
    problem: errors.ReceiptUnverifiableError | None
    revoked: LedgerEntry | None

    @property
    def word(self) -> str:
        """What it says, if it can be believed; a PASS with a warning says ``WARN``."""
        if self.problem:
            return "UNVERIFIABLE"
        return "WARN" if self.recorded.warned else self.recorded.status.value


def verdicts_on(store: ArtifactStore, log: LedgerReader, ref: BoundRef) -> list[GateVerdict]:
    """What the gates that the asset ever had on record said of these bytes under this manifest.

    Raises :class:`NotFoundError` if ``ref`` is no binding's.
    """
    address = parse_binding(ref.ref)
    if address is None:
        raise errors.NotFoundError(f"{ref.ref!r} is bound to no asset, so no gate speaks of it.")
    declared = log.scan(kind=EntryKind.GATE_SET_DECLARED, subject=names.asset_name(address.asset))
    gates = {rule.gate_id for entry in declared for rule in declared_in(entry).gates}
    found = [
        entry
        for gate in gates
        for entry in log.scan(
            kind=EntryKind.GATE_RECEIPT,
            subject=names.verdict_subject(gate, address.fingerprint, ref.digest),
        )
    ]
    return [_verdict(store, log, entry) for entry in sorted(found, key=lambda entry: entry.seq)]


def _verdict(store: ArtifactStore, log: LedgerReader, entry: LedgerEntry) -> GateVerdict:
    recorded = recorded_in(entry)
    revoked = None
    if recorded.status is GateStatus.PASS:
        about = (recorded.gate_id, recorded.manifest_fingerprint, recorded.subject_digest)
        subject = names.revocation_subject(*about, recorded.rule_digest)
        revoked = log.latest(EntryKind.PASS_REVOKED, subject)
    try:
        evidence = store.read_receipt(recorded.receipt).evidence
    except errors.ReceiptUnverifiableError as problem:
        return GateVerdict(entry, recorded, None, problem, revoked)
    return GateVerdict(entry, recorded, evidence, None, revoked)
