"""A made-up scenario of any size: the same seed and parameters give the same rows.

Buying follows the Pareto/NBD model (Schmittlein, Morrison and Colombo, 1987) with the estimates
that Fader, Hardie and Lee (2005) publish for CDNOW: customers differ in how often they buy and in
how long they stay, which leaves something to learn. numpy keeps the stream of a bit generator
(PCG64, named here) for ever, but not that of its distributions: another release of numpy may give
other rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.purchases.cdnow import SCENARIO_SCHEMA
from assets.purchases.settings import DirtyShares, Generation

DAYS_A_WEEK = 7
RATE_SHAPE, RATE_WEEKS = 0.553, 10.578
STAY_SHAPE, STAY_WEEKS = 0.606, 11.669
PRICES_CENTS = np.array([1149, 1197, 1296, 1399, 1477, 1499, 1549, 1699, 1899, 2499], np.int64)
MAXIMUM_QUANTITY = 99
BEYOND_THE_PERIOD_DAYS = 3650

IntColumn = np.ndarray[tuple[int], np.dtype[np.int64]]
Columns = dict[str, IntColumn]


def generate_purchases(seed: int, parameters: Generation) -> pa.Table:
    """Rows by customer and then date, :data:`SCENARIO_SCHEMA`, about three for each customer.

    ``seed`` is a uint64. The shares of dirty rows hold on average.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    columns = _soil(rng, _clean_purchases(rng, parameters), parameters.dirty)
    return _table(columns, rng.random(len(columns["customer"])) < parameters.dirty.unparsable)


def _clean_purchases(rng: np.random.Generator, parameters: Generation) -> Columns:
    """One row a purchase: customer (from 1), day (since 1970), quantity and cents."""
    count = parameters.customers
    first, last = (
        np.datetime64(day, "D").astype(np.int64)
        for day in (parameters.first_date, parameters.last_date)
    )
    arrival = first + rng.integers(0, parameters.acquisition_days, count)
    rate_a_day = rng.gamma(RATE_SHAPE, 1 / RATE_WEEKS, count) / DAYS_A_WEEK
    leaving_a_day = rng.gamma(STAY_SHAPE, 1 / STAY_WEEKS, count) / DAYS_A_WEEK
    # A customer who practically never leaves must not overflow into an infinite stay.
    stay = rng.standard_exponential(count) / np.maximum(leaving_a_day, 1e-9)
    active_days = np.minimum(stay, last - arrival)
    repeats = rng.poisson(rate_a_day * active_days)
    customer = np.repeat(np.arange(count), 1 + repeats)
    is_first = np.diff(customer, prepend=-1) > 0
    later = np.ceil(rng.random(len(customer)) * active_days[customer]).astype(np.int64)
    day = arrival[customer] + np.where(is_first, 0, later)
    order = np.lexsort((day, customer))
    quantity = np.minimum(rng.geometric(0.45, len(customer)), MAXIMUM_QUANTITY)
    cents = quantity * rng.choice(PRICES_CENTS, len(customer))
    return {
        "customer": customer[order] + 1,
        "day": day[order],
        "quantity": quantity,
        "cents": cents,
    }


def _soil(rng: np.random.Generator, columns: Columns, dirty: DirtyShares) -> Columns:
    """Free items, impossible quantities and dates, and rows that stand twice."""
    count = len(columns["customer"])
    soiled = dict(columns)
    soiled["cents"] = np.where(rng.random(count) < dirty.zero_amount, 0, columns["cents"])
    chance = rng.random(count)
    no_items = chance < dirty.out_of_range / 2
    too_late = ~no_items & (chance < dirty.out_of_range)
    soiled["quantity"] = np.where(no_items, 0, columns["quantity"])
    soiled["day"] = columns["day"] + np.where(too_late, BEYOND_THE_PERIOD_DAYS, 0)
    times = 1 + (rng.random(count) < dirty.exact_repeat).astype(np.int64)
    return {name: np.repeat(column, times) for name, column in soiled.items()}


def _table(columns: Columns, torn: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.Table:
    """The columns as a scenario; of the torn rows only the beginning of the text is left."""
    count = len(torn)
    width = max(5, len(str(columns["customer"].max())))
    ids = pc.utf8_lpad(pc.cast(pa.array(columns["customer"]), pa.string()), width, "0")
    dates = pa.array(columns["day"].astype("datetime64[D]"), pa.date32())
    text = np.full(count, None, dtype=object)
    for row in np.flatnonzero(torn):
        text[row] = f" {ids[row].as_py()} {dates[row].as_py():%Y%m}"
    keep = pa.array(~torn)
    fields = (ids, dates, pa.array(columns["quantity"]), pa.array(columns["cents"]))
    return pa.Table.from_arrays(
        [
            pa.array(np.arange(1, count + 1)),
            *(pc.if_else(keep, field, pa.scalar(None, field.type)) for field in fields),
            pa.array(text, pa.string()),
        ],
        schema=SCENARIO_SCHEMA,
    )
