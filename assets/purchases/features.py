"""What was known of each customer on the as-of date, and, apart from it, what came after.

:func:`feature_snapshot` reads only purchases up to and including ``as_of``; :func:`labels` counts
only those after it. They are two artifacts, so that a leak would be visible as a wrong table and
not hide in a shared one. Money is whole cents: integer sums do not depend on the order of rows.
"""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

RECENT_DAYS = 90
FEATURES = (
    "recency_days",
    "tenure_days",
    "frequency",
    "active_days",
    "purchases_last_90_days",
    "quantity_total",
    "amount_cents_total",
    "amount_cents_max",
)
_IDENTITY = [pa.field("customer_id", pa.string(), nullable=False)]

SNAPSHOT_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field("first_purchase", pa.date32(), nullable=False),
        pa.field("last_purchase", pa.date32(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in FEATURES),
    ]
)
LABELS_SCHEMA = pa.schema(
    [
        *_IDENTITY,
        pa.field("window_start", pa.date32(), nullable=False),
        pa.field("window_end", pa.date32(), nullable=False),
        pa.field("returned", pa.bool_(), nullable=False),
        pa.field("purchases", pa.int64(), nullable=False),
        pa.field("amount_cents_total", pa.int64(), nullable=False),
        pa.field("first_purchase", pa.date32()),
        pa.field("last_purchase", pa.date32()),
    ]
)


def feature_snapshot(admitted: pa.Table, as_of: date) -> pa.Table:
    """One row a customer who bought by ``as_of``, by customer_id, :data:`SNAPSHOT_SCHEMA`.

    ``recency_days`` and ``tenure_days`` are whole days from the last and the first purchase to
    ``as_of``; ``active_days`` counts distinct dates.
    """
    recently = as_of - timedelta(days=RECENT_DAYS)
    known = purchases_between(admitted, date.min, as_of)
    recent = pc.cast(pc.greater(known["purchase_date"], _day(recently)), pa.int64())
    totals = _by_customer(
        known.append_column("recent", recent),
        [
            ("purchase_date", "min"),
            ("purchase_date", "max"),
            ("purchase_date", "count"),
            ("purchase_date", "count_distinct"),
            ("recent", "sum"),
            ("quantity", "sum"),
            ("amount_cents", "sum"),
            ("amount_cents", "max"),
        ],
    )
    first, last = totals["purchase_date_min"], totals["purchase_date_max"]
    columns = {
        "customer_id": totals["customer_id"],
        "as_of": pa.repeat(_day(as_of), len(totals)),
        "first_purchase": first,
        "last_purchase": last,
        "recency_days": _days_until(as_of, last),
        "tenure_days": _days_until(as_of, first),
        "frequency": totals["purchase_date_count"],
        "active_days": totals["purchase_date_count_distinct"],
        "purchases_last_90_days": totals["recent_sum"],
        "quantity_total": totals["quantity_sum"],
        "amount_cents_total": totals["amount_cents_sum"],
        "amount_cents_max": totals["amount_cents_max"],
    }
    return pa.table(columns, schema=SNAPSHOT_SCHEMA).combine_chunks()


def labels(admitted: pa.Table, as_of: date, window_end: date) -> pa.Table:
    """What the same customers did after ``as_of`` up to ``window_end``, :data:`LABELS_SCHEMA`.

    One row a customer who bought by ``as_of``, by customer_id; dates are null for one who did not
    return.
    """
    start = as_of + timedelta(days=1)
    known = _by_customer(purchases_between(admitted, date.min, as_of), [])
    after = _by_customer(
        purchases_between(admitted, start, window_end),
        [
            ("purchase_date", "min"),
            ("purchase_date", "max"),
            ("purchase_date", "count"),
            ("amount_cents", "sum"),
        ],
    )
    both = known.join(after, "customer_id", use_threads=False).sort_by("customer_id")
    purchases = pc.fill_null(both["purchase_date_count"], 0)
    columns = {
        "customer_id": both["customer_id"],
        "window_start": pa.repeat(_day(start), len(both)),
        "window_end": pa.repeat(_day(window_end), len(both)),
        "returned": pc.greater(purchases, 0),
        "purchases": purchases,
        "amount_cents_total": pc.fill_null(both["amount_cents_sum"], 0),
        "first_purchase": both["purchase_date_min"],
        "last_purchase": both["purchase_date_max"],
    }
    return pa.table(columns, schema=LABELS_SCHEMA).combine_chunks()


def purchases_between(admitted: pa.Table, first: date, last: date) -> pa.Table:
    """The admitted rows dated from ``first`` to ``last``, both included."""
    dates = admitted["purchase_date"]
    return admitted.filter(
        pc.and_(pc.greater_equal(dates, _day(first)), pc.less_equal(dates, _day(last)))
    )


def _by_customer(rows: pa.Table, aggregations: list[tuple[str, str]]) -> pa.Table:
    groups = rows.group_by("customer_id", use_threads=False)
    return groups.aggregate(aggregations).sort_by("customer_id")


def _days_until(as_of: date, dates: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.days_between(dates, _day(as_of))


def _day(value: date) -> pa.Scalar:
    return pa.scalar(value, pa.date32())
