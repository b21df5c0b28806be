"""The CDNOW master file as a table: every row as it stands, nothing dropped, nothing guessed.

The format is one header line and then ``customer_id YYYYMMDD number_of_cds dollar_value``, lines
ending in CR LF, numbers padded with spaces. A line that is not of that form keeps its text in
``raw_text`` and null in every field that it does not state; admission decides what becomes of it.
"""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ro_platform.errors import InvalidInputError

SCENARIO_SCHEMA = pa.schema(
    [
        pa.field("row_number", pa.int64(), nullable=False),
        pa.field("customer_id", pa.string()),
        pa.field("purchase_date", pa.date32()),
        pa.field("quantity", pa.int64()),
        pa.field("amount_cents", pa.int64()),
        pa.field("raw_text", pa.string()),
    ]
)
FIELDS = ("customer_id", "purchase_date", "quantity", "amount_cents")

_HEADER = ["customer_id", "date", "number_of_cds", "dollar_value"]
_LINE = (
    r"^ *(?P<customer_id>[0-9]{1,18}) +(?P<date>[0-9]{8}) +(?P<quantity>-?[0-9]{1,9})"
    r" +(?P<amount>-?[0-9]{1,12}\.[0-9]{2}) *$"
)


def parse_master_file(compressed: bytes) -> pa.Table:
    """The rows of the gzipped file, :data:`SCENARIO_SCHEMA`; row 1 is the line below the header.

    Amounts are US cents. Bytes that are not UTF-8 show as ``\\xNN`` in ``raw_text``. Raises
    :class:`InvalidInputError` when the bytes are not gzip or the header is another one.
    """
    lines = _decompressed(compressed).decode("utf-8", "backslashreplace").split("\n")
    if lines[0].split() != _HEADER:
        raise InvalidInputError(
            f"the input 'purchases' opens with {lines[0][:80]!r}, not with the CDNOW header.",
            next_step=f"Its first line must name the columns {' '.join(_HEADER)}.",
            input="purchases",
        )
    rows = lines[1:-1] if lines[-1] == "" else lines[1:]
    return _table(pa.array([row.removesuffix("\r") for row in rows], pa.string()))


def _decompressed(compressed: bytes) -> bytes:
    try:
        return gzip.decompress(compressed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInputError(
            f"the input 'purchases' is not a whole gzip file: {error}.",
            next_step="Compress the text with `gzip -n -9` and name its digest in the manifest.",
            input="purchases",
        ) from None


def _table(text: pa.Array) -> pa.Table:
    parts = pc.extract_regex(text, _LINE)
    part = {name: pc.struct_field(parts, name) for name in ("customer_id", "quantity", "amount")}
    # pandas checks the calendar; a C strptime may roll 31 February over into March.
    days = pd.to_datetime(
        pd.Series(pc.struct_field(parts, "date").to_numpy(zero_copy_only=False), dtype="str"),
        format="%Y%m%d",
        errors="coerce",
    )
    dates = pa.array(days.to_numpy(dtype="datetime64[D]"), pa.date32())
    whole = pc.and_(pc.is_valid(parts), pc.is_valid(dates))
    cents = pc.cast(pc.replace_substring(part["amount"], ".", ""), pa.int64())
    columns = [
        pa.array(np.arange(1, len(text) + 1)),
        part["customer_id"],
        dates,
        pc.cast(part["quantity"], pa.int64()),
        cents,
        pc.if_else(whole, pa.scalar(None, pa.string()), text),
    ]
    return pa.Table.from_arrays(columns, schema=SCENARIO_SCHEMA)
