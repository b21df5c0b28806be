"""DataFrames as Arrow tables and back, each column with the dtype and the values it was given with.

What is recorded for that is told in :mod:`ro_platform.artifacts.frame_marks`.

Not kept: ``attrs``; the class of a time zone (it comes back as pandas reads its name); the payload
of a NaN. A frame that would come back otherwise changed is refused by column, row and values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ro_platform import errors
from ro_platform.artifacts.frame_marks import (
    ARROW_ENDING,
    TEXT,
    form_of,
    is_named_arrow,
    metadata_of,
    numpy_types,
    text_columns,
    text_name,
    usual_text,
    with_own_description,
)
from ro_platform.artifacts.frame_objects import ROWS, objects_of, pandas_reads, with_objects
from ro_platform.artifacts.table_errors import ARROW_ERRORS, advice, column_changed, short, unfit


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
            table = with_objects(table, str(name), plain[name], form)
        elif isinstance(dtype, pd.StringDtype) and dtype.storage != "pyarrow":
            form["text"][str(name)] = text_name(dtype)
        elif isinstance(dtype, pd.ArrowDtype) and not is_named_arrow(table.schema, str(name)):
            form["objects"][str(name)] = "arrow"
    table = table.replace_schema_metadata(metadata_of(table, categories, form))
    _check_dtypes(frame, table)
    _check_values(frame, table)
    return table


def frame_of_table(table: pa.Table) -> pd.DataFrame:
    """The DataFrame that was stored as this table. :class:`EncodingError` if it is none."""
    form, categories = form_of(table.schema)
    special = dict(_special(table, form, categories))
    plain = with_own_description(table.drop_columns(list(special))) if special else table
    frame: pd.DataFrame = plain.to_pandas(date_as_object=True)
    for name, dtype in categories.items():
        frame[name] = pd.Categorical(frame[name], **dtype)
    for name, text in text_columns(plain.schema, form).items():
        if name in frame and text_name(frame[name].dtype) != text:
            frame[name] = frame[name].astype(TEXT[text])
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
    dtypes = numpy_types(table.schema)
    for field in table.schema:
        name, column = field.name, table.column(field.name)
        dtype, mark = dtypes.get(name, ""), form["objects"].get(name)
        if dtype.endswith(ARROW_ENDING) or mark == "arrow":
            yield name, pd.Series(pd.arrays.ArrowExtensionArray(column))
        elif dtype == "object" and name not in categories and not pandas_reads(field.type, mark):
            yield name, pd.Series(objects_of(column, mark), dtype=object)


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
    elif text_name(columns.dtype) is None or type(columns) is not pd.Index:
        raise unfit(
            f"the index of its columns is a {type(columns).__name__} of {columns.dtype}",
            next_step="Make it text: frame.columns = list(frame.columns).",
        )
    elif text_name(columns.dtype) != usual_text(columns):
        kept["dtype"] = text_name(columns.dtype)
    return {"labels": kept, "unique_labels": not frame.flags.allows_duplicate_labels}


def _labelled(frame: pd.DataFrame, form: dict[str, Any]) -> pd.DataFrame:
    labels = form["labels"]
    dtype = labels.get("dtype")
    if dtype == "range":
        frame.columns = pd.RangeIndex(0)
    elif (text := dtype or usual_text(frame.columns)) != text_name(frame.columns.dtype):
        frame.columns = pd.Index(list(frame.columns), dtype=TEXT[text])
    if labels:
        frame.columns.name = labels.get("name")
    return frame.set_flags(allows_duplicate_labels=False) if form["unique_labels"] else frame


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


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


def _no_type(name: str, column: pd.Series[Any], error: Exception) -> errors.EncodingError:
    reason = error.args[0] if error.args else error
    return unfit(
        f"column {short(name)} ({column.dtype}) has no Arrow type ({short(str(reason))})",
        next_step=advice(name, column),
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
            text = text_name(dtype.categories.dtype)
            if text is None or not all(type(value) is str for value in values):
                raise unfit(
                    f"the categories of column {short(str(name))} are not text",
                    next_step=f"Give categories of text, or the values themselves: "
                    f"frame[{short(str(name))!r}].astype(...).",
                    column=str(name),
                )
            described[str(name)] = {
                "categories": values,
                "ordered": bool(dtype.ordered),
                **_name_of(dtype.categories, str(name)),
            }
            if text != usual_text(values):
                form["categories"][str(name)] = text
    return frame.astype(dict.fromkeys(described, object)), described


def _name_of(categories: pd.Index[Any], column: str) -> dict[str, str]:
    """The name that categories have of their own, as those that were an index do."""
    if categories.name is None:
        return {}
    if type(categories.name) is not str:
        raise unfit(
            f"the categories of column {short(column)} are named {short(categories.name)}, "
            "which is no text",
            next_step="Take the name away: pandas.CategoricalDtype(list(dtype.categories)).",
            column=column,
        )
    return {"name": categories.name}


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
                next_step=advice(str(name), frame[name]),
                column=str(name),
            )
    if type(found.columns) is not type(frame.columns) or not frame.columns.identical(found.columns):
        raise unfit(f"the index of its columns would come back as {short(found.columns)}")


def _long(dtype: Any) -> str:
    """A dtype in words that tell those apart that are written alike."""
    text = text_name(dtype)
    zone = getattr(dtype, "tz", None)
    return f"{text or dtype}" + (f" by {type(zone).__module__}" if zone is not None else "")


def _check_values(frame: pd.DataFrame, table: pa.Table) -> None:
    """Compare what is neither NumPy's, nor kept by Arrow as it is, nor compared as objects."""
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
    part = with_own_description(table.select(doubtful))
    for start in range(0, len(frame) if doubtful else 0, ROWS):
        back = frame_of_table(part.slice(start, ROWS))
        for name in doubtful:
            given, found = frame[name].iloc[start : start + ROWS].array, back[name].array
            if not _same_extension(given, found):
                pairs = enumerate(zip(given, found, strict=True))
                rows = (row for row, (one, two) in pairs if repr(one) != repr(two))
                row = next(rows, 0)
                raise column_changed(name, frame[name], (start + row, given[row], found[row]))


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
        raise column_changed(name, frame[name], (row, column[row], text[row].as_py()))


def _is_masked_whole(dtype: Any) -> bool:
    """Nullable whole numbers and truth values: Arrow keeps them as they are."""
    return hasattr(dtype, "numpy_dtype") and getattr(dtype, "kind", "f") in "iub"


def _same_extension(given: Any, back: Any) -> bool:
    return bool(given.dtype == back.dtype and given.equals(back))
