"""Training, evaluation, the model's file, the bundle, and the gates that can refuse them."""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from assets.purchases import gates
from assets.purchases.admission import admit_rows, quarantine_rows
from assets.purchases.bundle import MODEL, provenance, read_bundle, write_bundle
from assets.purchases.evaluation import evaluate
from assets.purchases.features import feature_snapshot, labels
from assets.purchases.generation import generate_purchases
from assets.purchases.model_file import dump_model, load_model
from assets.purchases.settings import AdmissionPolicy, DirtyShares, GateThresholds, Generation, Rule
from assets.purchases.training import Split, predict, split_examples, train_model
from ro_platform.contracts import ArtifactRef, CodeRef, RunManifest
from ro_platform.errors import EncodingError, InvalidInputError

AS_OF, END = date(2001, 6, 30), date(2001, 12, 31)
SHOP = Generation(
    customers=3_000,
    first_date=date(2001, 1, 1),
    last_date=END,
    acquisition_days=60,
    dirty=DirtyShares(zero_amount=0.01, exact_repeat=0.01, out_of_range=0.01, unparsable=0.01),
)
POLICY = AdmissionPolicy(
    first_date=SHOP.first_date,
    last_date=END,
    minimum_quantity=1,
    maximum_quantity=99,
    minimum_amount_cents=0,
    maximum_amount_cents=500_000,
    zero_amounts=Rule.QUARANTINE,
    exact_repeats=Rule.QUARANTINE,
)
THRESHOLDS = GateThresholds(
    scenario_minimum_rows=1_000,
    scenario_first_date=SHOP.first_date,
    scenario_last_date=END,
    scenario_maximum_share_outside=0.02,
    quarantine_maximum_share=0.1,
    quarantine_maximum_zero_share=0.05,
    features_minimum_customers=1_000,
    labels_minimum_returning_share=0.05,
    labels_maximum_returning_share=0.95,
    labels_maximum_unobserved_days=7,
    evaluation_minimum_auc=0.7,
    evaluation_maximum_calibration_gap=0.2,
)
SCENARIO = generate_purchases(11, SHOP)
QUARANTINE = quarantine_rows(SCENARIO, POLICY)
ADMITTED = admit_rows(SCENARIO, QUARANTINE)
FEATURES = feature_snapshot(ADMITTED, AS_OF)
LABELS = labels(ADMITTED, AS_OF, END)
REFS = {"model": ArtifactRef(ref="blobs/x", digest="a" * 64, digest_alg="sha256")}
MANIFEST = RunManifest(
    kind="ro.run_manifest.v0", workload="purchases", seed=11, code=CodeRef(version="1")
)


def stricter(**changes: Any) -> GateThresholds:
    return THRESHOLDS.model_copy(update=changes)


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(name)
    return table.set_column(place, field, pa.array(values, field.type))


@pytest.fixture(scope="module")
def split() -> Split:
    return split_examples(FEATURES, LABELS, 11, 30)


@pytest.fixture(scope="module")
def model(split: Split) -> bytes:
    return train_model(split, 11)


@pytest.fixture(scope="module")
def report(split: Split, model: bytes) -> dict[str, Any]:
    return evaluate(load_model(model), split)


@pytest.fixture
def bundle(tmp_path: Path, model: bytes, report: dict[str, Any]) -> Path:
    return write_bundle(tmp_path, model, report, provenance(MANIFEST, "f" * 64, REFS))


def test_the_split_is_by_customer_and_seed(split: Split) -> None:
    """Every customer is on one side, about 30 in 100 are held out, another seed splits anew."""
    sides = [set(split.training.customer_ids), set(split.holdout.customer_ids)]
    assert sides[0].isdisjoint(sides[1])
    assert sides[0] | sides[1] == set(FEATURES["customer_id"].to_pylist())
    assert len(sides[1]) / len(FEATURES) == pytest.approx(0.3, abs=0.03)
    assert (
        split_examples(FEATURES, LABELS, 12, 30).holdout.customer_ids != split.holdout.customer_ids
    )


def test_more_customers_move_nobody(split: Split) -> None:
    """A customer's side does not depend on who else is there, nor on the order of rows."""
    half = [table.slice(0, 1000).take(list(range(999, -1, -1))) for table in (FEATURES, LABELS)]
    few = split_examples(half[0], half[1], 11, 30)
    assert set(few.holdout.customer_ids) <= set(split.holdout.customer_ids)
    assert set(few.training.customer_ids) <= set(split.training.customer_ids)


def test_mismatched_tables_are_refused() -> None:
    """Features and labels of different customers are never joined by position."""
    with pytest.raises(InvalidInputError, match="do not match"):
        split_examples(FEATURES, LABELS.slice(1), 11, 30)


def test_one_outcome_cannot_be_learned_or_judged(split: Split, model: bytes) -> None:
    """When all customers did the same, training and evaluation say so."""
    nobody = with_column(LABELS, "returned", [False] * len(LABELS))
    same = split_examples(FEATURES, nobody, 11, 30)
    with pytest.raises(InvalidInputError, match="same label"):
        train_model(same, 11)
    with pytest.raises(InvalidInputError, match="same label"):
        evaluate(load_model(model), Split(split.training, same.holdout))


def test_the_model_file_has_one_form(split: Split, model: bytes) -> None:
    """Training again and storing a loaded model again give the same bytes; skops alone does not."""
    assert train_model(split, 11) == model
    assert dump_model(load_model(model)) == model
    estimator = load_model(model)
    assert skops.io.dumps(estimator) != model


def test_the_model_file_holds_no_address_and_no_time(model: bytes) -> None:
    """Members are numbered and dated 1980, so nothing in the file is of this process."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        names = [info.filename for info in archive.infolist()]
        dates = {info.date_time for info in archive.infolist()}
        assert b"__id__" not in archive.read("schema.json")
    assert names == ["schema.json", *(f"{number:04d}.npy" for number in range(len(names) - 1))]
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_a_stored_model_answers_as_before(split: Split) -> None:
    """A model keeps its predictions through the canonical file."""
    trained = LogisticRegression(max_iter=5000).fit(split.training.known, split.training.returned)
    loaded = load_model(dump_model(trained))
    assert np.array_equal(predict(trained, split.holdout), predict(loaded, split.holdout))


class Foreign(LogisticRegression):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator whose type nobody has vouched for."""


def test_unsafe_or_broken_models_do_not_load() -> None:
    """A type that skops does not trust, or no skops file at all, is refused before it is used."""
    foreign = skops.io.dumps(Foreign())
    with pytest.raises(EncodingError, match="not trusted"):
        load_model(foreign)
    with pytest.raises(EncodingError, match="not a skops file"):
        load_model(b"PK no zip")


def test_the_report_counts_every_holdout_customer(split: Split, report: dict[str, Any]) -> None:
    """Deciles share out the holdout and rise in predicted probability."""
    deciles = report["calibration"]
    assert sum(row["customers"] for row in deciles) == len(split.holdout.customer_ids)
    predicted = [row["predicted"] for row in deciles]
    assert predicted == sorted(predicted)
    assert report["customers"]["total"] == len(FEATURES)


def test_scenario_gate() -> None:
    """It passes as made and fails for few rows, rows outside the period, and lost rows."""
    gate = gates.scenario_is_plausible
    assert gate(SCENARIO, THRESHOLDS).passed
    assert not gate(SCENARIO, stricter(scenario_minimum_rows=10**6)).passed
    assert not gate(SCENARIO, stricter(scenario_last_date=AS_OF)).passed
    assert not gate(SCENARIO.slice(1), THRESHOLDS).passed
    assert not gate(SCENARIO.slice(0, 0), THRESHOLDS).passed


def test_quarantine_gate() -> None:
    """It fails for a large share, for many zero amounts, and for a row without a known reason."""
    gate = gates.quarantine_is_small
    assert gate(QUARANTINE, SCENARIO, THRESHOLDS).passed
    assert not gate(QUARANTINE, SCENARIO, stricter(quarantine_maximum_share=0.001)).passed
    assert not gate(QUARANTINE, SCENARIO, stricter(quarantine_maximum_zero_share=0.001)).passed
    for reason in ([], ["bad mood"]):
        silent = with_column(QUARANTINE, "reasons", [reason] * len(QUARANTINE))
        assert not gate(silent, SCENARIO, THRESHOLDS).passed


def test_admission_gate() -> None:
    """It fails for a lost row, a row in both tables, and a changed value."""
    gate = gates.admission_adds_up
    assert gate(ADMITTED, QUARANTINE, SCENARIO).passed
    assert not gate(ADMITTED.slice(1), QUARANTINE, SCENARIO).passed
    assert not gate(pa.concat_tables([ADMITTED, ADMITTED.slice(0, 1)]), QUARANTINE, SCENARIO).passed
    cents = ADMITTED["amount_cents"].to_pylist()
    altered = with_column(ADMITTED, "amount_cents", [cents[0] + 1, *cents[1:]])
    assert not gate(altered, QUARANTINE, SCENARIO).passed


def test_feature_gates() -> None:
    """They fail for a look into the future, a customer twice, too few, and uncounted purchases."""
    gate, totals = gates.features_know_no_future, gates.features_account_for_purchases
    assert gate(FEATURES, AS_OF, THRESHOLDS).passed
    assert totals(FEATURES, ADMITTED, AS_OF).passed
    leaking = feature_snapshot(ADMITTED, AS_OF + timedelta(days=30))
    assert not gate(leaking, AS_OF, THRESHOLDS).passed
    assert not totals(leaking, ADMITTED, AS_OF).passed
    disguised = with_column(leaking, "as_of", [AS_OF] * len(leaking))
    assert not gate(disguised, AS_OF, THRESHOLDS).passed
    assert not gate(pa.concat_tables([FEATURES, FEATURES]), AS_OF, THRESHOLDS).passed
    assert not gate(FEATURES.slice(0, 10), AS_OF, THRESHOLDS).passed
    assert not gate(FEATURES.slice(0, 0), AS_OF, THRESHOLDS).passed
    assert not totals(FEATURES.slice(1), ADMITTED, AS_OF).passed


def test_labels_gate() -> None:
    """It fails for a window that was not observed, that overlaps, and for one-sided outcomes."""

    def passes(table: pa.Table, end: date, thresholds: GateThresholds = THRESHOLDS) -> bool:
        window = (AS_OF, end)
        return gates.labels_look_only_ahead(table, FEATURES, ADMITTED, window, thresholds).passed

    late = END + timedelta(days=30)
    assert passes(LABELS, END)
    assert not passes(labels(ADMITTED, AS_OF, late), late)
    assert not passes(LABELS, AS_OF + timedelta(days=30))
    overlapping = with_column(LABELS, "first_purchase", [AS_OF] * len(LABELS))
    assert not passes(overlapping, END)
    assert not passes(LABELS.slice(1), END)
    assert not passes(LABELS, END, stricter(labels_minimum_returning_share=0.9))
    assert not passes(LABELS, END, stricter(labels_maximum_returning_share=0.1))


def test_model_gate(split: Split, model: bytes) -> None:
    """It fails for weights that are not finite, for missing features, for a file of other form."""
    assert gates.model_is_safe_to_load(model).passed
    estimator = load_model(model)
    assert not gates.model_is_safe_to_load(skops.io.dumps(estimator)).passed
    estimator[-1].coef_ = estimator[-1].coef_[:, 1:]
    assert not gates.model_is_safe_to_load(dump_model(estimator)).passed
    estimator[-1].coef_ = np.full((1, 8), np.nan)
    assert not gates.model_is_safe_to_load(dump_model(estimator)).passed


@pytest.mark.parametrize(
    "change",
    [
        {"auc": 0.69},
        {"log_loss": {"model": 0.7, "base_rate": 0.6}},
        {"customers": {"total": 1, "training": 1, "holdout": 0}},
        {"calibration": [{"decile": 1, "customers": 1, "predicted": 0.9, "observed": 0.1}]},
    ],
)
def test_evaluation_gate(report: dict[str, Any], change: dict[str, Any]) -> None:
    """It fails for a poor rank, a loss above the base rate, lost customers, false confidence."""
    assert gates.evaluation_is_good_enough(report, len(LABELS), THRESHOLDS).passed
    assert not gates.evaluation_is_good_enough(report | change, len(LABELS), THRESHOLDS).passed


def test_bundle_gates(bundle: Path, split: Split) -> None:
    """They pass for the bundle as written, and fail for other makers or other customers."""
    read = read_bundle(bundle)
    assert gates.bundle_names_its_makers(read, REFS).passed
    assert gates.bundle_reproduces_its_report(read, split).passed
    other = {"model": REFS["model"].model_copy(update={"digest": "b" * 64})}
    assert gates.bundle_names_its_makers(read, other).facts["differing"] == ["model"]
    assert not gates.bundle_names_its_makers(read, {}).passed
    assert not gates.bundle_names_its_makers(read, {**REFS, "labels": REFS["model"]}).passed
    swapped = Split(split.holdout, split.training)
    assert not gates.bundle_reproduces_its_report(read, swapped).passed


def test_a_bundle_names_no_place(bundle: Path) -> None:
    """Provenance holds digests and no locators, so every store gives the same bundle."""
    named = read_bundle(bundle).provenance["artifacts"]["model"]
    assert named == {"digest": "a" * 64, "digest_alg": "sha256"}


def test_an_incomplete_bundle_is_refused(bundle: Path) -> None:
    """A bundle without its model does not load."""
    (bundle / MODEL).unlink()
    with pytest.raises(EncodingError, match="not complete"):
        read_bundle(bundle)
