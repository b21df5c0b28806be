"""What the ledger costs on SQLite and on PostgreSQL, as ratios to raw inserts into the same engine
in the same run (median of interleaved rounds).

Three raw tables stand beside it (:mod:`tests.benchmarks.raw_tables`), all with the same columns,
bytes and durability. Run: ``PYTHONPATH=. python tests/benchmarks/bench_ledger.py [--quick]``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from ro_platform.contracts.attempt import CorrelationIds
from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import system_clock
from ro_platform.ledger.backends.base import Row
from ro_platform.ledger.entry import EntryDraft, encode_entry
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.segments import Segment, check_segment
from ro_platform.ledger.verification import SEGMENT_LEVEL
from tests.benchmarks.bare_hashing import root_by_hashing
from tests.benchmarks.raw_tables import KINDS, Engine, Postgres, Sqlite
from tests.benchmarks.simulated_log import proofs
from tests.servers import postgres_server

BATCH = 10_000
PROCESSES = 8
Figures = dict[str, float]


def draft(number: int) -> EntryDraft:
    """A transition of an attempt: four an attempt, forty a run, as real runs leave them."""
    run, attempt = number // 40, number // 4
    job, name = _hex("job", attempt), _hex("attempt", attempt)[:32]
    body = {
        "job_id": job[:32],
        "attempt_id": name,
        "unit": "purchases/features",
        "step_key": "features",
        "manifest_fingerprint": _hex("fingerprint", run),
        "number": 1,
        "status": "RUNNING",
    }
    ids = CorrelationIds(run_id=_hex("run", run)[:32], dagster_run_id=_hex("dagster", run)[:36])
    key = f"attempt/{name}/{number % 4}"
    return EntryDraft(EntryKind.ATTEMPT_TRANSITION, name, "SYSTEM::dagster", body, key, ids)


def drafts(start: int, count: int) -> list[EntryDraft]:
    """That many, from that number on."""
    return [draft(number) for number in range(start, start + count)]


def rows_of(start: int, count: int) -> list[Row]:
    """The same facts as finished rows, for the raw tables."""
    moment = "2000-01-01T00:00:00.000000Z"
    return [
        encode_entry(draft(number), number, moment)[1] for number in range(start, start + count)
    ]


def against_raw(engine: Engine, name: str, rounds: int, count: int, *, batch: bool) -> Figures:
    """Appends against the raw tables, turn and turn about: rates (entries/s) and ratios."""
    ledger = Ledger(engine.backend(name), system_clock)
    tables = {kind: engine.raw(name, kind) for kind in KINDS}
    ledger.append_many(drafts(0, 100))
    for table in tables.values():
        table.batch(rows_of(0, 100))
    seconds: dict[str, list[float]] = {name: [] for name in ("ledger", *tables)}
    for start in range(100, 100 + rounds * count, count):
        facts, rows = drafts(start, count), rows_of(start, count)
        if batch:
            seconds["ledger"].append(_timed(partial(ledger.append_many, facts)))
        else:
            seconds["ledger"].append(_timed(partial(_append_each, ledger, facts)))
        for kind, table in tables.items():
            write = table.batch if batch else table.one_by_one
            seconds[kind].append(_timed(partial(write, rows)))
    ledger.verify()
    figures = {
        f"{kind} (entries/s)": count / statistics.median(taken) for kind, taken in seconds.items()
    }
    for kind in tables:
        pairs = zip(seconds[kind], seconds["ledger"], strict=True)
        figures[f"ratio to {kind}"] = statistics.median(raw / ours for raw, ours in pairs)
    return figures


def from_processes(engine: Engine, name: str, rounds: int, count: int) -> Figures:
    """Appends by several processes at once against raw inserts by as many, a commit each."""
    ledger = Ledger(engine.backend(name), system_clock)
    ledger.append(draft(0))
    engine.raw(name, "indexed").batch(rows_of(0, 1))
    ledger.close()
    seconds: dict[str, list[float]] = {"ledger": [], "indexed": []}
    for start in range(1, 1 + rounds * PROCESSES * count, PROCESSES * count):
        for kind, work in (("ledger", _append_in_process), ("indexed", _insert_in_process)):
            seconds[kind].append(_timed_together(partial(work, engine, name), start, count))
    total = PROCESSES * count
    ratios = (raw / ours for ours, raw in zip(*seconds.values(), strict=True))
    ledger.verify()
    return {
        f"{kind} (entries/s)": total / statistics.median(taken) for kind, taken in seconds.items()
    } | {"ratio to indexed": statistics.median(ratios)}


def _timed_together(work: Callable[[int, int, Barrier], None], start: int, count: int) -> float:
    """Seconds from when all processes are ready until the last is done."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(PROCESSES + 1)
    children = [
        context.Process(target=work, args=(start + number * count, count, ready))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    ready.wait()
    took = _timed(partial(_join_all, children))
    assert [child.exitcode for child in children] == [0] * PROCESSES
    return took


def _join_all(children: Sequence[BaseProcess]) -> None:
    for child in children:
        child.join()


def _append_in_process(engine: Engine, name: str, start: int, count: int, ready: Barrier) -> None:
    ledger, facts = Ledger(engine.backend(name), system_clock), drafts(start, count)
    ledger.size()
    ready.wait()
    _append_each(ledger, facts)


def _insert_in_process(engine: Engine, name: str, start: int, count: int, ready: Barrier) -> None:
    table, rows = engine.raw(name, "indexed"), rows_of(start, count)
    ready.wait()
    table.one_by_one(rows)


def at_size(engine: Engine, size: int) -> Figures:
    """What grows with the log: appends, proofs, opening."""
    ledger = Ledger(engine.backend("large"), system_clock)
    ledger.append_many(drafts(0, BATCH))
    first = _median_of_each(lambda n: ledger.append(draft(n)), range(BATCH, BATCH + 500))
    loading = 0.0
    for start in range(BATCH + 500, size, BATCH):
        facts = drafts(start, BATCH)
        loading += _timed(partial(ledger.append_many, facts))
    loaded, base = ledger.size(), ledger.size()
    last = _median_of_each(lambda n: ledger.append(draft(n)), range(base, base + 500))
    total = ledger.size()
    places = range(0, total, total // 200)
    proof = _median_of_each(lambda seq: ledger.inclusion_proof(seq), places)
    growth = _median_of_each(lambda old: ledger.consistency_proof(old), places)
    root = _median_of_each(lambda _: ledger.root(), range(50))
    fresh = Ledger(engine.backend("large"), system_clock)
    cold = _timed(lambda: fresh.append(draft(total)))
    return {
        "entries": total,
        "loading in batches (entries/s)": (loaded - BATCH - 500) / loading,
        "append at the start (us)": first * 1e6,
        "append at this size (us)": last * 1e6,
        "first append of a new process (us)": cold * 1e6,
        "inclusion proof (us)": proof * 1e6,
        "consistency proof (us)": growth * 1e6,
        "root (us)": root * 1e6,
    }


def verifying(engine: Engine, name: str, rounds: int) -> Figures:
    """Verification against hashing the same bytes: read by as many processes from the same database
    into the same root (:mod:`tests.benchmarks.bare_hashing`), and, harder, in memory already."""
    backend = engine.backend(name)
    ledger = Ledger(backend, system_clock)
    size, root = ledger.size(), ledger.root()
    data = [row for (row,) in engine.ask(name)(0, BATCH)]
    in_memory = statistics.median(
        _timed(lambda: [sha256(one).digest() for one in data]) / BATCH for _ in range(9)
    )
    figures: Figures = {
        "entries": size,
        "SHA-256 in memory (entries/s)": 1 / in_memory,
        "census (entries/s)": size / _timed(backend.census),
    }
    # A shorter log is verified by one process, however many there may be.
    for jobs in (1, 2) if size >= 8 << SEGMENT_LEVEL else (1,):
        hashing = partial(root_by_hashing, engine, name, size, jobs)
        checking = partial(ledger.verify, jobs=jobs)
        bare, full = _turn_about(rounds, hashing, checking)
        figures[f"hashing by {jobs} (entries/s)"] = size / statistics.median(bare)
        figures[f"verify by {jobs} (entries/s)"] = size / statistics.median(full)
        figures[f"verify by {jobs}, ratio to hashing"] = _ratio(bare, full)
        assert (hashing(), checking().root) == (root, root)
    bare, rows = _turn_about(
        rounds,
        partial(root_by_hashing, engine, name, size, 1),
        partial(check_segment, backend, Segment(0, size)),
    )
    figures["verify by 1 without census, ratio to hashing"] = _ratio(bare, rows)
    figures["verify by 1, ratio to SHA-256 in memory"] = (
        figures["verify by 1 (entries/s)"] * in_memory
    )
    return figures


def _turn_about(
    rounds: int, one: Callable[[], object], other: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Seconds of each, interleaved."""
    pairs = [(_timed(one), _timed(other)) for _ in range(rounds)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(raw / own for raw, own in zip(peer, ours, strict=True))


def measure(folder: Path, *, quick: bool) -> dict[str, Figures]:
    """All figures, by group."""
    figures: dict[str, Figures] = {}
    with ExitStack() as stack:
        engines: dict[str, Engine] = {
            "SQLite": Sqlite(folder),
            "PostgreSQL": Postgres(stack.enter_context(postgres_server())),
        }
        for name, engine in engines.items():
            rounds, count = (5, 100) if quick else (15, 300)
            figures[f"{name}, one by one"] = against_raw(
                engine, "single", rounds, count, batch=False
            )
            figures[f"{name}, batches of {BATCH}"] = against_raw(
                engine, "batch", 3 if quick else 9, BATCH, batch=True
            )
            rounds, count = (2, 25) if quick else (7, 200)
            figures[f"{name}, {PROCESSES} processes"] = from_processes(
                engine, "together", rounds, count
            )
            if name == "SQLite":
                figures["SQLite, a large log"] = at_size(engine, 50_000 if quick else 1_000_000)
            figures[f"{name}, verification"] = verifying(
                engine, "large" if name == "SQLite" else "batch", 1 if quick else 3
            )
    huge = 1_000_000 if quick else 10_000_000
    figures["SQLite, proofs from a simulated log"] = proofs(folder / "huge.sqlite", huge)
    return figures


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute less, a larger error")
    parser.add_argument("--json", action="store_true", help="figures for machines")
    parser.add_argument("--dir", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-ledger-", dir=options.dir) as folder:
        figures = measure(Path(folder), quick=options.quick)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for title, group in figures.items():
        table = Table(title=title, title_justify="left")
        table.add_column("what")
        table.add_column("figure", justify="right")
        for name, value in group.items():
            table.add_row(name, f"{value:,.2f}" if "ratio" in name else f"{value:,.0f}")
        Console().print(table)


def _append_each(ledger: Ledger, facts: list[EntryDraft]) -> None:
    for fact in facts:
        ledger.append(fact)


def _timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _median_of_each(work: Callable[[int], object], numbers: range) -> float:
    return statistics.median(_timed(partial(work, number)) for number in numbers)


def _hex(name: str, number: int) -> str:
    return sha256(f"{name} {number}".encode()).hexdigest()


if __name__ == "__main__":
    main()
