"""Columns of Python objects: the first form in which each object comes back the same is stored.

Whether it does is asked value by value, Python types included, and nothing is sampled.

Whether what comes back is what went in: value by value, Python types included, nothing sampled.

Two values are the same if they are equal and of one class, at every depth: ``1``, ``1.0`` and
``True`` are three values, as are ``None`` and NaN, ``1.1`` and ``1.10`` as decimals, ``0.0`` and
``-0.0``, and two dicts with the same keys in another order. One NaN is the same as any other.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ro_platform.artifacts.frame_marks import MISSING
from ro_platform.artifacts.table_errors import ARROW_ERRORS, column_changed

_BY_EQUALITY = frozenset({str, bytes, int, bool, NoneType, dt.date, dt.timedelta})
"""Classes of which two instances are the same exactly if they are equal."""


def first_difference(given: Sequence[Any], back: Sequence[Any]) -> int | None:
    """The first position at which two lists of Python objects differ; None if they are the same."""
    if len(given) != len(back):
        return min(len(given), len(back))
    if _same_by_class(given, back):
        return None
    pairs = enumerate(zip(given, back, strict=True))
    return next((row for row, (one, other) in pairs if not same(one, other)), None)


def is_exact(values: Sequence[Any], kind: pa.DataType) -> bool:
    """Whether an Arrow type holds each of the values by its construction; False says nothing.

    The class of every value is looked at, at every depth: text as ``string``, ``bytes`` as
    ``binary``, whole numbers, days, moments without a zone, lists of one of these, and dicts that
    all have the same keys in the order of the struct.
    """
    kinds = set(map(type, values)) - {NoneType}
    if len(kinds) != 1:
        return not kinds
    (found,) = kinds
    if found in _EXACT:
        return bool(_EXACT[found](kind))
    whole = values if found is dt.datetime else [value for value in values if value is not None]
    if found is list and pa.types.is_list(kind):
        return is_exact(list(chain.from_iterable(whole)), kind.value_type)
    if found is dict and pa.types.is_struct(kind):
        names = [kind.field(position).name for position in range(kind.num_fields)]
        return set(map(tuple, whole)) == {tuple(names)} and all(
            set(map(type, names)) == {str}
            and is_exact([value[name] for value in whole], kind.field(name).type)
            for name in names
        )
    if found is dt.datetime and kind == pa.timestamp("us"):
        moments = filter(None, whole)
        return set(map(attrgetter("fold", "tzinfo"), moments)) == {(0, None)}
    return False


_EXACT: dict[type, Any] = {
    str: pa.types.is_string,
    bytes: pa.types.is_binary,
    bool: pa.types.is_boolean,
    int: pa.types.is_int64,
    dt.date: pa.types.is_date32,
}


def same(one: Any, other: Any) -> bool:
    """Whether two Python objects are the same value of the same class, at every depth."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _BY_EQUALITY:
        return bool(one == other)
    if kind is float:
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (
            one != one and other != other
        )
    if kind is list or kind is tuple:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        keys, others = list(one), list(other)
        return (
            all(map(same, keys, others))
            and len(keys) == len(others)
            and all(map(same, one.values(), other.values()))
        )
    if kind is Decimal:
        return bool(one.as_tuple() == other.as_tuple())
    if kind is dt.datetime or kind is dt.time:
        return one == other and one.fold == other.fold and _same_zone(one.tzinfo, other.tzinfo)
    if kind is np.ndarray:
        return _same_cells(one, other)
    return one is other


def as_read(cells: pa.Array) -> pa.Array:
    """The same values as Parquet gives them back: where a struct is null, so are its fields.

    pandas looks at the fields alone, and makes floats of whole numbers with gaps.
    """
    kind = cells.type
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = list(map(as_read, cells.flatten()))
        names = [kind.field(position) for position in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=names, mask=cells.is_null())
    if pa.types.is_list(kind) and pa.types.is_nested(kind.value_type):
        lengths = pc.list_value_length(cells).fill_null(0).to_numpy()
        ends = np.cumsum(lengths, dtype=np.int32)
        starts = pa.array(np.append(np.zeros(1, np.int32), ends))
        items = as_read(cells.flatten())
        return pa.ListArray.from_arrays(starts, items, type=kind, mask=cells.is_null())
    return cells


def first_arrow_difference(given: pa.Array, back: pa.Array) -> int | None:
    """The first row at which two Arrow arrays of one type differ; None if they are the same."""
    if len(given) == len(back) and same_arrays(given, back):
        return None
    low, high = 0, min(len(given), len(back))
    while low < high:  # the first row is the shortest beginning that differs
        middle = (low + high) // 2
        if same_arrays(given[low : middle + 1], back[low : middle + 1]):
            low = middle + 1
        else:
            high = middle
    return low


def same_arrays(one: pa.Array, other: pa.Array) -> bool:
    """Whether two Arrow arrays hold the same values, a NaN being the same as any other.

    Dictionaries are compared as well as what they encode.
    """
    if one.equals(other):
        return True
    kind = one.type
    if kind != other.type or len(one) != len(other) or not one.is_null().equals(other.is_null()):
        return False
    if isinstance(kind, pa.BaseExtensionType):
        return same_arrays(one.storage, other.storage)
    if pa.types.is_floating(kind):
        cells = one.drop_null().to_numpy(), other.drop_null().to_numpy()
        return bool(np.array_equal(*cells, equal_nan=True))
    if pa.types.is_dictionary(kind):
        return one.indices.equals(other.indices) and same_arrays(one.dictionary, other.dictionary)
    if pa.types.is_struct(kind):
        return all(map(same_arrays, one.flatten(), other.flatten()))
    if pa.types.is_map(kind):
        entries = pa.list_(pa.struct([kind.key_field, kind.item_field]))
        return same_arrays(one.cast(entries), other.cast(entries))
    if hasattr(kind, "value_field"):
        lengths = pc.list_value_length(one), pc.list_value_length(other)
        return lengths[0].equals(lengths[1]) and same_arrays(one.flatten(), other.flatten())
    return False


def _same_by_class(given: Sequence[Any], back: Sequence[Any]) -> bool:
    """A quick way to find the same what is all of few simple classes; False says nothing."""
    kinds = list(map(type, given))
    if kinds != list(map(type, back)):
        return False
    found = set(kinds) - {NoneType}
    if found <= _BY_EQUALITY:
        return given == back
    if found == {float}:
        ours, theirs = (np.array(cells, np.float64).view(np.int64) for cells in (given, back))
        return bool(np.array_equal(ours, theirs))
    if found == {Decimal}:
        ones, others = ([cell for cell in cells if cell is not None] for cells in (given, back))
        return (
            ones == others
            and all(map(Decimal.same_quantum, ones, others))
            and list(map(Decimal.is_signed, ones)) == list(map(Decimal.is_signed, others))
        )
    if found == {list} and NoneType not in kinds:
        return list(map(len, given)) == list(map(len, back)) and _same_by_class(
            list(chain.from_iterable(given)), list(chain.from_iterable(back))
        )
    if found == {dict} and NoneType not in kinds:
        keys = set(map(tuple, (*given, *back)))
        names = next(iter(keys))
        return (
            len(keys) == 1
            and set(map(type, names)) <= {str}
            and all(
                _same_by_class([cell[name] for cell in given], [cell[name] for cell in back])
                for name in names
            )
        )
    if kinds and found == {dt.datetime} and NoneType not in kinds:
        special = attrgetter("fold", "tzinfo")
        return given == back and set(map(special, (*given, *back))) == {(0, None)}
    return False


def _same_zone(one: dt.tzinfo | None, other: dt.tzinfo | None) -> bool:
    return type(one) is type(other) and str(one) == str(other)


def _same_cells(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return (one.tobytes() == other.tobytes() and one.dtype != object) or same(
        one.tolist(), other.tolist()
    )


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
