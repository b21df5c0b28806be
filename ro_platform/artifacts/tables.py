"""Tables as Parquet whose bytes depend on the table alone: equal tables give equal artifacts.

Row groups are cut at fixed rows whatever the chunks a table came in, every writer setting is fixed
here, and what Arrow and pandas add about themselves (their versions, ``attrs``) is left out of the
schema's metadata. The promise ends at the library: another release of pyarrow may write other
bytes for the same table, which is why an attempt records its packages.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ro_platform import errors
from ro_platform.artifacts import frame_marks
from ro_platform.artifacts.arrow_frames import frame_of_arrow, same_field_metadata, sorted_field
from ro_platform.artifacts.frame_objects import first_arrow_difference
from ro_platform.artifacts.frames import frame_of_table, table_of_frame
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.table_errors import ARROW_ERRORS, short, translated, unfit, unreadable
from ro_platform.contracts.artifact import BoundRef
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
_PANDAS_KEPT = ("index_columns", "column_indexes", "columns")
_ARROW_SCHEMA = b"ARROW:schema"
_ADVICE = "Cast the column to a type that Parquet has: int64, double, string, timestamp('us'), ..."

Tabular: TypeAlias = "pd.DataFrame | pa.Table | pa.RecordBatchReader"


def put_table(
    store: ArtifactStore, value: Tabular, *, schema_version: str | None = None
) -> BoundRef:
    """Store a table as Parquet, streaming one row group at a time.

    A DataFrame needs its default index and distinct text column names. What would not come back as
    it is given is refused by column and row: :class:`EncodingError`, and nothing is stored. Columns
    of flat Arrow types are checked by the schema; of all others each value is compared with what
    the same writer and reader make of it. What a stream raises itself reaches the caller.
    """
    with translated(_no_arrow):
        source = table_of_frame(value) if isinstance(value, pd.DataFrame) else value
    if isinstance(source, pa.Table) and source.num_rows and not source.num_columns:
        raise unfit("it has rows, but no column to hold them")
    schema = _plain_schema(source.schema)
    doubtful = [field.name for field in schema if not _is_flat(field.type)]
    with store.writer(media_type=PARQUET, schema_version=schema_version) as out:
        with translated(_unwritable):
            file = pa.PythonFile(out, mode="w")
            writer = pq.ParquetWriter(file, schema, use_dictionary=_repeating(schema), **_WRITER)
        with _closing(writer):
            rows = 0
            for group in _row_groups(source, schema):
                _check_digits(group)
                _check_values(group.select(doubtful), rows)
                with translated(_unwritable):
                    writer.write_table(group, row_group_size=ROW_GROUP)
                rows += len(group)
    return out.ref


@contextmanager
def _closing(writer: pq.ParquetWriter) -> Iterator[None]:
    """Close the file; what broke off the block is what the caller sees."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            writer.close()
        raise
    with translated(_unwritable):
        writer.close()


def _no_arrow(error: Exception) -> errors.EncodingError:
    return unfit(f"it has no form as an Arrow table ({short(str(error))})")


def _unwritable(error: Exception) -> errors.EncodingError:
    return unfit(f"it cannot be written as Parquet ({short(str(error))})", next_step=_ADVICE)


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
    """The table in a verified Parquet file, with a chunk for each of its row groups."""
    with translated(unreadable):
        return _whole(file)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The DataFrame that was stored, with its dtypes; of another table, one with the same values.

    Columns of Python objects that were stored before values were compared may have been changed
    then: they come back as they were stored.
    """
    with translated(_no_frame):
        return frame_of_table(table) if is_frame(table) else frame_of_arrow(table)


def is_frame(table: pa.Table) -> bool:
    """Whether a DataFrame was stored, rather than an Arrow table."""
    return frame_marks.is_frame(table.schema)


def batches_of(opened: AbstractContextManager[BinaryIO]) -> pa.RecordBatchReader:
    """The batches of a verified Parquet file, read as they are asked for.

    The file is closed when the last one has been read, or with the reader.
    """
    stack = ExitStack()
    file = stack.enter_context(opened)
    try:
        parquet = pq.ParquetFile(file)
    except ARROW_ERRORS as error:
        stack.close()
        raise unreadable(error) from error

    def batches() -> Iterator[pa.RecordBatch]:
        with stack:
            found = parquet.iter_batches(batch_size=ROW_GROUP)
            while (batch := _next(found)) is not None:
                yield batch

    return pa.RecordBatchReader.from_batches(parquet.schema_arrow, batches())


def head_of(file: BinaryIO, rows: int) -> pa.Table:
    """The first rows, and all columns."""
    with translated(unreadable):
        parquet = pq.ParquetFile(file)
        first = next(parquet.iter_batches(batch_size=max(rows, 1)), None)
        return parquet.schema_arrow.empty_table() if first is None else _table(first[:rows])


def columns_of(file: BinaryIO) -> list[tuple[str, str]]:
    """The columns' names and Arrow types."""
    with translated(unreadable):
        return [(field.name, str(field.type)) for field in pq.ParquetFile(file).schema_arrow]


def _next(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    with translated(unreadable):
        return next(batches, None)


def _no_frame(error: Exception) -> errors.EncodingError:
    return unreadable(
        short(str(error)), next_step="Ask for a pyarrow.Table (annotate the input with it)."
    )


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with its metadata in one order, without what tells of versions and attributes.

    Raises :class:`EncodingError` for a type that Parquet would not give back.
    """
    names = Counter(schema.names)
    repeated = next((name for name, count in names.items() if count > 1), None)
    if repeated is not None:
        raise unfit(
            f"several of its columns are named {short(repeated)}",
            next_step="Give each column a name of its own: table.rename_columns([...]).",
            column=repeated,
        )
    metadata = dict(sorted((schema.metadata or {}).items()))
    if _ARROW_SCHEMA in metadata:
        raise unfit(
            "its schema's metadata has the key ARROW:schema, which Parquet keeps for itself",
            next_step="Remove it: table.replace_schema_metadata({}).",
        )
    frame_marks.check_own_metadata(schema)
    if described := frame_marks.pandas_description(schema):
        kept = {key: described[key] for key in _PANDAS_KEPT if key in described}
        metadata[frame_marks.PANDAS] = canonical_bytes(kept)
    # Metadata that is empty, and no metadata, are not the same bytes: with_metadata gives one form.
    plain = pa.schema(list(map(sorted_field, schema))).with_metadata(metadata or None)
    _check_types(plain)
    return plain


def _check_types(schema: pa.Schema) -> None:
    """Write and read no rows, by the ways that real ones go."""
    with translated(lambda error: _no_parquet(schema, error)):
        found = _through_parquet(schema.empty_table()).schema
    for field, back in zip(schema, found, strict=True):
        if field.type != back.type or field.nullable != back.nullable:
            raise unfit(
                f"column {short(field.name)} is {field.type}, which would come back as {back.type}",
                next_step=_ADVICE,
                column=field.name,
            )
        if not same_field_metadata(field, back):
            raise unfit(
                f"the metadata of column {short(field.name)} would not come back",
                next_step="Remove it: field.remove_metadata(), inside its type too.",
                column=field.name,
            )
    if (schema.metadata or {}) != (found.metadata or {}):
        raise unfit(
            "its schema's metadata would not come back",
            next_step="Remove what is no UTF-8 text: table.replace_schema_metadata({...}).",
        )


def _check_digits(group: pa.Table) -> None:
    """Refuse a decimal with more digits than its type says: Parquet would cut it. Arrow itself
    makes none, but takes what another program hands it."""
    for name, column in zip(group.column_names, group.columns, strict=True):
        if pa.types.is_decimal(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise unfit(
                    f"column {short(name)} ({column.type}) is not valid ({short(str(error))})",
                    next_step="Cast the column to a decimal with as many digits as its values.",
                    column=name,
                ) from error


def _check_values(group: pa.Table, first_row: int) -> None:
    """Compare each value with what the writer and the reader make of it."""
    if not group.num_columns:
        return
    with translated(lambda error: _no_column(group, error)):
        back = _through_parquet(group)
        changed = next(_changes(group, back), None)
    if changed is not None:
        field, row = changed
        given, found = (table.column(field.name)[row] for table in (group, back))
        raise unfit(
            f"column {short(field.name)} ({field.type}) has in row {first_row + row} "
            f"{short(given)}, which would come back as {short(found)}",
            next_step=_ADVICE,
            column=field.name,
            row=first_row + row,
        )


def _changes(group: pa.Table, back: pa.Table) -> Iterator[tuple[pa.Field, int]]:
    """The columns that differ, each with its first row that does."""
    for field, given, found in zip(group.schema, group.columns, back.columns, strict=True):
        row = first_arrow_difference(_only_chunk(given), _only_chunk(found))
        if row is not None:
            yield field, row


def _no_column(table: pa.Table, error: Exception) -> errors.EncodingError:
    """The refusal of a table, by the first column that alone does not go through Parquet."""
    return _no_field({field: table.select([field.name]) for field in table.schema}, error)


def _no_parquet(schema: pa.Schema, error: Exception) -> errors.EncodingError:
    return _no_field({field: pa.schema([field]) for field in schema}, error)


def _no_field(
    alone: dict[pa.Field, pa.Table | pa.Schema], error: Exception
) -> errors.EncodingError:
    for field, part in alone.items():
        try:
            _through_parquet(part if isinstance(part, pa.Table) else part.empty_table())
        except ARROW_ERRORS as own:
            return unfit(
                f"column {short(field.name)} is {field.type}, and cannot be written as Parquet and "
                f"read again ({short(str(own))})",
                next_step=_ADVICE,
                column=field.name,
            )
    return _unwritable(error)


def _through_parquet(table: pa.Table) -> pa.Table:
    """The table written and read as real ones are, but for the compression."""
    trial = io.BytesIO()
    settings = {**_WRITER, "compression": "none", "compression_level": None}
    pq.write_table(table, trial, use_dictionary=_repeating(table.schema), **settings)
    return _whole(trial)


def _whole(file: BinaryIO) -> pa.Table:
    """The table in a Parquet file.

    ``pyarrow.parquet.read_table`` scans it as a dataset, whose threads let go of the file after it
    has answered; a process that ends just then is aborted (apache/arrow #34314). Group by group,
    because one read of all groups has no form for 2 GiB of nested text.
    """
    parquet = pq.ParquetFile(file)
    groups = [parquet.read_row_group(group) for group in range(parquet.num_row_groups)]
    return pa.concat_tables(groups) if groups else parquet.schema_arrow.empty_table()


def _only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_flat(kind: pa.DataType) -> bool:
    """Whether Parquet keeps every value of a type by its specification, and Arrow reads it as it
    wrote it: one number, moment or piece of text a row."""
    return any(is_kind(kind) for is_kind in _FLAT)


_FLAT = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal128,
    pa.types.is_decimal256,
    pa.types.is_date32,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_duration,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_null,
)


def _row_groups(source: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP rows (the last may be shorter), each in one chunk."""
    tables = [source] if isinstance(source, pa.Table) else map(_table, source)
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        start = 0
        while start < len(table):
            part = table.slice(start, ROW_GROUP - rows)
            held.append(part)
            start, rows = start + len(part), rows + len(part)
            if rows == ROW_GROUP:
                yield _in_one_chunk(held, schema)
                held, rows = [], 0
    if held:
        yield _in_one_chunk(held, schema)


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _in_one_chunk(parts: list[pa.Table], schema: pa.Schema) -> pa.Table:
    with translated(_unwritable):
        whole = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        same = whole.schema.equals(schema.with_metadata(whole.schema.metadata), check_metadata=True)
        return whole.replace_schema_metadata(schema.metadata) if same else whole.cast(schema)
