"""What is said of a table that cannot be stored or read: one translation of foreign exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ro_platform import errors

if TYPE_CHECKING:
    import pandas as pd

ARROW_ERRORS = (
    pa.ArrowException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pyarrow, pandas and json raise about a value. Short of memory is no fault of the value."""


def unfit(
    reason: str, *, next_step: str | None = None, column: str | None = None, **facts: Any
) -> errors.EncodingError:
    """The refusal of a table, with the column that it is about."""
    if column is not None:
        facts["column"] = short(column)
    return errors.EncodingError(
        f"The table cannot be stored: {reason}.",
        next_step=next_step
        or "Give a DataFrame with its default index and one type a column, or an Arrow table.",
        **facts,
    )


def short(value: Any) -> str:
    """A value in at most some sixty characters."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - a foreign object may fail in any way, and this is only shown
        text = f"<{type(value).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:59] + "…"


def unreadable(
    reason: Exception | str, *, next_step: str | None = None, **facts: Any
) -> errors.EncodingError:
    """The refusal of an artifact that is no such table."""
    return errors.EncodingError(
        f"The artifact is named Parquet, but cannot be read as a table: {reason}.",
        next_step=next_step or "Its bytes are those that were recorded: look at what wrote them.",
        **facts,
    )


@contextmanager
def translated(refusal: Callable[[Exception], errors.EncodingError]) -> Iterator[None]:
    """What pyarrow, pandas or json raise in the block, as the refusal that is made of it."""
    try:
        yield
    except MemoryError:
        raise
    except ARROW_ERRORS as error:
        raise refusal(error) from error


_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("dict",), "as JSON text: .map(json.dumps), or as a pandas.ArrowDtype of a pyarrow.struct"),
    (("set", "frozenset"), "as sorted lists: .map(sorted)"),
    (("tuple", "list", "ndarray"), "as a pandas.ArrowDtype of pyarrow.list_(...)"),
    (("Timestamp", "datetime", "datetime64"), "by pandas.to_datetime(...), in one time zone"),
    (("date",), "as dates only, or by pandas.to_datetime(...)"),
    (("time",), "as text: .astype('string')"),
    (("Timedelta", "timedelta", "timedelta64"), "by pandas.to_timedelta(...)"),
    (("Decimal",), "with one scale: .map(lambda n: n.quantize(...)), None for what is missing"),
    (("str", "str_", "bytes"), "as text only: .astype('string'), or as bytes only"),
    (("bool", "bool_"), "by .astype('boolean')"),
    (("float", "float64", "float32"), "by .astype('float64') or 'Float64'"),
    (("int", "int64", "uint64"), "by .astype('Int64') or 'UInt64'; as text beyond 64 bits"),
)


def column_changed(
    name: str, column: pd.Series[Any], change: tuple[int, Any, Any] | None
) -> errors.EncodingError:
    """The refusal of a column for a row that would not come back: the row, what it holds, and what
    would come back or the error that does in its place."""
    row, given, back = change or (0, None, None)
    what = (
        f"would come back as {short(back)} ({type(back).__name__})"
        if not isinstance(back, Exception)
        else f"cannot be read back ({short(str(back))})"
    )
    return unfit(
        f"column {short(name)} has in row {row} {short(given)} ({type(given).__name__}), "
        f"which {what}",
        next_step=advice(name, column),
        column=name,
        row=row,
    )


def advice(name: str, column: pd.Series[Any]) -> str:
    """What to write in place of a column."""
    kinds = {type(value).__name__ for value in column}
    how = next((how for known, how in _ADVICE if kinds & set(known)), "in a type that Arrow has")
    if column.dtype != object:
        how = "in a dtype that Arrow has, such as int64, Float64, string or datetime64[us]"
    return f"Give column {short(name)!r} {how}."
