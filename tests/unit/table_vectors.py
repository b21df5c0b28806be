"""Frames and tables whose bytes are on record (``vectors/tables.json``), each made by its name.

Each came back equal before values were compared, so its bytes are those of that time, for good.
They hold for the pinned pyarrow; record those of another by
``python -m tests.unit.table_vectors``.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

VECTORS = Path(__file__).with_name("vectors") / "tables.json"
_MOMENTS = ["2020-01-01T10:00:00.123456", None, "2021-02-03"]


def _typed() -> pd.DataFrame:
    moments = pd.to_datetime(pd.Series(_MOMENTS), format="ISO8601")
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "small": np.array([1, -2, 3], dtype="int8"),
            "large": np.array([1, 2**63, 2**64 - 1], dtype="uint64"),
            "float": [1.5, np.nan, -0.0],
            "single": np.array([1.5, np.nan, -0.0], dtype="float32"),
            "half": np.array([1.5, np.nan, -0.0], dtype="float16"),
            "flag": [True, False, True],
            "text": ["a", None, "ü"],
            "string": pd.Series(["x", None, ""], dtype="string"),
            "nullable": pd.Series([1, None, 2**60], dtype="Int64"),
            "unsigned": pd.Series([1, None, 255], dtype="UInt8"),
            "double": pd.Series([1.5, None, -0.0], dtype="Float64"),
            "maybe": pd.Series([True, None, False], dtype="boolean"),
            "moment": moments,
            "milli": moments.astype("datetime64[ms]"),
            "nano": moments.astype("datetime64[ns]"),
            "zoned": moments.dt.tz_localize("Europe/Berlin"),
            "utc": moments.dt.tz_localize("UTC"),
            "offset": moments.dt.tz_localize(dt.timezone(dt.timedelta(hours=5))),
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "span_ns": pd.Series([1, None, 3], dtype="timedelta64[ns]"),
            "kind": pd.Categorical(["b", None, "b"], categories=["c", "b", "a"], ordered=True),
            "arrow_int": pd.array([1, None, 2**60], dtype="int64[pyarrow]"),
            "arrow_float": pd.array([1.5, None, 2.5], dtype="double[pyarrow]"),
            "arrow_flag": pd.array([True, None, False], dtype="bool[pyarrow]"),
        }
    )


def _objects() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "bytes": pd.Series([b"a", None, b""], dtype=object),
            "date": pd.Series([dt.date(2026, 1, 1), None, dt.date(1, 1, 1)], dtype=object),
            "time": pd.Series([dt.time(1, 2, 3, 4), None, dt.time(0)], dtype=object),
            "decimal": pd.Series([Decimal("1.10"), None, Decimal("-2.00")], dtype=object),
            "maybe": pd.Series([True, None, False], dtype=object),
            "nothing": pd.Series([None, None, None], dtype=object),
            "array": pd.Series([np.array([1, 2]), None, np.array([], dtype="int64")], dtype=object),
            "struct": pd.Series(
                [{"b": "x", "a": True}, None, {"b": "y", "a": False}], dtype=object
            ),
        }
    )


def _nested() -> pa.Table:
    return pa.table(
        {
            "list": pa.array([[1, 2], [], None, [None]], pa.list_(pa.int64())),
            "large": pa.array([["a"], [], None, [None]], pa.large_list(pa.large_string())),
            "fixed": pa.array([[1, 2], None, [3, None], [4, 5]], pa.list_(pa.int16(), 2)),
            "map": pa.array([{"a": 1}, {"a": None}, None, {}], pa.map_(pa.string(), pa.int64())),
            "struct": pa.array(
                [{"x": 1.5, "y": [None]}, None, {"x": None, "y": None}, {"x": 0.0, "y": ["z"]}],
                pa.struct([("x", pa.float64()), ("y", pa.list_(pa.string()))]),
            ),
            "kind": pa.array(["a", None, "b", "a"]).dictionary_encode(),
        }
    )


def _flat() -> pa.Table:
    fields = [
        pa.field("int", pa.int64(), nullable=False, metadata={"unit": "EUR"}),
        pa.field("float", pa.float64()),
        pa.field("half", pa.float16()),
        pa.field("money", pa.decimal128(12, 2)),
        pa.field("wide", pa.decimal256(50, 3)),
        pa.field("text", pa.string()),
        pa.field("large", pa.large_string()),
        pa.field("bytes", pa.binary()),
        pa.field("fixed", pa.binary(2)),
        pa.field("day", pa.date32()),
        pa.field("milli", pa.timestamp("ms")),
        pa.field("nano", pa.timestamp("ns", "UTC")),
        pa.field("time", pa.time64("ns")),
        pa.field("span", pa.duration("us")),
        pa.field("nothing", pa.null()),
    ]
    rows: list[list[Any]] = [
        [1, 2],
        [float("nan"), None],
        [1.5, None],
        [Decimal("1.50"), None],
        [Decimal("1.500"), None],
        ["ü", None],
        ["", None],
        [b"\x00", None],
        [b"ab", None],
        [dt.date(2020, 1, 2), None],
        [1_577_923_200_000, None],
        [1, None],
        [1, None],
        [1, None],
        [None, None],
    ]
    arrays = [pa.array(row, field.type) for row, field in zip(rows, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={"b": "2", "a": "1"}))


def _many() -> pd.DataFrame:
    rows = 140_001
    kinds = pd.Categorical([f"k{n % 7}" for n in range(rows)])
    return pd.DataFrame({"n": range(rows), "t": [f"w{n % 99}" for n in range(rows)], "k": kinds})


def _rolling(count: int) -> Callable[[], pa.Table]:
    """A table of many rows, with lists and text."""
    return lambda: pa.table(
        {
            "n": pa.array(range(count), pa.int32()),
            "l": pa.array([[n, None] if n % 3 else None for n in range(count)]),
            "t": pa.array([f"{n % 501}" for n in range(count)]),
        }
    )


MAKERS: dict[str, Callable[[], pd.DataFrame | pa.Table]] = {
    **{f"frame: {name}": lambda name=name: _typed()[[name]] for name in _typed()},  # type: ignore[misc]
    **{f"objects: {name}": lambda name=name: _objects()[[name]] for name in _objects()},  # type: ignore[misc]
    **{
        f"table: {name}": lambda name=name: (
            _flat if name in _flat().column_names else _nested
        )().select([name])  # type: ignore[misc]
        for name in (*_flat().column_names, *_nested().column_names)
    },
    "frame: every dtype": _typed,
    "frame: every dtype, without rows": lambda: _typed()[:0].reset_index(drop=True),
    "frame: two row groups": _many,
    "objects: every kind": _objects,
    "table: flat": _flat,
    "table: flat, without rows": lambda: _flat()[:0],
    "table: nested": _nested,
    "table: two row groups": _rolling(131_073),
    "table: of a frame": lambda: pa.Table.from_pandas(
        _typed().drop(columns="kind"), preserve_index=False
    ),
}


def digests() -> dict[str, str]:
    """The SHA-256 of each one's Parquet file, by its name."""
    from ro_platform.artifacts.backends.memory import MemoryBackend
    from ro_platform.artifacts.encodings import encode
    from ro_platform.artifacts.store import ArtifactStore

    store = ArtifactStore(MemoryBackend())
    return {name: encode(store, make()).digest for name, make in MAKERS.items()}


if __name__ == "__main__":
    recorded = {"pyarrow": pa.__version__, "pandas": pd.__version__, "sha256": digests()}
    VECTORS.write_text(json.dumps(recorded, indent=1) + "\n")
    sys.stdout.write(f"{len(recorded['sha256'])} recorded\n")
