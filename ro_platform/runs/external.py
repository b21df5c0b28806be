"""Artifacts made outside: brought in under an asset and a manifest, with the verdicts on them.

Whoever judged did so elsewhere; here it is put on record who brought it in, and the guard treats
the receipts like any other. The order is: an attempt begins, the gates are declared, the artifact
is published, the receipts are recorded, the attempt ends. So nothing can be read before the last
of its receipts, whatever else stands. Unless more goes on under the manifest, its run is sealed
then. After a crash at any instruction, registering again ends the attempt that was left open as
LOST (or as SUCCEEDED, if only that was missing) and completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.artifacts.addressing import checked_asset
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    ArtifactRef,
    AttemptTransition,
    BoundRef,
    CorrelationIds,
    EntryKind,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    NamedArtifact,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.gates.catalogue import GateCatalogue
from ro_platform.gates.guard import Guard
from ro_platform.gates.made import artifact_of
from ro_platform.gates.receipts import Receipts, rule_digest
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.identity import run_id
from ro_platform.ledger import names
from ro_platform.ledger.log import Ledger
from ro_platform.runs.changes import runtime_fingerprint
from ro_platform.runs.history import AttemptHistory
from ro_platform.runs.publication import Provenance, Publication
from ro_platform.runs.registry import RunRegistry
from ro_platform.runs.seals import RunSeals

STEP_KEY = "external"
"""The step key of an attempt that no orchestrator executes."""


@dataclass(frozen=True, slots=True)
class ExternalVerdict:
    """What somebody outside said of an artifact: by which gate and rule, and on what evidence."""

    rule: GateRule
    status: GateStatus
    evidence: ArtifactRef | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """An artifact of an asset from outside, as it now stands.

    ``new`` is False if all of it was on record already. ``refusal`` is what keeps consumers from
    reading it (a FAIL, or a gate of theirs that has not judged it yet); None if nothing does.
    """

    asset: str
    fingerprint: str
    artifact: BoundRef
    receipts: tuple[ReceiptRecorded, ...]
    new: bool
    refusal: errors.GateRefusedError | None


@dataclass(frozen=True, slots=True)
class _Case:
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


class ExternalArtifacts:
    """The one way by which an artifact from outside comes to be an asset's."""

    def __init__(
        self,
        store: ArtifactStore,
        ledger: Ledger,
        gates: GateCatalogue,
        receipts: Receipts,
        guard: Guard,
        runs: RunRegistry,
        publication: Publication,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._gates = gates
        self._receipts = receipts
        self._guard = guard
        self._runs = runs
        self._publication = publication
        self._clock = clock

    def register(
        self,
        asset: str,
        fingerprint: str,
        ref: BoundRef,
        verdicts: Sequence[ExternalVerdict],
        *,
        actor: str,
        reason: str | None = None,
        deterministic: bool = True,
        bundle: bool = False,
    ) -> Registered:
        """Make stored bytes the asset's artifact under a manifest, with these verdicts on it.

        A FAIL is recorded, too: the artifact is bound, and nobody reads it. What is on record
        already changes nothing. ``reason`` goes into the receipts' notes. A ``bundle`` is known by
        its digest as ``bundle_id``.

        Raises, before anything is written, what :meth:`check` does; :class:`ArtifactNotFoundError`
        if the store lacks the bytes or an evidence; :class:`GateRevokedError` for a PASS that was
        revoked; and :class:`AddressConflictError` for other bytes than those that are bound,
        unless the asset is not ``deterministic``: then they become the next revision.
        """
        manifest = self.check(asset, fingerprint, [verdict.rule for verdict in verdicts])
        case = _Case(asset, fingerprint, manifest, ref, tuple(verdicts), actor, reason, bundle)
        self._require_stored(case)
        self._require_unrevoked(case)
        held = artifact_of(self._ledger, asset, fingerprint)
        if held is not None and held.digest != ref.digest and deterministic:
            raise _taken(asset, held, ref)
        attempts = AttemptHistory(self._ledger, actor=actor)
        receipts = self._on_record(case, held) if held else None
        self._end_abandoned(attempts, case, held, receipts)
        seals = RunSeals(self._ledger, actor=actor)
        if new := held is None or receipts is None:
            try:
                held, receipts = self._record(attempts, case, deterministic=deterministic)
            except errors.RunOperateError:
                with suppress(errors.RunOperateError):  # the first error is the one to hear of
                    seals.seal(fingerprint)
                raise
        seals.seal(fingerprint)
        return self._as_it_stands(case, held, receipts, new=new)

    def check(self, asset: str, fingerprint: str, rules: Sequence[GateRule]) -> RunManifest:
        """Whether verdicts under these rules can be registered there; answers the manifest.

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

    def _record(
        self, attempts: AttemptHistory, case: _Case, *, deterministic: bool
    ) -> tuple[BoundRef, tuple[ReceiptRecorded, ...]]:
        attempt = attempts.begin(
            case.fingerprint,
            case.asset,
            step_key=STEP_KEY,
            dagster_run_id=None,
            status=JobStatus.RUNNING,
            runtime=runtime_fingerprint(),
            config_versions=case.manifest.config_versions,
        )
        try:
            bound = self._publish(case, attempt, deterministic=deterministic)
            receipts = tuple(
                self._judged(case, verdict, bound, attempt) for verdict in case.verdicts
            )
        except errors.RunOperateError as error:
            with suppress(errors.RunOperateError):  # the first error is the one to hear of
                attempts.move(
                    attempt,
                    JobStatus.FAILED,
                    dagster_run_id=None,
                    error_code=error.code,
                    error=error.message,
                    retryable=error.retryable,
                )
            raise
        _succeed(attempts, attempt, bound)
        return bound, receipts

    def _publish(self, case: _Case, attempt: AttemptTransition, *, deterministic: bool) -> BoundRef:
        """Publish behind its gates: before they are declared, older ones alone would let it out."""
        for verdict in case.verdicts:
            self._gates.amend(case.asset, verdict.rule, actor=case.actor)
        return self._publication.publish(
            case.asset,
            case.ref,
            Provenance(attempt),
            actor=case.actor,
            deterministic=deterministic,
            bundle=case.bundle,
        )

    def _judged(
        self, case: _Case, verdict: ExternalVerdict, bound: BoundRef, attempt: AttemptTransition
    ) -> ReceiptRecorded:
        return self._receipts.record(
            case.receipt(verdict, bound, attempt, utc_text(self._clock())),
            actor=case.actor,
            correlation_ids=CorrelationIds(run_id=run_id(case.fingerprint)),
        )

    def _on_record(self, case: _Case, held: BoundRef) -> tuple[ReceiptRecorded, ...] | None:
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

    def _end_abandoned(
        self,
        attempts: AttemptHistory,
        case: _Case,
        held: BoundRef | None,
        receipts: tuple[ReceiptRecorded, ...] | None,
    ) -> None:
        """End what a crash left open: nobody else would."""
        last = attempts.newest(case.fingerprint, case.asset)
        if last is None or last.step_key != STEP_KEY or last.status is not JobStatus.RUNNING:
            return
        wrote = {self._receipts.read(item).attempt_id for item in receipts or ()}
        if held is not None and last.attempt_id in wrote:
            _succeed(attempts, last, held)
        else:
            attempts.move(last, JobStatus.LOST, dagster_run_id=None)

    def _require_stored(self, case: _Case) -> None:
        evidence = [verdict.evidence for verdict in case.verdicts if verdict.evidence]
        for ref in (case.ref, *evidence):
            if not self._store.has(ref):
                raise errors.ArtifactNotFoundError(
                    f"the store does not hold {ref.ref} whole.",
                    next_step="Put the artifact and the evidence into the store first.",
                    digest=ref.digest,
                )

    def _require_unrevoked(self, case: _Case) -> None:
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

    def _as_it_stands(
        self, case: _Case, held: BoundRef, receipts: tuple[ReceiptRecorded, ...], *, new: bool
    ) -> Registered:
        found = self._guard.standings(case.asset, case.manifest, case.fingerprint, held)
        refusal = next((standing.refusal for standing in found if standing.refusal), None)
        return Registered(case.asset, case.fingerprint, held, receipts, new, refusal)


def _same_rule(one: GateRule, other: GateRule) -> bool:
    return one.code_version == other.code_version and set(one.configs) == set(other.configs)


def _same_evidence(one: ArtifactRef | None, other: ArtifactRef | None) -> bool:
    """A complete reference and the same one as a receipt holds it are of two classes."""
    return (one and one.to_json_value()) == (other and other.to_json_value())


def _succeed(attempts: AttemptHistory, attempt: AttemptTransition, bound: BoundRef) -> None:
    outputs = (NamedArtifact(name=attempt.unit, artifact=bound),)
    attempts.move(attempt, JobStatus.SUCCEEDED, dagster_run_id=None, outputs=outputs)


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
