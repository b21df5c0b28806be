"""How long the operations pages take to answer, by the ledger's length.

Every page is bounded, so the times should not grow with the ledger. The longer ledgers hold
invented history of every kind, below the same newest entries.
Run: ``PYTHONPATH=. python tests/benchmarks/bench_operations.py [ENTRIES ...]``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.contracts import CorrelationIds, EntryKind, JobStatus
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import Plane
from tests.unit.access_world import published
from tests.unit.admin_world import OPS, FakeOrchestrator, people
from tests.unit.operations_world import OperationsWorld
from tests.unit.small_world import FAIL, PASS, SmallWorld

SIZES = (1_000, 10_000, 100_000)
_BATCH = 10_000
_ROUNDS = 7


def main() -> None:
    """Print the milliseconds."""
    sizes = [int(text) for text in sys.argv[1:]] or SIZES
    table = Table(title="operations pages, median milliseconds")
    table.add_column("entries", justify="right")
    columns: list[str] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            times = measured(Path(folder), size)
        if not columns:
            columns = list(times)
            for name in columns:
                table.add_column(name, justify="right")
        table.add_row(f"{size:,}", *(f"{times[name]:.0f}" for name in columns))
    Console(width=120).print(table)


def measured(folder: Path, size: int) -> dict[str, float]:
    """The median time of each page over a ledger of about that many entries."""
    log = SqliteLedgerBackend(folder / "ledger.sqlite")
    plane = Plane.over(FilesystemBackend(folder / "store"), log, clock=ManualClock())
    world = SmallWorld(plane=plane)
    published(plane, people())
    for start in range(0, size, _BATCH):
        plane.ledger.append_many(list(_history(start, min(start + _BATCH, size))))
    for number in range(50):
        ref = world.made(f"asset_{number}", passed=False)
        if number % 2:
            world.judge(ref, FAIL if number % 4 == 1 else PASS)
    pages = OperationsWorld(plane, folder, FakeOrchestrator())
    run = run_id(world.fingerprint)
    paths = {
        "overview": "/",
        "attempts": "/attempts",
        "events": "/events",
        "directives": "/directives",
        "pauses": "/pauses",
        "run": f"/runs/{run}",
        "pause": "/act/pause",
    }
    return {name: _median(pages, path) for name, path in paths.items()} | {
        "events of one": _median(pages, "/events", actor="HUMAN::nobody")
    }


def _median(pages: OperationsWorld, path: str, **query: str) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = perf_counter()
        assert pages.get(OPS, path, **query).status == 200, path
        times.append(perf_counter() - start)
    return 1000 * statistics.median(times)


def _history(start: int, end: int) -> Iterator[EntryDraft]:
    """Ten entries a run: its registration, eight moves of four attempts, and a refusal."""
    for number in range(start, end):
        run = number // 10
        ids = CorrelationIds(run_id=_hex("run", run)[:32], dagster_run_id=_hex("d", run)[:32])
        yield _entry(number, run, ids)


def _entry(number: int, run: int, ids: CorrelationIds) -> EntryDraft:
    place = number % 10
    if place == 0:
        body = {
            "manifest_fingerprint": _hex("manifest", run),
            "parameter_hash": _hex("parameters", run),
            "workload": "w",
            "size_bytes": 1,
        }
        subject = f"run/{ids.run_id}"
        return EntryDraft(EntryKind.RUN_REGISTERED, subject, "SYSTEM::bench", body, None, ids)
    if place == 9:
        refused = {
            "operation": "launchRun",
            "actor": "HUMAN::reader",
            "source": "127.0.0.1",
            "code": "RO_ACCESS_DENIED",
            "reason": "a benchmark",
            "count": 1,
            "observed_at_utc": "2000-01-01T00:00:00.000000Z",
        }
        return EntryDraft(EntryKind.ACCESS_REFUSED, "access/x", "SYSTEM::bench", refused)
    attempt, status = divmod(number, 2)
    job = _hex("job", attempt)[:32]
    ended = JobStatus.LOST if attempt % 2 else JobStatus.RUNNING
    move = {
        "job_id": job,
        "attempt_id": _hex("attempt", attempt)[:32],
        "unit": f"asset_{attempt % 4}",
        "step_key": "step",
        "manifest_fingerprint": _hex("manifest", run),
        "number": 1,
        "status": (ended if status else JobStatus.QUEUED).value,
    }
    return EntryDraft(EntryKind.ATTEMPT_TRANSITION, f"job/{job}", "SYSTEM::bench", move, None, ids)


def _hex(name: str, number: int) -> str:
    return sha256(f"{name} {number}".encode()).hexdigest()


if __name__ == "__main__":
    main()
