"""Frames and tables of every dtype, index and nesting: equal, or refused by name; equal bytes."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ro_platform.artifacts import frame_objects, tables
from ro_platform.artifacts import frame_objects as sameness
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import decode, encode, preview, table_schema
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.errors import EncodingError
from tests.effort import times
from tests.unit.table_oracle import assert_same_cells, assert_same_frame, assert_same_table

# --- every frame ---------------------------------------------------------------------------------

_ZONES: list[Any] = [dt.UTC, dt.timezone(dt.timedelta(hours=5)), ZoneInfo("Europe/Berlin")]
_MOMENTS = st.datetimes(timezones=st.none() | st.sampled_from(_ZONES))
_DECIMALS = st.decimals(allow_nan=True, allow_infinity=False, places=2, min_value=-99, max_value=99)
_TEXT = st.text(max_size=4)  # lone surrogates too
_WHOLE = st.integers() | st.integers(-(2**65), 2**65) | st.sampled_from([2**53 + 1, 2**63])
_SCALARS = [
    st.just(None),
    st.booleans(),
    _WHOLE,
    st.floats(),
    _TEXT,
    st.binary(max_size=3),
    st.dates(),
    _MOMENTS,
    st.times(timezones=st.none() | st.sampled_from(_ZONES[:2])),
    st.timedeltas(),
    _DECIMALS,
    st.sampled_from([Decimal("1.1"), Decimal("1.10"), Decimal("1E+3"), Decimal("-0")]),
    st.sampled_from([pd.NA, pd.NaT, float("nan")]),
    st.sampled_from([pd.Timestamp("2020"), pd.Timestamp(1), pd.Timedelta(1), pd.Period("2020")]),
    st.sampled_from([np.int64(1), np.float64("nan"), np.bool_(True), np.str_("a")]),
    st.just(np.datetime64("2020-01-01")),
]
_NESTED: st.SearchStrategy[Any] = st.deferred(lambda: st.one_of(*_SCALARS) | _CONTAINERS)
_CONTAINERS: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.lists(_NESTED, max_size=2)
        | st.lists(st.integers(0, 3), max_size=2).map(tuple)
        | st.sets(st.integers(0, 3), max_size=2)
        | st.dictionaries(st.sampled_from("ab") | _TEXT | st.integers(0, 2), _NESTED, max_size=2)
        | st.lists(st.integers(0, 3), max_size=2).map(np.array)
    )
)


def _cells(rows: int) -> st.SearchStrategy[list[Any]]:
    """Cells of one kind with gaps of one kind (most columns), or of any kinds."""
    gap = st.sampled_from([None, float("nan"), pd.NA, pd.NaT])

    def alike(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        columns = gap.flatmap(
            lambda own: st.lists(kind | st.just(own), min_size=rows, max_size=rows)
        )
        return columns | st.lists(kind, min_size=rows, max_size=rows)

    lists = [st.lists(kind, max_size=2) for kind in _SCALARS]
    dicts = [st.fixed_dictionaries({"b": kind, "a": kind}) for kind in _SCALARS]
    one_kind = st.sampled_from([*_SCALARS, *lists, *dicts]).flatmap(alike)
    return one_kind | st.lists(_NESTED, min_size=rows, max_size=rows)


_DTYPES: list[Any] = [
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "Float32", "Float64", "complex128"),
    *("bool", "boolean", "category", "string", "str", "S3", "Sparse[int64]", "period[D]"),
    *(f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")),
    *(f"timedelta64[{unit}]" for unit in ("s", "ms", "us", "ns")),
    *("datetime64[us, UTC]", "datetime64[ns, Europe/Berlin]", "int64[pyarrow]", "double[pyarrow]"),
    pd.StringDtype("python"),
    pd.StringDtype("python", na_value=np.nan),
    pd.CategoricalDtype(["1", "0", "b"], ordered=True),
    pd.CategoricalDtype(pd.Index(["0", "1"], dtype="string")),
    pd.CategoricalDtype([0, 1]),
    pd.IntervalDtype("int64"),
    pd.ArrowDtype(pa.string()),
    pd.ArrowDtype(pa.decimal128(5, 2)),
    pd.ArrowDtype(pa.timestamp("ns", "UTC")),
    pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())),
]


@st.composite
def _columns(draw: st.DrawFn, rows: int) -> pd.Series[Any]:
    if draw(st.booleans()):
        column = pd.Series([None] * rows, dtype=object)
        for row, cell in enumerate(draw(_cells(rows))):
            column.iat[row] = cell
        return column
    dtype = draw(st.sampled_from(_DTYPES))
    numbers = draw(st.lists(st.integers(0, 1) | st.none(), min_size=rows, max_size=rows))
    for values in (numbers, list(map(str, numbers)), [number or 0 for number in numbers]):
        try:
            return pd.Series(values, dtype=dtype)
        except (ValueError, TypeError, NotImplementedError, pa.ArrowException):
            continue
    return pd.Series(numbers, dtype="Int64")


@st.composite
def every_frame(draw: st.DrawFn) -> pd.DataFrame:
    """A frame of up to three columns of any dtype, with any labels."""
    rows = draw(st.integers(0, 4))
    columns = draw(st.lists(_columns(rows), max_size=3))
    frame = pd.concat(columns, axis="columns") if columns else pd.DataFrame()
    count = len(columns)
    names: Any = draw(
        st.lists(_TEXT, min_size=count, max_size=count, unique=True)
        | st.just(list("abc"[:count]))
        | st.just(list(range(count)))
        | st.just(["a"] * count)
    )
    kind = draw(st.sampled_from([None, object, "str", "string", "category"]))
    try:
        frame.columns = pd.Index(names, dtype=kind, name=draw(st.sampled_from([None, "n", 1])))
    except (ValueError, TypeError, UnicodeError):
        frame.columns = pd.RangeIndex(count)
    index = draw(st.sampled_from(["default", "default", "default", "named", "shifted", "text"]))
    if index == "named":
        frame.index.name = "i"
    elif index == "shifted":
        frame.index = frame.index + 1
    elif index == "text":
        frame.index = pd.Index([str(row) for row in range(len(frame))])
    return frame.set_flags(
        allows_duplicate_labels=draw(st.booleans()) or not frame.columns.is_unique
    )


def check_refusal(refused: EncodingError, store: ArtifactStore) -> None:
    """It names a column, or what of the frame as a whole; nothing is stored."""
    assert re.search("column|index|named", refused.message), refused.message
    assert refused.next_step
    assert list(store.backend.names()) == []


def check_frame(frame: pd.DataFrame) -> bool:
    """The law for one frame; whether it was stored."""
    store = ArtifactStore(MemoryBackend())
    try:
        ref = encode(store, frame)
    except EncodingError as refused:
        check_refusal(refused, store)
        return False
    back = decode(store, ref, pd.DataFrame)
    assert_same_frame(frame, back)
    assert encode(store, back) == ref == encode(store, frame.copy())
    table = decode(store, ref, pa.Table)
    assert encode(store, table) == ref
    assert decode(store, ref, pa.RecordBatchReader).read_all().equals(table)
    json.dumps(preview(store, ref), allow_nan=False).encode()
    assert table_schema(store, ref) is not None
    return True


@settings(max_examples=times(250))
@given(every_frame())
def test_every_frame_comes_back_equal_or_is_refused(frame: pd.DataFrame) -> None:
    """Labels, flags, dtypes, and each cell with its Python type, whatever the columns hold."""
    check_frame(frame)


def test_the_usual_columns_are_not_refused() -> None:
    """The law is kept by keeping, not by refusing: of generated columns most kinds are stored."""
    stored: set[int] = set()

    @settings(max_examples=times(300), database=None)
    @given(
        st.integers(0, len(_SCALARS) - 1).flatmap(
            lambda kind: st.tuples(st.just(kind), st.lists(_SCALARS[kind], min_size=1, max_size=2))
        )
    )
    def collect(drawn: tuple[int, list[Any]]) -> None:
        kind, cells = drawn
        if check_frame(pd.DataFrame({"c": pd.Series(cells, dtype=object)})):
            stored.add(kind)

    collect()
    assert stored >= set(range(13))


# --- every table ---------------------------------------------------------------------------------

_FLAT = [
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null()),
    *(
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.binary(2),
        pa.binary_view(),
    ),
    *(pa.decimal32(5, 2), pa.decimal64(9, 0), pa.decimal128(38, 3), pa.decimal256(60, 5)),
    *(pa.decimal128(5, -2), pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms")),
    *(pa.time64("us"), pa.time64("ns"), pa.duration("s"), pa.duration("ns")),
    *(pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.timestamp("ns")),
    *(pa.timestamp("us", "+05:00"), pa.timestamp("us", "Mars/Phobos")),
    *(pa.month_day_nano_interval(), pa.dictionary(pa.int32(), pa.string())),
    *(pa.dictionary(pa.int8(), pa.string(), ordered=True), pa.dictionary(pa.int32(), pa.int64())),
    *(pa.uuid(), pa.bool8(), pa.json_(), pa.run_end_encoded(pa.int32(), pa.string())),
]
_METADATA = st.none() | st.dictionaries(st.sampled_from("ab"), st.text(max_size=2), max_size=2)


def _fields(kinds: st.SearchStrategy[pa.DataType], name: str) -> st.SearchStrategy[pa.Field]:
    return st.builds(lambda kind, data: pa.field(name, kind, metadata=data), kinds, _METADATA)


_KINDS = st.recursive(
    st.sampled_from(_FLAT),
    lambda inner: st.one_of(
        _fields(inner, "item").map(pa.list_),
        _fields(inner, "element").map(pa.large_list),
        _fields(inner, "item").map(pa.list_view),
        st.tuples(_fields(inner, "item"), st.integers(0, 2)).map(lambda pair: pa.list_(*pair)),
        st.tuples(_fields(inner, "b"), _fields(inner, "a")).map(pa.struct),
        st.tuples(_fields(inner, "a"), _fields(inner, "a")).map(pa.struct),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
    ),
    max_leaves=3,
)


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """What ``pa.array`` takes for a type, gaps among them."""
    return st.none() | _solid(kind)


def _solid(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        return st.tuples(*(_values(field.type) for field in kind))
    if pa.types.is_map(kind):
        return st.lists(st.tuples(st.sampled_from("ab"), _values(kind.item_type)), max_size=2)
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        return st.lists(_values(kind.value_type), min_size=size, max_size=size)
    if hasattr(kind, "value_field") and not pa.types.is_dictionary(kind):
        return st.lists(_values(kind.value_type), max_size=2)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _solid(kind.value_type)
    if pa.types.is_floating(kind):
        return st.floats(width=32) if kind != pa.float16() else st.floats(width=16)
    if pa.types.is_decimal(kind):
        return st.sampled_from([Decimal("0"), Decimal("100"), Decimal("-300")])
    if pa.types.is_boolean(kind) or kind == pa.bool8():
        return st.booleans()
    if pa.types.is_fixed_size_binary(kind):
        return st.binary(min_size=2, max_size=2)
    if kind == pa.uuid():
        return st.binary(min_size=16, max_size=16)
    if "binary" in str(kind):
        return st.binary(max_size=3)
    if "string" in str(kind) or kind == pa.json_():
        return st.sampled_from(["", "1", "ü", "2"])
    if pa.types.is_interval(kind):
        return st.just((1, 2, 3))
    if pa.types.is_null(kind):
        return st.none()
    return st.integers(0, 100) | st.sampled_from([0, 86_400_000] if kind == pa.date64() else [7])


@st.composite
def every_table(draw: st.DrawFn) -> pa.Table:
    """A table of up to three columns of any type, sliced out of a longer one, in chunks."""
    rows, start = draw(st.integers(0, 4)), draw(st.integers(0, 1))
    columns, fields = [], []
    names = draw(st.sampled_from([["x", "y", "z"], ["x", "x", "y"], ["", "a.b", "pandas"]]))
    for name in names[: draw(st.integers(0, 3))]:
        kind = draw(_KINDS)
        cells = draw(st.lists(_values(kind), min_size=rows + start, max_size=rows + start))
        try:
            chunk = pa.array(cells, kind)
        except (pa.ArrowException, ValueError, TypeError, NotImplementedError, OverflowError):
            kind, chunk = pa.int64(), pa.array(range(len(cells)), pa.int64())
        columns.append(pa.chunked_array([chunk[start:]], type=kind))
        fields.append(pa.field(name, kind, metadata=draw(_METADATA)))
    schema = pa.schema(fields, metadata=draw(_METADATA))
    return pa.Table.from_arrays(columns, schema=schema)


@settings(max_examples=times(250))
@given(every_table(), st.integers(0, 4))
def test_every_table_comes_back_equal_or_is_refused(table: pa.Table, cut: int) -> None:
    """Schema, metadata, each cell; in other chunks or as a stream the same bytes; shown, always."""
    store = ArtifactStore(MemoryBackend())
    try:
        ref = encode(store, table)
    except EncodingError as refused:
        check_refusal(refused, store)
        return
    back = decode(store, ref, pa.Table)
    assert_same_table(table, back)
    assert_same_table(table, decode(store, ref, pa.RecordBatchReader).read_all())
    parts = pa.concat_tables([table[:cut], table[cut:]])
    assert encode(store, parts) == encode(store, table.to_reader()) == encode(store, back) == ref
    json.dumps(preview(store, ref), allow_nan=False).encode()
    check_read_as_frame(store, ref, table)


def check_read_as_frame(store: ArtifactStore, ref: Any, table: pa.Table) -> None:
    """A frame with each cell of the table, or the refusal of the read."""
    try:
        frame = decode(store, ref, pd.DataFrame)
    except EncodingError as refused:
        assert "pyarrow.Table" in refused.next_step  # noqa: PT017 - either is right
        return
    assert len(frame) == len(table)
    assert list(frame.columns) == table.column_names
    for name in table.column_names:
        cells, column = table[name], frame[name]
        assert column.isna().tolist() == (
            cells.is_null(nan_is_null=column.dtype == np.float64).to_pylist()
            if not pa.types.is_floating(cells.type)
            else column.isna().tolist()
        )
        if isinstance(column.dtype, pd.ArrowDtype):
            assert_same_cells(cells, column.array.__arrow_array__())
        elif pa.types.is_integer(cells.type) or pa.types.is_boolean(cells.type):
            found = [None if cell is pd.NA else cell for cell in column.tolist()]
            assert found == cells.to_pylist()


# --- planted faults ------------------------------------------------------------------------------


def _blind_to(kinds: tuple[type, ...]) -> Any:
    """The comparison, but for values of some classes, which it takes for the same unseen."""
    whole = sameness.first_difference

    def blind(given: Any, back: Any) -> int | None:
        seen = [(a, b) for a, b in zip(given, back, strict=True) if not isinstance(a, kinds)]
        return whole([a for a, _ in seen], [b for _, b in seen])

    return blind


@pytest.mark.parametrize(
    "kinds",
    [(list, dict, set, tuple), (dt.datetime, dt.time), (Decimal,), (str, bytes), (int,), (float,)],
)
def test_the_law_catches_a_comparison_that_skips_a_kind(
    kinds: tuple[type, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of value that went unseen is found by the property test above."""
    monkeypatch.setattr(frame_objects, "first_difference", _blind_to(kinds))
    objects = st.integers(1, 2).flatmap(_cells)

    @settings(
        max_examples=times(1500), database=None, phases=[Phase.generate], report_multiple_bugs=False
    )
    @given(objects)
    def law(cells: list[Any]) -> None:
        check_frame(pd.DataFrame({"c": pd.Series(cells, dtype=object)}))

    with pytest.raises((AssertionError, ExceptionGroup)):
        law()


def test_the_law_catches_a_comparison_that_skips_nested_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An Arrow column that is taken for flat, though its dictionary is not kept, is found."""
    monkeypatch.setattr(tables, "first_arrow_difference", lambda given, back: None)
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["b", "b"]))
    store = ArtifactStore(MemoryBackend())
    ref = encode(store, pa.table({"c": twice}))
    assert not decode(store, ref, pa.Table)["c"].combine_chunks().equals(twice)


# --- other processes -----------------------------------------------------------------------------

_ELSEWHERE = """
import json, sys
import pyarrow as pa
pa.set_cpu_count(int(sys.argv[1]))
pa.set_io_thread_count(int(sys.argv[1]))
import pandas as pd
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import decode, encode
from ro_platform.artifacts.store import ArtifactStore
from tests.unit.table_vectors import MAKERS
from tests.unit.test_table_laws import marked_frame
store, found = ArtifactStore(MemoryBackend()), {}
for name, make in {**MAKERS, "marked": marked_frame}.items():
    value = make()
    ref = encode(store, value)
    again = [decode(store, ref), decode(store, ref, pa.Table)]
    if isinstance(value, pa.Table):
        again += [value.to_reader(max_chunksize=int(sys.argv[2]))]
    found[name] = sorted({encode(store, other).digest for other in (value, *again)})
json.dump(found, sys.stdout)
"""


def marked_frame() -> pd.DataFrame:
    """A frame that uses all that is kept beside pandas' own description."""
    frame = pd.DataFrame(
        {
            "lists": pd.Series([[1, None], [2**53 + 1]], dtype=object),
            "text": pd.Series(["a", float("nan")], dtype=object),
            "string": pd.Series(["a", None], dtype=pd.StringDtype("python")),
            "decimal": pd.Series([None, Decimal("1.5")], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
            "kind": pd.Categorical(["b", "a"], categories=pd.Index(["b", "a"], dtype="string")),
            "month": pd.PeriodIndex(["2020-01", "2020-02"], freq="M"),
        }
    )
    frame.columns.name = "n"
    return frame.set_flags(allows_duplicate_labels=False)


def test_every_process_writes_the_same_bytes() -> None:
    """Other hash seeds, thread counts, chunks and locales: one digest for each value."""
    root = Path(__file__).parents[2]
    answers = []
    for seed, threads, chunk in (("0", "1", "7"), ("1", "4", "131072"), ("77", "2", "50000")):
        done = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE, threads, chunk],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1] == answers[2]
    assert all(len(digests) == 1 for digests in answers[0].values()), answers[0]
