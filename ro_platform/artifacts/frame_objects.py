"""Columns of Python objects, stored in the first form in which each object comes back the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from ro_platform.artifacts.frame_marks import MISSING
from ro_platform.artifacts.sameness import as_read, first_difference, is_exact
from ro_platform.artifacts.table_errors import ARROW_ERRORS, column_changed

ROWS = 128 << 10
"""Rows that are compared at a time."""

_PLAIN_OBJECTS = (
    pa.types.is_binary,
    pa.types.is_date32,
    pa.types.is_decimal128,
    pa.types.is_nested,
    pa.types.is_null,
    pa.types.is_time64,
)
"""Types that pandas itself reads as Python objects."""


def with_objects(
    table: pa.Table, name: str, column: pd.Series[Any], form: dict[str, Any]
) -> pa.Table:
    """The table with the column in the first form in which its objects come back the same.

    Its mark is noted in ``form["objects"]``. :class:`EncodingError` if there is no such form.
    """
    position = table.schema.get_field_index(name)
    kept, last = table.column(position), None
    for mark in _marks(column, kept.type):
        stored = _exact(column) if mark == "exact" else kept
        if stored is None:
            continue
        last = _first_change(column, stored, mark)
        if last is None:
            if mark is not None:
                form["objects"][name] = mark
            field = table.schema.field(position).with_type(stored.type)
            return table if stored is kept else table.set_column(position, field, stored)
    raise column_changed(name, column, last)


def objects_of(column: pa.ChunkedArray, mark: str | None) -> list[Any]:
    """The Python objects of a column, as its mark says."""
    if pandas_reads(column.type, mark) or pa.types.is_decimal(column.type):
        cells: list[Any] = column.to_pandas(date_as_object=True).tolist()
    else:
        cells = column.to_pylist()
    if mark in MISSING:
        missing = MISSING[mark]
        cells = [missing if cell is None else cell for cell in cells]
    return cells


def pandas_reads(kind: pa.DataType, mark: str | None) -> bool:
    """Whether pandas reads a column without that mark as the same objects by itself."""
    return mark is None and any(is_kind(kind) for is_kind in _PLAIN_OBJECTS)


def _marks(column: pd.Series[Any], kind: pa.DataType) -> Iterator[str | None]:
    """The forms to try for a column of objects, the one without a mark first where it may fit."""
    kinds = set(map(type, column.tolist()))
    if list not in kinds:
        yield None
    if type(pd.NaT) in kinds:
        yield "NaT"
    elif type(pd.NA) in kinds:
        yield "NA"
    elif float in kinds and not pa.types.is_floating(kind):
        yield "nan"
    if pa.types.is_nested(kind) or float in kinds:
        yield "exact"


def _exact(column: pd.Series[Any]) -> pa.ChunkedArray | None:
    """The column as Arrow has it if NaN is a number and only None is missing."""
    try:
        stored = pa.array(column.tolist(), from_pandas=False)
    except ARROW_ERRORS:
        return None
    return stored if isinstance(stored, pa.ChunkedArray) else pa.chunked_array([stored])


def _first_change(
    column: pd.Series[Any], stored: pa.ChunkedArray, mark: str | None
) -> tuple[int, Any, Any] | None:
    """The first row that comes back as something else, what it held, and what comes back."""
    for start in range(0, len(column), ROWS):
        given = column.iloc[start : start + ROWS].tolist()
        part = stored.slice(start, ROWS)
        part = pa.chunked_array(list(map(as_read, part.chunks)), stored.type)
        if _is_read_exactly(part, mark) and is_exact(given, part.type):
            continue
        try:
            back = objects_of(part, mark)
        except ARROW_ERRORS as error:
            return start, given[0], error
        row = first_difference(given, back)
        if row is not None:
            return start + row, given[row], back[row]
    return None


def _is_read_exactly(cells: pa.ChunkedArray, mark: str | None) -> bool:
    """Whether reading the cells as objects changes none of them, whatever they are."""
    if mark is not None or not pa.types.is_nested(cells.type):
        return mark in (None, "exact")
    if not pa.types.is_struct(cells.type):
        return False
    fields = cells.flatten()  # numbers with gaps are what pandas would change: also no dict is one
    return all(
        pa.types.is_string(field.type)
        or (not field.null_count and (pa.types.is_int64(field.type) or field.type == pa.bool_()))
        for field in fields
    )
