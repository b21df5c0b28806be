"""What goes in as a table comes out as it was, or is refused by column, row and advice."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ro_platform.artifacts import frame_objects
from ro_platform.artifacts import frame_objects as sameness
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import decode, encode, preview, table_schema
from ro_platform.artifacts.frame_marks import text_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.errors import EncodingError
from tests.unit.table_oracle import assert_same_cells, assert_same_frame, assert_same_table
from tests.unit.table_vectors import MAKERS, VECTORS
from tests.unit.test_table_laws import marked_frame

EAST = dt.timezone(dt.timedelta(hours=5))
NAN = float("nan")


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


def column(values: Any, dtype: Any = object) -> pd.DataFrame:
    return pd.DataFrame({"c": pd.Series(values, dtype=dtype)})


def arrow(kind: pa.DataType, values: list[Any]) -> pd.DataFrame:
    cells: Any = pd.array(pa.array(values, type=kind), dtype=pd.ArrowDtype(kind))
    return pd.DataFrame({"c": pd.Series(cells)})


# --- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_what_came_back_equal_keeps_its_very_bytes(store: ArtifactStore, name: str) -> None:
    """Frames and tables that earlier releases stored and gave back have the digests of then."""
    recorded = json.loads(VECTORS.read_text())
    if (recorded["pyarrow"], recorded["pandas"]) != (pa.__version__, pd.__version__):
        pytest.skip("the bytes on record are those of another pyarrow")
    value = MAKERS[name]()
    ref = encode(store, value)
    assert ref.digest == recorded["sha256"][name]
    if isinstance(value, pd.DataFrame):
        assert_same_frame(value, decode(store, ref))
    else:
        assert_same_cells_of(value, decode(store, ref, pa.Table))


def assert_same_cells_of(given: pa.Table, back: pa.Table) -> None:
    for name in given.column_names:
        assert_same_cells(given[name].slice(0, 50), back[name].slice(0, 50))


def test_equal_tables_are_equal_bytes(store: ArtifactStore) -> None:
    """Neither the order of a field's metadata, nor none of it, nor an element's name counts."""

    def table(metadata: dict[str, str] | None, name: str = "item") -> pa.Table:
        item = pa.field(name, pa.int64(), metadata=metadata)
        field = pa.field("c", pa.list_(item), metadata=metadata)
        return pa.table(
            [pa.array([[1], None], pa.list_(pa.int64())).cast(field.type)], pa.schema([field])
        )

    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    for first, second in (
        (table(one), table(other)),
        (table(None), table({})),
        (table(one), table(one, "element")),
    ):
        assert first.equals(second)
        assert encode(store, first) == encode(store, second)
    assert encode(store, table(one)) != encode(store, table(None))
    again = decode(store, encode(store, table(one)), pa.Table)
    assert_same_table(table(one), again)
    assert encode(store, again) == encode(store, table(one))


# --- columns of Python objects -------------------------------------------------------------------

KEPT: dict[str, list[Any]] = {
    "whole numbers beyond 2^53 beside None": [2**53 + 1, None],
    "whole numbers": [1, 2],
    "whole numbers beside NaN": [2**53 + 1, NAN],
    "lists of whole numbers and gaps": [[2**53 + 1, None], None, []],
    "lists of numbers and NaN": [[1.5, NAN, None]],
    "truth values": [True, False],
    "truth values beside None": [True, None],
    "numbers beside None": [1.5, None],
    "numbers beside NaN": [1.5, NAN],
    "numbers beside both": [1.5, NAN, None, -0.0],
    "NaN alone": [NAN, NAN],
    "None alone": [None, None],
    "NaT alone": [pd.NaT, pd.NaT],
    "text": ["a", "ü"],
    "text beside None": ["a", None],
    "text beside NaN": ["a", NAN],
    "text beside NA": [pd.NA, "a"],
    "bytes": [b"a", None],
    "dates": [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)],
    "moments": [dt.datetime(2026, 1, 1, 5, 0, 0, 7), None],  # noqa: DTZ001
    "moments in a zone": [dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))],
    "times": [dt.time(1, 2, 3), None],
    "spans": [dt.timedelta(days=-1, microseconds=3), None],
    "decimals of one scale": [Decimal("1.10"), None, Decimal("-2.25")],
    "dicts of one kind": [{"b": 1, "a": None}, {"b": None, "a": "x"}],
    "dicts in lists": [[{"a": 1}, {"a": 2**53 + 1}]],
    "dicts beside None": [{"a": 2**53 + 1, "b": True}, None],
    "dicts in dicts beside None": [{"a": {"b": 2**53 + 1}}, {"a": None}],
    "dicts in lists in dicts beside None": [{"a": [{"b": 2**53 + 1}, None]}, {"a": None}, None],
    "arrays": [np.array([1, 2]), np.array([3])],
    "nothing at all": [],
}


@pytest.mark.parametrize("name", KEPT)
def test_objects_come_back_as_they_were(store: ArtifactStore, name: str) -> None:
    """The dtype stays object, and each value its type."""
    given = column(KEPT[name])
    assert_same_frame(given, decode(store, encode(store, given)))


CHANGED: dict[str, tuple[list[Any], int, str]] = {
    "nanoseconds": ([pd.Timestamp("2026-01-01 00:00:00.123456789")], 0, "to_datetime"),
    "a moment as pandas has it": ([None, pd.Timestamp("2026-01-01")], 1, "to_datetime"),
    "one nanosecond": ([pd.Timedelta(1, "ns")], 0, "to_timedelta"),
    "date beside datetime": ([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 5)], 1, "to_datetime"),  # noqa: DTZ001
    "time with an offset": ([dt.time(1, 2, tzinfo=EAST)], 0, "string"),
    "aware beside naive": (
        [dt.datetime(2026, 1, 1, tzinfo=EAST), dt.datetime(2026, 1, 1)],  # noqa: DTZ001
        1,
        "zone",
    ),
    "two zones": (
        [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, tzinfo=EAST)],
        0,
        "zone",
    ),
    "the second of two equal hours": ([dt.datetime(2026, 1, 1, fold=1)], 0, "to_datetime"),  # noqa: DTZ001
    "dicts with other keys": ([{"a": 1}, {"b": 2}], 0, "json"),
    "dicts in another order": ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], 1, "json"),
    "dicts in lists with other keys": ([[{"a": 1}, {"b": 2}]], 0, "list_"),
    "text beside bytes": (["a", b"b"], 0, "text only"),
    "sets": ([{1, 2}], 0, "sorted"),
    "tuples": ([(1, 2)], 0, "list_"),
    "Decimal NaN": ([Decimal("1.1"), Decimal("NaN")], 1, "scale"),
    "decimals of two scales": ([Decimal("1.1"), Decimal("1.10")], 0, "scale"),
    "None beside NaN": ([None, "a", NAN], 0, "text"),
    "NumPy's own numbers": ([np.int64(1)], 0, "Int64"),
    "NumPy's own text": ([np.str_("a")], 0, "string"),
    "bytearrays": ([bytearray(b"a")], 0, "c"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_objects_that_would_change_are_refused_by_row(store: ArtifactStore, name: str) -> None:
    """Column, first row, both values, and what to write; nothing is stored."""
    values, row, advice = CHANGED[name]
    with pytest.raises(EncodingError, match=f"column c has in row {row} ") as caught:
        encode(store, column(values))
    assert advice in caught.value.next_step
    assert caught.value.diagnostics()["column"] == "c"
    assert list(store.backend.names()) == []


@pytest.mark.parametrize(
    "values",
    [
        [2**64 - 1, 1],
        [2**64 - 1, None],
        [2**70],
        [1, "a"],
        [1, True],
        ["\ud800"],
        [object()],
        [{1: 2}],
        [np.array([[1, 2]])],
        [pd.Period("2020")],
    ],
)
def test_objects_without_an_arrow_type_are_refused_by_name(
    store: ArtifactStore, values: list[Any]
) -> None:
    """Whatever Arrow raises about a value, the refusal names the column among many."""
    frame = pd.DataFrame({"a": [1] * len(values), "c": pd.Series(values, dtype=object)})
    with pytest.raises(EncodingError, match="column c ") as caught:
        encode(store, frame)
    assert "'c'" in caught.value.next_step


def test_a_change_in_the_last_of_many_rows_is_found(store: ArtifactStore) -> None:
    """Nothing is sampled: the one other value of 300,000, over several row groups."""
    values: list[Any] = ["a"] * 300_000
    values[299_999] = np.str_("a")
    with pytest.raises(EncodingError, match="in row 299999 "):
        encode(store, column(values))


# --- dtypes and labels ---------------------------------------------------------------------------

DTYPES: dict[str, Callable[[], pd.DataFrame]] = {
    "string, kept by Python": lambda: column(["a", None], pd.StringDtype("python")),
    "string, kept by Arrow": lambda: column(["a", None], pd.StringDtype("pyarrow")),
    "str, kept by Python": lambda: column(["a", None], pd.StringDtype("python", na_value=np.nan)),
    "str, kept by Arrow": lambda: column(["a", None], pd.StringDtype("pyarrow", na_value=np.nan)),
    "categories of objects": lambda: column(
        pd.Categorical(["b", None], categories=pd.Index(["b", "a"], dtype=object)), None
    ),
    "categories of strings": lambda: column(
        pd.Categorical(["b", None], categories=pd.Index(["b", "a"], dtype="string")), None
    ),
    "categories with a name": lambda: column(
        pd.Categorical(["b", None], categories=pd.Index(["b", "a"], name="kind")), None
    ),
    "no categories, with a name": lambda: column(
        pd.Categorical([None], categories=pd.Index([], dtype=object, name="kind")), None
    ),
    "no categories, of objects": lambda: column(
        pd.Categorical([None], categories=pd.Index([], dtype=object)), None
    ),
    "no categories, of text": lambda: column(
        pd.Categorical([None], categories=pd.Index([], dtype="str")), None
    ),
    "list": lambda: arrow(pa.list_(pa.int64()), [[1, None], None]),
    "struct": lambda: arrow(pa.struct([("x", pa.int64())]), [{"x": 2**53 + 1}, {"x": None}, None]),
    "map": lambda: arrow(pa.map_(pa.string(), pa.int64()), [[("a", 1)], None]),
    "dictionary": lambda: arrow(pa.dictionary(pa.int32(), pa.string()), ["a", None]),
    "fixed size list": lambda: arrow(pa.list_(pa.int8(), 2), [[1, 2], None]),
    "decimal": lambda: arrow(pa.decimal128(10, 2), [None, Decimal("1.50")]),
    "Arrow's string": lambda: arrow(pa.string(), ["a", None]),
    "Arrow's number with NaN": lambda: arrow(pa.float64(), [NAN, None, 1.5]),
    "Arrow's time": lambda: arrow(pa.time64("ns"), [1, None]),
    "period": lambda: column(pd.PeriodIndex(["2020-01", None], freq="M"), None),
    "interval": lambda: column(pd.IntervalIndex.from_breaks([0, 1, 2]), None),
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_that_print_alike_are_kept_apart(store: ArtifactStore, name: str) -> None:
    """Text by Python or Arrow, categories of another text, and all that Arrow has a type for."""
    given = DTYPES[name]()
    assert_same_frame(given, decode(store, encode(store, given)))


LONG = pd.DataFrame({"day": ["a", "a", "b"], "kind": ["x", "y", "x"], "n": [1, 2, 3]})
LABELS: dict[str, Callable[[], pd.DataFrame]] = {
    "a pivot": lambda: LONG.pivot(index="day", columns="kind", values="n").reset_index(),
    "objects": lambda: pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype=object)),
    "strings": lambda: pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], dtype="string")),
    "no columns": pd.DataFrame,
    "no columns, as objects": lambda: pd.DataFrame(columns=pd.Index([], dtype=object)),
    "no columns, as text": lambda: pd.DataFrame(columns=pd.Index([], dtype="str", name="n")),
    "unique labels": lambda: pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_columns_own_index_comes_back(store: ArtifactStore, name: str) -> None:
    """Its name and dtype, of a pivot or of no column at all, and that labels are unique."""
    given = LABELS[name]()
    back = decode(store, encode(store, given))
    assert_same_frame(given, back)
    assert back.flags.allows_duplicate_labels == given.flags.allows_duplicate_labels


OPTIONS: dict[str, tuple[str, Any]] = {
    "text by Python": ("mode.string_storage", "python"),
    "text by Arrow": ("mode.string_storage", "pyarrow"),
    "text as objects": ("future.infer_string", False),
    "NaN is not NA": ("future.distinguish_nan_and_na", True),
}


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
@pytest.mark.parametrize("option", OPTIONS)
def test_pandas_options_of_a_process_change_nothing(store: ArtifactStore, option: str) -> None:
    """The same frame is read, and the same bytes are written, whatever a process has set."""
    makers = {**MAKERS, **DTYPES, **LABELS, "marked": marked_frame}
    for name, value in ((name, make()) for name, make in makers.items()):
        if isinstance(value, pd.DataFrame):
            ref = encode(store, value)
            before = decode(store, ref)
            with pd.option_context(*OPTIONS[option]):
                assert encode(store, value).digest == ref.digest, name
                found = decode(store, ref)
            assert_same_frame(before, found)
            assert text_kinds(found) == text_kinds(before), name


def text_kinds(frame: pd.DataFrame) -> list[str | None]:
    """How each column, its categories and the labels are kept: pandas prints them alike."""
    categories = [getattr(dtype, "categories", None) for dtype in frame.dtypes]
    indexes = [frame.columns, *(each for each in categories if each is not None)]
    return [text_name(dtype) for dtype in (*frame.dtypes, *(index.dtype for index in indexes))]


class Marked(pd.DataFrame):
    """A frame of another class."""


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["a", "b"])), "CategoricalIndex"),
        (pd.DataFrame([[1]], columns=pd.Index([np.str_("a")], dtype=object)), "column names"),
        (pd.DataFrame([[1]], columns=pd.Index(["a"], name=1)), "name of its columns"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "column names"),
        (Marked({"a": [1]}), "a Marked would come back"),
        (column(pd.Categorical([None, None]), None), "categories of column c"),
        (
            column(pd.arrays.FloatingArray(np.array([1, NAN]), np.array([False, False])), None),
            "in row 1 ",
        ),
        (column(pd.to_datetime(["2020"]).tz_localize("dateutil/Europe/Berlin"), None), "dateutil"),
        (column(np.array([1j]), None), "column c "),
        (pd.DataFrame([[1]], columns=pd.Index(["\ud800"], dtype=object)), "column "),
    ],
)
def test_what_a_frame_would_lose_is_refused(
    store: ArtifactStore, frame: pd.DataFrame, problem: str
) -> None:
    """Labels, classes, gaps beside NaN and zones that would come back as others."""
    with pytest.raises(EncodingError, match=problem):
        encode(store, frame)
    assert list(store.backend.names()) == []


def test_what_is_left_out_is_only_what_is_documented(store: ArtifactStore) -> None:
    """attrs, and the class of a time zone, which is kept by its name."""
    given = column(pd.to_datetime(["2020"]).tz_localize(dt.UTC), None)
    given.attrs["made"] = "today"
    back = decode(store, encode(store, given))
    assert back.attrs == {}
    assert (back.dtypes == given.dtypes).all()
    assert str(back["c"].dtype) == "datetime64[us, UTC]"


# --- Arrow tables --------------------------------------------------------------------------------


def deep(levels: int) -> pa.Table:
    kind = pa.int64()
    for _ in range(levels):
        kind = pa.list_(kind)
    return pa.table({"c": pa.array([None], kind)})


UNFIT: dict[str, Callable[[], pa.Table]] = {
    "two columns of one name": lambda: pa.Table.from_arrays(
        [pa.array([1]), pa.array([2])], ["c", "c"]
    ),
    "lists of no items": lambda: pa.table({"c": pa.array([[], []], pa.list_(pa.int64(), 0))}),
    "a negative scale": lambda: pa.table({"c": pa.array([Decimal("1E+3")], pa.decimal128(5, -3))}),
    "60 nested lists": lambda: deep(60),
    "a tensor": lambda: pa.table(
        {"c": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 2, 2)))}
    ),
    "seconds": lambda: pa.table({"c": pa.array([1], pa.timestamp("s"))}),
    "a union": lambda: pa.table(
        {"c": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}
    ),
    "runs": lambda: pa.table({"c": pa.RunEndEncodedArray.from_arrays([2], ["a"])}),
    "a dictionary with a gap": lambda: pa.table(
        {"c": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["b", None]))}
    ),
    "a dictionary with one value twice": lambda: pa.table(
        {"c": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["b", "b"]))}
    ),
    "a decimal with more digits than its type": lambda: pa.table(
        {
            "c": pa.Array.from_buffers(
                pa.decimal128(2), 1, [None, pa.py_buffer((12345).to_bytes(16, "little"))]
            )
        }
    ),
    "a gap where there may be none": lambda: pa.table(
        [pa.array([None], pa.int64())], pa.schema([pa.field("c", pa.int64(), nullable=False)])
    ),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("as_reader", [False, True])
def test_what_parquet_cannot_give_back_is_not_taken(
    store: ArtifactStore, name: str, as_reader: bool
) -> None:
    """Refused by the ways that real rows go, by column, before anything is stored."""
    table = UNFIT[name]()
    with pytest.raises(EncodingError, match=r"column c |named c|'c'|cannot be written"):
        encode(store, table.to_reader() if as_reader else table)
    assert list(store.backend.names()) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"pandas": "not json"},
        {"pandas": '{"columns": 1}'},
        {"pandas": '{"index_columns": ["x"], "columns": []}'},
        {"pandas": '{"index_columns": [], "columns": [{"field_name": "c", "numpy_type": "?"}]}'},
        {"a": "b"},
    ],
)
def test_a_strangers_metadata_is_never_taken_for_ours(
    store: ArtifactStore, metadata: dict[str, str]
) -> None:
    """It comes back with the table, and reading it as a frame does not depend on it."""
    table = pa.table({"c": [1]}).replace_schema_metadata(metadata)
    ref = encode(store, table)
    assert decode(store, ref, pa.Table).equals(table)
    if "?" in metadata.get("pandas", ""):  # so like a stored frame's that it is read as one
        with pytest.raises(EncodingError) as refused:
            decode(store, ref, pd.DataFrame)
        assert "pyarrow.Table" in refused.value.next_step
    else:
        assert decode(store, ref, pd.DataFrame)["c"].tolist() == [1]


@pytest.mark.parametrize("key", ["ARROW:schema", "ro.categories", "ro.frame"])
@pytest.mark.parametrize("value", ["v", "{}", "[]", '{"c": 1}', '{"objects": {"c": "exact"}}'])
def test_the_keys_of_the_format_are_not_a_strangers(
    store: ArtifactStore, key: str, value: str
) -> None:
    """A table that carries them without being a stored frame is refused by that."""
    with pytest.raises(EncodingError, match="metadata"):
        encode(store, pa.table({"c": [1]}).replace_schema_metadata({key: value}))


def test_a_frame_that_was_read_as_a_table_can_be_stored_again(store: ArtifactStore) -> None:
    """Its metadata goes with it: the same artifact, and the same frame in the end."""
    given = pd.concat(
        [column(["a", NAN]), DTYPES["categories of strings"]().add_suffix("2")], axis=1
    )
    ref = encode(store, given)
    table = decode(store, ref, pa.Table)
    assert encode(store, table) == ref
    assert_same_frame(given, decode(store, encode(store, table)))


def test_a_table_that_pandas_described_stays_a_table(store: ArtifactStore) -> None:
    """Only a stored DataFrame is read as one unasked; its index is used by who asks for one."""
    table = pa.Table.from_pandas(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]))
    ref = encode(store, table)
    assert decode(store, ref).equals(table)
    assert list(decode(store, ref, pd.DataFrame).index) == ["x", "y"]


# --- Arrow tables read as frames -----------------------------------------------------------------

READ: dict[str, tuple[pa.Array, str]] = {
    "whole numbers": (pa.array([1, 2]), "int64"),
    "whole numbers with gaps": (pa.array([2**53 + 1, None]), "Int64"),
    "unsigned ones": (pa.array([2**64 - 1, None], pa.uint64()), "UInt64"),
    "numbers with gaps": (pa.array([1.5, None]), "float64"),
    "numbers with gaps and NaN": (pa.array([1.5, NAN, None]), "double[pyarrow]"),
    "lists with gaps": (pa.array([[2**53 + 1, None]]), "list<element: int64>[pyarrow]"),
    "lists": (pa.array([[1, 2], None]), "object"),
    "structs beside a gap": (pa.array([{"x": 2**53 + 1}, None]), "struct<x: int64>[pyarrow]"),
    "structs with gaps": (pa.array([{"x": 1}, {"x": None}]), "struct<x: int64>[pyarrow]"),
    "moments in lists": (
        pa.array([[1]], pa.list_(pa.timestamp("ns"))),
        "list<element: timestamp[ns]>[pyarrow]",
    ),
    "nothing": (pa.nulls(2), "object"),
    "truth values with gaps": (pa.array([True, None]), "object"),
    "kinds": (pa.array(["a", None]).dictionary_encode(), "category"),
}


@pytest.mark.parametrize("name", READ)
def test_an_arrow_table_read_as_a_frame_keeps_its_values(store: ArtifactStore, name: str) -> None:
    """pandas' own dtype where it holds them, a nullable one or Arrow's own where it does not."""
    cells, dtype = READ[name]
    frame = decode(store, encode(store, pa.table({"a": cells, "c": cells})), pd.DataFrame)
    assert list(frame.columns) == ["a", "c"]
    assert str(frame["c"].dtype) == dtype
    again = pa.array(frame["c"], type=cells.type, from_pandas=dtype != "double[pyarrow]")
    again = again.combine_chunks() if isinstance(again, pa.ChunkedArray) else again
    assert_same_cells(cells, again)


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([1], pa.time64("ns")),
        pa.array([10**7], pa.date32()),
        pa.array([1], pa.timestamp("us", "Mars/Phobos")),
        pa.array([-(2**63)], pa.timestamp("us")),
        pa.array([-(2**63)], pa.duration("us")),
        pa.array([[10**7]], pa.list_(pa.date32())),
    ],
)
def test_what_pandas_cannot_hold_is_refused_at_the_read(
    store: ArtifactStore, cells: pa.Array
) -> None:
    """By column, with the type to ask for; as a table it is read."""
    table = pa.table({"a": [1], "c": cells})
    ref = encode(store, table)
    with pytest.raises(EncodingError, match=r"read as a pandas.DataFrame: column c") as caught:
        decode(store, ref, pd.DataFrame)
    assert "pyarrow.Table" in caught.value.next_step
    assert_same_table(table.select(["a"]), decode(store, ref, pa.Table).select(["a"]))
    assert decode(store, ref, pa.Table).equals(table)
    assert preview(store, ref) is not None
    assert table_schema(store, ref) is not None


# --- the comparison ------------------------------------------------------------------------------

_DISTINCT: list[Any] = [
    None, NAN, pd.NaT, pd.NA, 1, 1.0, True, np.int64(1), np.float64(1), 0, 0.0, -0.0, False,
    "1", b"1", bytearray(b"1"), [1], (1,), [1.0], [True], [None], {1}, {"a": 1}, {"a": 1.0},
    {"a": 1, "b": 2}, {"b": 2, "a": 1}, Decimal("1"), Decimal("1.0"), Decimal("NaN"), Decimal("-0"),
    Decimal("0"), dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), pd.Timestamp("2020"),  # noqa: DTZ001
    dt.datetime(2020, 1, 1, fold=1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC),  # noqa: DTZ001
    dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC")), np.array([1]), np.array([1.0]),
    np.array([[1]]),
]  # fmt: skip


@pytest.mark.parametrize("position", range(len(_DISTINCT)))
def test_no_two_values_that_python_tells_apart_are_the_same(position: int) -> None:
    """Each is the same as itself only: alone, deep inside others, in lists of many."""
    for other, value in enumerate(_DISTINCT):
        expected = other == position
        ours = _DISTINCT[position]
        if isinstance(value, set | bytearray | np.generic) or isinstance(ours, set | bytearray):
            continue  # classes that never come back
        assert sameness.same(ours, value) == expected
        assert sameness.same([{"x": (ours,)}], [{"x": (value,)}]) == expected
        assert (sameness.first_difference([0, ours], [0, value]) is None) == expected
        assert (sameness.first_difference([ours] * 3, [ours, ours, value]) is None) == expected


@pytest.mark.parametrize("fault", ["first_difference", "first_arrow_difference"])
def test_a_comparison_that_sees_nothing_is_seen(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """With the comparison switched off, what it refuses is stored and comes back changed."""
    from ro_platform.artifacts import tables

    monkeypatch.setattr(
        frame_objects if fault == "first_difference" else tables, fault, lambda given, back: None
    )
    if fault == "first_difference":
        given = column([Decimal("1.1"), Decimal("1.10")])
        with pytest.raises(AssertionError):
            assert_same_frame(given, decode(store, encode(store, given)))
    else:
        table = UNFIT["a dictionary with one value twice"]()
        assert not decode(store, encode(store, table)).equals(table)
