"""What is said of a table that cannot be stored or read: one translation of foreign exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ro_platform.errors import EncodingError

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
) -> EncodingError:
    """The refusal of a table, with the column that it is about."""
    if column is not None:
        facts["column"] = short(column)
    return EncodingError(
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
) -> EncodingError:
    """The refusal of an artifact that is no such table."""
    return EncodingError(
        f"The artifact is named Parquet, but cannot be read as a table: {reason}.",
        next_step=next_step or "Its bytes are those that were recorded: look at what wrote them.",
        **facts,
    )


@contextmanager
def translated(refusal: Callable[[Exception], EncodingError]) -> Iterator[None]:
    """What pyarrow, pandas or json raise in the block, as the refusal that is made of it."""
    try:
        yield
    except MemoryError:
        raise
    except ARROW_ERRORS as error:
        raise refusal(error) from error
