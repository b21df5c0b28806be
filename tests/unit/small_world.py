"""A plane in which assets are made from one another, judged and revoked, without Dagster."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from ro_platform.access.identity import Credentials
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import (
    BoundRef,
    CodeRef,
    CorrelationIds,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    JobStatus,
    NamedArtifact,
    RunManifest,
)
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.clock import ManualClock, utc_text
from ro_platform.kernel.identity import attempt_id, manifest_fingerprint, run_id
from ro_platform.ledger.backends.base import LedgerBackend, LedgerTransaction
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.runs.publication import Provenance

DAGSTER, BOSS = "SYSTEM::dagster", "HUMAN::boss"
PASS, FAIL = GateStatus.PASS, GateStatus.FAIL


class InterruptedLedger(MemoryLedgerBackend):
    """Before its next transaction begins, it lets somebody else do something."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], object]] = []

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """See :class:`LedgerBackend`."""
        if self.before:
            somebody_elses = self.before.pop(0)
            with ThreadPoolExecutor(1) as other:
                other.submit(somebody_elses).result()
        with super().transaction() as transaction:
            yield transaction


class SmallWorld:
    """Each asset ``x`` has one gate, ``x.good``, that judges by a rule of some version."""

    def __init__(self, log: LedgerBackend | None = None, plane: Plane | None = None) -> None:
        self.blobs = MemoryBackend()
        self.clock = ManualClock()
        own = replace(Credentials.ephemeral(), single_user=BOSS)
        self.plane = plane or Plane.over(
            self.blobs, log or MemoryLedgerBackend(), clock=self.clock, credentials=own
        )
        self._attempts: Iterator[int] = itertools.count(1)
        self.fingerprint = self.register("1")

    @property
    def store(self) -> ArtifactStore:
        """The plane's store."""
        return self.plane.store

    def register(self, version: str) -> str:
        """Another manifest."""
        manifest = RunManifest(
            kind="ro.run_manifest.v0", workload="w", code=CodeRef(version=version)
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
        self.plane.runs.register(file, actor=DAGSTER)
        return file.fingerprint

    def rule(self, asset: str, version: str = "1") -> GateRule:
        """The rule of an asset's gate, in that version."""
        return GateRule(gate_id=f"{asset}.good", code_version=version)

    def made(
        self,
        asset: str,
        *inputs: BoundRef,
        data: bytes | None = None,
        under: str | None = None,
        bundle: bool = False,
        passed: bool = True,
        deterministic: bool = True,
        version: str = "1",
    ) -> BoundRef:
        """Make an asset's artifact from others, and have its gate judge it."""
        work = self.begun(asset, *inputs, under=under, version=version)
        stored = self.store.put_bytes(data or asset.encode(), media_type="text/plain")
        ref = self.plane.publication.publish(
            asset, stored, work, actor=DAGSTER, bundle=bundle, deterministic=deterministic
        )
        self.plane.attempts.move(
            work.attempt, JobStatus.SUCCEEDED, dagster_run_id=work.dagster_run_id
        )
        if passed:
            self.judge(ref, version=version)
        return ref

    def begun(
        self, asset: str, *inputs: BoundRef, under: str | None = None, version: str = "1"
    ) -> Provenance:
        """A running attempt to make an asset from these artifacts."""
        self.plane.gates.declare(asset, (self.rule(asset, version),), actor=DAGSTER)
        history, dagster = self.plane.attempts, f"dagster-{asset}"
        queued = history.begin(
            under or self.fingerprint, asset, step_key=asset, dagster_run_id=dagster
        )
        attempt = history.move(queued, JobStatus.RUNNING, dagster_run_id=dagster)
        given = [NamedArtifact(name=_asset(ref), artifact=ref) for ref in inputs]
        return Provenance(attempt, given, dagster)

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
        """A verdict of the asset's gate on an artifact."""
        address = parse_binding(ref.ref)
        assert address is not None
        rule = self.rule(address.asset, version)
        receipt = GateReceipt(
            gate_id=gate or rule.gate_id,
            status=status,
            subject=ref,
            scope=GateScope(
                asset=address.asset,
                manifest_fingerprint=address.fingerprint,
                run_id=run_id(address.fingerprint),
            ),
            rule_digest=rule_digest(rule, self.plane.runs.manifest(address.fingerprint)),
            attempt_id=attempt_id("0" * 32, next(self._attempts)),
            produced_at_utc=utc_text(self.clock()),
            evidence=evidence,
            warned=True if warned else None,
        )
        self.plane.receipts.record(receipt, actor=DAGSTER, correlation_ids=CorrelationIds())
        return receipt

    def read(self, ref: BoundRef) -> bytes:
        """What a consumer gets. Raises as the guard does."""
        address = parse_binding(ref.ref)
        assert address is not None
        manifest = self.plane.runs.manifest(address.fingerprint)
        self.plane.guard.check(address.asset, manifest, address.fingerprint, ref)
        return self.store.read(ref)

    def word(self, ref: BoundRef) -> str:
        """How it stands, in one word: PASS, or the first that refuses."""
        address = parse_binding(ref.ref)
        assert address is not None
        manifest = self.plane.runs.manifest(address.fingerprint)
        found = self.plane.guard.standings(address.asset, manifest, address.fingerprint, ref)
        words = [item.word for item in found]
        return next((word for word in words if word not in ("PASS", "WARN")), "PASS")


def _asset(ref: BoundRef) -> str:
    address = parse_binding(ref.ref)
    assert address is not None
    return address.asset
