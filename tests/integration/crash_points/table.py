"""The matrix as the page of the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from ro_platform.contracts import JobStatus
from tests.integration.crash_points.cells import Finding
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.matrix import Cell, Matrix

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "crash-matrix.md"
_COLUMNS: Mapping[str, tuple[Fault, ...]] = {
    "killed before": (Fault.KILLED_BEFORE,),
    "killed after": (Fault.KILLED_AFTER,),
    "power lost after": (Fault.POWER_LOST,),
    "killed half-way": (Fault.KILLED_TORN,),
    "disk full": (Fault.FULL, Fault.FULL_TORN),
    "done, but fails": (Fault.ANSWER_LOST,),
}
_INTRODUCTION = """\
# The crash matrix

A governed publication, from the first byte to the seal, on a plane that does not exist yet. At each
call by which something durable changes (a boundary), in a process of its own, each fault happens
once. `RO_WRITE_TABLE=1 pytest tests/integration/test_crash_matrix.py` writes this page; without the
variable, the test compares.

Afterwards, in every cell:

- the ledger verifies, and holds every entry that the process was told of, unchanged;
- whatever is bound, and whatever has a PASS, is there byte by byte, and so is every artifact that
  the store acknowledged; what has a name in the store is whole;
- reconciliation, told that the run is over, leaves no attempt open and the run sealed, and a second
  pass writes nothing;
- a second try succeeds on what is there, and gives the same digest.

The same holds after hundreds of kills at random times on one plane, and where the system itself
tears a write (`RLIMIT_FSIZE`).

How to read a cell: what is on record of the publication, then what else was left, until the second
try. `RUNNING → LOST` is an attempt left open, and what reconciliation made of it. Where the call
fails instead, the error's code comes first; in the same process, the second try then succeeds.
`goes on`: the failure is of no consequence, and the first try succeeds.

| fault | meaning |
|---|---|
| killed before, after | SIGKILL just before the call, or just after it |
| power lost after | killed, and every name and byte that was not made durable by then is gone |
| killed half-way | half of the bytes are written; or the server was asked, and nobody hears it |
| disk full | ENOSPC, before a byte is written or after half of them; the database says it is full |
| done, but fails | it is done, but the answer is EIO, or the connection is lost with the answer |
"""


def for_page(embedded: Matrix, served: Matrix) -> str:
    """The whole page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Embedded: the store in a folder, the ledger in SQLite\n",
            *_table(embedded.well),
            "\n## The ledger on PostgreSQL\n",
            "The store's boundaries are those above.\n",
            *_table(served.well),
            "",
        ]
    )


def _table(found: Mapping[Cell, Finding]) -> list[str]:
    rows = [["step", "boundary", *_COLUMNS]]
    for (step, words), cells in _grouped(found):
        rows.append([step, words, *(_text(cells, faults) for faults in _COLUMNS.values())])
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return [head, f"|{'---|' * len(rows[0])}", *body]


def _grouped(
    found: Mapping[Cell, Finding],
) -> Iterable[tuple[tuple[str, str], list[tuple[Cell, Finding]]]]:
    """Neighbours that are the same call on the same kind of thing share a row."""
    for key, cells in groupby(
        found.items(), key=lambda item: (item[0].boundary.step, item[0].boundary.words)
    ):
        yield key, list(cells)


def _text(cells: Sequence[tuple[Cell, Finding]], faults: Sequence[Fault]) -> str:
    texts = [_words(cell, it) for cell, it in cells if cell.fault in faults]
    return "; or ".join(dict.fromkeys(texts)) or "-"


def _words(cell: Cell, found: Finding) -> str:
    if not cell.fault.kills and not found.code:
        return "goes on"
    first = found.ends[0] if len(found.ends) > 1 else None
    left = found.left
    for status in (JobStatus.QUEUED, JobStatus.RUNNING):
        left = left.replace(status, f"{status} → {first}")
    return f"`{found.code}` {left}" if found.code else left
