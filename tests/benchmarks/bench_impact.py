"""What revocation costs in a large ledger, as ratios to reading the same entries once.

A random graph of 100,000 artifacts with about 250,000 edges, recorded as publications record them,
in SQLite: its whole radius, a small one, and the revocation of its first artifact. Run:
``python tests/benchmarks/bench_impact.py [--quick]``.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from ro_platform.admin.intents import admin_request
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import (
    AdminActionType,
    ArtifactBound,
    BoundRef,
    CodeRef,
    CorrelationIds,
    EntryKind,
    GateReceipt,
    GateScope,
    GateStatus,
    RunManifest,
    UsedArtifact,
)
from ro_platform.kernel.clock import system_clock, utc_text
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject, digest_name, used_mention
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile

ARTIFACTS = 100_000
ASSETS = 20
EDGES_EACH = 2.5
BATCH = 10_000
ACTOR = "SYSTEM::bench"


@cache
def manifest(number: int) -> ManifestFile:
    """The manifest of that number."""
    code = CodeRef(version=str(number))
    found = RunManifest(kind="ro.run_manifest.v0", workload="bench", code=code)
    return ManifestFile(found, manifest_fingerprint(found), None)


def artifact(number: int) -> BoundRef:
    """The artifact of that number: 20 assets under each manifest."""
    fingerprint = manifest(number // ASSETS).fingerprint
    digest = sha256_hex(f"bytes {number}".encode())
    return BoundRef(
        ref=f"refs/asset_{number % ASSETS:02}/fingerprint={fingerprint}/rev=000001.json",
        digest=digest,
        size_bytes=1000,
        media_type="application/json",
        blake3=digest,
    )


def drafts(count: int, chance: random.Random) -> Iterator[EntryDraft]:
    """Makings in order: each from two or three earlier artifacts; all reach back to the first."""
    refs = [artifact(number) for number in range(count)]
    for number, ref in enumerate(refs):
        wanted = int(EDGES_EACH) + (chance.random() < EDGES_EACH % 1)
        used = {chance.randrange(number) for _ in range(min(wanted, number))}
        inputs = sorted((refs[item].ref, refs[item].digest) for item in used)
        _, asset, fingerprint, _ = ref.ref.split("/")
        fingerprint = fingerprint.removeprefix("fingerprint=")
        yield EntryDraft(
            kind=EntryKind.ARTIFACT_BOUND,
            subject=artifact_subject(ref.ref),
            key=f"bound/{number}",
            actor=ACTOR,
            correlation_ids=CorrelationIds(
                run_id=run_id(fingerprint), dagster_run_id=fingerprint[:36]
            ),
            mentions=(digest_name(ref.digest), *(used_mention(name) for name, _ in inputs)),
            body=ArtifactBound(
                asset=asset,
                manifest_fingerprint=fingerprint,
                attempt_id=ref.digest[:32],
                artifact=ref,
                inputs=tuple(UsedArtifact(ref=name, digest=digest) for name, digest in inputs)
                or None,
            ),
        )


def build(plane: Plane, count: int) -> int:
    """Record the graph; answers how many edges it has."""
    every = list(drafts(count, random.Random(20)))
    for start in range(0, count, BATCH):
        plane.ledger.append_many(every[start : start + BATCH])
    return sum(len(item.mentions) - 1 for item in every)


def passed(plane: Plane, ref: BoundRef) -> None:
    """A PASS that can be revoked."""
    _, asset, fingerprint, _ = ref.ref.split("/")
    fingerprint = fingerprint.removeprefix("fingerprint=")
    receipt = GateReceipt(
        gate_id="asset.good",
        status=GateStatus.PASS,
        subject=ref,
        scope=GateScope(asset=asset, manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)),
        rule_digest="b" * 64,
        attempt_id="a" * 32,
        produced_at_utc=utc_text(plane.clock()),
    )
    plane.receipts.record(receipt, actor=ACTOR, correlation_ids=CorrelationIds())


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what came of it."""
    began = perf_counter()
    result = work()
    return perf_counter() - began, result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="A twentieth of the artifacts.")
    count = ARTIFACTS // 20 if parser.parse_args().quick else ARTIFACTS
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        backend = SqliteLedgerBackend(Path(folder) / "ledger.sqlite")
        plane = Plane.over(MemoryBackend(), backend, clock=system_clock)
        edges = build(plane, count)
        first, late = artifact(0), artifact(count - count // 3)
        passed(plane, first)
        scan, _ = timed(lambda: sum(1 for _ in plane.ledger.scan()))
        small, little = timed(lambda: len(plane.revocations.impact(late).artifacts))
        whole, reached = timed(lambda: len(plane.revocations.impact(first).artifacts))
        plane.runs.register(manifest(0), actor=ACTOR)
        request = admin_request(
            AdminActionType.REVOKE_PASS,
            reason="r",
            parameters={"gate_id": "asset.good", "ref": first.ref},
        )
        user = plane.access.single_user
        revoke, _ = timed(lambda: plane.admin.perform(request, actor=user, key="bench"))
    table = Table(title=f"{count:,} artifacts, {edges:,} edges")
    for column in ("what", "artifacts reached", "seconds", "ratio to one scan"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, size, seconds in (
        ("read every entry once", "", scan),
        ("a small radius", f"{little:,}", small),
        ("the whole radius", f"{reached:,}", whole),
        ("revoke, blocking all of it", f"{reached:,}", revoke),
    ):
        table.add_row(name, str(size), f"{seconds:.2f}", f"{seconds / scan:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
