"""The table as text: for the terminal, and as the page of the reference."""

from __future__ import annotations

from collections.abc import Sequence

from tests.acceptance.many_ways.cells import NO_CELL, STATES, WAYS, Cell, State
from tests.acceptance.many_ways.evidence import Evidence
from tests.acceptance.product import ROOT

PAGE = ROOT / "docs" / "reference" / "no-pass-no-read.md"
_INTRODUCTION = """\
# No PASS, no read: the table

Every way to start a consumer, against every state of what it reads. Each cell was executed on a
deployment with two code locations, webserver and daemon; the bytes are those of the producer's
artifact that left the store, counted in the store itself. `RO_WRITE_TABLE=1 pytest
tests/acceptance/test_no_pass_no_read.py` writes this page; without the variable, the test compares.

`a`: refused at admission, before a worker started. `r`: refused at the read. `-`: no such cell.
"""


def cell_text(evidence: Evidence, cell: Cell) -> str:
    """The bytes delivered, and where the consumer was refused."""
    if (cell.way.name, cell.state.name) in NO_CELL:
        return "-"
    delivered = f"{evidence.bytes_of(cell)} B"
    where = {"REFUSED": " a", "FAILED": " r"}
    return delivered + where.get(evidence.end_of(cell)["status"], "")


def rows_of(evidence: Evidence) -> list[list[str]]:
    """One row a way in, one column a state; the first row names the states."""
    return [
        ["", *(state.name for state in STATES)],
        *(
            [way.words, *(cell_text(evidence, Cell(way, state)) for state in STATES)]
            for way in WAYS
        ),
    ]


def for_terminal(evidence: Evidence) -> str:
    """The table in columns, at most 160 wide."""
    rows = rows_of(evidence)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        " ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def for_page(evidence: Evidence) -> str:
    """The page of the reference."""
    head, *body = rows_of(evidence)
    head[0] = "way in"
    states = [
        (f"`{state.name}`", state.words, f"`{state.code}`" if state.code else "-", _where(state))
        for state in STATES
    ]
    missing = [f"- {_words(way)}, `{state}`: {reason}." for (way, state), reason in NO_CELL.items()]
    return "\n".join(
        [
            _INTRODUCTION,
            *_markdown([head, *body]),
            "\n## States\n",
            *_markdown([("state", "the producer's artifact", "code", "seen"), *states]),
            "\n## Cells that cannot exist\n",
            *missing,
            "",
        ]
    )


def _where(state: State) -> str:
    if state.code is None:
        return "-"
    return "at admission and at the read" if state.admission else "at the read"


def _words(way: str) -> str:
    return next(item.words for item in WAYS if item.name == way)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body]
