"""Admission and features: laws that hold for any rows, however dirty."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.purchases import gates
from assets.purchases.admission import ADMITTED_SCHEMA, REASONS, admit_rows, quarantine_rows
from assets.purchases.cdnow import FIELDS, SCENARIO_SCHEMA
from assets.purchases.features import feature_snapshot, labels, purchases_between
from assets.purchases.settings import AdmissionPolicy, Rule

AS_OF = date(1997, 6, 30)
END = date(1997, 12, 31)
POLICY = AdmissionPolicy(
    first_date=date(1997, 1, 1),
    last_date=END,
    minimum_quantity=1,
    maximum_quantity=9,
    minimum_amount_cents=0,
    maximum_amount_cents=100_000,
    zero_amounts=Rule.QUARANTINE,
    exact_repeats=Rule.QUARANTINE,
)
GOOD = {
    "customer_id": "1",
    "purchase_date": date(1997, 3, 1),
    "quantity": 1,
    "amount_cents": 500,
    "raw_text": None,
}

ROW = st.fixed_dictionaries(
    {
        "customer_id": st.none() | st.sampled_from("123"),
        "purchase_date": st.none() | st.dates(date(1996, 12, 1), date(1998, 2, 1)),
        "quantity": st.none() | st.integers(-1, 11),
        "amount_cents": st.none() | st.sampled_from([-1, 0, 1, 500, 100_001]),
        "raw_text": st.none() | st.text(max_size=3),
    }
)
PURCHASE = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from("12345"),
        "purchase_date": st.dates(date(1997, 1, 1), END),
        "quantity": st.integers(1, 9),
        "amount_cents": st.integers(1, 100_000),
    }
)


def scenario_of(rows: list[dict[str, Any]]) -> pa.Table:
    numbered = [{"row_number": number, **row} for number, row in enumerate(rows, start=1)]
    return pa.Table.from_pylist(numbered, schema=SCENARIO_SCHEMA)


def admitted_of(rows: list[dict[str, Any]]) -> pa.Table:
    return scenario_of(rows).select(ADMITTED_SCHEMA.names).cast(ADMITTED_SCHEMA)


def reasons_of(rows: list[dict[str, Any]], policy: AdmissionPolicy = POLICY) -> dict[int, set[str]]:
    table = quarantine_rows(scenario_of(rows), policy)
    return {row["row_number"]: set(row["reasons"]) for row in table.to_pylist()}


@given(st.lists(ROW, max_size=30))
def test_counts_add_up_for_any_rows(rows: list[dict[str, Any]]) -> None:
    """Every row ends unchanged in exactly one table, and what is admitted keeps the policy."""
    scenario = scenario_of(rows)
    quarantine = quarantine_rows(scenario, POLICY)
    admitted = admit_rows(scenario, quarantine)
    assert gates.admission_adds_up(admitted, quarantine, scenario).passed
    assert set(admitted["row_number"].to_pylist()).isdisjoint(quarantine["row_number"].to_pylist())
    assert all(quarantine["reasons"].to_pylist())
    for row in admitted.to_pylist():
        assert POLICY.first_date <= row["purchase_date"] <= POLICY.last_date
        assert 1 <= row["quantity"] <= 9
        assert 1 <= row["amount_cents"] <= 100_000
    fields = [tuple(row[name] for name in FIELDS) for row in admitted.to_pylist()]
    assert len(fields) == len(set(fields))


@given(st.lists(ROW, max_size=20), st.randoms())
def test_the_order_of_rows_decides_nothing(rows: list[dict[str, Any]], chance: Any) -> None:
    """A shuffled scenario quarantines the same rows for the same reasons."""
    scenario = scenario_of(rows)
    order = list(range(len(rows)))
    chance.shuffle(order)
    tables = (scenario, scenario.take(pa.array(order, pa.int64())))
    one, other = (
        {row["row_number"]: row["reasons"] for row in quarantine_rows(table, POLICY).to_pylist()}
        for table in tables
    )
    assert one == other


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"customer_id": None}, "unparsable"),
        ({"purchase_date": date(1998, 1, 1)}, "date_out_of_range"),
        ({"quantity": 0}, "quantity_out_of_range"),
        ({"amount_cents": -1}, "amount_out_of_range"),
        ({"amount_cents": 0}, "zero_amount"),
    ],
)
def test_each_fault_has_its_reason(change: dict[str, Any], reason: str) -> None:
    """One fault gives one reason, and a good row beside it stays."""
    assert reasons_of([GOOD, GOOD | {"customer_id": "2"} | change]) == {2: {reason}}


def test_a_row_gets_all_its_reasons() -> None:
    """Several faults are all stated, and a field that is missing hides none of the others."""
    faulty = {"quantity": 0, "amount_cents": 0, "purchase_date": date(2000, 1, 1)}
    three = {"quantity_out_of_range", "zero_amount", "date_out_of_range"}
    assert reasons_of([GOOD | faulty, GOOD | faulty]) == {1: three, 2: three | {"exact_repeat"}}
    assert reasons_of([GOOD | faulty | {"customer_id": None}]) == {1: three | {"unparsable"}}


def test_the_first_of_equal_rows_is_kept() -> None:
    """All repeats but the lowest row number stay out; two unparsable rows are no repeats."""
    assert reasons_of([GOOD, GOOD, GOOD]) == {2: {"exact_repeat"}, 3: {"exact_repeat"}}
    nothing = dict.fromkeys(GOOD)
    assert reasons_of([nothing, nothing]) == {1: {"unparsable"}, 2: {"unparsable"}}


def test_rules_can_admit() -> None:
    """Zero amounts and repeats come in when the policy says so."""
    lenient = {"zero_amounts": Rule.ADMIT, "exact_repeats": Rule.ADMIT}
    free = GOOD | {"amount_cents": 0}
    assert reasons_of([free, free], POLICY.model_copy(update=lenient)) == {}
    assert reasons_of([free, free]) == {1: {"zero_amount"}, 2: {"zero_amount", "exact_repeat"}}


def test_reasons_come_in_one_order() -> None:
    """Reasons are listed in their declared order, so that equal quarantines are equal bytes."""
    every = scenario_of([GOOD | {"quantity": 0, "amount_cents": 0}])
    (reasons,) = quarantine_rows(every, POLICY)["reasons"].to_pylist()
    assert reasons == sorted(reasons, key=REASONS.index)


@given(st.lists(PURCHASE, max_size=30), st.lists(PURCHASE, max_size=10))
def test_the_future_changes_no_feature(
    rows: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    """Purchases after as_of, however many, leave every byte of the snapshot as it is."""
    later = [
        row | {"purchase_date": max(row["purchase_date"], AS_OF + timedelta(1))} for row in more
    ]
    snapshot = feature_snapshot(admitted_of(rows), AS_OF)
    assert feature_snapshot(admitted_of(rows + later), AS_OF).equals(snapshot)


@given(st.lists(PURCHASE, max_size=30), st.lists(PURCHASE, max_size=10))
def test_the_past_changes_no_label(rows: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    """More purchases up to as_of, by customers already known, change no label."""
    known = {row["customer_id"] for row in rows if row["purchase_date"] <= AS_OF}
    earlier = [
        row | {"purchase_date": min(row["purchase_date"], AS_OF)}
        for row in more
        if row["customer_id"] in known
    ]
    before = labels(admitted_of(rows), AS_OF, END)
    assert labels(admitted_of(rows + earlier), AS_OF, END).equals(before)


@given(st.lists(PURCHASE, max_size=30), st.randoms())
def test_the_order_of_purchases_changes_nothing(rows: list[dict[str, Any]], chance: Any) -> None:
    """Shuffled purchases give the same features and the same labels."""
    shuffled = list(rows)
    chance.shuffle(shuffled)
    one, other = admitted_of(rows), admitted_of(shuffled)
    assert feature_snapshot(one, AS_OF).equals(feature_snapshot(other, AS_OF))
    assert labels(one, AS_OF, END).equals(labels(other, AS_OF, END))


@given(st.lists(PURCHASE, max_size=40))
def test_features_and_labels_count_what_plain_python_counts(rows: list[dict[str, Any]]) -> None:
    """Totals, dates and labels are those of a loop over the purchases."""
    admitted = admitted_of(rows)
    known = [row for row in rows if row["purchase_date"] <= AS_OF]
    after = Counter(row["customer_id"] for row in rows if row["purchase_date"] > AS_OF)
    by_customer: dict[str, list[dict[str, Any]]] = {row["customer_id"]: [] for row in known}
    for row in known:
        by_customer[row["customer_id"]].append(row)
    snapshot = feature_snapshot(admitted, AS_OF)
    assert snapshot["customer_id"].to_pylist() == sorted(by_customer)
    for row in snapshot.to_pylist():
        own = by_customer[row["customer_id"]]
        dates = [purchase["purchase_date"] for purchase in own]
        assert row["recency_days"] == (AS_OF - max(dates)).days
        assert row["tenure_days"] == (AS_OF - min(dates)).days
        assert (row["frequency"], row["active_days"]) == (len(own), len(set(dates)))
        assert row["purchases_last_90_days"] == sum((AS_OF - day).days < 90 for day in dates)
        assert row["quantity_total"] == sum(purchase["quantity"] for purchase in own)
        cents = [purchase["amount_cents"] for purchase in own]
        assert (row["amount_cents_total"], row["amount_cents_max"]) == (sum(cents), max(cents))
    returned = {
        row["customer_id"]: row["purchases"] for row in labels(admitted, AS_OF, END).to_pylist()
    }
    assert returned == {customer: after[customer] for customer in by_customer}


def test_both_ends_of_a_period_belong_to_it() -> None:
    """A purchase on as_of is a feature; the day after is a label, and so is the last day."""
    days = [AS_OF, AS_OF + timedelta(1), END]
    rows = admitted_of([GOOD | {"purchase_date": day} for day in days])
    assert feature_snapshot(rows, AS_OF)["frequency"].to_pylist() == [1]
    assert labels(rows, AS_OF, END)["purchases"].to_pylist() == [2]
    assert np.array_equal(purchases_between(rows, AS_OF, AS_OF)["row_number"], [1])
