"""Encodings: equal values give equal bytes, values come back as they were, the rest is refused."""

from __future__ import annotations

import datetime as dt
from array import array
from collections import OrderedDict
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ro_platform.artifacts import blobs, tables
from ro_platform.artifacts.backends.base import StagedWrite
from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import JSON, PICKLE, decode, encode, preview, table_schema
from ro_platform.artifacts.store import OCTETS, ArtifactStore
from ro_platform.artifacts.tables import PARQUET
from ro_platform.artifacts.trees import TREE
from ro_platform.contracts import GateRule
from ro_platform.errors import DigestMismatchError, EncodingError, StoreNotWritableError
from tests.effort import times


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


def frame() -> pd.DataFrame:
    moments = pd.to_datetime(["2020-01-01T10:00:00.123456", "NaT", "2021-02-03"], format="ISO8601")
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "small": np.array([1, -2, 3], dtype="int8"),
            "float": [1.5, np.nan, -0.25],
            "flag": [True, False, True],
            "text": ["a", None, "ü"],
            "string": pd.Series(["x", None, ""], dtype="string"),
            "nullable": pd.Series([1, None, 2**60], dtype="Int64"),
            "maybe": pd.Series([True, None, False], dtype="boolean"),
            "moment": moments,
            "zoned": moments.tz_localize("Europe/Berlin"),
            "nanos": pd.date_range("2020", periods=3, freq="ns", unit="ns"),
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "kind": pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"], ordered=True),
        }
    )


# --- tables --------------------------------------------------------------------------------------


def test_a_frame_comes_back_with_its_dtypes(store: ArtifactStore) -> None:
    """Values, dtypes, column order and the default index survive."""
    ref = encode(store, frame(), schema_version="v1")
    assert (ref.media_type, ref.schema_version) == (PARQUET, "v1")
    for expected in (None, Any, pd.DataFrame, "pd.DataFrame"):
        found = decode(store, ref, expected)
        pd.testing.assert_frame_equal(found, frame())
        assert isinstance(found.index, pd.RangeIndex)


@pytest.mark.parametrize("value", [pd.DataFrame(), frame().iloc[:0].reset_index(drop=True)])
def test_a_frame_without_rows_keeps_its_columns(store: ArtifactStore, value: pd.DataFrame) -> None:
    """Nothing is still a table of that shape."""
    found = decode(store, encode(store, value))
    pd.testing.assert_frame_equal(found, value, check_column_type=False)


def test_equal_frames_are_one_artifact(store: ArtifactStore) -> None:
    """How a frame was made, and its attrs, leave no trace in the bytes."""
    first, second = frame(), pd.concat([frame()[:1], frame()[1:]], ignore_index=True)
    second.attrs["made"] = "2030-01-01"
    second["kind"] = first["kind"]
    assert encode(store, first) == encode(store, second) == encode(store, first[first.columns])


@settings(max_examples=times(25))
@given(st.lists(st.integers(0, 90_000), max_size=6), st.booleans())
def test_the_chunks_of_a_table_do_not_matter(cuts: list[int], as_reader: bool) -> None:
    """One table in any chunks, whole or streamed, gives the same bytes, over several row groups."""
    rows = 270_001
    table = pa.table({"n": range(rows), "t": [f"w{n % 7}" for n in range(1000)] * 270 + ["w"]})
    edges = sorted({0, rows, *cuts})
    parts = [table.slice(a, b - a) for a, b in pairwise(edges)]
    chunked = pa.concat_tables(parts)
    store = ArtifactStore(MemoryBackend())
    value = chunked.to_reader() if as_reader else chunked
    ref = encode(store, value)
    assert ref == encode(store, table)
    assert decode(store, ref, pa.Table).equals(table)
    assert decode(store, ref, pa.RecordBatchReader).read_all().equals(table)


def test_an_arrow_table_comes_back_as_one(store: ArtifactStore) -> None:
    """Nested and decimal types survive; the type can be asked for either way."""
    table = pa.table(
        {"list": [[1, 2], [], None], "map": [{"a": 1}, {"a": None}, None]},
    ).append_column("money", pa.array([Decimal("1.50"), None, Decimal("2.00")]))
    ref = encode(store, table)
    assert decode(store, ref).equals(table)
    assert isinstance(decode(store, ref, pd.DataFrame), pd.DataFrame)
    assert isinstance(decode(store, encode(store, frame()), pa.Table), pa.Table)


def test_a_large_table_streams_through_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit for memory a reader works on a nameless file: the folder stays empty."""
    monkeypatch.setattr(blobs, "IN_MEMORY", 64)
    store = ArtifactStore(FilesystemBackend(tmp_path / "store"))
    table = pa.table({"n": range(20_000)})
    ref = encode(store, table)
    (tmp_path / "private").mkdir()
    reader = decode(store, ref, pa.RecordBatchReader, folder=tmp_path / "private")
    assert list((tmp_path / "private").iterdir()) == []
    assert reader.read_all().equals(table)
    assert preview(store, ref, rows=1) == [{"n": 0}]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (frame().set_index("int"), "index"),
        (frame()[1:], "index"),
        (pd.DataFrame({"a": [1]}, index=pd.RangeIndex(1, name="named")), "index"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column names"),
        (pd.DataFrame([[1, 2]]), "column names"),
        (pd.DataFrame({"mixed": [1, "a"]}), "no Arrow type"),
        (pd.DataFrame({"object": [object()]}), "no Arrow type"),
        (pd.DataFrame(index=range(3)), "no column"),
        (pd.DataFrame({"c": pd.Categorical([1, 2])}), "categories of column c"),
        (pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}), "no Arrow type"),
        (pd.DataFrame({"s": np.array([1], dtype="datetime64[s]")}), "timestamp.s., which would"),
        (pa.table({"d": pa.array([1, 2]).dictionary_encode()}), "column d is dictionary"),
        (pa.table({"u": pa.array([], pa.month_day_nano_interval())}), "cannot be written"),
    ],
)
def test_what_a_table_would_lose_is_refused(
    store: ArtifactStore, value: pd.DataFrame, problem: str
) -> None:
    """An index, ambiguous names or untyped columns: one clear error, and nothing is stored."""
    with pytest.raises(EncodingError, match=problem):
        encode(store, value)
    assert list(store.backend.names()) == []


def test_a_full_store_is_not_an_encoding_error(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store says while Parquet is being written reaches the caller unchanged."""

    def full(self: StagedWrite, data: bytes) -> None:
        raise StoreNotWritableError("full")

    monkeypatch.setattr(type(store.backend.stage()), "write", full)
    noise = np.arange(3_000_000) * 2_654_435_761 % 2**32
    with pytest.raises(StoreNotWritableError):
        encode(store, pd.DataFrame({"n": noise}))
    assert list(store.backend.names()) == []


def test_a_failing_source_stores_nothing(store: ArtifactStore) -> None:
    """A stream of batches that breaks off leaves no artifact."""
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Any:
        yield pa.record_batch({"n": [1]}, schema=schema)
        raise ZeroDivisionError

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    with pytest.raises(ZeroDivisionError):
        encode(store, reader)
    assert list(store.backend.names()) == []


# --- JSON, bytes, paths --------------------------------------------------------------------------

_JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abé", max_size=3), inner),
    max_leaves=12,
)


@given(_JSON_VALUES)
def test_json_values_come_back_equal(value: Any) -> None:
    """Any JSON value survives, as canonical bytes."""
    store = ArtifactStore(MemoryBackend())
    ref = encode(store, value)
    assert ref.media_type == JSON
    assert decode(store, ref) == value


def test_json_is_read_as_the_type_that_was_asked_for(store: ArtifactStore) -> None:
    """A float stays one when asked for; another type than the stored one is refused."""

    class Row(TypedDict):
        a: int

    assert isinstance(decode(store, encode(store, 2.0), float), float)
    assert decode(store, encode(store, {"a": 1}), dict[str, Any]) == {"a": 1}
    assert decode(store, encode(store, {"a": 1}), Row) == {"a": 1}
    assert decode(store, encode(store, None), pd.DataFrame | None) is None
    assert decode(store, encode(store, [1]), list | None) == [1]
    for value, expected in ((True, int), ([1], dict), ({"a": 1}, str), (1, pd.DataFrame)):
        with pytest.raises(EncodingError):
            decode(store, encode(store, value), expected)


class Level(IntEnum):
    """A number with a name."""

    HIGH = 3


class Word(str, Enum):  # noqa: UP042 - the older way, whose str() is no text
    """A text with a name, which Python prints as its name."""

    YES = "yes"


def test_a_json_number_is_a_number(store: ArtifactStore) -> None:
    """What is documented: no difference of 1.0 and 1, no sign of zero, no order of keys, and a
    subclass comes back as the plain value that it equals. Truth values stay apart."""
    given = {"b": 1.0, "a": [-0.0, True, np.float64(0.5), Level.HIGH], "c": OrderedDict(x=None)}
    back = decode(store, encode(store, given))
    assert back == given
    assert list(back) == ["a", "b", "c"]
    assert [type(item) for item in back["a"]] == [int, bool, float, int]
    assert encode(store, {"x": 1, "y": 2}) == encode(store, {"y": 2, "x": 1})


@pytest.mark.parametrize(
    ("value", "position"),
    [
        ({"a": [0, (1, 2)]}, r"\$\.a\[1\] is \(1, 2\) \(tuple\)"),
        ([(1,)], r"\$\[0\] is"),
        ({"a": {1, 2}}, r"\$\.a is a set"),
        ({"a": [{"b": {1: 2}}]}, r"\$\.a\[0\]\.b has a key"),
        ({"a": float("nan")}, r"\$\.a is not a finite"),
        ({"a": [2**53]}, r"\$\.a\[0\] is an integer beyond"),
        ({"a": np.int64(1)}, r"\$\.a is a int64"),
        ({"a": "\ud800"}, r"\$\.a holds a lone"),
        ({"a": b"x"}, r"\$\.a is a bytes"),
        ({"a": dt.date(2020, 1, 1)}, r"\$\.a is a date"),
    ],
)
def test_a_document_that_would_change_is_refused_by_position(
    store: ArtifactStore, value: Any, position: str
) -> None:
    """Tuples, sets, other keys than text, numbers out of range: where, and what."""
    with pytest.raises(EncodingError, match=position):
        encode(store, value)
    assert list(store.backend.names()) == []


def test_a_text_with_a_name_is_kept_as_the_text_or_refused(store: ArtifactStore) -> None:
    """Never as what Python prints of it."""
    try:
        ref = encode(store, {"a": Word.YES, Word.YES: 1.5})
    except EncodingError:
        return
    assert decode(store, ref) == {"a": "yes", "yes": 1.5}


def test_a_document_that_nests_too_deeply_is_refused(store: ArtifactStore) -> None:
    """By the code of the platform, not by Python's own limit."""
    value: Any = 1.5
    for _ in range(100_000):
        value = [value]
    with pytest.raises(EncodingError, match="not JSON"):
        encode(store, value)


def test_views_are_bytes_in_their_order(store: ArtifactStore) -> None:
    """A view with steps gives the bytes it shows; a view of other items is refused."""
    view = memoryview(b"abcdef")[::2]
    assert decode(store, encode(store, view)) == b"ace"
    assert decode(store, encode(store, memoryview(b"ab").cast("c"))) == b"ab"
    for other in (memoryview(array("d", [1.5])), memoryview(b"abcd").cast("B", (2, 2))):
        with pytest.raises(EncodingError, match="view of items"):
            encode(store, other)


def test_contracts_come_back_as_contracts(store: ArtifactStore) -> None:
    """A contract is stored as its canonical JSON, and read by its class."""
    code = GateRule(gate_id="g", code_version="1")
    ref = encode(store, code)
    assert decode(store, ref, GateRule) == code
    assert decode(store, ref, dict) == {"gate_id": "g", "code_version": "1", "configs": []}


@given(st.binary())
def test_bytes_come_back(data: bytes) -> None:
    """Bytes, and what holds bytes, are one artifact."""
    store = ArtifactStore(MemoryBackend())
    ref = encode(store, data)
    assert ref == encode(store, bytearray(data)) == encode(store, memoryview(data))
    assert ref.media_type == OCTETS
    assert decode(store, ref) == decode(store, ref, bytes) == data


def test_files_and_folders_come_back_as_private_copies(
    store: ArtifactStore, tmp_path: Path
) -> None:
    """Each decode is a copy of its own: changing one touches neither the store nor another."""
    source, private = tmp_path / "source", tmp_path / "private"
    source.mkdir()
    private.mkdir()
    (source / "f").write_bytes(b"file")
    file, folder = encode(store, source / "f"), encode(store, source)
    assert (file.media_type, folder.media_type) == (OCTETS, TREE)
    first = decode(store, file, Path, folder=private)
    first.write_bytes(b"changed")
    assert decode(store, file, Path, folder=private).read_bytes() == b"file"
    for expected in (None, Path):
        assert (decode(store, folder, expected, folder=private) / "f").read_bytes() == b"file"
    with pytest.raises(EncodingError, match="folder"):
        decode(store, file, Path)
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(EncodingError, match="link"):
        encode(store, tmp_path / "link")


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, (1, 2), 1j, dt.date(2020, 1, 1), np.int64(3), lambda: None]
)
def test_a_value_without_an_encoding_is_refused(store: ArtifactStore, value: Any) -> None:
    """The error lists what is accepted; pickle is never chosen silently."""
    with pytest.raises(EncodingError) as caught:
        encode(store, value)
    for word in ("DataFrame", "JSON", "bytes", "Path", "pickle"):
        assert word in caught.value.next_step
    assert list(store.backend.names()) == []


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, 2**60, {1: 2}, ["\ud800"]])
def test_what_json_cannot_say_is_refused(store: ArtifactStore, value: Any) -> None:
    """NaN, infinities, unsafe integers, other keys than text, lone surrogates."""
    with pytest.raises(EncodingError, match="not JSON"):
        encode(store, value)


def test_pickle_must_be_asked_for_on_both_ways(store: ArtifactStore) -> None:
    """Written only by name, read only from a pickle's media type and if allowed."""
    ref = encode(store, {1, 2}, encoding="pickle")
    assert ref.media_type == PICKLE
    assert decode(store, ref, set, allow_pickle=True) == {1, 2}
    with pytest.raises(EncodingError, match="runs code"):
        decode(store, ref, set)
    with pytest.raises(EncodingError, match="not read as set"):
        decode(store, encode(store, store.read(ref)), set, allow_pickle=True)
    with pytest.raises(EncodingError, match="no encoding"):
        encode(store, 1, encoding="yaml")


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [(PARQUET, None), (PARQUET, pa.RecordBatchReader), (JSON, None), (TREE, Path), ("a/b", None)],
)
def test_bytes_that_are_not_what_they_are_called_are_refused(
    store: ArtifactStore, tmp_path: Path, media_type: str, expected: Any
) -> None:
    """A media type that the bytes do not keep is an error of the library, not of a parser."""
    ref = store.put_bytes(b'{"b": 1, "a": 2}', media_type=media_type)
    with pytest.raises(Exception, match=r"RO_ENCODING|RO_CONTRACT"):
        decode(store, ref, expected, folder=tmp_path)


# --- for people ----------------------------------------------------------------------------------


def test_previews_are_json(store: ArtifactStore, tmp_path: Path) -> None:
    """First rows, a JSON value or file names: always canonical JSON, or nothing."""
    table = encode(store, frame())
    rows = preview(store, table, rows=2)
    assert len(rows) == 2
    assert rows[0]["moment"].startswith("2020-01-01T10:00:00.123456")
    assert rows[1]["float"] is None or rows[1]["float"] == "nan"
    encode(store, rows)
    assert preview(store, encode(store, {"a": [1]})) == {"a": [1]}
    (tmp_path / "f").write_bytes(b"12")
    assert preview(store, encode(store, tmp_path)) == [{"path": "f", "size_bytes": 2}]
    assert preview(store, encode(store, b"raw")) is None
    assert preview(store, encode(store, "x" * (1 << 21))) is None
    assert preview(store, encode(store, pd.DataFrame({"a": []}))) == []


def test_a_schema_is_read_from_tables_only(store: ArtifactStore) -> None:
    """Names and Arrow types, in order; None for anything else."""
    found = table_schema(store, encode(store, frame()[["int", "text", "moment"]]))
    assert found is not None
    assert [name for name, _ in found] == ["int", "text", "moment"]
    assert dict(found)["int"] == "int64"
    assert table_schema(store, encode(store, b"raw")) is None


@pytest.mark.parametrize("value", [frame(), {"a": 1}])
def test_nothing_damaged_is_decoded_or_shown(store: ArtifactStore, value: Any) -> None:
    """Values, previews and schemas are verified like bytes."""
    ref = encode(store, value)
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    backend.objects[ref.ref] = backend.objects[ref.ref][:-1] + b"?"
    with pytest.raises(DigestMismatchError):
        decode(store, ref)
    with pytest.raises(DigestMismatchError):
        preview(store, ref)
    if ref.media_type == PARQUET:
        with pytest.raises(DigestMismatchError):
            table_schema(store, ref)


def test_the_row_group_is_part_of_the_format() -> None:
    """Changing it changes every table's digest: a change to be made knowingly."""
    assert tables.ROW_GROUP == 131_072
