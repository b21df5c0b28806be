"""Whether two frames or tables are one value, judged without any part of the product.

pandas' own assertion first; then each cell by a text that tells apart all that Python tells apart.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa


def assert_same_frame(given: pd.DataFrame, back: pd.DataFrame) -> None:
    """The same frame: labels, dtypes, flags, and each cell with its Python type."""
    assert type(back) is pd.DataFrame
    dtypes = enumerate(given.dtypes)
    typed = [position for position, dtype in dtypes if dtype != np.dtype(object)]
    pd.testing.assert_frame_equal(
        given.iloc[:, typed], back.iloc[:, typed], check_exact=True, check_freq=True
    )
    pd.testing.assert_index_equal(given.columns, back.columns, exact=True)
    pd.testing.assert_index_equal(given.index, back.index, exact="equiv")
    assert given.columns.dtype == back.columns.dtype
    for one, other in zip(given.dtypes, back.dtypes, strict=True):
        assert type(one) is type(other)
        assert one == other
        assert getattr(one, "storage", None) == getattr(other, "storage", None)
    for position in range(given.shape[1]):
        ours, theirs = given.iloc[:, position], back.iloc[:, position]
        if isinstance(ours.dtype, pd.ArrowDtype):
            assert_same_cells(ours.array.__arrow_array__(), theirs.array.__arrow_array__())
        elif not isinstance(ours.dtype, pd.DatetimeTZDtype):  # whose zone is kept by its name
            assert list(map(spelled, ours)) == list(map(spelled, theirs))


def assert_same_table(given: pa.Table, back: pa.Table) -> None:
    """The same Arrow table: schema, metadata of fields, and each cell."""
    assert given.schema.equals(back.schema)
    assert (given.schema.metadata or {}) == (back.schema.metadata or {})
    for one, other in zip(given.schema, back.schema, strict=True):
        assert (one.metadata or {}) == (other.metadata or {})
        assert one.nullable == other.nullable
    for ours, theirs in zip(given.columns, back.columns, strict=True):
        assert_same_cells(ours, theirs)


def assert_same_cells(ours: Any, theirs: Any) -> None:
    """The same Arrow cells, each as Arrow shows it, a NaN being any other."""
    assert ours.type == theirs.type
    assert [raw(cell) for cell in ours] == [raw(cell) for cell in theirs]


def raw(cell: Any) -> str:
    """An Arrow cell in words, though Python may have no value for it."""
    if not cell.is_valid:
        return "null"
    kind = cell.type
    if pa.types.is_struct(kind):
        fields = range(kind.num_fields)
        return f"{{{', '.join(f'{kind.field(n).name}: {raw(cell[n])}' for n in fields)}}}"
    if hasattr(cell, "values") and not pa.types.is_dictionary(kind):
        return f"[{', '.join(raw(item) for item in cell.values)}]"
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return f"{kind}:{cell.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).as_py()}"
    return spelled(cell.as_py())


def spelled(value: Any) -> str:
    """A Python value in words that differ wherever its class, scale, zone or order does."""
    kind = type(value).__name__
    if isinstance(value, dict):
        items = ", ".join(f"{spelled(key)}: {spelled(item)}" for key, item in value.items())
        return f"{kind}{{{items}}}"
    if isinstance(value, list | tuple | np.ndarray):
        dtype = getattr(value, "dtype", "")
        return f"{kind}{dtype}[{', '.join(map(spelled, value))}]"
    if isinstance(value, dt.datetime | dt.time):
        return f"{kind}:{value!r}:{value.fold}:{type(value.tzinfo).__name__}"
    if isinstance(value, Decimal):
        return f"{kind}:{value.as_tuple()}"
    if isinstance(value, float):
        return f"{kind}:{float(value).hex()}"
    return f"{kind}:{value!r}"
