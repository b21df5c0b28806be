"""What is brought from outside, and all that keeps it from being registered.

Everything here reads, and writes nothing: :mod:`ro_platform.runs.external` writes what is found in
order, and nothing of what is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import checked_asset
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    ArtifactRef,
    AttemptTransition,
    BoundRef,
    EntryKind,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import Guard
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import Receipts, rule_digest
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.log import Ledger
from ro_platform.runs.registry import RunRegistry


@dataclass(frozen=True, slots=True)
class ExternalVerdict:
    """What somebody outside said of an artifact: by which gate and rule, and on what evidence."""

    rule: GateRule
    status: GateStatus
    evidence: ArtifactRef | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class ExternalRegistration:
    """One registration: what is brought in, as what, by whom, and why."""

    asset: str
    fingerprint: str
    manifest: RunManifest
    ref: BoundRef
    verdicts: tuple[ExternalVerdict, ...]
    actor: str
    reason: str | None
    bundle: bool

    def receipt(
        self, verdict: ExternalVerdict, subject: BoundRef, attempt: AttemptTransition, moment: str
    ) -> GateReceipt:
        """What is put on record of one of its verdicts, made at ``moment`` (UTC)."""
        return GateReceipt(
            gate_id=verdict.rule.gate_id,
            status=verdict.status,
            subject=subject,
            scope=GateScope(
                asset=self.asset,
                manifest_fingerprint=self.fingerprint,
                run_id=run_id(self.fingerprint),
            ),
            rule_digest=rule_digest(verdict.rule, self.manifest),
            attempt_id=attempt.attempt_id,
            produced_at_utc=moment,
            evidence=verdict.evidence,
            notes="\n".join(filter(None, (verdict.notes, self.reason))) or None,
        )


class ExternalChecks:
    """Whether an artifact from outside may be registered, and what of it is on record already."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        gates: GateCatalogue,
        receipts: Receipts,
        guard: Guard,
        runs: RunRegistry,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._gates = gates
        self._receipts = receipts
        self._guard = guard
        self._runs = runs

    def require_rules(self, asset: str, fingerprint: str, rules: Sequence[GateRule]) -> RunManifest:
        """The manifest, if verdicts under these rules can be registered there.

        Raises :class:`ManifestNotRegisteredError`, :class:`VersionNotPinnedError` if a rule reads a
        config that the manifest does not pin, :class:`GateSetShrankError` if the asset has a gate
        of its own besides, and :class:`ConflictError` if one of them is on record under another
        rule, which would make every earlier PASS stale.
        """
        checked_asset(asset)
        manifest = self._runs.manifest(fingerprint)
        for rule in rules:
            rule_digest(rule, manifest)
        given = {rule.gate_id: rule for rule in rules}
        if not given or len(given) < len(rules):
            raise errors.InvalidInputError(
                f"an artifact of {asset!r} needs one verdict each of one gate or more.",
                next_step="Nothing from outside is taken in without a verdict on it.",
            )
        for recorded in self._gates.gates_of(asset) or ():
            brought = given.get(recorded.gate_id)
            if brought is None and not recorded.guest:
                raise _own_gate(asset, recorded)
            if brought and not _same_rule(brought, recorded):
                raise _other_rule(asset, recorded, brought)
        return manifest

    def require(self, case: ExternalRegistration, *, deterministic: bool) -> BoundRef | None:
        """What is bound already, if the registration may go on; None if nothing is.

        Raises :class:`ArtifactNotFoundError` if the store lacks the bytes or an evidence,
        :class:`GateRevokedError` for a PASS that was revoked, and :class:`AddressConflictError`
        for other bytes than those that are bound, unless the asset is not ``deterministic``.
        """
        self._require_stored(case)
        self._require_unrevoked(case)
        held = artifact_of(self._ledger, case.asset, case.fingerprint)
        if held is not None and held.digest != case.ref.digest and deterministic:
            raise _taken(case.asset, held, case.ref)
        return held

    def on_record(
        self, case: ExternalRegistration, held: BoundRef
    ) -> tuple[ReceiptRecorded, ...] | None:
        """The receipts of these verdicts, if all of it is on record and believable already."""
        if held.digest != case.ref.digest:
            return None
        found = self._guard.standings(case.asset, case.manifest, case.fingerprint, held)
        standings = {standing.gate_id: standing for standing in found}
        receipts = []
        for verdict in case.verdicts:
            gate = verdict.rule.gate_id
            recorded = self._receipts.latest(gate, case.fingerprint, held.digest)
            standing = standings.get(gate)
            if recorded is None or standing is None or "(artifact)" in standings:
                return None
            believed = standing.refusal is None or isinstance(
                standing.refusal, errors.GateFailedError
            )
            if not believed or recorded.status is not verdict.status:
                return None
            if not _same_evidence(self._receipts.read(recorded).evidence, verdict.evidence):
                return None
            receipts.append(recorded)
        return tuple(receipts)

    def _require_stored(self, case: ExternalRegistration) -> None:
        evidence = [verdict.evidence for verdict in case.verdicts if verdict.evidence]
        for ref in (case.ref, *evidence):
            if not self._store.has(ref):
                raise errors.ArtifactNotFoundError(
                    f"the store does not hold {ref.ref} whole.",
                    next_step="Put the artifact and the evidence into the store first.",
                    digest=ref.digest,
                )

    def _require_unrevoked(self, case: ExternalRegistration) -> None:
        for verdict in case.verdicts:
            about = names.revocation_subject(
                verdict.rule.gate_id,
                case.fingerprint,
                case.ref.digest,
                rule_digest(verdict.rule, case.manifest),
            )
            entry = self._ledger.latest(EntryKind.PASS_REVOKED, about)
            if entry is not None and verdict.status is GateStatus.PASS:
                raise errors.GateRevokedError(
                    f"gate {verdict.rule.gate_id!r} had its PASS for sha256:{case.ref.digest} of "
                    f"asset {case.asset!r} revoked by {entry.actor}.",
                    next_step="A PASS under the same rule does not bring it back: have other bytes "
                    "made outside, and register those.",
                    gate=verdict.rule.gate_id,
                    digest=case.ref.digest,
                    manifest_fingerprint=case.fingerprint,
                )


def _same_rule(one: GateRule, other: GateRule) -> bool:
    return one.code_version == other.code_version and set(one.configs) == set(other.configs)


def _same_evidence(one: ArtifactRef | None, other: ArtifactRef | None) -> bool:
    """A complete reference and the same one as a receipt holds it are of two classes."""
    return (one and one.to_json_value()) == (other and other.to_json_value())


def _taken(asset: str, held: BoundRef, ref: BoundRef) -> errors.AddressConflictError:
    return errors.AddressConflictError(
        f"{asset} has sha256:{held.digest} under that manifest; sha256:{ref.digest} is another.",
        next_step="Other bytes belong under another manifest. If the asset is declared "
        "non-deterministic, register them as its next revision.",
        asset=asset,
        binding=held.ref,
        bound_digest=held.digest,
        given_digest=ref.digest,
    )


def _own_gate(asset: str, rule: GateRule) -> errors.GateSetShrankError:
    return errors.GateSetShrankError(
        f"asset {asset!r} has the gate {rule.gate_id!r} on record, on which no verdict is brought.",
        next_step="Register under another asset, or bring that verdict, too. If the asset shall "
        f"no longer have the gate: `ro gate drop {rule.gate_id} --asset {asset} --reason ...`.",
        asset=asset,
        gate=rule.gate_id,
    )


def _other_rule(asset: str, recorded: GateRule, rule: GateRule) -> errors.ConflictError:
    return errors.ConflictError(
        f"gate {rule.gate_id!r} of asset {asset!r} judges by {recorded.code_version!r}, the "
        f"verdict is by {rule.code_version!r}: every earlier PASS would go stale.",
        next_step="Judge by the rule on record. If the rule shall change: "
        f"`ro gate drop {rule.gate_id} --asset {asset} --reason ...`, then register again.",
        asset=asset,
        gate=rule.gate_id,
    )
