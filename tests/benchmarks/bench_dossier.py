"""Export and verify a dossier of 1,000 entries, against hashing the same bytes.

Run it as ``python -m tests.benchmarks.bench_dossier``. It prints the median of some rounds, and
fails if either takes a second.
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.contracts import CorrelationIds, EntryKind
from ro_platform.dossier.verify import verify_dossier
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.identity import run_id
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.ledger.log import Ledger
from ro_platform.plane import Plane
from tests.unit.dossier_world import KEY, DossierWorld

ENTRIES, ROUNDS, LIMIT_SECONDS, APPENDS = 1_000, 5, 1.0, 300


def median_of(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds, the median of some rounds."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def world_in(folder: Path) -> DossierWorld:
    """A run with a thousand entries on disk, sealed."""
    backend = SqliteLedgerBackend(folder / "ledger.sqlite")
    plane = Plane.over(FilesystemBackend(folder / "store"), backend, clock=ManualClock())
    world = DossierWorld(plane=plane)
    for number in itertools.count():
        if len(list(plane.ledger.scan(run_id=run_id(world.fingerprint)))) > ENTRIES - 8:
            break
        world.made(f"asset{number}", data=b"%d" % number)
    assert plane.seals.seal(world.fingerprint) is not None
    return world


def appends(folder: Path) -> tuple[float, float]:
    """Seconds for one append that carries a run's id, and for one that carries none."""
    ledger = Ledger(SqliteLedgerBackend(folder / "appends.sqlite"), ManualClock())
    ids = CorrelationIds(run_id="a" * 32)
    numbers = itertools.count()

    def one(given: CorrelationIds) -> float:
        def some() -> None:
            for _ in range(APPENDS):
                subject = f"s{next(numbers)}"
                ledger.append(
                    EntryDraft(
                        EntryKind.ADMIN_EVENT, subject, "SYSTEM::b", {}, correlation_ids=given
                    )
                )

        return median_of(some, 3) / APPENDS

    return one(ids), one(CorrelationIds())


def main() -> None:
    """Measure, print, and fail beyond the limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world, counter = world_in(folder), itertools.count()
        export = median_of(lambda: world.dossier(folder / f"{next(counter)}.dossier"))
        path = folder / "0.dossier"
        dossier = verify_dossier(path, KEY.verifier)
        verify = median_of(lambda: verify_dossier(path, KEY.verifier))
        hashing = median_of(lambda: hashlib.sha256(path.read_bytes()).digest())
        with_id, without = appends(folder)
    print(f"{dossier.entries} entries, {dossier.size_bytes / 1e6:.1f} MB")
    print(f"export, verified  {export * 1e3:7.1f} ms  {export / hashing:6.1f} x hashing the bytes")
    print(f"verify            {verify * 1e3:7.1f} ms  {verify / hashing:6.1f} x hashing the bytes")
    print(f"append with a run's id {with_id * 1e6:.0f} us, without {without * 1e6:.0f} us")
    assert export < LIMIT_SECONDS
    assert verify < LIMIT_SECONDS


if __name__ == "__main__":
    main()
