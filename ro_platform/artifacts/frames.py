"""DataFrames as Arrow tables and back, each column with the dtype and the values it was given with.

pandas' own description of a frame (the schema's metadata ``pandas``) names the dtypes. What it does
not tell is kept beside it and absent when unused: the categories (``ro.categories``), and in
``ro.frame`` what else a column needs. ``objects`` says how a column of Python objects is read
(``exact``: as Arrow's own Python values; ``nan``, ``NaT``, ``NA``: what stands where nothing is;
``arrow``: that they are no objects, but a ``pandas.ArrowDtype`` that pandas describes as such),
``text`` how a text column is kept, ``categories`` the dtype of categories, ``labels`` the name and
dtype of the columns' own index, ``unique_labels`` that duplicate labels are forbidden.

Not kept: ``attrs``; the class of a time zone (it comes back as pandas reads its name); the payload
of a NaN. A frame that would come back otherwise changed is refused by column, row and values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ro_platform.artifacts.sameness import first_difference, is_exact
from ro_platform.artifacts.table_errors import ARROW_ERRORS, short, unfit
from ro_platform.errors import EncodingError, NotCanonicalError
from ro_platform.kernel.canonical import canonical_bytes

PANDAS = b"pandas"
CATEGORIES = b"ro.categories"
FRAME = b"ro.frame"
ROWS = 128 << 10
"""Rows that are compared at a time."""

_TEXT: dict[str, Any] = {
    "object": np.dtype(object),
    "str[pyarrow]": pd.StringDtype("pyarrow", na_value=np.nan),
    "str[python]": pd.StringDtype("python", na_value=np.nan),
    "string[pyarrow]": pd.StringDtype("pyarrow", na_value=pd.NA),
    "string[python]": pd.StringDtype("python", na_value=pd.NA),
}
_ARROW = "[pyarrow]"
"""How pandas ends the name of an ArrowDtype."""
_MISSING: dict[str, Any] = {"nan": float("nan"), "NaT": pd.NaT, "NA": pd.NA}
_KEPT = {"objects": dict, "text": dict, "categories": dict, "labels": dict, "unique_labels": bool}
_PLAIN_OBJECTS = (
    pa.types.is_binary,
    pa.types.is_date32,
    pa.types.is_decimal128,
    pa.types.is_nested,
    pa.types.is_null,
    pa.types.is_time64,
)
"""Types that pandas itself reads as Python objects."""


def table_of_frame(frame: pd.DataFrame) -> pa.Table:
    """The Arrow table by which the frame comes back; :class:`EncodingError` if there is none.

    Columns of objects, categories and other than NumPy's dtypes are compared value by value.
    """
    _check_labels(frame)
    form: dict[str, Any] = {**_labels(frame), "objects": {}, "text": {}, "categories": {}}
    plain, categories = _without_categories(frame, form)
    table = _arrow(plain)
    for name, dtype in plain.dtypes.items():
        if name not in categories and dtype == np.dtype(object):
            table = _with_objects(table, str(name), plain[name], form)
        elif isinstance(dtype, pd.StringDtype) and dtype.storage != "pyarrow":
            form["text"][str(name)] = _text_name(dtype)
        elif isinstance(dtype, pd.ArrowDtype) and not _is_named_arrow(table.schema, str(name)):
            form["objects"][str(name)] = "arrow"
    table = table.replace_schema_metadata(_metadata(table, categories, form))
    _check_dtypes(frame, table)
    _check_values(frame, table)
    return table


def frame_of_table(table: pa.Table) -> pd.DataFrame:
    """The DataFrame that was stored as this table. :class:`EncodingError` if it is none."""
    form, categories = _form(table.schema)
    special = dict(_special(table, form, categories))
    plain = _described(table.drop_columns(list(special))) if special else table
    frame: pd.DataFrame = plain.to_pandas(date_as_object=True)
    for name, dtype in categories.items():
        frame[name] = pd.Categorical(frame[name], **dtype)
    for name, text in form["text"].items():
        frame[name] = frame[name].astype(_TEXT[text])
    if special:
        columns = {
            name: special[name] if name in special else frame[name] for name in table.column_names
        }
        frame = pd.DataFrame(columns, index=pd.RangeIndex(len(table)), copy=False)
    return _labelled(frame, form)


def _special(
    table: pa.Table, form: dict[str, Any], categories: dict[str, Any]
) -> Iterator[tuple[str, pd.Series[Any]]]:
    """The columns that pandas alone would read as something else than what they were."""
    dtypes = _numpy_types(table.schema)
    for field in table.schema:
        name, column = field.name, table.column(field.name)
        dtype, mark = dtypes.get(name, ""), form["objects"].get(name)
        if dtype.endswith(_ARROW) or mark == "arrow":
            yield name, pd.Series(pd.arrays.ArrowExtensionArray(column))
        elif dtype == "object" and name not in categories and not _left_to_pandas(field.type, mark):
            yield name, pd.Series(_objects(column, mark), dtype=object)


def is_frame(schema: pa.Schema) -> bool:
    """Whether a DataFrame was stored, rather than an Arrow table (which may have been one once)."""
    described = pandas_description(schema)
    if described is None or described.get("index_columns") != []:
        return False
    names: list[str] = schema.names
    return [column.get("field_name") for column in described["columns"]] == names


def pandas_description(schema: pa.Schema) -> dict[str, Any] | None:
    """What pandas wrote about a frame into the schema; None where that is no such thing."""
    found: dict[str, Any] | None = _json((schema.metadata or {}).get(PANDAS, b""))
    columns = found.get("columns") if isinstance(found, dict) else None
    if not isinstance(columns, list) or not all(isinstance(item, dict) for item in columns):
        return None
    return found


def check_own_metadata(schema: pa.Schema) -> None:
    """Refuse what stands under this module's keys, but was not written by it."""
    if {CATEGORIES, FRAME} & (schema.metadata or {}).keys() and not is_frame(schema):
        raise unfit(
            "its schema's metadata has keys named ro.…, which tell how a stored DataFrame is read",
            next_step="Remove them: table.replace_schema_metadata({}).",
        )
    _form(schema)


# --- labels --------------------------------------------------------------------------------------


def _check_labels(frame: pd.DataFrame) -> None:
    index, names = frame.index, list(frame.columns)
    if type(frame) is not pd.DataFrame:
        raise unfit(
            f"a {type(frame).__name__} would come back as a pandas.DataFrame",
            next_step="Give pandas.DataFrame(frame), and what is lost by it as another asset.",
        )
    default = isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(frame)))
    if not default or index.name is not None:
        raise unfit("its index is not the default one; call reset_index() (drop=True to lose it)")
    if not all(type(name) is str for name in names) or len(set(names)) < len(names):
        raise unfit("its column names are not distinct text; rename them")
    broken = next((name for name in names if not _is_unicode(name)), None)
    if broken is not None:
        raise unfit(f"column name {short(broken)} is no Unicode text; rename it", column=broken)
    if len(frame) and not names:
        raise unfit("it has rows, but no column to hold them")


def _labels(frame: pd.DataFrame) -> dict[str, Any]:
    """What is to be kept of the columns' own index and of the flags."""
    columns, kept = frame.columns, dict[str, Any]()
    if columns.name is not None:
        if type(columns.name) is not str:
            raise unfit(
                f"the name of its columns' index is {short(columns.name)}, which is no text",
                next_step="Rename it: frame.columns.name = None, or text.",
            )
        kept["name"] = columns.name
    if isinstance(columns, pd.RangeIndex):
        kept["dtype"] = "range"
    elif _text_name(columns.dtype) is None or type(columns) is not pd.Index:
        raise unfit(
            f"the index of its columns is a {type(columns).__name__} of {columns.dtype}",
            next_step="Make it text: frame.columns = list(frame.columns).",
        )
    elif _text_name(columns.dtype) != ("str[pyarrow]" if len(columns) else "object"):
        kept["dtype"] = _text_name(columns.dtype)
    return {"labels": kept, "unique_labels": not frame.flags.allows_duplicate_labels}


def _labelled(frame: pd.DataFrame, form: dict[str, Any]) -> pd.DataFrame:
    labels = form["labels"]
    dtype = labels.get("dtype")
    if dtype == "range":
        frame.columns = pd.RangeIndex(0)
    elif dtype is not None or labels:
        dtype = dtype or ("str[pyarrow]" if len(frame.columns) else "object")
        frame.columns = pd.Index(list(frame.columns), dtype=_TEXT[dtype])
    if labels:
        frame.columns.name = labels.get("name")
    return frame.set_flags(allows_duplicate_labels=False) if form["unique_labels"] else frame


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _text_name(dtype: Any) -> str | None:
    """The name in _TEXT of a dtype for text; None for any other."""
    same = (name for name, known in _TEXT.items() if type(known) is type(dtype) and known == dtype)
    return next(same, None)


# --- the way in ----------------------------------------------------------------------------------


def _arrow(frame: pd.DataFrame) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except ARROW_ERRORS as error:
        for name in frame.columns:
            try:
                pa.Table.from_pandas(frame[[name]], preserve_index=False)
            except ARROW_ERRORS as own:
                raise _no_type(str(name), frame[name], own) from own
        raise unfit(f"a column has no Arrow type ({error})") from error


def _no_type(name: str, column: pd.Series[Any], error: Exception) -> EncodingError:
    reason = error.args[0] if error.args else error
    return unfit(
        f"column {short(name)} ({column.dtype}) has no Arrow type ({short(str(reason))})",
        next_step=_advice(name, column),
        column=name,
    )


def _without_categories(
    frame: pd.DataFrame, form: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The frame with its categorical columns as text, and what their dtypes were.

    Parquet itself forgets the categories of a column without values, and the type of other than
    text ones.
    """
    described: dict[str, Any] = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            values = dtype.categories.tolist()
            text = _text_name(dtype.categories.dtype)
            if text is None or not all(type(value) is str for value in values):
                raise unfit(
                    f"the categories of column {short(str(name))} are not text",
                    next_step=f"Give categories of text, or the values themselves: "
                    f"frame[{short(str(name))!r}].astype(...).",
                    column=str(name),
                )
            described[str(name)] = {"categories": values, "ordered": bool(dtype.ordered)}
            if text != ("str[pyarrow]" if values else "object"):
                form["categories"][str(name)] = text
    return frame.astype(dict.fromkeys(described, object)), described


def _with_objects(
    table: pa.Table, name: str, column: pd.Series[Any], form: dict[str, Any]
) -> pa.Table:
    """The table with the column in the first form in which its objects come back the same."""
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
    raise _changed(name, column, last)


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
        if _is_read_exactly(part, mark) and is_exact(given, part.type):
            continue
        try:
            back = _objects(part, mark)
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
    fields = cells.drop_null().flatten()  # numbers with gaps are what pandas would change
    return all(
        pa.types.is_string(field.type)
        or (not field.null_count and (pa.types.is_int64(field.type) or field.type == pa.bool_()))
        for field in fields
    )


def _changed(
    name: str, column: pd.Series[Any], change: tuple[int, Any, Any] | None
) -> EncodingError:
    row, given, back = change or (0, None, None)
    what = (
        f"would come back as {short(back)} ({type(back).__name__})"
        if not isinstance(back, Exception)
        else f"cannot be read back ({short(str(back))})"
    )
    return unfit(
        f"column {short(name)} has in row {row} {short(given)} ({type(given).__name__}), "
        f"which {what}",
        next_step=_advice(name, column),
        column=name,
        row=row,
    )


_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("dict",), "as JSON text: .map(json.dumps), or as a pandas.ArrowDtype of a pyarrow.struct"),
    (("set", "frozenset"), "as sorted lists: .map(sorted)"),
    (("tuple", "list", "ndarray"), "as a pandas.ArrowDtype of pyarrow.list_(...)"),
    (("Timestamp", "datetime", "datetime64"), "by pandas.to_datetime(...), in one time zone"),
    (("date",), "as dates only, or by pandas.to_datetime(...)"),
    (("time",), "as text: .astype('string')"),
    (("Timedelta", "timedelta", "timedelta64"), "by pandas.to_timedelta(...)"),
    (("Decimal",), "with one scale: .map(lambda n: n.quantize(...)), None for what is missing"),
    (("str", "str_", "bytes"), "as text only: .astype('string'), or as bytes only"),
    (("bool", "bool_"), "by .astype('boolean')"),
    (("float", "float64", "float32"), "by .astype('float64') or 'Float64'"),
    (("int", "int64", "uint64"), "by .astype('Int64') or 'UInt64'; as text beyond 64 bits"),
)


def _advice(name: str, column: pd.Series[Any]) -> str:
    """What to write in place of a column."""
    kinds = {type(value).__name__ for value in column}
    how = next((how for known, how in _ADVICE if kinds & set(known)), "in a type that Arrow has")
    if column.dtype != object:
        how = "in a dtype that Arrow has, such as int64, Float64, string or datetime64[us]"
    return f"Give column {short(name)!r} {how}."


def _metadata(
    table: pa.Table, categories: dict[str, Any], form: dict[str, Any]
) -> dict[bytes, bytes]:
    metadata: dict[bytes, bytes] = dict(table.schema.metadata)
    used = {key: value for key, value in form.items() if value}
    try:
        if categories:
            metadata[CATEGORIES] = canonical_bytes(categories)
        if used:
            metadata[FRAME] = canonical_bytes(used)
    except NotCanonicalError as error:
        raise unfit(f"its names or categories are not Unicode text ({error.message})") from error
    return metadata


def _check_dtypes(frame: pd.DataFrame, table: pa.Table) -> None:
    """Refuse a dtype that would come back as another, by the way back of no rows."""
    try:
        found = frame_of_table(table.slice(0, 0))
    except ARROW_ERRORS as error:
        raise unfit(f"it would not come back as a DataFrame ({short(str(error))})") from error
    for name, dtype in frame.dtypes.items():
        back = found[name].dtype
        if type(dtype) is not type(back) or dtype != back:
            raise unfit(
                f"column {short(str(name))} is {_long(dtype)}, "
                f"which would come back as {_long(back)}",
                next_step=_advice(str(name), frame[name]),
                column=str(name),
            )
    if type(found.columns) is not type(frame.columns) or not frame.columns.identical(found.columns):
        raise unfit(f"the index of its columns would come back as {short(found.columns)}")


def _long(dtype: Any) -> str:
    """A dtype in words that tell those apart that are written alike."""
    text = _text_name(dtype)
    zone = getattr(dtype, "tz", None)
    return f"{text or dtype}" + (f" by {type(zone).__module__}" if zone is not None else "")


def _check_values(frame: pd.DataFrame, table: pa.Table) -> None:
    """Compare what is neither NumPy's, nor kept by Arrow as it is, nor objects (see above)."""
    doubtful = [
        str(name)
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.api.extensions.ExtensionDtype)
        and not isinstance(dtype, pd.StringDtype | pd.DatetimeTZDtype | pd.ArrowDtype)
        and not _is_masked_whole(dtype)
    ]
    for name in [name for name in doubtful if frame[name].dtype == "category"]:
        _check_codes(frame, table, name)
        doubtful.remove(name)
    part = _described(table.select(doubtful))
    for start in range(0, len(frame) if doubtful else 0, ROWS):
        back = frame_of_table(part.slice(start, ROWS))
        for name in doubtful:
            given, found = frame[name].iloc[start : start + ROWS].array, back[name].array
            if not _same_extension(given, found):
                pairs = enumerate(zip(given, found, strict=True))
                rows = (row for row, (one, two) in pairs if repr(one) != repr(two))
                row = next(rows, 0)
                raise _changed(name, frame[name], (start + row, given[row], found[row]))


def _check_codes(frame: pd.DataFrame, table: pa.Table, name: str) -> None:
    """Compare the code of each value with the one that its text has among the categories."""
    column: Any = frame[name].array
    text = table.column(name)
    text = text.cast(pa.string()) if pa.types.is_null(text.type) else text
    categories = pa.array(column.categories.tolist(), text.type)
    found = pc.index_in(text, value_set=categories, skip_nulls=True).fill_null(-1).to_numpy()
    rows = np.flatnonzero(found != column.codes)
    if len(rows):
        row = int(rows[0])
        raise _changed(name, frame[name], (row, column[row], text[row].as_py()))


def _is_masked_whole(dtype: Any) -> bool:
    """Nullable whole numbers and truth values: Arrow keeps them as they are."""
    return hasattr(dtype, "numpy_dtype") and getattr(dtype, "kind", "f") in "iub"


def _same_extension(given: Any, back: Any) -> bool:
    return bool(given.dtype == back.dtype and given.equals(back))


# --- the way back --------------------------------------------------------------------------------


def _form(schema: pa.Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the columns are read: what ``ro.frame`` says, and the categories with their dtypes."""
    metadata, names = schema.metadata or {}, set(schema.names)
    form, categories = (_json(metadata.get(key, b"{}")) for key in (FRAME, CATEGORIES))
    form_fits = isinstance(form, dict) and all(
        isinstance(value, _KEPT.get(key, NotImplementedError)) for key, value in form.items()
    )
    if not form_fits or not isinstance(categories, dict):
        raise _foreign()
    form = {key: form.get(key, kind()) for key, kind in _KEPT.items()}
    columns = (
        ("objects", {"arrow", "exact", *_MISSING}),
        ("text", {*_TEXT}),
        ("categories", {*_TEXT}),
    )
    for key, known in columns:
        if not all(name in names and how in known for name, how in form[key].items()):
            raise _foreign()
    if not all(_is_categories(item) for item in categories.values()) or categories.keys() - names:
        raise _foreign()
    return form, {
        name: {
            "ordered": item["ordered"],
            "categories": pd.Index(item["categories"], dtype=_TEXT[form["categories"][name]])
            if name in form["categories"]
            else item["categories"],
        }
        for name, item in categories.items()
    }


def _is_categories(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() == {"categories", "ordered"}
        and isinstance(item["categories"], list)
        and all(isinstance(value, str) for value in item["categories"])
        and isinstance(item["ordered"], bool)
    )


def _foreign() -> EncodingError:
    return unfit(
        "what its schema's metadata says under ro.frame or ro.categories was not written by this "
        "platform for these columns",
        next_step="Remove it: table.replace_schema_metadata({}).",
    )


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _numpy_types(schema: pa.Schema) -> dict[str, str]:
    """What pandas calls the dtype of each column."""
    described = pandas_description(schema) or {"columns": []}
    return {
        str(item.get("field_name")): str(item.get("numpy_type")) for item in described["columns"]
    }


def _is_named_arrow(schema: pa.Schema, name: str) -> bool:
    return _numpy_types(schema).get(name, "").endswith(_ARROW)


def _left_to_pandas(kind: pa.DataType, mark: str | None) -> bool:
    return mark is None and any(is_kind(kind) for is_kind in _PLAIN_OBJECTS)


def _objects(column: pa.ChunkedArray, mark: str | None) -> list[Any]:
    """The Python objects of a column, as its mark says."""
    if _left_to_pandas(column.type, mark) or pa.types.is_decimal(column.type):
        cells: list[Any] = column.to_pandas(date_as_object=True).tolist()
    else:
        cells = column.to_pylist()
    if mark in _MISSING:
        missing = _MISSING[mark]
        cells = [missing if cell is None else cell for cell in cells]
    return cells


def _described(table: pa.Table) -> pa.Table:
    """The table with a description of its own columns only."""
    own = set(table.column_names)
    metadata = dict(table.schema.metadata)
    described = pandas_description(table.schema) or {"columns": []}
    described["columns"] = [item for item in described["columns"] if item["field_name"] in own]
    form, categories = (_json(metadata.get(key, b"{}")) for key in (FRAME, CATEGORIES))
    for part in ("objects", "text", "categories"):
        form[part] = _only(form.get(part, {}), own)
    for key, value in ((PANDAS, described), (FRAME, form), (CATEGORIES, _only(categories, own))):
        metadata[key] = json.dumps(value).encode()
    return table.replace_schema_metadata(metadata)


def _only(by_name: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in by_name.items() if name in names}
