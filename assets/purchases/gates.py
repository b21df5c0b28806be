"""What each artifact must be before anyone may read it, as pure functions.

Each takes the artifact (and what it is compared with) and answers a :class:`Verdict`: whether it
holds, and the facts by which a person can see why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.purchases.admission import ADMITTED_SCHEMA, REASONS, ZERO_AMOUNT
from assets.purchases.bundle import Bundle, content_of
from assets.purchases.cdnow import SCENARIO_SCHEMA
from assets.purchases.evaluation import evaluate
from assets.purchases.features import FEATURES, SNAPSHOT_SCHEMA, purchases_between
from assets.purchases.model_file import dump_model, load_model
from assets.purchases.settings import GateThresholds
from assets.purchases.training import Split
from ro_platform.contracts import ArtifactRef


class Verdict(NamedTuple):
    """Whether the gate passes, and what it saw."""

    passed: bool
    facts: dict[str, Any]


def scenario_is_plausible(scenario: pa.Table, thresholds: GateThresholds) -> Verdict:
    """Enough rows, numbered 1 to n once each, and few dated outside the expected period."""
    rows = len(scenario)
    inside = len(
        purchases_between(scenario, thresholds.scenario_first_date, thresholds.scenario_last_date)
    )
    undated = scenario["purchase_date"].null_count
    outside_share = _share(rows - inside - undated, rows)
    numbered = np.array_equal(np.sort(scenario["row_number"].to_numpy()), np.arange(1, rows + 1))
    return Verdict(
        scenario.schema.equals(SCENARIO_SCHEMA)
        and rows >= thresholds.scenario_minimum_rows
        and numbered
        and outside_share <= thresholds.scenario_maximum_share_outside,
        {
            "rows": rows,
            "minimum_rows": thresholds.scenario_minimum_rows,
            "rows_numbered_once": bool(numbered),
            "rows_without_date": undated,
            "share_outside_period": outside_share,
            "first_date": _text(pc.min(scenario["purchase_date"])),
            "last_date": _text(pc.max(scenario["purchase_date"])),
        },
    )


def quarantine_is_small(
    quarantine: pa.Table, scenario: pa.Table, thresholds: GateThresholds
) -> Verdict:
    """Few rows are kept out, few of them for a zero amount, and each states a known reason."""
    stated = [reason for reasons in quarantine["reasons"].to_pylist() for reason in reasons]
    counts = {reason: stated.count(reason) for reason in REASONS}
    silent = sum(not reasons for reasons in quarantine["reasons"].to_pylist())
    share = _share(len(quarantine), len(scenario))
    zero_share = _share(counts[ZERO_AMOUNT], len(scenario))
    return Verdict(
        share <= thresholds.quarantine_maximum_share
        and zero_share <= thresholds.quarantine_maximum_zero_share
        and silent == 0
        and sum(counts.values()) == len(stated),
        {
            "rows": len(quarantine),
            "share": share,
            "maximum_share": thresholds.quarantine_maximum_share,
            "zero_share": zero_share,
            "maximum_zero_share": thresholds.quarantine_maximum_zero_share,
            "rows_without_reason": silent,
            "reasons": counts,
        },
    )


def admission_adds_up(admitted: pa.Table, quarantine: pa.Table, scenario: pa.Table) -> Verdict:
    """Every row of the scenario is in exactly one of the two tables, and unchanged in it."""
    names = ADMITTED_SCHEMA.names
    parts = [table.select(names) for table in (admitted, quarantine)]
    loose = scenario.select(names).schema
    together = pa.concat_tables([part.cast(loose) for part in parts]).sort_by("row_number")
    same = together.equals(scenario.select(names).sort_by("row_number"))
    gaps = sum(admitted[name].null_count for name in names)
    return Verdict(
        same and gaps == 0,
        {
            "scenario": len(scenario),
            "admitted": len(admitted),
            "quarantined": len(quarantine),
            "rows_unchanged": same,
            "nulls_admitted": gaps,
        },
    )


def features_know_no_future(features: pa.Table, as_of: date, thresholds: GateThresholds) -> Verdict:
    """One row a customer, no nulls, and nothing dated after ``as_of``."""
    latest = pc.max(features["last_purchase"]).as_py()
    customers = pc.count_distinct(features["customer_id"]).as_py()
    nulls = sum(column.null_count for column in features.columns)
    dated = set(features["as_of"].unique().to_pylist())
    least_recency = pc.min(features["recency_days"]).as_py()
    return Verdict(
        features.schema.equals(SNAPSHOT_SCHEMA)
        and latest is not None
        and latest <= as_of
        and least_recency >= 0
        and dated == {as_of}
        and nulls == 0
        and customers == len(features)
        and customers >= thresholds.features_minimum_customers,
        {
            "customers": customers,
            "rows": len(features),
            "minimum_customers": thresholds.features_minimum_customers,
            "as_of": str(as_of),
            "last_purchase": str(latest),
            "nulls": nulls,
        },
    )


def features_account_for_purchases(features: pa.Table, admitted: pa.Table, as_of: date) -> Verdict:
    """All admitted purchases up to ``as_of``, and their money, are in the totals: no more."""
    known = purchases_between(admitted, date.min, as_of)
    counted = {
        "purchases": (_sum(features["frequency"]), len(known)),
        "quantity": (_sum(features["quantity_total"]), _sum(known["quantity"])),
        "amount_cents": (_sum(features["amount_cents_total"]), _sum(known["amount_cents"])),
    }
    facts = {name: {"features": got, "admitted": due} for name, (got, due) in counted.items()}
    return Verdict(all(got == due for got, due in counted.values()), facts)


def labels_look_only_ahead(
    labels: pa.Table,
    features: pa.Table,
    admitted: pa.Table,
    window: tuple[date, date],
    thresholds: GateThresholds,
) -> Verdict:
    """The same customers as the features; purchases only inside a window that the data covers.

    ``window`` is (as_of, last date). A window that reaches beyond the last purchase known would
    call customers gone who simply were not seen yet.
    """
    as_of, end = window
    first, last = (pc.min_max(labels[name]).as_py() for name in ("first_purchase", "last_purchase"))
    inside = first["min"] is None or (first["min"] > as_of and last["max"] <= end)
    known = pc.max(admitted["purchase_date"]).as_py()
    unobserved = (
        max((end - known).days, 0) if known else thresholds.labels_maximum_unobserved_days + 1
    )
    same_customers = labels["customer_id"].equals(features["customer_id"])
    returning = _share(_sum(labels["returned"]), len(labels))
    return Verdict(
        inside
        and same_customers
        and unobserved <= thresholds.labels_maximum_unobserved_days
        and thresholds.labels_minimum_returning_share <= returning
        and returning <= thresholds.labels_maximum_returning_share,
        {
            "window": f"after {as_of} to {end}",
            "first_purchase": str(first["min"]),
            "last_purchase": str(last["max"]),
            "unobserved_days": unobserved,
            "same_customers_as_features": same_customers,
            "returning_share": returning,
        },
    )


def model_is_safe_to_load(model: bytes) -> Verdict:
    """It loads without any untrusted type, knows all features, has finite weights, one form."""
    estimator = load_model(model)
    weights = estimator[-1].coef_
    finite = bool(np.isfinite(weights).all())
    canonical = dump_model(estimator) == model
    return Verdict(
        finite and canonical and weights.shape == (1, len(FEATURES)),
        {
            "weights": dict(zip(FEATURES, map(float, weights[0]), strict=False)) if finite else {},
            "finite": finite,
            "canonical": canonical,
        },
    )


def evaluation_is_good_enough(
    evaluation: Mapping[str, Any], customers: int, thresholds: GateThresholds
) -> Verdict:
    """It judged every customer, beats the base rate, and is right about how often it is right."""
    loss, counted = evaluation["log_loss"], evaluation["customers"]
    gap = max(abs(row["predicted"] - row["observed"]) for row in evaluation["calibration"])
    judged = sum(row["customers"] for row in evaluation["calibration"])
    return Verdict(
        evaluation["auc"] >= thresholds.evaluation_minimum_auc
        and loss["model"] < loss["base_rate"]
        and gap <= thresholds.evaluation_maximum_calibration_gap
        and counted["total"] == counted["training"] + counted["holdout"] == customers
        and judged == counted["holdout"],
        {
            "auc": evaluation["auc"],
            "minimum_auc": thresholds.evaluation_minimum_auc,
            "log_loss": loss["model"],
            "log_loss_of_base_rate": loss["base_rate"],
            "calibration_gap": gap,
            "customers": counted["total"],
            "customers_expected": customers,
        },
    )


def bundle_names_its_makers(bundle: Bundle, bound: Mapping[str, ArtifactRef]) -> Verdict:
    """The digests in the bundle are those of the artifacts that this run is bound to."""
    named = bundle.provenance["artifacts"]
    expected = {name: content_of(ref) for name, ref in bound.items()}
    wrong = sorted(
        name for name in named.keys() | expected.keys() if named.get(name) != expected.get(name)
    )
    return Verdict(not wrong, {"artifacts": len(named), "differing": wrong})


def bundle_reproduces_its_report(bundle: Bundle, split: Split) -> Verdict:
    """The bundled model, scored again on the stored features, gives the bundled report exactly."""
    again = evaluate(bundle.model, split)
    names = [feature["name"] for feature in bundle.feature_schema["features"]]
    return Verdict(
        again == bundle.evaluation and names == list(FEATURES),
        {"auc": again["auc"], "auc_reported": bundle.evaluation["auc"], "features": names},
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _text(value: pa.Scalar) -> str:
    return str(value.as_py())
