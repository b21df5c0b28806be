"""What a person is shown of a table: first rows and columns as JSON values, within a bound.

Showing never fails: a value that Python or JSON does not have is given as text, one that cannot
even be written as its type's name in brackets.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ro_platform.artifacts.table_errors import short

COLUMNS = 100
"""Columns that are shown of a wide table."""
CELL_CHARS = 1000
"""Characters that are shown of a long text."""


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as JSON values, of the first columns only."""
    names = _distinct(table.column_names[:COLUMNS])
    columns = [[_cell(cell) for cell in column] for column in table.columns[:COLUMNS]]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def as_json(value: Any) -> Any:
    """The value if JSON has it, else text."""
    match value:
        case None | bool():
            return value
        case str():
            return _cut(value)
        case int() if abs(value) < 2**53:
            return value
        case float() if value == value and abs(value) != float("inf"):
            return value
        case dict():
            return {_cut(str(key)): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case bytes():
            return _cut(value[:CELL_CHARS].hex())
    return _cut(value.isoformat() if hasattr(value, "isoformat") else str(value))


def _cell(cell: pa.Scalar[Any]) -> Any:
    try:
        return as_json(cell.as_py())
    except Exception:  # noqa: BLE001 - what is only shown never decides
        return _as_text(cell)


def _as_text(cell: pa.Scalar[Any]) -> str:
    try:
        return _cut(str(cell.cast(pa.string()).as_py()))
    except Exception:  # noqa: BLE001 - see above
        return f"<{short(str(cell.type))}>"


def _cut(text: str) -> str:
    text = text[:CELL_CHARS] + ("…" if len(text) > CELL_CHARS else "")
    return text.encode("utf-8", "backslashreplace").decode()


def _distinct(names: list[str]) -> list[str]:
    """The names, of which a table of an earlier release may have several that are one."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct
