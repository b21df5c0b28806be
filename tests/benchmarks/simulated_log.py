"""Proofs from a log too long to append: its file holds invented leaf hashes, the true nodes over
them, and true entries at the places that are proved.
"""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from ro_platform.contracts.ledger import EntryKind
from ro_platform.kernel.clock import system_clock
from ro_platform.kernel.merkle import Node, extend
from ro_platform.ledger.backends.base import Row
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.ledger.backends.sqlite_file import create
from ro_platform.ledger.entry import EntryDraft, encode_entry
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.tree import is_stored

_CHUNK = 1 << 16
_PLACES = 200
_MOMENT = "2000-01-01T00:00:00.000000Z"


def proofs(path: Path, size: int) -> dict[str, float]:
    """Times of a proof of inclusion, entry and root included, and of one of consistency."""
    places = range(0, size, size // _PLACES)
    _fill(path, size, set(places))
    ledger = Ledger(SqliteLedgerBackend(path), system_clock)
    inclusion = [_timed(ledger, "inclusion_proof", seq) for seq in places]
    growth = [_timed(ledger, "consistency_proof", old) for old in places]
    return {
        "entries": size,
        "inclusion proof (us)": statistics.median(inclusion) * 1e6,
        "inclusion proof, the slowest (us)": max(inclusion) * 1e6,
        "consistency proof (us)": statistics.median(growth) * 1e6,
    }


def _timed(ledger: Ledger, proof: str, place: int) -> float:
    start = perf_counter()
    getattr(ledger, proof)(place)
    return perf_counter() - start


def _fill(path: Path, size: int, places: set[int]) -> None:
    create(path)
    database = sqlite3.connect(path, isolation_level=None)
    for kind in ("trigger", "index"):
        made = f"SELECT name FROM sqlite_schema WHERE type = '{kind}' AND sql IS NOT NULL"
        for (name,) in database.execute(made).fetchall():
            database.execute(f"DROP {kind} {name}")
    peaks: list[Node] = []
    database.execute("BEGIN")
    for start in range(0, size, _CHUNK):
        rows = list(_rows(start, min(start + _CHUNK, size), places))
        database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        for level, offset, hashes in extend(peaks, [row.leaf for row in rows]):
            if is_stored(level):
                nodes = [(level, offset + number, one) for number, one in enumerate(hashes)]
                database.executemany("INSERT INTO node VALUES (?, ?, ?)", nodes)
    database.execute("COMMIT")
    database.close()


def _rows(start: int, end: int, places: set[int]) -> Iterator[Row]:
    for seq in range(start, end):
        if seq in places:
            draft = EntryDraft(EntryKind.ADMIN_EVENT, "s", "SYSTEM::bench", {})
            yield encode_entry(draft, seq, _MOMENT)[1]
        else:
            leaf = sha256(seq.to_bytes(8, "big")).digest()
            yield Row(seq, b"{}", leaf, "k", "s", None, None, None)
