"""Tables as Parquet whose bytes depend on the table alone: equal tables give equal artifacts.

Row groups are cut at fixed rows whatever the chunks a table came in, every writer setting is fixed
here, and what Arrow and pandas add about themselves (their versions, ``attrs``) is left out of the
schema's metadata. The promise ends at the library: another release of pyarrow may write other
bytes for the same table, which is why an attempt records its packages.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, BinaryIO, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts.artifact import BoundRef
from ro_platform.errors import EncodingError
from ro_platform.kernel.canonical import canonical_bytes

PARQUET = "application/vnd.apache.parquet"
ROW_GROUP = 128 << 10
"""Rows in a group: what is held in memory while a table streams in or out."""

_WRITER: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "dictionary_pagesize_limit": 1 << 20,
    "data_page_size": 1 << 20,
    "write_batch_size": 1024,
    "write_statistics": True,
    "write_page_index": False,
    "write_page_checksum": False,
    "store_schema": True,
    "use_deprecated_int96_timestamps": False,
}
_PANDAS = b"pandas"
_CATEGORIES = b"ro.categories"
_PANDAS_KEPT = ("index_columns", "column_indexes", "columns")
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)

Tabular: TypeAlias = "pd.DataFrame | pa.Table | pa.RecordBatchReader"


def put_table(
    store: ArtifactStore, value: Tabular, *, schema_version: str | None = None
) -> BoundRef:
    """Store a table as Parquet, streaming one row group at a time.

    A DataFrame needs its default index and distinct text column names; otherwise, and for a column
    without an Arrow type, :class:`EncodingError`.
    """
    source = _of_frame(value) if isinstance(value, pd.DataFrame) else value
    if isinstance(source, pa.Table) and source.num_rows and not source.num_columns:
        raise _unfit("it has rows, but no column to hold them")
    schema = _plain_schema(source.schema)
    try:
        with (
            store.writer(media_type=PARQUET, schema_version=schema_version) as out,
            pq.ParquetWriter(
                pa.PythonFile(out, mode="w"),
                schema,
                use_dictionary=_repeating(schema),
                **_WRITER,
            ) as writer,
        ):
            for group in _row_groups(source):
                writer.write_table(
                    group.replace_schema_metadata(schema.metadata), row_group_size=ROW_GROUP
                )
    except pa.ArrowException as error:
        raise _unfit(f"it cannot be written as Parquet ({error})") from error
    return out.ref


def _repeating(schema: pa.Schema) -> list[str]:
    """The leaf columns worth a dictionary: all but floats, whose values seldom repeat and for which
    looking for repetitions takes longer than writing them."""
    return [path for field in schema for path in _leaves(field.name, field.type)]


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """The Parquet paths of a column's leaves that are no floats."""
    if pa.types.is_map(kind):
        yield from _leaves(f"{path}.key_value.key", kind.key_type)
        yield from _leaves(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_struct(kind):
        for child in kind:
            yield from _leaves(f"{path}.{child.name}", child.type)
    elif hasattr(kind, "value_field") and not pa.types.is_dictionary(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif not pa.types.is_floating(kind):
        yield path


def table_of(file: BinaryIO) -> pa.Table:
    """The table in a verified Parquet file."""
    try:
        return pq.read_table(file, use_threads=True)
    except _READ_ERRORS as error:
        raise _unreadable(error) from error


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The DataFrame that was stored, with its dtypes; of another table, pandas' own choice.

    Text in a column of Python objects comes back as pandas' text type.
    """
    frame: pd.DataFrame = table.to_pandas(date_as_object=True)
    described = (table.schema.metadata or {}).get(_CATEGORIES, b"{}")
    for name, dtype in json.loads(described).items():
        frame[name] = pd.Categorical(frame[name], **dtype)
    return frame


def is_frame(table: pa.Table) -> bool:
    """Whether a DataFrame was stored, rather than an Arrow table."""
    return _PANDAS in (table.schema.metadata or {})


def batches_of(opened: AbstractContextManager[BinaryIO]) -> pa.RecordBatchReader:
    """The batches of a verified Parquet file, read as they are asked for.

    The file is closed when the last one has been read, or with the reader.
    """
    stack = ExitStack()
    file = stack.enter_context(opened)
    try:
        parquet = pq.ParquetFile(file)
    except _READ_ERRORS as error:
        stack.close()
        raise _unreadable(error) from error

    def batches() -> Iterator[pa.RecordBatch]:
        with stack:
            yield from parquet.iter_batches(batch_size=ROW_GROUP)

    return pa.RecordBatchReader.from_batches(parquet.schema_arrow, batches())


def head_of(file: BinaryIO, rows: int) -> list[dict[str, Any]]:
    """The first rows as JSON values; what JSON cannot say is written as text."""
    try:
        batches = pq.ParquetFile(file).iter_batches(batch_size=max(rows, 1))
        first = next(batches, None)
    except _READ_ERRORS as error:
        raise _unreadable(error) from error
    records = [] if first is None else first.slice(0, rows).to_pylist()
    return [{name: _as_json(value) for name, value in record.items()} for record in records]


def columns_of(file: BinaryIO) -> list[tuple[str, str]]:
    """The columns' names and Arrow types."""
    try:
        schema = pq.ParquetFile(file).schema_arrow
    except _READ_ERRORS as error:
        raise _unreadable(error) from error
    return [(field.name, str(field.type)) for field in schema]


def _of_frame(frame: pd.DataFrame) -> pa.Table:
    _check_labels(frame)
    plain, categories = _without_categories(frame)
    try:
        table = pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unfit(f"a column has no Arrow type ({error})") from error
    found = table.slice(0, 0).to_pandas().dtypes
    for name, dtype in plain.dtypes.items():
        if not pd.api.types.is_object_dtype(dtype) and str(found[name]) != str(dtype):
            raise _unfit(f"column {name} is {dtype}, which would come back as {found[name]}")
    if categories:
        metadata = {**table.schema.metadata, _CATEGORIES: canonical_bytes(categories)}
        table = table.replace_schema_metadata(metadata)
    return table


def _check_labels(frame: pd.DataFrame) -> None:
    index, names = frame.index, list(frame.columns)
    default = isinstance(index, pd.RangeIndex) and index.equals(pd.RangeIndex(len(frame)))
    if not default or index.name is not None:
        raise _unfit("its index is not the default one; call reset_index() (drop=True to lose it)")
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise _unfit("its column names are not distinct text; rename them")
    if len(frame) and not names:
        raise _unfit("it has rows, but no column to hold them")


def _without_categories(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The frame with its categorical columns as text, and what their dtypes were.

    Parquet itself forgets the categories of a column without values, and the type of other than
    text ones.
    """
    described: dict[str, Any] = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            values = dtype.categories.tolist()
            if not all(isinstance(value, str) for value in values):
                raise _unfit(f"the categories of column {name} are not text")
            described[str(name)] = {"categories": values, "ordered": bool(dtype.ordered)}
    return frame.astype(dict.fromkeys(described, object)), described


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with its metadata in one order, without what tells of versions and attributes.

    Raises :class:`EncodingError` for a type that Parquet would not give back.
    """
    metadata = dict(sorted((schema.metadata or {}).items()))
    if _PANDAS in metadata:
        described = json.loads(metadata[_PANDAS])
        kept = {key: described[key] for key in _PANDAS_KEPT if key in described}
        metadata[_PANDAS] = canonical_bytes(kept)
    plain = schema.with_metadata(metadata or None)
    trial = io.BytesIO()
    try:
        pq.write_table(plain.empty_table(), trial, **_WRITER)
    except pa.ArrowException as error:
        raise _unfit(f"it cannot be written as Parquet ({error})") from error
    for field, found in zip(plain, pq.read_schema(trial), strict=True):
        if field.type != found.type:
            raise _unfit(
                f"column {field.name} is {field.type}, which would come back as {found.type}"
            )
    return plain


def _row_groups(source: pa.Table | pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP rows (the last may be shorter), each in one chunk."""
    tables = [source] if isinstance(source, pa.Table) else (_table(batch) for batch in source)
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        start = 0
        while start < len(table):
            part = table.slice(start, ROW_GROUP - rows)
            held.append(part)
            start, rows = start + len(part), rows + len(part)
            if rows == ROW_GROUP:
                yield _in_one_chunk(held)
                held, rows = [], 0
    if held:
        yield _in_one_chunk(held)


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _in_one_chunk(parts: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _as_json(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) < 2**53:
            return value
        case float() if value == value and abs(value) != float("inf"):
            return value
        case dict():
            return {str(key): _as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_as_json(item) for item in value]
        case bytes():
            return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _unfit(reason: str) -> EncodingError:
    return EncodingError(
        f"The table cannot be stored: {reason}.",
        next_step="Give a DataFrame with its default index and one type a column, or an Arrow "
        "table.",
    )


def _unreadable(error: Exception) -> EncodingError:
    return EncodingError(
        f"The artifact is named Parquet, but cannot be read as a table: {error}.",
        next_step="Its bytes are those that were recorded: look at what wrote them.",
    )
