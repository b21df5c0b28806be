"""What the guard costs a read, and admission a launch, however many manifests there are.

Guard: an asset with two gates, at 100 and at 100,000 manifests, over SQLite and PostgreSQL; its
peer is the least that any guard must do: one indexed row and the bytes of three small files.
Admission: launchRun through a real webserver, with Dagster's own queue and with ours, at 100 and
at 100,000 partitions. Medians count; only ratios are worth comparing between machines.
``PYTHONPATH=. python tests/benchmarks/bench_guard.py [--quick] [--json]``
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.blobs import bound_ref
from ro_platform.contracts import (
    ArtifactBound,
    BoundRef,
    CodeRef,
    EntryKind,
    GateReceipt,
    GateRule,
    GateScope,
    GateStatus,
    ReceiptRecorded,
    RunManifest,
)
from ro_platform.gates.receipts import rule_digest
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import digests_of
from ro_platform.kernel.identity import attempt_id, manifest_fingerprint, run_id
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.names import artifact_subject, digest_name, verdict_subject
from ro_platform.plane import Plane
from tests.benchmarks.launches import Launches, measured_launches
from tests.servers import postgres_server

ACTOR = "SYSTEM::bench"
RULES = tuple(GateRule(gate_id=f"made.{name}", code_version="1") for name in ("one", "two"))
MANIFESTS_A_COMMIT = 2_000
AIM_MS = 1.0


@dataclass(frozen=True)
class Guarded:
    """Milliseconds for one guarded read's question, at that many manifests."""

    ledger: str
    manifests: int
    guard_ms: float
    guard_p95_ms: float
    floor_ms: float
    ratio: float


class World:
    """One asset with two gates that pass, under many manifests, over one kind of ledger."""

    def __init__(self, folder: Path, log: LedgerBackend) -> None:
        self.root = folder / "store"
        self.log = log
        self.plane = Plane.over(FilesystemBackend(self.root), log)
        self.plane.gates.declare("made", RULES, actor=ACTOR)
        self.known: list[tuple[str, RunManifest]] = []

    def grow(self, count: int, name: str) -> None:
        """Go on to so many manifests: files as the store writes them, entries by the ledger."""
        first = len(self.known)
        batches = range(first, count, MANIFESTS_A_COMMIT)
        for start in track(batches, f"{name}: {count:,} manifests", console=Console(stderr=True)):
            drafts: list[EntryDraft] = []
            for n in range(start, min(start + MANIFESTS_A_COMMIT, count)):
                drafts += self._manifest(n)
            self.plane.ledger.append_many(drafts)

    def question(self, n: int) -> None:
        """The guard's question about the n-th manifest."""
        fingerprint, manifest = self.known[n]
        self.plane.guard.require("made", manifest, fingerprint)

    def floor(self, n: int) -> None:
        """What no guard can do without: one row by an index, and three small files."""
        fingerprint, _ = self.known[n]
        folder = f"made/fingerprint={fingerprint}"
        self.log.latest("artifact_bound", artifact_subject(f"refs/{folder}/rev=000001.json"))
        (self.root / "refs" / folder / "rev=000001.json").read_bytes()
        for rule in RULES:
            name = f"{_attempt(rule, fingerprint)}.json"
            (self.root / "receipts" / folder / rule.gate_id / name).read_bytes()

    def _manifest(self, n: int) -> Iterator[EntryDraft]:
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload="bench",
            parameters={"n": n},
            code=CodeRef(version="1"),
        )
        fingerprint = manifest_fingerprint(manifest)
        self.known.append((fingerprint, manifest))
        name = f"refs/made/fingerprint={fingerprint}/rev=000001.json"
        ref = bound_ref(digests_of(b"%d" % n), "text/plain", None, name)
        self._write(name, canonical_bytes(ref))
        body = ArtifactBound(
            asset="made",
            manifest_fingerprint=fingerprint,
            attempt_id=attempt_id(run_id(fingerprint), 1),
            artifact=ref,
        )
        yield EntryDraft(
            kind=EntryKind.ARTIFACT_BOUND,
            subject=artifact_subject(name),
            actor=ACTOR,
            body=body,
            mentions=(digest_name(ref.digest),),
        )
        for rule in RULES:
            yield self._verdict(rule, manifest, fingerprint, ref)

    def _verdict(
        self, rule: GateRule, manifest: RunManifest, fingerprint: str, ref: BoundRef
    ) -> EntryDraft:
        receipt = GateReceipt(
            gate_id=rule.gate_id,
            status=GateStatus.PASS,
            subject=ref,
            scope=GateScope(
                asset="made", manifest_fingerprint=fingerprint, run_id=run_id(fingerprint)
            ),
            rule_digest=rule_digest(rule, manifest),
            attempt_id=_attempt(rule, fingerprint),
            produced_at_utc="2026-01-01T00:00:00.000000Z",
        )
        data = canonical_bytes(receipt)
        name = f"receipts/made/fingerprint={fingerprint}/{rule.gate_id}/{receipt.attempt_id}.json"
        self._write(name, data)
        body = ReceiptRecorded(
            asset="made",
            manifest_fingerprint=fingerprint,
            gate_id=rule.gate_id,
            status=receipt.status,
            subject_digest=ref.digest,
            rule_digest=receipt.rule_digest,
            receipt=bound_ref(digests_of(data), "application/json", "ro.gate_receipt.v0", name),
        )
        return EntryDraft(
            kind=EntryKind.GATE_RECEIPT,
            subject=verdict_subject(rule.gate_id, fingerprint, ref.digest),
            actor=ACTOR,
            body=body,
        )

    def _write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _attempt(rule: GateRule, fingerprint: str) -> str:
    return attempt_id(run_id(fingerprint), RULES.index(rule) + 2)


def _milliseconds(ask: Callable[[int], None], places: list[int]) -> list[float]:
    taken = []
    for place in places:
        begun = perf_counter()
        ask(place)
        taken.append((perf_counter() - begun) * 1000)
    return sorted(taken)


def guarded(name: str, log: LedgerBackend, counts: list[int], questions: int) -> list[Guarded]:
    """The guard's cost over one kind of ledger as the number of manifests grows."""
    results = []
    with tempfile.TemporaryDirectory(prefix="ro-bench-guard-") as folder:
        world = World(Path(folder), log)
        for count in counts:
            world.grow(count, name)
            chance = random.Random(count)
            places = [chance.randrange(count) for _ in range(questions)]
            _milliseconds(world.question, places[: questions // 4])  # warm both up
            _milliseconds(world.floor, places[: questions // 4])
            asked, floor = (
                _milliseconds(world.question, places),
                _milliseconds(world.floor, places),
            )
            median = statistics.median(asked)
            least = statistics.median(floor)
            p95 = asked[int(len(asked) * 0.95)]
            results.append(Guarded(name, count, median, p95, least, median / least))
        log.close()
    return results


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer manifests and questions")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--no-launches", action="store_true", help="leave admission out")
    options = parser.parse_args()
    counts = [100, 1_000] if options.quick else [100, 100_000]
    questions = 200 if options.quick else 2_000
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ro-bench-ledger-")))
        found = guarded("SQLite", SqliteLedgerBackend(folder / "ledger.sqlite"), counts, questions)
        if shutil.which("psql"):
            server = stack.enter_context(postgres_server())
            server.execute("CREATE DATABASE bench")
            log = PostgresLedgerBackend(server.url("bench"))
            found += guarded("PostgreSQL", log, counts, questions)
    launches = [] if options.no_launches else measured_launches(counts, 6 if options.quick else 20)
    if options.json:
        facts = {"guard": [asdict(item) for item in found]}
        print(json.dumps(facts | {"admission": [asdict(item) for item in launches]}, indent=2))
    else:
        console = Console()
        console.print(as_table(found))
        if launches:
            console.print(launches_table(launches))
    return 0


def as_table(results: list[Guarded]) -> Table:
    """The guard's figures for people."""
    table = Table(title=f"One guarded read of an asset with two gates (aim: under {AIM_MS:g} ms)")
    for heading in ("ledger", "manifests", "guard", "95 %", "least possible", "ratio"):
        table.add_column(heading, justify="left" if heading == "ledger" else "right")
    for item in results:
        table.add_row(
            item.ledger,
            f"{item.manifests:,}",
            f"{item.guard_ms:.2f} ms",
            f"{item.guard_p95_ms:.2f} ms",
            f"{item.floor_ms:.2f} ms",
            f"{item.ratio:.1f}",
        )
    return table


def launches_table(results: list[Launches]) -> Table:
    """Admission's figures for people."""
    table = Table(title="launchRun of a consumer with one governed edge, through a webserver")
    for heading in ("partitions", "Dagster's queue", "admitted", "refused", "ratio admitted"):
        table.add_column(heading, justify="right")
    for item in results:
        table.add_row(
            f"{item.partitions:,}",
            f"{item.stock_ms:.0f} ms",
            f"{item.admitted_ms:.0f} ms",
            f"{item.refused_ms:.0f} ms",
            f"{item.admitted_ms / item.stock_ms:.2f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
