"""What is recorded of a DataFrame in its Arrow schema, so that it comes back as it was.

pandas' own description of a frame (the schema's metadata ``pandas``) names the dtypes. What it does
not tell is kept beside it and absent when unused: the categories (``ro.categories``), and in
``ro.frame`` what else a column needs. ``objects`` says how a column of Python objects is read
(``exact``: as Arrow's own Python values; ``nan``, ``NaT``, ``NA``: what stands where nothing is;
``arrow``: that they are no objects, but a ``pandas.ArrowDtype`` that pandas describes as such),
``text`` how a text column is kept, ``categories`` the dtype of categories, ``labels`` the name and
dtype of the columns' own index, ``unique_labels`` that duplicate labels are forbidden.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ro_platform import errors
from ro_platform.artifacts.table_errors import unfit
from ro_platform.kernel.canonical import canonical_bytes

PANDAS = b"pandas"
CATEGORIES = b"ro.categories"
FRAME = b"ro.frame"

TEXT: dict[str, Any] = {
    "object": np.dtype(object),
    "str[pyarrow]": pd.StringDtype("pyarrow", na_value=np.nan),
    "str[python]": pd.StringDtype("python", na_value=np.nan),
    "string[pyarrow]": pd.StringDtype("pyarrow", na_value=pd.NA),
    "string[python]": pd.StringDtype("python", na_value=pd.NA),
}
"""The dtypes of text, by the names that they are recorded under."""
_USUAL = {"str": "str[pyarrow]", "string": "string[pyarrow]"}
ARROW_ENDING = "[pyarrow]"
"""How pandas ends the name of an ArrowDtype."""
MISSING: dict[str, Any] = {"nan": float("nan"), "NaT": pd.NaT, "NA": pd.NA}
"""What stands for a missing object, by the marks that say so."""
_KEPT = {"objects": dict, "text": dict, "categories": dict, "labels": dict, "unique_labels": bool}


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


def numpy_types(schema: pa.Schema) -> dict[str, str]:
    """What pandas calls the dtype of each column."""
    described = pandas_description(schema) or {"columns": []}
    return {
        str(item.get("field_name")): str(item.get("numpy_type")) for item in described["columns"]
    }


def check_own_metadata(schema: pa.Schema) -> None:
    """Refuse what stands under this module's keys, but was not written by it."""
    if {CATEGORIES, FRAME} & (schema.metadata or {}).keys() and not is_frame(schema):
        raise unfit(
            "its schema's metadata has keys named ro.…, which tell how a stored DataFrame is read",
            next_step="Remove them: table.replace_schema_metadata({}).",
        )
    form_of(schema)


def form_of(schema: pa.Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the columns are read: what ``ro.frame`` says, and the categories with their dtypes.
    :class:`EncodingError` if either was not written by this platform for these columns."""
    metadata, names = schema.metadata or {}, set(schema.names)
    form, categories = (_json(metadata.get(key, b"{}")) for key in (FRAME, CATEGORIES))
    form_fits = isinstance(form, dict) and all(
        isinstance(value, _KEPT.get(key, ())) for key, value in form.items()
    )
    if not form_fits or not isinstance(categories, dict):
        raise _foreign()
    form = {key: form.get(key, kind()) for key, kind in _KEPT.items()}
    columns = (
        ("objects", {"arrow", "exact", *MISSING}),
        ("text", {*TEXT}),
        ("categories", {*TEXT}),
    )
    for key, known in columns:
        if not all(name in names and how in known for name, how in form[key].items()):
            raise _foreign()
    if not all(_is_categories(item) for item in categories.values()) or categories.keys() - names:
        raise _foreign()
    return form, {
        name: {
            "ordered": item["ordered"],
            "categories": pd.Index(
                item["categories"],
                dtype=TEXT[form["categories"].get(name) or usual_text(item["categories"])],
                name=item.get("name"),
            ),
        }
        for name, item in categories.items()
    }


def metadata_of(
    table: pa.Table, categories: dict[str, Any], form: dict[str, Any]
) -> dict[bytes, bytes]:
    """The schema's metadata with what is recorded of the frame. :class:`EncodingError` if a name or
    a category is no Unicode text."""
    metadata: dict[bytes, bytes] = dict(table.schema.metadata)
    used = {key: value for key, value in form.items() if value}
    try:
        if categories:
            metadata[CATEGORIES] = canonical_bytes(categories)
        if used:
            metadata[FRAME] = canonical_bytes(used)
    except errors.NotCanonicalError as error:
        raise unfit(f"its names or categories are not Unicode text ({error.message})") from error
    return metadata


def text_name(dtype: Any) -> str | None:
    """The name in ``TEXT`` of a dtype for text; None for any other."""
    same = (name for name, known in TEXT.items() if type(known) is type(dtype) and known == dtype)
    return next(same, None)


def usual_text(values: Collection[Any]) -> str:
    """The name in ``TEXT`` of the dtype of labels and of categories where none is recorded. Without
    it pandas' options would say, and those of the reader may be others."""
    return "str[pyarrow]" if len(values) else "object"


def text_columns(schema: pa.Schema, form: Mapping[str, Any]) -> dict[str, str]:
    """The columns of text, each with the name in ``TEXT`` of its dtype."""
    told = numpy_types(schema).items()
    usual = {name: _USUAL[dtype] for name, dtype in told if dtype in _USUAL}
    return {**usual, **form["text"]}


def is_named_arrow(schema: pa.Schema, name: str) -> bool:
    """Whether pandas describes a column as of an ArrowDtype."""
    return numpy_types(schema).get(name, "").endswith(ARROW_ENDING)


def with_own_description(table: pa.Table) -> pa.Table:
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


def _is_categories(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() - {"name"} == {"categories", "ordered"}
        and isinstance(item.get("name", ""), str)
        and isinstance(item["categories"], list)
        and all(isinstance(value, str) for value in item["categories"])
        and isinstance(item["ordered"], bool)
    )


def _foreign() -> errors.EncodingError:
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


def _only(by_name: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in by_name.items() if name in names}
