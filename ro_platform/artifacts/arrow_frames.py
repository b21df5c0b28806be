"""Arrow tables: their schema in one form, and each value as it is when read as a DataFrame.

Where pandas' own dtype for an Arrow type holds every value of a column, it is that one (as pandas
chooses it). Whole numbers with gaps are ``Int64`` and its like. What pandas would change (gaps
beside NaN, numbers with gaps inside lists, moments inside lists or structs) stays Arrow's, as a
``pandas.ArrowDtype``. What neither can give to Python, such as a day of the year 29349 or a time
zone that nobody knows, is refused: such a table is read as ``pyarrow.Table``.

Fields of an Arrow schema in one form: what Arrow takes for equal is written in equal bytes.

Metadata has an order, and the elements of a list a name, which no comparison of two fields sees.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ro_platform import errors
from ro_platform.artifacts.table_errors import ARROW_ERRORS, short


def sorted_field(field: pa.Field) -> pa.Field:
    """The field with its metadata, at every depth, sorted, and Arrow's own names inside lists."""
    kind = _sorted_type(field.type)
    metadata = dict(sorted((field.metadata or {}).items())) or None
    if kind is field.type and _order(field) == (metadata and list(metadata)):
        return field
    return pa.field(field.name, kind, nullable=field.nullable, metadata=metadata)


def same_field_metadata(one: pa.Field, other: pa.Field) -> bool:
    """Whether two fields of one type have the same metadata at every depth."""
    if (one.metadata or {}) != (other.metadata or {}):
        return False
    pairs = zip(_children(one.type), _children(other.type), strict=True)
    return all(same_field_metadata(*pair) for pair in pairs)


def _sorted_type(kind: pa.DataType) -> pa.DataType:
    """The type with sorted fields; the very same object if it has them already."""
    children = _children(kind)
    fields = [sorted_field(child) for child in children]
    remade: Any = None
    if pa.types.is_struct(kind):
        remade = pa.struct(fields)
    elif pa.types.is_map(kind):
        fields = [fields[0].with_name("key"), fields[1].with_name("value")]
        remade = pa.map_(*fields, keys_sorted=kind.keys_sorted)
    elif fields:
        fields = [fields[0].with_name("item")]
        remade = _list_like(kind, fields[0])
    # A map's entries have a name too, which only its text shows.
    same = remade is None or (
        str(kind) == str(remade)
        and all(
            field is child
            or (field.equals(child, check_metadata=True) and _order(field) == _order(child))
            for field, child in zip(fields, children, strict=True)
        )
    )
    return kind if same else remade


def _list_like(kind: pa.DataType, item: pa.Field) -> pa.DataType | None:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    made = {
        pa.types.is_list: pa.list_,
        pa.types.is_large_list: pa.large_list,
        pa.types.is_list_view: pa.list_view,
        pa.types.is_large_list_view: pa.large_list_view,
    }
    return next((make(item) for is_kind, make in made.items() if is_kind(kind)), None)


def _order(field: pa.Field) -> list[bytes] | None:
    """The metadata's keys as they are written; None and none are two ways to have no metadata."""
    return None if field.metadata is None else list(field.metadata)


def _children(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_struct(kind):
        return [kind.field(position) for position in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if hasattr(kind, "value_field") and not pa.types.is_dictionary(kind):
        return [kind.value_field]
    return []


_WITH_GAPS: dict[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
_NOT_A_TIME = -(2**63)
"""The number by which pandas says that there is no moment; to Arrow it is one."""


def frame_of_arrow(table: pa.Table) -> pd.DataFrame:
    """The table as a DataFrame. :class:`EncodingError` names a column that pandas cannot hold."""
    if len(set(table.column_names)) < len(table.column_names):
        raise _refused("several columns have one name")
    odd = {
        field.name: column
        for field in table.schema
        if (column := _odd(field.name, table.column(field.name))) is not None
    }
    frame = _by_pandas(table.drop_columns(list(odd)), len(table))
    if odd:
        extra = {name: pd.Series(column, index=frame.index) for name, column in odd.items()}
        names = [name for name in table.column_names if name in odd or name in frame.columns]
        frame = pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis="columns")[names]
    return frame


def _by_pandas(table: pa.Table, rows: int) -> pd.DataFrame:
    """By pandas' own choice, and by its description of a frame where the table carries one."""
    if not table.num_columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    frame: pd.DataFrame
    try:
        frame = table.to_pandas(date_as_object=True)
        return frame
    except ARROW_ERRORS:
        table = table.replace_schema_metadata(None)  # a stranger's description, perhaps of nothing
    try:
        frame = table.to_pandas(date_as_object=True)
        return frame
    except ARROW_ERRORS as error:
        for name in table.column_names:
            try:
                table.select([name]).to_pandas(date_as_object=True)
            except ARROW_ERRORS as own:
                raise _refused(f"pandas cannot hold it ({short(str(own))})", name) from own
        raise _refused(f"pandas cannot hold it ({short(str(error))})") from error


def _odd(name: str, column: pa.ChunkedArray) -> Any:
    """The column as pandas is to have it where its own choice would change a value, else None."""
    kind = column.type
    if kind in _WITH_GAPS:
        return _WITH_GAPS[kind].__from_arrow__(column) if column.null_count else None
    try:
        if all(_kept(chunk) for chunk in column.chunks):
            return None
        if not all(_representable(chunk) for chunk in column.chunks):
            raise _refused(f"it holds a {kind} that Python does not have", name)
        return pd.arrays.ArrowExtensionArray(column)
    except errors.EncodingError:
        raise
    except ARROW_ERRORS as error:
        raise _refused(f"pandas cannot hold it ({short(str(error))})", name) from error


def _kept(cells: pa.Array) -> bool:
    """Whether pandas' own choice holds each value of a column."""
    kind = cells.type
    if isinstance(kind, pa.BaseExtensionType):
        return _kept(cells.storage)
    if pa.types.is_floating(kind):
        return not (cells.null_count and _has_nan(cells))
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return _has_no_sentinel(cells) and _representable(cells)
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return _representable(cells)
    return not pa.types.is_nested(kind) or all(map(_kept_inside, _inner(cells)))


def _kept_inside(cells: pa.Array) -> bool:
    """Whether pandas holds the values inside a list or struct, where numbers have no gaps."""
    kind = cells.type
    if pa.types.is_nested(kind):
        return all(map(_kept_inside, _inner(cells)))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return not cells.null_count
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_null)
    return any(is_kind(kind) for is_kind in (*texts, pa.types.is_decimal128))


def _inner(cells: pa.Array) -> list[pa.Array]:
    kind = cells.type
    if pa.types.is_map(kind):
        entries = pa.list_(pa.struct([kind.key_field, kind.item_field]))
        return _inner(cells.cast(entries).flatten())
    if pa.types.is_struct(kind):
        # A gap of the struct is one of each field, also to pandas.
        return list(cells.flatten())
    return [cells.flatten()]


def _representable(cells: pa.Array) -> bool:
    """Whether Python has a value for each moment, day or time of a column (a nested one: is asked
    cell by cell)."""
    kind = cells.type
    if pa.types.is_timestamp(kind):
        pa.scalar(0, kind).as_py()  # an unknown zone is found by the first use
        return True
    if pa.types.is_date32(kind):
        bounds = pc.min_max(cells.cast(pa.int32())).as_py()
        first = (dt.date.min - dt.date(1970, 1, 1)).days
        last = (dt.date.max - dt.date(1970, 1, 1)).days
        return bounds["min"] is None or first <= bounds["min"] <= bounds["max"] <= last
    if pa.types.is_nested(kind) or pa.types.is_time(kind):
        cells.to_pylist()
    return True


def _has_nan(cells: pa.Array) -> bool:
    return bool(pc.any(pc.is_nan(cells.drop_null().cast(pa.float64()))).as_py())


def _has_no_sentinel(cells: pa.Array) -> bool:
    lowest = pc.min(cells.view(pa.int64())).as_py()
    if lowest == _NOT_A_TIME:
        raise ValueError(f"it holds {_NOT_A_TIME}, which pandas takes for no moment at all")
    return True


def _refused(reason: str, column: str | None = None) -> errors.EncodingError:
    where = f"column {short(column)}: " if column is not None else ""
    facts: dict[str, Any] = {} if column is None else {"column": short(column)}
    return errors.EncodingError(
        f"The table cannot be read as a pandas.DataFrame: {where}{reason}.",
        next_step="Ask for a pyarrow.Table (annotate the input with it), or let its producer write "
        "the column in a type that pandas has.",
        **facts,
    )
