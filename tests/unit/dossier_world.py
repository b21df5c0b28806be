"""A run with everything that a dossier speaks of, and its dossier."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import (
    AdminActionType,
    BoundRef,
    CodeRef,
    CorrelationIds,
    GateReceipt,
    GateScope,
    GateStatus,
    JobStatus,
    LedgerEntry,
    PinnedConfigRef,
    RunManifest,
)
from ro_platform.dossier.export import DossierExport, sign_now
from ro_platform.dossier.verify import Dossier
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import utc_text
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.kernel.signing import SigningKey
from ro_platform.runs.manifest import ManifestFile
from tests.unit.small_world import BOSS, DAGSTER, PASS, SmallWorld

KEY = SigningKey("ro-platform/test", hashlib.sha256(b"a key for tests only").digest())
OTHER_KEY = SigningKey("ro-platform/test", hashlib.sha256(b"another key for tests only").digest())


class DossierWorld(SmallWorld):
    """A small world whose gates are attempts of their own, as in Dagster's runs."""

    def rich_run(self, scale: float = 1.5) -> str:
        """A run with a config, a retry, two artifacts of which one is made of the other, a FAIL
        that became a PASS, evidence and a warning; sealed, touched by an operator, and then a
        second record, sealed too, and touched again. Answers its fingerprint."""
        published = self.plane.configs.publish_first(
            "limits", {"max": 1e21, "min": 0.5}, reason="first", actor=BOSS
        )
        self.fingerprint = self.manifest_with(published.version, scale)
        source = self.made("source", data=b"rows")
        lost = self.begun("report", source)
        self.plane.attempts.move(
            lost.attempt,
            JobStatus.FAILED,
            dagster_run_id=lost.dagster_run_id,
            error_code="RO_STEP_FAILED",
            error="a <b>reason</b> & more",
            retryable=True,
        )
        report = self.made("report", source, data="Grüße".encode(), passed=False)
        self.judge(report, GateStatus.FAIL)
        kept = self.store.put_bytes(b'{"checked":2}', media_type="application/json")
        self.judge(report, evidence=kept, warned=True)
        assert self.plane.seals.seal(self.fingerprint) is not None
        self.touch("It went on too long.")
        self.made("late", report, data=b"later")
        assert self.plane.seals.seal(self.fingerprint) is not None
        self.touch("It is over anyway.")
        return self.fingerprint

    def touch(self, reason: str) -> LedgerEntry:
        """An administrative event on its run."""
        subject = f"run/{run_id(self.fingerprint)}"
        return self.plane.record_admin_event(
            AdminActionType.CANCEL_RUN, key=reason, subject=subject, actor=BOSS, reason=reason
        )

    def manifest_with(self, pin: PinnedConfigRef, scale: float) -> str:
        """A registered manifest that pins a config."""
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="demo",
            parameters={"scale": scale, "Größe": [1, True, None, "\u2028"]},
            config_versions=(pin,),
            code=CodeRef(version="1"),
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor=DAGSTER)
        return file.fingerprint

    def judge(
        self,
        ref: BoundRef,
        status: GateStatus = PASS,
        *,
        version: str = "1",
        gate: str = "",
        evidence: BoundRef | None = None,
        warned: bool = False,
    ) -> GateReceipt:
        """A verdict of the asset's gate, in an attempt of its own."""
        address = parse_binding(ref.ref)
        assert address is not None
        asset, fingerprint = address.asset, address.fingerprint
        rule, dagster = self.rule(asset, version), f"dagster-{asset}"
        gate_id = gate or rule.gate_id
        history, unit = self.plane.attempts, f"{asset}#{gate_id}"
        attempt = history.begin(fingerprint, unit, step_key=unit, dagster_run_id=dagster)
        history.move(attempt, JobStatus.RUNNING, dagster_run_id=dagster)
        receipt = GateReceipt(
            gate_id=gate_id,
            status=status,
            subject=ref,
            scope=GateScope(
                asset=asset, manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)
            ),
            rule_digest=rule_digest(rule, self.plane.runs.manifest(fingerprint)),
            attempt_id=attempt.attempt_id,
            produced_at_utc=utc_text(self.clock()),
            evidence=evidence,
            warned=True if warned else None,
        )
        ids = CorrelationIds(run_id=run_id(fingerprint), dagster_run_id=dagster)
        self.plane.receipts.record(receipt, actor=DAGSTER, correlation_ids=ids)
        ended = JobStatus.SUCCEEDED if status is PASS else JobStatus.FAILED
        history.move(attempt, ended, dagster_run_id=dagster)
        return receipt

    def exporter(self, key: SigningKey = KEY) -> DossierExport:
        """What exports its runs."""
        return self.plane.dossiers(key, sign_now(self.plane.ledger, key))

    def dossier(self, target: Path, *, with_artifacts: bool = False) -> Dossier:
        """The dossier of its run."""
        return self.exporter().export(
            self.fingerprint, target, actor=BOSS, with_artifacts=with_artifacts
        )
