"""What it costs to ask who acts and whether they may, however long the ledger is.

A decision (the policy in force, read each time), a token and a launch grant, over a ledger of a
hundred and of 100,000 entries, SQLite and PostgreSQL; the peer is the least that any decision by a
ledger must do: one row by an index. Medians count; only ratios are worth comparing.
``PYTHONPATH=. python tests/benchmarks/bench_access.py [--quick] [--json]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from ro_platform.access.identity import EPHEMERAL_USER, Credentials
from ro_platform.access.policy import POLICY_CONFIG
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import AccessPolicy, Action, EntryKind, Role, RoleBinding
from ro_platform.ledger.backends.base import LedgerBackend
from ro_platform.ledger.backends.postgres import PostgresLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.entry import EntryDraft
from ro_platform.plane import Plane
from tests.servers import postgres_server

BOSS, ACTOR = EPHEMERAL_USER, "SYSTEM::bench"
ENTRIES_A_COMMIT = 5_000
PEOPLE = 50


@dataclass(frozen=True)
class Asked:
    """Microseconds for one question over a ledger of so many entries."""

    ledger: str
    entries: int
    question: str
    median_us: float
    p95_us: float
    ratio: float


def policy() -> AccessPolicy:
    """An admin, an approver, and people with two roles each."""
    people = (
        RoleBinding(actor=f"HUMAN::person-{number}", role=role)
        for number in range(PEOPLE)
        for role in (Role.READER, Role.OPERATOR)
    )
    bindings = (
        RoleBinding(actor=BOSS, role=Role.ADMIN),
        RoleBinding(actor="HUMAN::second", role=Role.APPROVER),
        *people,
    )
    return AccessPolicy(kind="ro.access_policy.v0", bindings=bindings)


def grown(plane: Plane, entries: int) -> None:
    """Fill the ledger up to that many entries, none of which is about access."""
    for start in range(plane.ledger.size(), entries, ENTRIES_A_COMMIT):
        end = min(start + ENTRIES_A_COMMIT, entries)
        plane.ledger.append_many(
            [
                EntryDraft(EntryKind.ARTIFACT_BOUND, f"artifact/{n}", ACTOR, {"n": n})
                for n in range(start, end)
            ]
        )


def timed(question: Callable[[], object], times: int) -> list[float]:
    """Microseconds of each of so many calls, after a few that do not count."""
    for _ in range(20):
        question()
    taken = []
    for _ in range(times):
        start = perf_counter()
        question()
        taken.append((perf_counter() - start) * 1e6)
    return taken


def measured(name: str, log: LedgerBackend, sizes: list[int], times: int) -> Iterator[Asked]:
    """Every question at every size of one kind of ledger."""
    plane = Plane.over(MemoryBackend(), log, credentials=Credentials.ephemeral())
    issued = plane.tokens.issue(BOSS, lifetime=timedelta(days=1), reason="bench", actor=BOSS)
    plane.policies.publish_first(policy(), reason="bench", actor=BOSS)
    digest, target = "a" * 64, plane.access.target("plane")
    grant = plane.grants.sign(BOSS, digest)
    questions: dict[str, Callable[[], object]] = {
        "floor": lambda: log.latest("config_published", f"config/{POLICY_CONFIG}"),
        "decide": lambda: plane.access.decide("HUMAN::person-40", Action.LAUNCH, target),
        "authenticate": lambda: plane.tokens.authenticate(issued.text),
        "sign a grant": lambda: plane.grants.sign(BOSS, digest),
        "open a grant": lambda: plane.grants.open(grant, digest),
    }
    for size in sizes:
        grown(plane, size)
        floor = 0.0
        for question, ask in questions.items():
            taken = timed(ask, times)
            median = statistics.median(taken)
            floor = floor or median
            p95 = statistics.quantiles(taken, n=20)[-1]
            yield Asked(name, size, question, median, p95, median / floor)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls; SQLite only")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    sizes, times = [100, 100_000], 200 if given.quick else 2_000
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        sqlite = SqliteLedgerBackend(Path(folder) / "ledger.sqlite")
        found = list(measured("SQLite", sqlite, sizes, times))
        if not given.quick:
            with postgres_server() as server:
                log = PostgresLedgerBackend(server.socket_url("postgres"))
                found += measured("PostgreSQL", log, sizes, times)
                log.close()
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    table = Table("ledger", "entries", "question", "median", "p95", "to the floor")
    for one in found:
        table.add_row(
            one.ledger,
            f"{one.entries:,}",
            one.question,
            f"{one.median_us:.0f} µs",
            f"{one.p95_us:.0f} µs",
            f"{one.ratio:.2f}",
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
