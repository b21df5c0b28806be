"""Admission: which rows of a scenario the policy lets in, and why the others stay outside.

Every row ends in exactly one of two tables. A quarantined row keeps all that was known of it and
gets all its reasons, so that a policy can be argued about row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.purchases.cdnow import FIELDS, SCENARIO_SCHEMA
from assets.purchases.settings import AdmissionPolicy, Rule

UNPARSABLE = "unparsable"
DATE_OUT_OF_RANGE = "date_out_of_range"
QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
ZERO_AMOUNT = "zero_amount"
EXACT_REPEAT = "exact_repeat"
REASONS = (
    UNPARSABLE,
    DATE_OUT_OF_RANGE,
    QUANTITY_OUT_OF_RANGE,
    AMOUNT_OUT_OF_RANGE,
    ZERO_AMOUNT,
    EXACT_REPEAT,
)

QUARANTINE_SCHEMA = SCENARIO_SCHEMA.append(
    pa.field("reasons", pa.list_(pa.field("item", pa.string(), nullable=False)), nullable=False)
)
ADMITTED_SCHEMA = pa.schema(
    [SCENARIO_SCHEMA.field(name).with_nullable(False) for name in ("row_number", *FIELDS)]
)

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def quarantine_rows(scenario: pa.Table, policy: AdmissionPolicy) -> pa.Table:
    """The rows that the policy keeps out, in the scenario's order, :data:`QUARANTINE_SCHEMA`.

    A row with a missing field is judged by the fields that it has, and is never a repeat.
    """
    found = _faults(scenario, policy)
    matrix = np.column_stack([found[reason] for reason in REASONS])
    bad = matrix.any(axis=1)
    offsets = np.concatenate(([0], np.cumsum(matrix[bad].sum(axis=1))))
    names = pa.array(np.array(REASONS, dtype=object)[np.nonzero(matrix[bad])[1]], pa.string())
    reasons = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), names, type=QUARANTINE_SCHEMA.field("reasons").type
    )
    rows = scenario.filter(pa.array(bad)).combine_chunks()
    return pa.Table.from_arrays([*rows.columns, reasons], schema=QUARANTINE_SCHEMA)


def admit_rows(scenario: pa.Table, quarantine: pa.Table) -> pa.Table:
    """The rows that are not quarantined, in the scenario's order, :data:`ADMITTED_SCHEMA`."""
    kept_out = pc.is_in(scenario["row_number"], value_set=_one_array(quarantine["row_number"]))
    rows = scenario.filter(pc.invert(kept_out)).select(ADMITTED_SCHEMA.names)
    return rows.cast(ADMITTED_SCHEMA).combine_chunks()


def _faults(scenario: pa.Table, policy: AdmissionPolicy) -> dict[str, Mask]:
    """For each reason, which rows it applies to."""
    complete = np.logical_and.reduce([_mask(pc.is_valid(scenario[name])) for name in FIELDS])
    zero = _mask(pc.equal(scenario["amount_cents"], 0))
    repeat = _exact_repeats(scenario, complete)
    return {
        UNPARSABLE: ~complete,
        DATE_OUT_OF_RANGE: _outside(scenario["purchase_date"], policy.first_date, policy.last_date),
        QUANTITY_OUT_OF_RANGE: _outside(
            scenario["quantity"], policy.minimum_quantity, policy.maximum_quantity
        ),
        AMOUNT_OUT_OF_RANGE: _outside(
            scenario["amount_cents"], policy.minimum_amount_cents, policy.maximum_amount_cents
        ),
        ZERO_AMOUNT: zero & (policy.zero_amounts is Rule.QUARANTINE),
        EXACT_REPEAT: repeat & (policy.exact_repeats is Rule.QUARANTINE),
    }


def _outside(column: pa.ChunkedArray, low: Any, high: Any) -> Mask:
    bounds = (pa.scalar(low, column.type), pa.scalar(high, column.type))
    return _mask(pc.or_(pc.less(column, bounds[0]), pc.greater(column, bounds[1])))


def _exact_repeats(scenario: pa.Table, complete: Mask) -> Mask:
    """Complete rows that equal one with a lower row number, wherever either stands."""
    rows = scenario.filter(pa.array(complete)).select(["row_number", *FIELDS]).to_pandas()
    ordered = rows.sort_values("row_number", kind="stable")
    repeats = ordered.loc[ordered.duplicated(list(FIELDS)), "row_number"]
    return _mask(pc.is_in(scenario["row_number"], value_set=pa.array(repeats, pa.int64())))


def _mask(column: pa.ChunkedArray) -> Mask:
    """A boolean column as an array; a comparison with null is no fault of its own."""
    mask: Mask = pc.fill_null(column, False).to_numpy()
    return mask


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
