"""What is only shown never decides a step, breaks a command, or fills Dagster's events."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.encodings import decode, encode, preview, table_schema
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.artifacts.tables import PARQUET
from ro_platform.contracts import BoundRef
from ro_platform.errors import EncodingError
from ro_platform.orchestration.shown import PREVIEW_BYTES, shown_artifact, shown_artifacts


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore(MemoryBackend())


UNSHOWABLE: dict[str, pa.Array] = {
    "a moment after the year 9999": pa.array([2**62], pa.timestamp("us")),
    "a moment before the year 1": pa.array([-(2**62)], pa.timestamp("us", "UTC")),
    "a day of the year 29349": pa.array([10**7], pa.date32()),
    "a span of 292,000 years": pa.array([2**62], pa.duration("us")),
    "a zone that nobody knows": pa.array([1], pa.timestamp("us", "Mars/Phobos")),
    "one nanosecond of a day": pa.array([1], pa.time64("ns")),
    "text that is not UTF-8": pa.array([b"\xff"], pa.binary()).view(pa.string()),
    "a struct with two fields of one name": pa.StructArray.from_arrays(
        [pa.array([1]), pa.array([2])], names=["a", "a"]
    ),
    "such a moment in a list": pa.array([[2**62]], pa.list_(pa.timestamp("us"))),
    "infinity": pa.array([float("inf")]),
    "a long text": pa.array(["x" * 100_000]),
}


@pytest.mark.parametrize("name", UNSHOWABLE)
def test_what_cannot_be_shown_is_text(store: ArtifactStore, name: str) -> None:
    """Such a value is stored, comes back, and is shown beside the others as text."""
    table = pa.table({"n": [7], "c": UNSHOWABLE[name]})
    ref = encode(store, table)
    assert decode(store, ref, pa.Table).equals(table)
    (row,) = preview(store, ref)
    assert row["n"] == 7
    assert isinstance(row["c"], str | list)
    assert len(json.dumps(row, allow_nan=False)) < 5000
    shown = shown_artifact(store, ref, table, attempt_id="a")
    assert shown["preview"].value.startswith("| n | c |")
    assert shown["ro/sha256"] == ref.digest


def test_a_wide_table_takes_little_of_an_event(store: ArtifactStore) -> None:
    """4,000 columns: the preview stays in its bound, the schema tells how many more there are."""
    names = [f"a rather long name {n}" for n in range(4000)]
    frame = pd.DataFrame(np.zeros((10, 4000)), columns=names)
    shown = shown_artifact(store, encode(store, frame), frame, attempt_id="a")
    assert len(shown["preview"].value.encode()) <= PREVIEW_BYTES
    assert "more columns" in shown["preview"].value
    schema = shown["dagster/column_schema"]
    assert len(schema.columns) == 100
    assert schema.constraints.other == ["and 3900 more columns"]
    written = dg.AssetMaterialization("a", metadata=shown)
    assert len(repr(written)) < 64 << 10


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"x" * 10_000: ["ü" * 10_000] * 10}),
        pa.table({"c": [[["ü" * 500] * 500] * 2]}),
        {"a": "x" * 100_000},
        "x" * 3000,
        [{}, 1],
        [{"a": "|\n"}] * 10,
        [],
        None,
    ],
)
def test_a_preview_has_a_bound(store: ArtifactStore, value: Any) -> None:
    """Long names, long texts, deep lists and documents: never more than some kilobytes."""
    shown = shown_artifact(store, encode(store, value), value, attempt_id="a")
    found = shown.get("preview")
    text = "" if found is None else json.dumps(found.value, ensure_ascii=False)
    assert len(text.encode()) <= PREVIEW_BYTES + 1000


def test_a_step_over_many_manifests_lists_the_first(store: ArtifactStore) -> None:
    """A hundred lines, and the number of those that are left out."""
    ref = encode(store, b"x")
    made: list[tuple[str, BoundRef]] = [(f"{n}", ref) for n in range(250)]
    shown = shown_artifacts(made)
    assert len(shown["ro/artifacts"].records) == 100
    assert shown["ro/more_artifacts"].value == 150
    assert "ro/more_artifacts" not in shown_artifacts(made[:100])


def test_a_fault_in_showing_leaves_the_digests(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, the step has its metadata, and the preview says what went wrong."""
    monkeypatch.setattr("ro_platform.orchestration.shown.rows_of", lambda head: 1 / 0)
    table = pa.table({"c": [1]})
    ref = encode(store, table)
    shown = shown_artifact(store, ref, table, attempt_id="a")
    assert shown["ro/sha256"] == ref.digest
    assert shown["preview"].value == "not shown: ZeroDivisionError"


def test_what_an_earlier_release_stored_and_could_not_read_is_still_shown(
    store: ArtifactStore,
) -> None:
    """Two columns of one name: both are shown, and read as an Arrow table; as a DataFrame, which
    would have to tell them apart, it is refused by a code."""
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]), out)
    ref = store.put_bytes(out.getvalue().to_pybytes(), media_type=PARQUET)
    assert preview(store, ref) == [{"id": 1, "id (2)": 2}]
    assert table_schema(store, ref) == [("id", "int64"), ("id", "int64")]
    found = decode(store, ref, pa.Table)
    assert [column.to_pylist() for column in found.columns] == [[1], [2]]
    with pytest.raises(EncodingError):
        decode(store, ref, pd.DataFrame)
